"""The mask branch: the hourglass of the paper, and the ResNet that its ablation puts there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedsdk_mtfa.residual import ResidualBlock


class Hourglass(nn.Module):
    """Looks at the input at every scale and merges what it sees back at full resolution.

    Down: a residual block on every scale, 2×2 max-pooling between scales. Up: nearest-neighbour
    upsampling, added to what the skip connection of that scale (a residual block of its own)
    kept.

    Args:
        channels: C.
        poolings: number of poolings; the input has `poolings + 1` scales.

    Source: Section 2.2; Newell et al. 2016, the paper's reference [16].
    """

    def __init__(self, channels: int, poolings: int = 3) -> None:
        super().__init__()
        self.down = nn.ModuleList(ResidualBlock(channels) for _ in range(poolings + 1))
        self.skip = nn.ModuleList(ResidualBlock(channels) for _ in range(poolings))

    def forward(self, x: Tensor, lengths: Tensor) -> list[Tensor]:
        """Merges scales.

        Args:
            x: [B, C, T, D]; T and D are multiples of 2^poolings, and zero behind `lengths`.
            lengths: int64 [B], frames, multiples of 2^poolings.

        Returns:
            The merged maps from full to lowest resolution: [B, C, T / 2^k, D / 2^k] for scale k.
        """
        kept = []
        for down, skip in zip(self.down[:-1], self.skip, strict=True):
            x = down(x, lengths)
            kept.append(skip(x, lengths))
            x = F.max_pool2d(x, 2)
            lengths = lengths // 2
        x = self.down[-1](x, lengths)
        merged = [x]
        for fine in reversed(kept):
            x = upsampled_sum(x, fine)
            merged.append(x)
        return merged[::-1]


def upsampled_sum(coarse: Tensor, fine: Tensor) -> Tensor:
    """Upsamples by 2 on both axes (nearest neighbour) and adds.

    Without gradients the sum replaces `fine`: a new map at full resolution costs more time than
    the addition.

    Args:
        coarse: [B, C, T / 2, D / 2].
        fine: [B, C, T, D].

    Returns:
        [B, C, T, D].
    """
    if torch.is_grad_enabled():
        return F.interpolate(coarse, scale_factor=2, mode="nearest").add_(fine)
    batch, channels, frames, bands = coarse.shape
    squares = fine.view(batch, channels, frames, 2, bands, 2)
    squares.add_(coarse[:, :, :, None, :, None])
    return fine


class ResNetMask(nn.Module):
    """Residual blocks at one scale: the mask branch of the ablation ResAttRNN.

    Args:
        channels: C.
        blocks: how many.

    Source: Section 3.4 and Figure 3.
    """

    def __init__(self, channels: int, blocks: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))

    def forward(self, x: Tensor, lengths: Tensor) -> list[Tensor]:
        """Maps [B, C, T, D] to a list of one map of the same shape."""
        for block in self.blocks:
            x = block(x, lengths)
        return [x]


class MaskBranch(nn.Module):
    """Mask M = σ(W · merged) at full resolution, and the masks that its scales suggest.

    W is a 1×1 convolution. It commutes with nearest-neighbour upsampling, so σ(W · merged_k) is
    the part of the mask that comes from scale k and the coarser ones: what Figure 4 draws.

    Args:
        body: gives the merged maps, full resolution first.
        channels: C.
    """

    def __init__(self, body: Hourglass | ResNetMask, channels: int) -> None:
        super().__init__()
        self.body = body
        self.output = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, lengths: Tensor, with_scales: bool) -> tuple[Tensor, list[Tensor]]:
        """Computes the mask.

        Args:
            x: [B, C, T, D].
            lengths: int64 [B], frames.
            with_scales: also give the mask that each scale suggests.

        Returns:
            M [B, C, T, D] in [0, 1], and per scale its mean over the channels,
            [B, T / 2^k, D / 2^k], or an empty list.
        """
        merged = self.body(x, lengths)
        mask = self.output(merged[0]).sigmoid_()
        if not with_scales:
            return mask, []
        coarse = [self.output(scale).sigmoid_().mean(1) for scale in merged[1:]]
        return mask, [mask.mean(1), *coarse]
