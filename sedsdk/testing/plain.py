"""The plainest part of each kind that keeps every law: company for the part under test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sedsdk.contract import PartConfig, PostProcessor
from sedsdk.hooks import PartSpec, hookimpl
from sedsdk.layers import masked_binary_cross_entropy, masked_max
from sedsdk.stages import EncodedSpec, Encoder, Frontend, Head, StreamSpec
from sedsdk.types import ClipPrediction, Encoded, Features, FrameGrid, Inputs, Prediction, Targets

SEDSDK_API = (1, 1)


class PlainFrontendConfig(PartConfig):
    """Options of `PlainFrontend`."""

    size: int = Field(16, gt=0, description="features per frame")
    hop_seconds: float = Field(0.02, gt=0, description="length of a block, in seconds")
    sample_rate: int = Field(8000, gt=0, description="hertz")


class PlainFrontend(Frontend):
    """Cosine projections of neighbouring blocks of samples, without overlap."""

    Config = PlainFrontendConfig

    def __init__(self, config: PlainFrontendConfig) -> None:
        super().__init__(config)
        self.sample_rate = config.sample_rate
        self.hop = max(1, round(config.hop_seconds * config.sample_rate))
        hop_seconds = self.hop / config.sample_rate
        self.spec = StreamSpec(config.size, FrameGrid(hop_seconds, hop_seconds / 2))
        samples = torch.arange(self.hop).unsqueeze(1) + 0.5
        basis = torch.cos(math.pi / self.hop * samples * torch.arange(config.size))
        self.register_buffer("basis", basis)

    def frame_count(self, n_samples: int) -> int:
        """Returns the number of blocks, the last one filled with zeros."""
        return -(-n_samples // self.hop)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Projects every block: [B, N] → [B, T, size]."""
        counts = (lengths + self.hop - 1) // self.hop
        mask = torch.arange(waveforms.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        kept = waveforms.masked_fill(~mask, 0.0)
        wanted = int(counts.max()) * self.hop
        kept = F.pad(kept, (0, max(0, wanted - kept.shape[1])))[:, :wanted]
        values = kept.reshape(len(kept), -1, self.hop) @ self.get_buffer("basis")
        return Features(values, counts, self.spec.grid)


class PlainEncoderConfig(PartConfig):
    """Options of `PlainEncoder`."""

    units: int = Field(8, gt=0, description="hidden units per frame")


class PlainEncoder(Encoder):
    """One dense layer on every frame of "main"."""

    Config = PlainEncoderConfig

    def __init__(self, config: PlainEncoderConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        main = streams["main"]
        self.dense = nn.Linear(main.size, config.units)
        self.spec = EncodedSpec(StreamSpec(config.units, main.grid))

    def forward(self, inputs: Inputs) -> Encoded:
        """Encodes: [B, T, F] → [B, T, units]."""
        values = torch.tanh(self.dense(inputs.main.values))
        return Encoded(replace(inputs.main, values=values).zero_padded())


class PlainHead(Head):
    """One dense layer per frame, binary cross-entropy on frames and on the largest frame."""

    def __init__(self, config: PartConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.dense = nn.Linear(encoded.frames.size, n_classes)

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: [B, T, H] → clip [B, C], frames [B, T, C]."""
        frames = encoded.frames
        logits = self.dense(frames.values)
        probabilities = torch.sigmoid(logits).masked_fill(~frames.mask().unsqueeze(-1), 0.0)
        clip_logits = masked_max(logits, frames.lengths)
        extras = {"frame_logits": logits, "clip_logits": clip_logits}
        return Prediction(
            torch.sigmoid(clip_logits), probabilities, frames.lengths, frames.grid, extras
        )

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns the sum of the frame and the clip loss: [B]."""
        on_frames = masked_binary_cross_entropy(
            prediction.extras["frame_logits"], targets.frames, targets.frame_mask
        )
        on_clips = masked_binary_cross_entropy(
            prediction.extras["clip_logits"], targets.clip, targets.clip_mask
        )
        return on_frames + on_clips


class PlainDecision(PostProcessor):
    """Active where the frame probability exceeds 0.5."""

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `active`."""
        return replace(clip, active=clip.frames > 0.5)


@hookimpl
def sedsdk_frontends() -> Iterator[PartSpec]:
    """The plain frontend."""
    yield PartSpec("plain_frontend", f"{__name__}:PlainFrontend", "cosine projections", "kit")


@hookimpl
def sedsdk_encoders() -> Iterator[PartSpec]:
    """The plain encoder."""
    yield PartSpec("plain_encoder", f"{__name__}:PlainEncoder", "one dense layer", "kit")


@hookimpl
def sedsdk_heads() -> Iterator[PartSpec]:
    """The plain head."""
    yield PartSpec("plain_head", f"{__name__}:PlainHead", "one dense layer", "kit")


@hookimpl
def sedsdk_postprocessors() -> Iterator[PartSpec]:
    """The plain decision."""
    yield PartSpec("plain_decision", f"{__name__}:PlainDecision", "above one half", "kit")
