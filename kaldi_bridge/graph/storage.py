"""Where a stream keeps computed rows: buffers that are used again, and the tails blocks share."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor


class Pool:
    """Lends matrices and takes them back, so that a block allocates nothing after the first."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        """Args:
        dtype, device: of everything lent.
        """
        self._dtype, self._device = dtype, device
        self._free: dict[int, list[Tensor]] = defaultdict(list)

    def lend(self, rows: int, dim: int) -> Tensor:
        """Returns a matrix [at least `rows`, dim] of arbitrary content."""
        free = self._free[dim]
        for index, matrix in enumerate(free):
            if len(matrix) >= rows:
                return free.pop(index)
        if free:  # too short: grown rather than kept beside a longer one
            free.pop()
        with torch.inference_mode(False):  # outlives the mode that it is first lent in
            return torch.empty(rows, dim, dtype=self._dtype, device=self._device)

    def take_back(self, matrix: Tensor) -> None:
        """Takes back what `lend` gave, whole."""
        self._free[matrix.shape[1]].append(matrix)


class Pools:
    """Pools that are not in use, so that a later stream finds its buffers made.

    Fresh memory costs a page fault for every 4 kB, which is what a short recording would mostly
    wait for. Several streams at a time get a pool each.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        """Args:
        dtype, device: of everything lent.
        """
        self._dtype, self._device = dtype, device
        self._idle: list[Pool] = []

    def lend(self) -> Pool:
        """Returns a pool that nobody else uses."""
        try:
            return self._idle.pop()
        except IndexError:
            return Pool(self._dtype, self._device)

    def take_back(self, pool: Pool) -> None:
        """Keeps a pool for the next stream; one is enough, since most streams follow each other."""
        if not self._idle:
            self._idle.append(pool)


class Buffer:
    """Consecutive rows of a core inside a lent matrix.

    Attributes:
        matrix: what was lent.
        base: number of the row that lies at the matrix's first place.
    """

    def __init__(self, matrix: Tensor, base: int) -> None:
        self.matrix = matrix
        self.base = base

    def rows(self, start: int, stop: int) -> Tensor:
        """Returns rows `start` to `stop` as a view."""
        return self.matrix[start - self.base : stop - self.base]
