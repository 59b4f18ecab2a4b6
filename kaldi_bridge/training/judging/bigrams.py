"""Which phone follows which: a bigram, counted in labels or transcripts."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import KaldiFileError, MissingFile, ShapeError
from kaldi_bridge.sink import opened_atomically
from kaldi_bridge.training.inventory import CLASS_OF, CLASSES, SILENCE
from kaldi_bridge.training.judging.decoding import runs

Bigrams = NDArray[np.float64]


def phone_bigrams(
    sequences: Iterable[Sequence[str] | NDArray[np.integer[Any]]], add: float = 1.0
) -> Bigrams:
    """Counts pairs of neighbours; returns smoothed log probabilities [41, 41].

    Silence stands before and behind each sequence. A phone that follows itself counts as one, as
    it does in the phone loop, which cannot tell the two apart. With n(q, p) the count of p after q,

        P(p | q) = (n(q, p) + add) / (Σ_r n(q, r) + add · 40),  r ≠ q,

    and the diagonal, which nobody uses, holds the logarithm of 1 / 41.

    Args:
        sequences: names of CLASSES, or class numbers, of phones or of frames: runs are joined.
        add: count that every pair has to begin with, above 0.

    Raises:
        ShapeError: `add` is not above 0, or a class that is not known.
    """
    if not 0 < add < np.inf:
        raise ShapeError(f"add is {add}; it must be above 0, so that no pair is impossible.")
    size = len(CLASSES)
    counts = np.zeros((size, size))
    edge = [CLASS_OF[SILENCE]]
    for sequence in sequences:
        joined = np.array(runs(np.concatenate((edge, _numbers(sequence), edge))))
        np.add.at(counts, (joined[:-1], joined[1:]), 1)
    counts += add
    np.fill_diagonal(counts, 0)
    shares = counts / counts.sum(axis=1, keepdims=True)
    np.fill_diagonal(shares, 1 / size)
    result: Bigrams = np.log(shares)
    return result


def save_bigrams(log_bigrams: Bigrams, path: Path | str) -> None:
    """Writes bigrams as .npz, with the names of the classes; the file appears whole or not."""
    write_arrays(Path(path), log_bigrams=log_bigrams, classes=np.array(CLASSES))


def load_bigrams(path: Path | str) -> Bigrams:
    """Reads what `save_bigrams` has written.

    Raises:
        MissingFile: no such file.
        KaldiFileError: damaged, or of other classes.
    """
    arrays = read_arrays(Path(path), ("log_bigrams", "classes"))
    bigrams = arrays["log_bigrams"].astype(np.float64)
    if tuple(arrays["classes"]) != CLASSES or bigrams.shape != (len(CLASSES),) * 2:
        raise KaldiFileError(path, "byte 0", "bigrams of other classes: count them again.")
    return bigrams


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Writes arrays as .npz; the file appears whole or not at all.

    Raises:
        KaldiFileError: the place cannot be written to.
    """
    named: dict[str, Any] = dict(arrays)
    with opened_atomically(path) as file:
        np.savez(file, **named)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Reads arrays of an .npz file; nothing in it is ever run.

    Raises:
        MissingFile: no such file.
        KaldiFileError: damaged, or without one of the names.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except FileNotFoundError:
        raise MissingFile(f"{path}: no such file.") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile, zlib.error) as problem:
        wrong = f"is not an .npz file with {', '.join(names)}: {problem}."
        raise KaldiFileError(path, "byte 0", wrong) from None


def _numbers(sequence: Sequence[str] | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    if isinstance(sequence, np.ndarray):
        numbers = sequence.astype(np.int64)
    else:
        unknown = [name for name in sequence if name not in CLASS_OF]
        if unknown:
            raise ShapeError(f'"{unknown[0]}" is not one of the {len(CLASSES)} classes: fold() it.')
        numbers = np.array([CLASS_OF[name] for name in sequence], np.int64)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(CLASSES):
        raise ShapeError(f"class numbers must be 0 to {len(CLASSES) - 1}.")
    return numbers
