"""Clips scaled to [0, 1] in float64, piece by piece, so that long ones are never held whole."""

from __future__ import annotations

import math

from torch import Tensor

from sedsdk.types import frame_mask

HELD_ELEMENTS = {"cpu": 2**21}
"""Up to so many values (16 MB of float64) are scaled once and kept."""
HELD_ELEMENTS_ON_A_GPU = 2**27


class ScaledClips:
    """A batch whose clips are each scaled by their own lowest and highest value.

    A clip that holds one value only becomes zeros. NaN or infinity turns
    its own clip, all of it, into NaN.

    Args:
        values: float [B, T, F] of any precision; padding may hold anything.
        lengths: int64 [B], frames, on the same device.
    """

    def __init__(self, values: Tensor, lengths: Tensor) -> None:
        self.values = values
        self.batch, self.n_frames, _ = values.shape
        self.device = values.device
        self.valid = frame_mask(lengths, self.n_frames)  # [B, T]
        lowest, highest = extremes(values, self.valid)
        self._lowest = lowest.view(-1, 1, 1)
        spread = (highest - lowest).view(-1, 1, 1)
        self._spread = spread.where(spread != 0, 1.0).where(spread != math.inf, math.nan)
        held = HELD_ELEMENTS.get(self.device.type, HELD_ELEMENTS_ON_A_GPU)
        keep = values.numel() <= held
        self._whole = self._scaled(slice(0, self.n_frames)) if keep else None

    def frames(self, piece: slice) -> Tensor:
        """Returns a piece of every clip, float64 [B, n, F] in [0, 1], zero on padding."""
        return self._scaled(piece) if self._whole is None else self._whole[:, piece]

    def _scaled(self, piece: slice) -> Tensor:
        values = self.values[:, piece].double()
        if values.dtype == self.values.dtype:
            values = values.clone()
        values.sub_(self._lowest).div_(self._spread)
        return values.masked_fill_(~self.valid[:, piece].unsqueeze(2), 0.0)


def extremes(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the lowest and the highest value of every clip, float64 [B]; inf and −inf of none.

    Args:
        values: float [B, T, F].
        valid: bool [B, T], true before the end of each clip.
    """
    lowest = values.amin(2).double().masked_fill_(~valid, math.inf).amin(1)
    highest = values.amax(2).double().masked_fill_(~valid, -math.inf).amax(1)
    return lowest, highest
