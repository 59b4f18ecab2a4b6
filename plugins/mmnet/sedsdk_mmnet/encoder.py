"""Encoders `mmnet_convnet` and `mmnet_resnet`: the main nets of M&mnet and of its baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import Field, model_validator
from torch import Tensor, nn

from sedsdk import AudioError, EncodedSpec, Encoder, PartConfig, StreamSpec
from sedsdk.types import Encoded, Features, Inputs
from sedsdk_mmnet.stages import Activation, PlainStage, ResidualBlock, Upsampling
from sedsdk_mmnet.time_layers import FrameNorm, TimeConv, max_pooled

FIRST_STAGE_CONVOLUTIONS = 2
"""Of the plain net: with one in the stem and in each later stage it has five."""


class MmnetConfig(PartConfig):
    """Options of both encoders; the defaults are the paper's sizes."""

    stream: str = Field("main", description="name of the stream it reads")
    channels: tuple[int, ...] = Field(
        (128, 256, 384, 384),
        min_length=2,
        description="channels of the first convolution, then of each of the L stages",
    )
    pooling: tuple[int, ...] = Field(
        (4, 4),
        description="max-pooling over time behind every stage but the last; their product is the "
        "number of frames of a segment, and of the shortest clip",
    )
    pyramid: bool = Field(
        False,
        description="give 2L − 2 further feature maps: of the earlier stages, and upsampled",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="on every feature map given; the paper has none"
    )

    @model_validator(mode="after")
    def _shapes_agree(self) -> MmnetConfig:
        stages = len(self.channels) - 1
        if len(self.pooling) != stages - 1:
            raise ValueError(
                f"pooling has {len(self.pooling)} entries, channels {len(self.channels)}: "
                f"give {stages - 1}, one between neighbouring stages"
            )
        if min(self.channels) < 1 or min(self.pooling, default=1) < 1:
            raise ValueError("channels and pooling must be at least 1")
        if self.pyramid and stages < 2:
            raise ValueError("a pyramid needs two stages: give channels at least 3 entries")
        return self


class _Mmnet(Encoder):
    """What both nets share: stages with max-pooling between them, and the pyramid.

    Raises:
        ConfigError: the pipeline has no such stream, or its frames are not those of "main".
    """

    Config = MmnetConfig
    config: MmnetConfig
    name: str
    stem: nn.Module

    def __init__(self, config: MmnetConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        source = self.labelled_stream(config.stream)
        stem, *channels = config.channels
        self.time_reduction = math.prod(config.pooling)
        self.norm = FrameNorm(source.size)
        self.stem = self._stem(source.size, stem)
        self.stages = nn.ModuleList(
            self._stage(before, after, first=index == 0)
            for index, (before, after) in enumerate(zip(config.channels, channels, strict=False))
        )
        given = channels if config.pyramid else channels[-1:]
        self.activations = nn.ModuleList(self._activation(size) for size in given)
        self.upsamplings = nn.ModuleList()
        sizes = [max(1, size // 2) for size in reversed(channels[:-1])] if config.pyramid else []
        for before, after, factor in zip(
            (channels[-1], *sizes), sizes, reversed(config.pooling), strict=False
        ):
            self.upsamplings.append(Upsampling(before, after, factor))
        self.dropout = nn.Dropout(config.dropout)
        self.spec = self._spec(source, given, sizes)

    def _spec(self, source: StreamSpec, given: list[int], upsampled: list[int]) -> EncodedSpec:
        pooling = self.config.pooling
        factors = [math.prod(pooling[:stage]) for stage in range(len(pooling) + 1)]
        frames = StreamSpec(given[-1], source.grid.reduced(factors[-1]))
        earlier = zip(given[:-1], factors, strict=False)
        later = zip(upsampled, reversed(factors[:-1]), strict=False)
        scales = (StreamSpec(size, source.grid.reduced(f)) for size, f in (*earlier, *later))
        return EncodedSpec(frames, tuple(scales))

    def _stem(self, before: int, channels: int) -> nn.Module:
        raise NotImplementedError

    def _stage(self, before: int, channels: int, first: bool) -> nn.Module:
        raise NotImplementedError

    def _activation(self, channels: int) -> nn.Module:
        raise NotImplementedError

    def _stemmed(self, x: Tensor, lengths: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, inputs: Inputs) -> Encoded:
        """Encodes the stream: Features [B, T, F] → segments [B, ⌊T / time_reduction⌋, K].

        Raises:
            AudioError: a clip is shorter than one segment.
        """
        features = inputs[self.config.stream].zero_padded()
        self._require_a_segment(features)
        maps = self._maps(features)
        if self.config.pyramid:
            x, lengths = maps[-1]
            for upsampling in self.upsamplings:
                x, lengths = upsampling(x, lengths)
                maps.append((x, lengths))
        last = len(self.activations) - 1
        frames = maps.pop(last)
        specs = (self.spec.frames, *self.spec.scales)
        found = [
            Features(self.dropout(x), lengths, spec.grid)
            for (x, lengths), spec in zip((frames, *maps), specs, strict=True)
        ]
        return Encoded(found[0], tuple(found[1:]))

    def _maps(self, features: Features) -> list[tuple[Tensor, Tensor]]:
        """Returns X, or X^(1) … X^(L) with a pyramid, each with its lengths."""
        lengths = features.lengths
        x = self._stemmed(self.norm(features.values, lengths), lengths)
        maps = []
        skipped = len(self.stages) - len(self.activations)
        for index, (stage, factor) in enumerate(
            zip(self.stages, (*self.config.pooling, 1), strict=True)
        ):
            x = stage(x, lengths)
            if index >= skipped:
                maps.append((self.activations[index - skipped](x, lengths), lengths))
            x, lengths = max_pooled(x, lengths, factor)
        return maps

    def _require_a_segment(self, features: Features) -> None:
        wanted, lengths = self.time_reduction, features.lengths
        short = (lengths < wanted).nonzero().flatten().tolist()
        if short:
            hop = features.grid.hop_seconds
            have = int(lengths[short[0]])
            raise AudioError(
                f"clip {short[0]} of the batch has {have} frames ({have * hop:.3f} s), and encoder "
                f"{self.name} joins {wanted} frames ({wanted * hop:.3f} s) into a segment. Pad it "
                f"with zeros to at least that, leave it out, or lower the encoder's pooling."
            )


class MmnetConvnet(_Mmnet):
    """Plain 1-D convolutions along time, mel bands as channels: the paper's ConvNet.

    Batch normalisation of the input, then convolutions of kernel 3, each with batch normalisation
    and ReLU, of 128 | 256, 256 | 384 | 384 channels; max-pooling by 4 frames behind the second and
    the third group. With three dense layers that is the depth of 8 of Table 1. Pyramid and refusals
    as of `MmnetResnet`; its feature maps end in ReLU already.

    Source: Chou et al. 2018, Sections 2.2 and 2.7; sizes chosen for the 1.54 M of Table 1.
    """

    name = "mmnet_convnet"

    def _stem(self, before: int, channels: int) -> nn.Module:
        return PlainStage(before, channels, 1)

    def _stage(self, before: int, channels: int, first: bool) -> nn.Module:
        return PlainStage(before, channels, FIRST_STAGE_CONVOLUTIONS if first else 1)

    def _activation(self, channels: int) -> nn.Module:
        return _AsItIs()

    def _stemmed(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.stem(x, lengths)  # type: ignore[no-any-return]


class MmnetResnet(_Mmnet):
    """1-D residual network along time, mel bands as channels: the paper's ResNet.

    Batch normalisation of the input, a convolution of kernel 3, then L = 3 pre-activation residual
    blocks with max-pooling by 4 frames between them, and batch normalisation and ReLU at the end:

        [B, T, F] → 128 → 256 ▸ ÷4 → 384 ▸ ÷4 → 384 = X [B, T / 16, 384].

    Frames beyond the last whole segment are dropped. With `pyramid`, `Encoded.scales` holds the
    outputs of the earlier blocks before pooling, each with batch normalisation and ReLU of its
    own ([B, T, 256], [B, T / 4, 384]), then X upsampled by transposed convolutions of half their
    channels ([B, T / 4, 192], [B, T, 128]): with X 2L − 1 maps in all. An upsampled map covers
    whole segments, so it may be shorter than the one of its rate.

    Source: Chou et al. 2018, Sections 2.2, 2.5 and 2.7; sizes as the authors published them.
    """

    name = "mmnet_resnet"

    def _stem(self, before: int, channels: int) -> nn.Module:
        return TimeConv(before, channels)

    def _stage(self, before: int, channels: int, first: bool) -> nn.Module:
        return ResidualBlock(before, channels)

    def _activation(self, channels: int) -> nn.Module:
        return Activation(channels)

    def _stemmed(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.stem(x)  # type: ignore[no-any-return]


class _AsItIs(nn.Module):
    """Gives a feature map as it is."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return x
