"""Shards of a training set on disk, and the training set in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import KaldiError

Reading = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Features [T, F] and labels [T] of a clip."""

HEARD, UNHEARD = 1_000_000, 2_000_000
"""Shards from these numbers on are for validation, in voices that training hears or does not."""
Part = Literal["train", "heard", "unheard"]


class CorpusError(KaldiError):
    """A corpus that cannot be made or used as asked."""


@dataclass
class Corpus:
    """Clips of a training set, one after another.

    Attributes:
        features: float16 [sum of T, F].
        labels: uint8 [sum of T], numbers of CLASSES.
        ends: int64 [n], where each clip ends in the rows.
    """

    features: NDArray[np.float16]
    labels: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def clips(self) -> Iterator[Reading]:
        """Yields features float32 [T, F] and labels [T] of every clip."""
        start = 0
        for end in self.ends:
            yield self.features[start:end].astype(np.float32), self.labels[start:end]
            start = end

    @property
    def hours(self) -> float:
        """Hours of sound, at 100 frames a second."""
        return len(self.labels) / 360_000


def part_of(number: int) -> Part:
    """Returns what a shard is for."""
    return "unheard" if number >= UNHEARD else "heard" if number >= HEARD else "train"


def load_corpus(numbers: Sequence[int], folder: Path, part: Part = "train") -> Corpus:
    """Reads those of the shards that are of a part.

    Args:
        numbers: of the shards of the corpus.
        folder: where they are.
        part: the part.

    Raises:
        CorpusError: a shard is missing or damaged.
    """
    features, labels, lengths = [], [], []
    for number in numbers:
        if part_of(number) != part:
            continue
        path = shard_path(folder, number)
        try:
            with np.load(path) as shard:
                features.append(shard["features"])
                labels.append(shard["labels"])
                lengths.append(shard["lengths"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as problem:
            raise CorpusError(
                f"{path}: cannot be read ({problem}). Remove it and make the corpus again; the "
                "other shards stay."
            ) from None
    return Corpus(
        np.concatenate(features),
        np.concatenate(labels),
        np.cumsum(np.concatenate(lengths), dtype=np.int64),
    )


def shard_path(folder: Path, number: int) -> Path:
    """Returns where a shard lies."""
    return folder / f"shard-{number:07d}.npz"
