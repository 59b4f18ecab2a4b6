"""Frames of utterances with their neighbours: what a classifier of windows is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.training.inventory import CLASSES

Array = NDArray[np.float32]
Reading = tuple[NDArray[np.floating[Any]], NDArray[np.integer[Any]]]
"""Features [T, F] and labels [T] of an utterance."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Utterances, one after another.

    Attributes:
        features: [N, F], of any float type.
        labels: [N], numbers of CLASSES.
        ends: int64 [n], where each utterance ends.
    """

    features: NDArray[Any]
    labels: NDArray[Any]
    ends: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Raises ShapeError where the three do not fit."""
        if self.features.ndim != 2 or self.labels.shape != self.features.shape[:1]:
            raise ShapeError(
                f"features {list(self.features.shape)} and labels {list(self.labels.shape)}: "
                "expected [N, F] and [N]."
            )
        if (
            not len(self.ends)
            or self.ends[-1] != len(self.labels)
            or (np.diff(self.ends) < 0).any()
        ):
            raise ShapeError("`ends` must rise to the number of frames, and there must be some.")
        if not len(self.labels) or int(self.labels.max()) >= len(CLASSES):
            raise ShapeError(f"there must be frames, with labels 0 to {len(CLASSES) - 1}.")

    @classmethod
    def of(cls, readings: Iterable[Reading]) -> Frames:
        """Joins utterances; float16 features stay float16.

        Raises:
            ShapeError: none, or some that do not fit together.
        """
        features, labels = [], []
        for rows, numbers in readings:
            features.append(rows)
            labels.append(numbers)
        if not features:
            raise ShapeError("no utterances to train on.")
        ends = np.cumsum([len(each) for each in labels], dtype=np.int64)
        return cls(np.concatenate(features), np.concatenate(labels), ends)

    def centred(self, window: int) -> Frames:
        """Returns the same frames, each utterance less its running mean; see `centred`."""
        starts = (0, *self.ends[:-1])
        features = np.empty_like(self.features)
        for start, end in zip(starts, self.ends, strict=True):
            features[start:end] = centred(self.features[start:end], window)
        return Frames(features, self.labels, self.ends)

    def windows(self, frames: NDArray[np.int64], context: int) -> Array:
        """Returns frames with their neighbours, float32 [B, (2 · context + 1), F].

        Beyond the ends of an utterance its first or last frame is repeated.
        """
        utterance = np.searchsorted(self.ends, frames, side="right")
        first = np.where(utterance > 0, self.ends[utterance - 1], 0)
        rows = frames[:, None] + np.arange(-context, context + 1)
        rows = np.clip(rows, first[:, None], self.ends[utterance][:, None] - 1)
        # torch widens float16 several times faster than NumPy
        result: Array = torch.from_numpy(self.features[rows]).float().numpy()
        return result


def minibatches(
    frames: Frames, context: int, batch_size: int, rng: np.random.Generator
) -> Iterator[tuple[Array, NDArray[np.int64]]]:
    """Yields every frame once, in random order: windows [B, 2 · context + 1, F] and labels [B]."""
    order = rng.permutation(len(frames.labels))
    for first in range(0, len(order), batch_size):
        chosen = np.sort(order[first : first + batch_size])
        yield frames.windows(chosen, context), frames.labels[chosen].astype(np.int64)


def centred(features: NDArray[np.floating[Any]], window: int) -> Array:
    """Returns features [T, F] less their mean over a box around each frame, float32.

    Before the first frame and behind the last, these are repeated.

    Args:
        features: of one utterance.
        window: frames of the box, an odd number.

    Raises:
        ShapeError: an even number, or less than 1.
    """
    if window < 1 or window % 2 == 0:
        raise ShapeError(f"a mean window of {window} frames has no middle: give an odd number.")
    if not len(features):
        return np.asarray(features, np.float32)
    rows = np.asarray(features, np.float64)
    half = window // 2
    sums = np.cumsum(np.pad(rows, ((half + 1, half), (0, 0)), mode="edge"), axis=0)
    means = (sums[window:] - sums[:-window]) / window
    return np.asarray(rows - means, np.float32)
