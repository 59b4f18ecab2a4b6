"""Encoder `mtfa`: MTFA and its two ablations, ResAttRNN and ResRNN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sedsdk import EncodedSpec, Encoder, PartConfig, StreamSpec
from sedsdk.layers import MaskedGru, NormedConv2d
from sedsdk.types import Encoded, Features, Inputs, frame_mask
from sedsdk_mtfa.masks import Hourglass, MaskBranch, ResNetMask
from sedsdk_mtfa.residual import ResidualBlock


class MtfaConfig(PartConfig):
    """Options of `Mtfa`; the defaults are the paper's."""

    mask: Literal["hourglass", "resnet", "none"] = Field(
        "hourglass",
        description="mask branch: hourglass (MTFA), resnet (ResAttRNN, one scale), none (ResRNN)",
    )
    channels: int = Field(64, gt=0, description="C, channels of both branches")
    feature_blocks: int = Field(2, gt=0, description="residual blocks of the feature branch")
    mask_blocks: int = Field(2, gt=0, description="residual blocks of a resnet mask branch")
    poolings: int = Field(3, ge=1, le=5, description="2×2 max-poolings of the hourglass")
    stem_stride: int = Field(
        1, ge=1, description="stride of the stem convolution over frequency; 1 keeps every band"
    )
    frequency_bins: int = Field(
        8, ge=1, le=64, description="bins that the bands are averaged to before the GRU"
    )
    rnn_units: int = Field(64, gt=0, description="U, GRU units per direction")
    rnn_layers: int = Field(2, ge=1, description="bidirectional GRU layers")
    dropout: float = Field(
        0.3, ge=0, lt=1, description="on the input of every GRU layer and of the head"
    )


class Mtfa(Encoder):
    """Residual features weighted by a learnt time-frequency mask, then a recurrent network.

    With the stem's output x [B, C, T, D], feature branch F and mask branch M:

        A(x) = (1 + M(x)) ⊗ F(x)                                                      (1)

    A is averaged over frequency to `frequency_bins` and goes through a bidirectional GRU. The
    clip is padded with its last frame to a multiple of 2^poolings for the hourglass, and the
    padding is cut off behind it.

    Attention maps, in evaluation only: "mask 1", "mask 1/2", ... — the mask that each scale and
    the coarser ones suggest, averaged over the channels, [B, ⌈T / 2^k⌉, D / 2^k] in [0, 1], each
    on its own grid; "mask 1" is M itself. A resnet mask has "mask 1" only, none has no map.

    Source: Zhang et al. 2019, Section 2; `mask` selects a row of Table 1.
    """

    Config = MtfaConfig
    config: MtfaConfig

    def __init__(self, config: MtfaConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        source = streams["main"]
        channels = config.channels
        self.multiple = 2**config.poolings if config.mask == "hourglass" else 1
        bands = -(-source.size // config.stem_stride)
        self.bands = _up_to_multiple(bands, math.lcm(self.multiple, config.frequency_bins))
        self.stem = NormedConv2d(1, channels, stride=(1, config.stem_stride))
        self.features = nn.ModuleList(ResidualBlock(channels) for _ in range(config.feature_blocks))
        self.mask: MaskBranch | None = None
        if config.mask == "hourglass":
            self.mask = MaskBranch(Hourglass(channels, config.poolings), channels)
        elif config.mask == "resnet":
            self.mask = MaskBranch(ResNetMask(channels, config.mask_blocks), channels)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = MaskedGru(
            channels * config.frequency_bins,
            config.rnn_units,
            config.rnn_layers,
            dropout=config.dropout,
        )
        self.spec = EncodedSpec(StreamSpec(self.recurrent.output_size, source.grid))

    def forward(self, inputs: Inputs) -> Encoded:
        """Encodes stream "main": Features [B, T, F] → frames [B, T, 2U] on the same grid."""
        features = inputs.main
        frames = features.values.shape[1]
        x, lengths = self._stemmed(features)  # [B, C, T8, D]
        attended, masks = self._attended(x, lengths)
        pooled = F.avg_pool2d(attended, (1, self.bands // self.config.frequency_bins))
        sequence = pooled[:, :, :frames].transpose(1, 2).flatten(2)  # [B, T, C · bins]
        hidden = self.recurrent(self.dropout(sequence), features.lengths)
        return Encoded(
            Features(self.dropout(hidden), features.lengths, features.grid),
            attention=_attention_maps(masks, features),
        )

    def _stemmed(self, features: Features) -> tuple[Tensor, Tensor]:
        values, lengths = continued(features, self.multiple)  # [B, T8, F]
        x = values.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.stem(x, lengths), inplace=True)
        if missing := self.bands - x.shape[3]:
            x = F.pad(x, (0, missing, 0, 0), mode="replicate")
        return x, lengths

    def _attended(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns A [B, C, T8, D] of Equation 1 and the mask of every scale."""
        feature = x
        for block in self.features:
            feature = block(feature, lengths)
        if self.mask is None:
            return feature, []
        mask, scales = self.mask(x, lengths, with_scales=not self.training)
        if torch.is_grad_enabled():
            return torch.addcmul(feature, mask, feature), scales
        return feature.addcmul_(mask, feature), scales  # saves a new map at full resolution


def continued(features: Features, multiple: int) -> tuple[Tensor, Tensor]:
    """Continues every clip with its own last frame up to a multiple of frames.

    Args:
        features: [B, T, F].
        multiple: of the frames.

    Returns:
        Values [B, T', F], zero behind the continued clips, and their lengths, int64 [B].
    """
    values, lengths = features.values, features.lengths
    frames = _up_to_multiple(values.shape[1], multiple)
    longer = -(-lengths // multiple) * multiple
    if multiple > 1:
        last = (lengths - 1).clamp(min=0).unsqueeze(1)
        place = torch.arange(frames, device=values.device).minimum(last)  # [B, T']
        values = values.gather(1, place.unsqueeze(2).expand(-1, -1, values.shape[2]))
    return values.masked_fill(~frame_mask(longer, frames).unsqueeze(2), 0.0), longer


def _attention_maps(masks: list[Tensor], features: Features) -> dict[str, Features]:
    maps = {}
    for scale, mask in enumerate(masks):
        factor = 2**scale
        lengths = -(-features.lengths // factor)
        values = mask[:, : -(-features.values.shape[1] // factor)]
        name = f"mask 1/{factor}" if scale else "mask 1"
        maps[name] = Features(values, lengths, features.grid.reduced(factor)).zero_padded()
    return maps


def _up_to_multiple(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
