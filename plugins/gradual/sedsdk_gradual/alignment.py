"""A stream of any frame rate on another grid of frames, clip by clip."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sedsdk import Features, FrameGrid
from sedsdk.types import frame_mask

BORDER = 1e-6
"""Share of a hop by which a centre may miss a border that it lies on, by rounding."""


def aligned(stream: Features, lengths: Tensor, n_frames: int, grid: FrameGrid) -> Tensor:
    """Gives every frame of a grid the mean of the rows whose centres lie in its span.

    Frame k spans [k − ½, k + ½) hops around its centre. A frame in which no row lies, because rows
    are rarer than frames or end earlier, takes the row whose centre is nearest to its own, the
    earlier of two. Each clip has its own rows only; a clip without rows gives zeros. Gradients
    flow to the rows that were used, and `stream` is left as it is.

    Args:
        stream: rows [B, R, D], any hop and centre.
        lengths: int64 [B], frames wanted of each clip.
        n_frames: T, at least the largest of them.
        grid: of the frames.

    Returns:
        [B, T, D] in the dtype of the rows, zero on padding.
    """
    rows, device = stream.zero_padded().values, stream.values.device
    first, stop, nearest = _members(stream.grid, grid, n_frames)
    have = stream.lengths.unsqueeze(1)  # [B, 1]
    begin = torch.from_numpy(first).to(device).minimum(have)  # [B, T]
    end = torch.from_numpy(stop).to(device).minimum(have)
    near = torch.from_numpy(nearest).to(device).minimum(have - 1).clamp(min=0)
    count = end - begin
    begin = torch.where(count > 0, begin, near)
    used = count.clamp(min=1).masked_fill((have < 1) | ~frame_mask(lengths, n_frames), 0)
    total = rows.new_zeros(len(rows), n_frames, rows.shape[2])
    for step in range(int(used.max()) if used.numel() else 0):
        inside = (step < used).unsqueeze(2)
        place = (begin + step).clamp(max=rows.shape[1] - 1)
        total = total + _taken(rows, place).masked_fill(~inside, 0.0)
    return total / used.clamp(min=1).unsqueeze(2)


def _members(
    rows: FrameGrid, frames: FrameGrid, n_frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns for every frame the half-open range of the rows in it, and its nearest row.

    Rows are counted on without end; no number is below 0. All int64 [n_frames].
    """
    centres = frames.times(n_frames)
    half = frames.hop_seconds / 2

    def row_from(seconds: np.ndarray) -> np.ndarray:
        position = (seconds - rows.first_seconds) / rows.hop_seconds
        return np.ceil(position - BORDER).astype(np.int64).clip(min=0)

    nearest = row_from(centres - rows.hop_seconds / 2)
    return row_from(centres - half), row_from(centres + half), nearest


def _taken(rows: Tensor, place: Tensor) -> Tensor:
    """Returns rows [B, T, D] by their numbers, int64 [B, T]."""
    return rows.gather(1, place.unsqueeze(2).expand(-1, -1, rows.shape[2]))
