"""The residual block that every branch of MTFA is made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sedsdk.layers import NormedConv2d


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut: ReLU(x + BN(conv(ReLU(BN(conv(x)))))).

    Args:
        channels: C, of the input and of the output.

    Source: He et al. 2016, Deep Residual Learning, Figure 2; the paper's reference [15].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = NormedConv2d(channels, channels)
        self.second = NormedConv2d(channels, channels)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Maps [B, C, T, D] to the same shape, zero behind `lengths` (int64 [B], frames)."""
        y = F.relu(self.first(x, lengths), inplace=True)
        y = self.second(y, lengths)
        return F.relu(y.add_(x), inplace=True)
