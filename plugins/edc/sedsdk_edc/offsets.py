"""How far each frame's similarity reaches: the expected offset, forward and backward.

Every pair of frames counts, but no T × T matrix is ever held: the similarities are made square tile
by square tile. They are symmetric, so the tiles on and above the diagonal do: their rows reach
backward (towards later frames), their columns forward (towards earlier ones).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sedsdk_edc.scaled import ScaledClips

MOST_FEATURES = 1300
"""Similarities lie in [0, F]. Up to this F all of their exponentials fit into float64 at once."""
SMALLEST_TILE = 64
TILE_ELEMENTS = {"cpu": 2**17}
"""Of all clips' tiles together, so that one megabyte stays in a core's cache."""
TILE_ELEMENTS_ON_A_GPU = 2**24
NEGLIGIBLE = 2.0**-54
"""Half a rounding step of float64, relative: a smaller decay moves no edge of a window."""


def most_clips(device: torch.device) -> int:
    """Returns how many clips are worth computing at once."""
    return _tile_elements(device) // SMALLEST_TILE**2


def tile_size(n_clips: int, device: torch.device) -> int:
    """Returns the side of a tile, in frames."""
    side = math.isqrt(_tile_elements(device) // n_clips)
    return max(SMALLEST_TILE, side // 32 * 32)


def expected_offsets(clips: ScaledClips, alpha: float) -> tuple[Tensor, Tensor]:
    """Returns the expectation of the decayed offset of similar frames, to both sides.

    With similarities λ_ij = x_i · x_j and d = |i − j|, over the frames before and including i:

        f_i = Σ_{j ≤ i} d exp(−d / α) softmax_{j ≤ i}(λ_ij)                        (1), (5), (7)

    and b_i likewise over j ≥ i. Takes time T² F and memory T. The exponentials share one shift,
    F / 2, the middle of what λ can be: for `MOST_FEATURES` or fewer features nothing overflows, and
    what underflows is below 1e-17 of its sum.

    Args:
        clips: at most `MOST_FEATURES` features.
        alpha: α, in frames.

    Returns:
        f and b, float64 [B, T] in frames, at most α / e; zero on padding and where clips are NaN.
    """
    batch, frames, size = clips.values.shape
    side = min(tile_size(batch, clips.device), frames)
    starts = range(0, frames, side)
    reach = math.log(1 / NEGLIGIBLE) * alpha
    shifts = torch.where(clips.valid.unsqueeze(1), -size / 2, -math.inf).double()  # [B, 1, T]
    zeros = torch.zeros(2, batch, frames, dtype=torch.float64, device=clips.device)
    sums, weighted = zeros, zeros.clone()  # forward and backward, [2, B, T]
    space = zeros.new_empty(batch * side * side)
    for distance in range(0, len(starts) * side, side):
        is_near = distance - side < reach
        decay = _decayed_offsets(distance, side, alpha, zeros) if is_near else None
        for start in starts[: len(starts) - distance // side]:
            rows = slice(start, min(start + side, frames))
            columns = slice(start + distance, min(start + distance + side, frames))
            n_rows, n_columns = rows.stop - rows.start, columns.stop - columns.start
            tile = space[: batch * n_rows * n_columns].view(batch, n_rows, n_columns)
            torch.bmm(clips.frames(rows), clips.frames(columns).transpose(1, 2), out=tile)
            tile.add_(shifts[:, :, columns]).exp_()
            if distance == 0:
                tile.triu_()
            _add_tile(sums, tile, rows, columns)
            if decay is not None:
                _add_tile(weighted, tile.mul_(decay[:n_rows, :n_columns]), rows, columns)
    forward, backward = (weighted / sums).nan_to_num_(0.0)  # 0 / 0 on padding
    return forward, backward


def _add_tile(totals: Tensor, tile: Tensor, rows: slice, columns: slice) -> None:
    totals[0, :, columns].add_(tile.sum(1))
    totals[1, :, rows].add_(tile.sum(2))


def _decayed_offsets(distance: int, side: int, alpha: float, like: Tensor) -> Tensor:
    """Returns d exp(−d / α) for a tile that lies `distance` frames right of the diagonal."""
    place = torch.arange(side, dtype=like.dtype, device=like.device)
    offsets = (place + distance - place.unsqueeze(1)).abs_()
    return offsets * torch.exp(offsets / -alpha)


def _tile_elements(device: torch.device) -> int:
    return TILE_ELEMENTS.get(device.type, TILE_ELEMENTS_ON_A_GPU)
