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
        return torch.empty(rows, dim, dtype=self._dtype, device=self._device)

    def take_back(self, matrix: Tensor) -> None:
        """Takes back what `lend` gave, whole."""
        self._free[matrix.shape[1]].append(matrix)


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
