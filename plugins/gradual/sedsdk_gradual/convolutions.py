"""The convolutional part: four convolutions, three poolings, two residual connections."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedsdk.layers import NormedConv2d, time_mask

KERNELS = (7, 5, 3, 3)
"""Sizes of the four square kernels."""
TIME_STRIDE = 2
"""Stride of the first convolution over time: frames of 50 ms become frames of 100 ms."""
POOLS = ((4, 2), (4, 1), (4, 1))
"""Over time and frequency: behind the first, the third and the last convolution."""


class Convolutions(nn.Module):
    """[B, T, F] → [B, C, ⌈T / 2⌉, F], every band kept.

        x = block₁(S)    p₁ = pool₁(x)    x = block₃(block₂(p₁)) with p₁    p₂ = pool₂(x)
        x = block₄(p₂) with p₂            output = pool₃(x)

    A block is convolution, batch normalisation, activation and dropout; "with" adds a residual to
    the normalised convolution before its activation, as He et al. do. So the first residual
    connection spans two convolutions and the second one. The poolings have stride 1 and keep both
    axes, see `same_max_pool`.

    Section 2.3.1 calls the activation linear, that is, none: the poolings are then the only
    non-linear step, and the second and third convolution are linear together. `relu` is the usual
    alternative. Dropout takes single values, as that of Keras does, not whole maps.

    Args:
        channels: C.
        activation: "linear" or "relu".
        dropout: in [0, 1).

    Source: Sections 2.3.1 and 3; He et al. 2016, the paper's reference [19].
    """

    def __init__(
        self, channels: int, activation: Literal["linear", "relu"], dropout: float
    ) -> None:
        super().__init__()
        first, *others = KERNELS
        self.first = HalvingConv2d(1, channels, (first, first))
        self.second, self.third, self.fourth = (
            NormedConv2d(channels, channels, (size, size)) for size in others
        )
        self.activation = activation
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Maps features to channels at half the frame rate.

        Args:
            x: [B, T, F], zero on padding.
            lengths: int64 [B], frames.

        Returns:
            [B, C, ⌈T / 2⌉, F], zero on padding, and its lengths.
        """
        x = x.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        x = self._block(self.first, x, lengths)
        lengths = halved(lengths)
        pooled = same_max_pool(x, lengths, POOLS[0])
        x = self._block(self.second, pooled, lengths)
        x = self._block(self.third, x, lengths, residual=pooled)
        pooled = same_max_pool(x, lengths, POOLS[1])
        x = self._block(self.fourth, pooled, lengths, residual=pooled)
        return same_max_pool(x, lengths, POOLS[2]), lengths

    def _block(
        self, conv: nn.Module, x: Tensor, lengths: Tensor, residual: Tensor | None = None
    ) -> Tensor:
        x = conv(x, lengths)
        if residual is not None:
            x = x.add_(residual)
        return self.dropout(F.relu(x) if self.activation == "relu" else x)  # type: ignore[no-any-return]


class HalvingConv2d(NormedConv2d):
    """The convolution at every second frame: output frame t is centred on input frame 2t.

    It stands for the frames 2t and 2t + 1, whose middle an odd kernel cannot be centred on.

    Args:
        before: channels of the input.
        channels: of the output, C.
        kernel_size: odd sizes over time and frequency.
    """

    def __init__(self, before: int, channels: int, kernel_size: tuple[int, int]) -> None:
        super().__init__(before, channels, kernel_size)
        self.conv.stride = (TIME_STRIDE, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Maps [B, before, T, F] to [B, C, ⌈T / 2⌉, F].

        Args:
            x: zero behind `lengths`.
            lengths: int64 [B], frames of the input.
        """
        return super().forward(x, halved(lengths))


def halved(lengths: Tensor) -> Tensor:
    """Returns the frames that a stride of 2 over time leaves, int64 [B]: ⌈L / 2⌉."""
    return -(-lengths // TIME_STRIDE)


def same_max_pool(x: Tensor, lengths: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Max-pools with stride 1 and keeps the size, as "same" padding of Keras does.

    A kernel of k reads (k − 1) // 2 places before and k // 2 behind its own, of those that the
    clip and the bands have.

    Args:
        x: [B, C, T, F].
        lengths: int64 [B], frames.
        kernel: over time and frequency.

    Returns:
        The same shape, zero on padding.
    """
    time, frequency = kernel
    padding = time_mask(lengths, x) == 0
    ragged = bool(padding.any())
    if ragged:
        x = x.masked_fill(padding, -math.inf)
    before_and_behind = ((frequency - 1) // 2, frequency // 2, (time - 1) // 2, time // 2)
    # padded here and not by the pooling: cutting its result has a gradient four times as slow
    y = F.max_pool2d(F.pad(x, before_and_behind, value=-math.inf), kernel, 1)
    return y.masked_fill(padding, 0.0) if ragged else y
