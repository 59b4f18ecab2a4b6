"""Median filter along time with one odd length per class, for probabilities and for decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 1 << 22
"""Values that the median of probabilities holds at a time, so that a day-long file fits."""


def median_filter(values: NDArray[Any], lengths: NDArray[np.intp]) -> NDArray[Any]:
    """Returns the running median of each column, the first and last frame repeated at the edges.

    Args:
        values: [T, C], floating or bool.
        lengths: int [C], odd, at least 1 (which filters nothing).

    Returns:
        A new array [T, C] of the same type.
    """
    result: NDArray[Any] = values.copy()
    if not len(values):
        return result
    median = _of_decisions if values.dtype == np.bool_ else _of_probabilities
    for length in np.unique(lengths[lengths > 1]).tolist():
        columns = np.flatnonzero(lengths == length)
        half = length // 2
        padded = np.pad(values[:, columns], ((half, half), (0, 0)), mode="edge")
        result[:, columns] = median(padded, length)
    return result


def _of_decisions(padded: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    before = np.zeros((1, padded.shape[1]), dtype=np.int32)
    counts = np.concatenate([before, np.cumsum(padded, axis=0, dtype=np.int32)])
    majority: NDArray[np.bool_] = counts[length:] - counts[:-length] > length // 2
    return majority


def _of_probabilities(padded: NDArray[np.floating], length: int) -> NDArray[np.floating]:
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)  # [T, C, length]
    half = length // 2
    block = max(1, BLOCK_VALUES // (length * padded.shape[1]))
    return np.concatenate(
        [
            np.partition(windows[begin : begin + block], half, axis=-1)[..., half].copy()
            for begin in range(0, len(windows), block)
        ]
    )
