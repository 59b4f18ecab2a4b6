"""Event-related data conditioning of a batch of clips: find every frame's range, then average."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sedsdk_edc.offsets import expected_offsets, most_clips, tile_size
from sedsdk_edc.scaled import ScaledClips

FEWEST_ROWS = 16
"""Averaged at once, however narrow or wide the windows are."""


@torch.no_grad()
def conditioned(values: Tensor, lengths: Tensor, alpha: float) -> Tensor:
    """Returns what EDC makes of every clip: frames become means over their effective ranges.

    Over the scaled frames x_j of the range [first_i, last_i] (Equation 8):

        y_i = Σ_j softmax_j(x_i · x_j) x_j

    All of it is computed in float64, so that neither padding nor the clips beside a clip can move
    the edge of a window. Takes time T² F and memory T. No gradient flows.

    Args:
        values: float [B, T, F]; padding may hold anything.
        lengths: int64 [B], frames.
        alpha: α, in frames.

    Returns:
        The dtype and device of `values`, [B, T, F] in [0, 1], zero on padding. A clip that holds
        one value only gives zeros. NaN or infinity turns its own clip into NaN.
    """
    result = torch.zeros_like(values)
    for which, clips in _groups(values, lengths):
        first, last = _windows(clips, alpha)
        _average(clips, first, last, result[which, : clips.n_frames])
    return result


@torch.no_grad()
def effective_ranges(values: Tensor, lengths: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Returns the first and the last frame of each frame's effective range, both inclusive.

    Args:
        values: float [B, T, F]; padding may hold anything.
        lengths: int64 [B], frames.
        alpha: α, in frames.

    Returns:
        int64 [B, T] each; first ≤ frame ≤ last, but 0 and −1, an empty range, on padding.
    """
    first = torch.zeros(values.shape[:2], dtype=torch.int64, device=values.device)
    last = torch.full_like(first, -1)
    for which, clips in _groups(values, lengths):
        begin, end = _windows(clips, alpha)
        first[which, : clips.n_frames] = begin.where(clips.valid, 0).to(first.device)
        last[which, : clips.n_frames] = end.where(clips.valid, -1).to(last.device)
    return first, last


def _groups(values: Tensor, lengths: Tensor) -> Iterator[tuple[slice, ScaledClips]]:
    """Yields as many clips as are worth computing at once, cut to the longest of them.

    Devices without float64 leave the work to the CPU.
    """
    device = torch.device("cpu") if values.device.type == "mps" else values.device
    size = most_clips(device)
    for start in range(0, values.shape[0], size):
        which = slice(start, start + size)
        counts = lengths[which].to(device)
        longest = int(counts.max())
        if longest:
            yield which, ScaledClips(values[which, :longest].to(device), counts)


def _windows(clips: ScaledClips, alpha: float) -> tuple[Tensor, Tensor]:
    """Returns ⌊i − f_i⌋ and ⌊i + b_i⌋, int64 [B, T]; the frame itself on padding.

    As d exp(−d / α) ≤ α / e, neither lies more than ⌊α / e⌋ + 1 frames away.
    """
    forward, backward = expected_offsets(clips, alpha)
    place = torch.arange(clips.n_frames, dtype=torch.float64, device=clips.device)
    first = (place - forward).floor().clamp_(min=0)  # f rounds above i where α is boundless
    return first.long(), (place + backward).floor().long()


def _average(clips: ScaledClips, first: Tensor, last: Tensor, result: Tensor) -> None:
    """Writes the mean of every window, weighted by similarity (Equation 8).

    Args:
        clips: what is averaged.
        first: int64 [B, T], first frame of each window.
        last: int64 [B, T], its last frame.
        result: float [B, T, F].
    """
    frames = clips.n_frames
    place = torch.arange(frames, device=clips.device)
    reach = int(torch.maximum(place - first, last - place).max())
    side = tile_size(clips.batch, clips.device)
    rows_at_once = max(FEWEST_ROWS, min(4 * reach, side, 4 * side**2 // (side + 2 * reach)))
    for start in range(0, frames, rows_at_once):
        rows = slice(start, min(start + rows_at_once, frames))
        near = slice(max(0, start - reach), min(rows.stop + reach, frames))
        beside = clips.frames(near)  # [B, n, F]
        own = beside[:, start - near.start : rows.stop - near.start]
        inside = (place[near] >= first[:, rows, None]) & (place[near] <= last[:, rows, None])
        similarity = torch.bmm(own, beside.transpose(1, 2))
        weights = torch.where(inside, similarity, -math.inf).softmax(2)
        result[:, rows] = torch.bmm(weights, beside).clamp_(max=1.0).to(result)
