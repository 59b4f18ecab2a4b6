"""Encoder `crnn`: convolutions that pool frequency only, then recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from sedsdk.contract import PartConfig
from sedsdk.layers import MaskedBatchNorm, MaskedGru, time_mask
from sedsdk.stages import EncodedSpec, Encoder, StreamSpec
from sedsdk.types import Encoded, Features, Inputs, frame_mask


class CrnnConfig(PartConfig):
    """Options of `Crnn`."""

    stream: str = Field("main", description="name of the stream it reads")
    channels: tuple[int, ...] = Field(
        (32, 64, 64, 64), min_length=1, description="channels of each convolution"
    )
    frequency_pooling: tuple[int, ...] = Field(
        (2, 2, 4, 4), description="pooling over frequency behind each convolution"
    )
    kernel_size: tuple[int, int] = Field((3, 3), description="odd sizes over time and frequency")
    pooling: Literal["max", "average"] = Field("max", description="kind of frequency pooling")
    batch_norm: bool = Field(True, description="normalise behind each convolution")
    dropout: float = Field(0.1, ge=0, lt=1, description="behind each convolution and GRU layer")
    self_attention: bool = Field(
        False,
        description="trainable scaled dot-product attention over time behind the convolutions",
    )
    rnn_units: int = Field(64, gt=0, description="GRU units per direction")
    rnn_layers: int = Field(1, ge=0, description="GRU layers; 0 leaves a plain CNN")
    bidirectional: bool = Field(True, description="run the GRU in both directions")

    @model_validator(mode="after")
    def _shapes_agree(self) -> CrnnConfig:
        if len(self.channels) != len(self.frequency_pooling):
            raise ValueError(
                f"frequency_pooling has {len(self.frequency_pooling)} entries, channels "
                f"{len(self.channels)}: give one per convolution"
            )
        if min(self.channels) < 1 or min(self.frequency_pooling) < 1:
            raise ValueError("channels and frequency_pooling must be at least 1")
        if any(size < 1 or size % 2 == 0 for size in self.kernel_size):
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")
        return self


class Crnn(Encoder):
    """Convolutional recurrent network that keeps every frame.

    [B, T, F] → convolution, batch normalisation, ReLU, pooling over frequency (repeated) → [B, T,
    channels · F'] → optional self-attention → bidirectional GRU → [B, T, units]. A band count that
    the pooling does not divide is padded with zeros at the top.

    Source: Cakir et al. 2017 (arXiv:1702.06286); with `self_attention` it is the compared model of
    the EDC paper's Section 3.1.

    Attention maps: with `self_attention`, "self_attention" [B, T, T]: feature j of frame i is the
    weight of frame j in what frame i becomes.

    Raises:
        ConfigError: the pipeline has no such stream, or its frames are not those of "main".
    """

    Config = CrnnConfig
    config: CrnnConfig

    def __init__(self, config: CrnnConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        source = self.labelled_stream(config.stream)
        bands, previous = source.size, 1
        self.blocks = nn.ModuleList()
        for channels, pool in zip(config.channels, config.frequency_pooling, strict=True):
            self.blocks.append(_Block(previous, channels, pool, config))
            previous, bands = channels, -(-bands // pool)
        size = previous * bands
        self.attention = _SelfAttention(size) if config.self_attention else None
        self.recurrent: MaskedGru | None = None
        if config.rnn_layers:
            self.recurrent = MaskedGru(
                size, config.rnn_units, config.rnn_layers, config.bidirectional, config.dropout
            )
            size = self.recurrent.output_size
        self.dropout = nn.Dropout(config.dropout)
        self.spec = EncodedSpec(StreamSpec(size, source.grid))

    def forward(self, inputs: Inputs) -> Encoded:
        """Encodes the stream: Features [B, T, F] → frames [B, T, H] on the same grid."""
        features = inputs[self.config.stream].zero_padded()
        lengths = features.lengths
        x = features.values.unsqueeze(1)  # [B, 1, T, F]
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x, lengths)  # [B, C, T, F']
        x = x.transpose(1, 2).flatten(2)  # [B, T, C·F']
        maps = {}
        if self.attention is not None:
            x, weights = self.attention(x, lengths)
            maps["self_attention"] = Features(weights, lengths, features.grid)
        if self.recurrent is not None:
            x = self.recurrent(x, lengths)
        return Encoded(Features(self.dropout(x), lengths, features.grid), attention=maps)


class _Block(nn.Module):
    """Convolution, normalisation, ReLU, frequency pooling, dropout; zero on padding."""

    def __init__(self, before: int, channels: int, pool: int, config: CrnnConfig) -> None:
        super().__init__()
        time, frequency = config.kernel_size
        self.conv = nn.Conv2d(
            before,
            channels,
            config.kernel_size,
            padding=(time // 2, frequency // 2),
            bias=not config.batch_norm,
            # channels-last weights and input make a CPU a quarter faster
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.norm = MaskedBatchNorm(channels) if config.batch_norm else None
        self.pool = pool
        self.pool_kind = config.pooling
        self.dropout = nn.Dropout2d(config.dropout) if config.dropout else None

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x, lengths)
        x = F.relu(x)
        if self.pool > 1:
            if missing := -x.shape[3] % self.pool:
                x = F.pad(x, (0, missing))
            reduce = F.max_pool2d if self.pool_kind == "max" else F.avg_pool2d
            x = reduce(x, (1, self.pool))
        if self.dropout is not None:
            x = self.dropout(x)
        return x * time_mask(lengths, x)


class _SelfAttention(nn.Module):
    """One head of scaled dot-product attention over a clip's valid frames (Vaswani et al. 2017)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        valid = frame_mask(lengths, x.shape[1])
        scores = self.query(x) @ self.key(x).transpose(1, 2) / x.shape[2] ** 0.5  # [B, T, T]
        scores = scores.masked_fill(~valid.unsqueeze(1), torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1).masked_fill(~valid.unsqueeze(-1), 0.0)
        return weights @ self.value(x), weights
