"""Runs of active frames: what the post-processors that shape decisions work on.

Nothing here loops over frames; a clip of 1500 frames and three classes takes some ten
microseconds a step, so that threshold fitting can afford hundreds of settings on hundreds of clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Runs:
    """Maximal runs of true values in the columns of a [T, C] array, column by column.

    Attributes:
        first: int [R], first frame of each run.
        stop: int [R], the frame after the last one.
        column: int [R], not decreasing; within a column the runs go forward in time.
        shape: (T, C) of the array they were found in.
    """

    first: NDArray[np.intp]
    stop: NDArray[np.intp]
    column: NDArray[np.intp]
    shape: tuple[int, int]

    @property
    def length(self) -> NDArray[np.intp]:
        """Frames of each run: int [R]."""
        return self.stop - self.first

    def kept(self, keep: NDArray[np.bool_]) -> Runs:
        """Returns the runs for which `keep`, bool [R], is true."""
        return Runs(self.first[keep], self.stop[keep], self.column[keep], self.shape)

    def as_active(self) -> NDArray[np.bool_]:
        """Returns the bool array [T, C] that is true on the runs and nowhere else."""
        active = np.zeros(self.shape, dtype=bool)
        runs = zip(self.first.tolist(), self.stop.tolist(), self.column.tolist(), strict=True)
        for first, stop, column in runs:
            active[first:stop, column] = True
        return active

    def highest(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Returns the largest of `values` [T, C] in each run: [R]."""
        return self._reduced(values, np.maximum)

    def mean(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Returns the mean of `values` [T, C] in each run: float64 [R]."""
        return self._reduced(values.astype(np.float64), np.add) / self.length

    def _reduced(self, values: NDArray[np.floating], operation: np.ufunc) -> NDArray[np.floating]:
        if not self.first.size:
            return np.zeros(0, dtype=values.dtype)
        width = self.shape[0] + 1
        flat = np.zeros((self.shape[1], width), dtype=values.dtype)
        flat[:, :-1] = values.T
        bounds = np.empty(2 * len(self.first), dtype=np.intp)
        bounds[::2] = self.column * width + self.first
        bounds[1::2] = self.column * width + self.stop
        reduced: NDArray[np.floating] = operation.reduceat(flat.ravel(), bounds)[::2]
        return reduced


def find_runs(active: NDArray[np.bool_]) -> Runs:
    """Returns the maximal runs of true values in each column of `active` [T, C]."""
    n_frames, n_columns = active.shape
    if not active.any():
        none = np.zeros(0, dtype=np.intp)
        return Runs(none, none, none, (n_frames, n_columns))
    width = n_frames + 2
    padded = np.zeros((n_columns, width), dtype=bool)
    padded[:, 1:-1] = active.T
    flat = padded.ravel()
    change = np.flatnonzero(flat[1:] != flat[:-1])
    column, frame = np.divmod(change, width)
    return Runs(frame[::2], frame[1::2], column[::2], (n_frames, n_columns))
