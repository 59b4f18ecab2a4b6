"""Rows kept apart by the frame that they are pooled to, for layers that learn to see first.

A frame has as many slots as rows can fall into it. A slot holds a row and behind it the row's share
in the frame's mean: 1 / m for each of m rows, 0 where there is no row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kaldi_bridge.plugin.pooling import BORDER, members
from sedsdk.types import Features, FrameGrid


def slot_count(grid: FrameGrid, hop_seconds: float | None) -> int:
    """Returns how many rows of a grid can lie in a cell of `hop_seconds`; 1 without cells."""
    if hop_seconds is None:
        return 1
    return max(1, math.ceil(hop_seconds / grid.hop_seconds - BORDER))


def slotted(rows: Tensor, grid: FrameGrid, n_frames: int, hop_seconds: float | None) -> Tensor:
    """Puts rows into the slots of the cells that `pooled` would make the mean of.

    Args:
        rows: float [T, D], T at least 1.
        grid: where the rows lie in time.
        n_frames: how many cells from time 0 on.
        hop_seconds: length of a cell; None for a frame per row.

    Returns:
        [n_frames, slots · (D + 1)].
    """
    if hop_seconds is None:
        return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
    row_of, first_of = members(len(rows), grid, n_frames, hop_seconds)
    counts = np.diff(first_of, append=len(row_of))
    frame = torch.from_numpy(np.repeat(np.arange(n_frames), counts))
    slot = torch.from_numpy(np.arange(len(row_of)) - np.repeat(first_of, counts))
    slots = rows.new_zeros(n_frames, slot_count(grid, hop_seconds), rows.shape[1] + 1)
    slots[frame, slot, :-1] = rows[torch.from_numpy(row_of)]
    slots[frame, slot, -1] = (1 / torch.from_numpy(counts)).to(rows.dtype)[frame]
    return slots.flatten(1)


def joined(stored: Features, n_slots: int, layers: Callable[[Tensor], Tensor]) -> Features:
    """Applies layers to the rows of every slot, and makes each frame's mean, with gradients.

    Args:
        stored: values [B, T, slots · (D + 1)], as `slotted` gives them for each clip.
        n_slots: slots of a frame.
        layers: rows [N, D] → [N, D'].

    Returns:
        Features [B, T, D'] with zero padding.
    """
    slots = stored.values.reshape(*stored.values.shape[:2], n_slots, -1)  # [B, T, slots, D + 1]
    shares = slots[..., -1].masked_fill(~stored.mask().unsqueeze(2), 0.0)
    taken = shares > 0
    rows = layers(slots[..., :-1][taken]).to(slots.dtype)
    spread = rows.new_zeros(*taken.shape, rows.shape[1]).index_put((taken,), rows)
    values = (spread * shares.unsqueeze(3)).sum(dim=2)
    return Features(values, stored.lengths, stored.grid)
