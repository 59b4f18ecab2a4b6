"""Training examples: pieces of clips with the context that the network reads around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kaldi_bridge.training.shards import Corpus

SUBSAMPLING = 3


@dataclass(frozen=True)
class Batch:
    """A batch of pieces.

    Attributes:
        features: float32 [B, left + 3 n + right, F].
        labels: int64 [B, n], of the frames phase, phase + 3, ... of the pieces.
        phase: 0, 1 or 2, the same for the batch.
    """

    features: Tensor
    labels: Tensor
    phase: int


class Pieces:
    """Draws batches; the same for the same seed and number.

    A piece begins anywhere in the corpus with equal chance. Where it would leave its clip, it is
    moved back; a clip that is shorter than a piece is continued by its last frame, and what lies
    behind its end counts as `IGNORED`.

    Args:
        corpus: to draw from.
        context: frames that the network reads to the left and right.
        frames: of a piece, a multiple of 3.
        batch_size: pieces in a batch.
        seed: of the draws.
    """

    IGNORED = -100

    def __init__(
        self, corpus: Corpus, context: tuple[int, int], frames: int, batch_size: int, seed: int
    ) -> None:
        self._corpus = corpus
        self._context = context
        self._frames = frames
        self._batch_size = batch_size
        self._seed = seed

    def batch(self, number: int) -> Batch:
        """Returns batch `number`."""
        rng = np.random.default_rng([self._seed, number])
        left, right = self._context
        ends = self._corpus.ends
        somewhere = rng.integers(ends[-1], size=self._batch_size)
        clip = np.searchsorted(ends, somewhere, side="right")
        start, end = np.where(clip > 0, ends[clip - 1], 0)[:, None], ends[clip][:, None]
        first = np.maximum(np.minimum(somewhere[:, None], end - self._frames), start)
        phase = int(rng.integers(SUBSAMPLING))
        rows = first + np.arange(-left, self._frames + right)
        features = self._corpus.features[np.clip(rows, start, end - 1)]
        wanted = first + np.arange(phase, self._frames, SUBSAMPLING)
        labels = self._corpus.labels[np.minimum(wanted, end - 1)].astype(np.int64)
        labels[wanted >= end] = self.IGNORED
        return Batch(torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels), phase)


def some_clips(corpus: Corpus, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields features float32 [T, F] and classes int64 [T] of clips spread over the corpus."""
    starts = np.concatenate([[0], corpus.ends[:-1]])
    for clip in np.unique(np.linspace(0, len(corpus) - 1, count).astype(np.int64)):
        rows = slice(starts[clip], corpus.ends[clip])
        features = torch.from_numpy(corpus.features[rows].astype(np.float32))
        yield features, torch.from_numpy(corpus.labels[rows].astype(np.int64))


def log_priors(corpus: Corpus, classes: int) -> np.ndarray:
    """Returns the log share of each class among the frames, float64 [classes]."""
    counts = np.bincount(corpus.labels, minlength=classes) + 1.0
    result: np.ndarray = np.log(counts / counts.sum())
    return result
