"""Rows of one frame rate → rows of another: the mean over each cell of the wanted grid."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sedsdk.types import FrameGrid

BORDER = 1e-6
"""Share of a hop by which a centre may miss a border that it lies on, by rounding."""


def cell_grid(hop_seconds: float) -> FrameGrid:
    """Returns the grid of cells [k · hop, (k + 1) · hop): centres at hop / 2 + k · hop."""
    return FrameGrid(hop_seconds, hop_seconds / 2)


def cell_count(seconds: float, hop_seconds: float) -> int:
    """Returns how many cells cover a clip of `seconds`, at least 1; the last may be a part."""
    return max(1, math.ceil(seconds / hop_seconds - BORDER))


def pooled(rows: Tensor, grid: FrameGrid, n_cells: int, hop_seconds: float) -> Tensor:
    """Joins the rows whose centres lie in a cell into their mean.

    A cell without a centre takes the row whose centre is nearest to its own, the earlier of two.
    Rows beyond the last cell count to it.

    Args:
        rows: float [T, D], T at least 1.
        grid: where the rows lie in time.
        n_cells: how many cells from time 0 on.
        hop_seconds: length of a cell.

    Returns:
        float [n_cells, D].
    """
    row_of, first_of = members(len(rows), grid, n_cells, hop_seconds)
    index = torch.from_numpy(row_of).to(rows.device)
    offsets = torch.from_numpy(first_of).to(rows.device)
    return F.embedding_bag(index, rows, offsets, mode="mean")


def members(
    n_rows: int, grid: FrameGrid, n_cells: int, hop_seconds: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the rows of every cell, one cell after the other, and where each cell begins.

    See `pooled` for which belong to a cell.
    """
    cells = np.arange(n_cells)
    inside = np.floor(grid.times(n_rows) / hop_seconds + BORDER).astype(np.int64)
    inside = inside.clip(0, n_cells - 1)
    empty = np.setdiff1d(cells, inside)
    positions = ((empty + 0.5) * hop_seconds - grid.first_seconds) / grid.hop_seconds
    nearest = np.ceil(positions - 0.5 - BORDER).astype(np.int64).clip(0, n_rows - 1)
    cell_of = np.concatenate([inside, empty])
    order = np.argsort(cell_of, kind="stable")
    row_of = np.concatenate([np.arange(n_rows), nearest])[order]
    return row_of, np.searchsorted(cell_of[order], cells)
