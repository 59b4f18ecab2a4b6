"""What the main nets are stacked from: residual blocks, plain convolutions, upsampling."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sedsdk_mmnet.time_layers import FrameNorm, NormedTimeConv, TimeConv, initialise


class ResidualBlock(nn.Module):
    """Pre-activation residual block: conv(ReLU(BN(conv(ReLU(BN(x)))))) + W x.

    Args:
        before: channels of the input.
        channels: of the output.

    Source: He et al. 2016, Identity Mappings in Deep Residual Networks, Figure 1b; the shortcut
    is a 1 × 1 convolution W in every block, as in the authors' network.
    """

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.norm = FrameNorm(before)
        self.first = NormedTimeConv(before, channels)
        self.second = TimeConv(channels, channels)
        self.shortcut = nn.Linear(before, channels, bias=False)
        initialise(self)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Maps [B, T, before] to [B, T, channels]; padding of the result is arbitrary."""
        y = F.relu(self.norm(x, lengths))
        y = F.relu(self.first(y, lengths))
        return self.second(y) + self.shortcut(x)  # type: ignore[no-any-return]


class PlainStage(nn.Module):
    """Convolution, batch normalisation and ReLU, once or several times.

    Args:
        before: channels of the input.
        channels: of every convolution.
        count: convolutions.
    """

    def __init__(self, before: int, channels: int, count: int) -> None:
        super().__init__()
        sizes = (before, *(channels for _ in range(count - 1)))
        self.convolutions = nn.ModuleList(NormedTimeConv(size, channels) for size in sizes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Maps [B, T, before], zero on padding, to [B, T, channels], zero on padding."""
        for convolution in self.convolutions:
            x = F.relu(convolution(x, lengths))
        return x


class Activation(nn.Module):
    """Batch normalisation and ReLU, which end a pre-activation network."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = FrameNorm(channels)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Maps [B, T, C] to the same shape, zero on padding."""
        return F.relu(self.norm(x, lengths))


class Upsampling(nn.Module):
    """Transposed convolution along time, then batch normalisation and ReLU.

    Its kernel is as long as its stride, so every frame becomes `factor` frames of its own: a
    dense layer whose output is laid out along time.

    Args:
        before: channels of the input.
        channels: of the output.
        factor: stride.
    """

    def __init__(self, before: int, channels: int, factor: int) -> None:
        super().__init__()
        self.channels, self.factor = channels, factor
        self.dense = nn.Linear(before, factor * channels, bias=False)
        self.norm = FrameNorm(channels)
        initialise(self)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Maps [B, T, before] to [B, T · factor, channels], zero on padding, and its lengths."""
        longer = lengths * self.factor
        y = self.dense(x).reshape(x.shape[0], -1, self.channels)
        return F.relu(self.norm(y, longer)), longer
