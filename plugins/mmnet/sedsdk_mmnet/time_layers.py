"""Convolution, normalisation and pooling along time of frames [B, T, C].

Frames keep that order in memory throughout. Seen as [B, C, 1, T] it is what torch calls
channels-last, the layout in which its convolutions are fastest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedsdk.layers import MaskedBatchNorm
from sedsdk.types import frame_mask


class FrameNorm(MaskedBatchNorm):
    """`MaskedBatchNorm` of frames: statistics over valid frames only, zero on padding."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Normalises [B, T, C]; lengths int64 [B]."""
        y = super().forward(x.transpose(1, 2).unsqueeze(3), lengths)
        return y.squeeze(3).transpose(1, 2)

    def frozen(self, x: Tensor) -> Tensor:
        """Normalises [B, T, C] by the running statistics, which stay as they are."""
        y = x.transpose(1, 2).unsqueeze(3)
        y = F.batch_norm(
            y, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
        return y.squeeze(3).transpose(1, 2)


class TimeConv(nn.Module):
    """Convolution of kernel 3 along time, zeros beyond the ends: [B, T, before] → [B, T, channels].

    Args:
        before: channels of the input.
        channels: of the output.
        bias: add one.
    """

    def __init__(self, before: int, channels: int, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, channels, (1, 3), padding=(0, 1), bias=bias).to(
            memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Convolves frames that are zero on padding; what it leaves on padding is arbitrary."""
        y: Tensor = self.conv(x.transpose(1, 2).unsqueeze(2))
        return y.squeeze(2).transpose(1, 2)


class NormedTimeConv(nn.Module):
    """`TimeConv`, then `FrameNorm`, which is folded into the convolution in evaluation.

    Args:
        before: channels of the input.
        channels: of the output.
    """

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.conv = TimeConv(before, channels)
        self.norm = FrameNorm(channels)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Maps [B, T, before], zero on padding, to [B, T, channels], zero on padding."""
        if self.training:
            return self.norm(self.conv(x), lengths)  # type: ignore[no-any-return]
        norm, conv = self.norm, self.conv.conv
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = conv.weight * scale.view(-1, 1, 1, 1)
        bias = norm.bias - norm.running_mean * scale
        y = F.conv2d(x.transpose(1, 2).unsqueeze(2), weight, bias, padding=conv.padding)
        return zeroed(y.squeeze(2).transpose(1, 2), lengths)


def zeroed(x: Tensor, lengths: Tensor) -> Tensor:
    """Returns frames [B, T, C] with padding set to zero."""
    if bool((lengths >= x.shape[1]).all()):
        return x
    return x.masked_fill(~frame_mask(lengths, x.shape[1]).unsqueeze(2), 0.0)


def max_pooled(x: Tensor, lengths: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Returns the largest of every `factor` frames; frames beyond the last whole window go.

    Args:
        x: [B, T, C].
        lengths: int64 [B].
        factor: frames that become one.

    Returns:
        [B, ⌊T / factor⌋, C], zero on padding, and ⌊lengths / factor⌋.
    """
    if factor == 1:
        return x, lengths
    pooled = F.max_pool2d(x.transpose(1, 2).unsqueeze(2), (1, factor))
    lengths = lengths // factor
    return zeroed(pooled.squeeze(2).transpose(1, 2), lengths), lengths


def initialise(module: nn.Module) -> None:
    """Draws all convolutions and dense layers as He et al. 2015 do for ReLU; biases are zero."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
