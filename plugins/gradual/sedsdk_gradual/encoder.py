"""Encoders `cbrnn`, `gradual` and `asr_finetune`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sedsdk import (
    ConfigError,
    Encoded,
    EncodedSpec,
    Encoder,
    Features,
    FrameGrid,
    Inputs,
    PartConfig,
    StreamSpec,
)
from sedsdk.errors import did_you_mean
from sedsdk.layers import MaskedGru
from sedsdk_gradual.attention import Activation, SpectralAttention, TemporalAttention
from sedsdk_gradual.convolutions import TIME_STRIDE, Convolutions
from sedsdk_gradual.speech import SpeechEmbeddings

ASR_STREAM = "asr"


class CbrnnConfig(PartConfig):
    """Options of `Cbrnn`; the defaults are the paper's."""

    channels: int = Field(64, gt=0, description="of each of the four convolutions")
    activation: Literal["linear", "relu"] = Field(
        "linear", description="behind each convolution's normalisation; linear: none"
    )
    spectral_attention: bool = Field(True, description="weigh the frequency components of main")
    spectral_units: int = Field(32, gt=0, description="Ns")
    spectral_window: int = Field(
        600,
        gt=0,
        description="frames of stream main that the spectral attention's dense layer reads at "
        "once; those of a training clip, such as 600 for 30 s at 50 ms",
    )
    temporal_attention: bool = Field(True, description="weigh the frames behind the convolutions")
    temporal_units: int = Field(200, gt=0, description="Nt")
    attention_activation: Activation = Field(
        "softmax", description="of both attentions; softmax runs over the units"
    )
    rnn_units: int = Field(32, gt=0, description="GRU units per direction")
    rnn_layers: int = Field(2, ge=1, description="bidirectional GRU layers")
    dropout: float = Field(
        0.25, ge=0, lt=1, description="behind each convolution and behind the GRU"
    )


class Cbrnn(Encoder):
    """Convolutional bidirectional recurrent network with spectral and temporal attention.

    Reads stream "main", whose frames of 50 ms it joins in pairs:

        [B, T, F] → spectral attention → four convolutions with residuals [B, C, ⌈T / 2⌉, F]
        → stacked [B, ⌈T / 2⌉, F · C] → temporal attention [B, ⌈T / 2⌉, Nt] → bidirectional GRU
        → dropout [B, ⌈T / 2⌉, 2 · rnn_units]

    The paper's 200 features, 40 bands of 5 neighbouring frames, are one axis of frequency. Without
    temporal attention the GRU reads the stacked map itself. The dense layer and sigmoid behind it
    are the head's, `frame_bce`.

    Attention maps, in evaluation only: "spectral attention" [B, ⌈T / 2⌉, F], one weight per
    component for a whole clip, and "temporal attention" [B, ⌈T / 2⌉, 1], one per frame.

    Source: Sections 2.3.1, 2.3.2 and 3.
    """

    Config = CbrnnConfig
    config: CbrnnConfig
    time_reduction = TIME_STRIDE

    def __init__(self, config: CbrnnConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        source = streams["main"]
        kind = config.attention_activation
        self.spectral: SpectralAttention | None = None
        if config.spectral_attention:
            self.spectral = SpectralAttention(config.spectral_window, config.spectral_units, kind)
        self.convolutions = Convolutions(config.channels, config.activation, config.dropout)
        size = config.channels * source.size
        self.temporal: TemporalAttention | None = None
        if config.temporal_attention:
            self.temporal = TemporalAttention(size, config.temporal_units, kind)
            size = config.temporal_units
        self.recurrent = MaskedGru(size, config.rnn_units, config.rnn_layers)
        self.dropout = nn.Dropout(config.dropout)
        self.grid = source.grid.reduced(self.time_reduction)
        self.spec = EncodedSpec(StreamSpec(self.recurrent.output_size, self.grid))

    def forward(self, inputs: Inputs) -> Encoded:
        """Encodes stream "main": Features [B, T, F] → frames [B, ⌈T / 2⌉, H]."""
        features, maps = inputs.main.zero_padded(), {}
        values = features.values
        if self.spectral is not None:
            values, weights = self.spectral(features)
            maps["spectral attention"] = weights.unsqueeze(1)
        x, lengths = self.convolutions(values, features.lengths)
        x = x.permute(0, 2, 3, 1).flatten(2)  # [B, T', F · C]: as it lies in memory
        if self.temporal is not None:
            x, weights = self.temporal(x, lengths)
            maps["temporal attention"] = weights.unsqueeze(2)
        frames = Features(self.dropout(self.recurrent(x, lengths)), lengths, self.grid)
        return Encoded(frames, attention={} if self.training else _shown(maps, frames))


class GradualConfig(CbrnnConfig):
    """Options of `Gradual`; the defaults are the paper's, which does not mention `asr_norm`."""

    asr_stream: str = Field(ASR_STREAM, description="name of the stream of speech embeddings")
    asr_norm: bool = Field(
        True,
        description="standardise the embeddings with the training set's mean and deviation, so "
        "that any acoustic model's are of the size of the GRU's output",
    )


class Gradual(Cbrnn):
    """CBRNN whose frames also hold the embedding of a speech recogniser: the gradual network.

    The embeddings, of any hop, are aligned to the frames (`aligned`) and put behind the GRU's
    output, so the head's dense layer reads 2 · rnn_units + D values. The encoder neither changes
    the stream nor cuts its gradient: whether the recogniser is frozen is its frontend's to say.

    Source: Section 2.3.4 and Figure 1.

    Raises:
        ConfigError: the pipeline has no such stream.
    """

    Config = GradualConfig
    config: GradualConfig

    def __init__(self, config: GradualConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        size = _stream(streams, config.asr_stream, "gradual", "asr_stream").size
        self.speech = SpeechEmbeddings(size, config.asr_norm)
        self.spec = EncodedSpec(StreamSpec(self.recurrent.output_size + size, self.grid))

    def forward(self, inputs: Inputs) -> Encoded:
        """Encodes streams "main" and `asr_stream`: frames [B, ⌈T / 2⌉, 2 · rnn_units + D]."""
        sound = super().forward(inputs)
        hidden, lengths = sound.frames.values, sound.frames.lengths
        speech = self.speech(inputs[self.config.asr_stream], lengths, hidden.shape[1], self.grid)
        frames = Features(torch.cat([hidden, speech.to(hidden.dtype)], 2), lengths, self.grid)
        return Encoded(frames, attention=sound.attention)


class AsrFinetuneConfig(PartConfig):
    """Options of `AsrFinetune`."""

    stream: str | None = Field(
        None, description='name of the stream of speech embeddings; null: "asr", else "main"'
    )
    frame_seconds: float = Field(
        0.1, gt=0, description="length of a frame, a whole number of hops of stream main"
    )
    asr_norm: bool = Field(
        True, description="standardise the embeddings with the training set's mean and deviation"
    )


class AsrFinetune(Encoder):
    """The fine-tuning network but for its dense layer: embeddings aligned to frames of 100 ms.

    The paper puts a dense layer with softmax on the embeddings x, which for its binary detectors
    has two outputs, event and no event. Their softmax is a sigmoid of the difference:

        e^(w₁ᵀx + b₁) / (e^(w₁ᵀx + b₁) + e^(w₀ᵀx + b₀)) = σ((w₁ − w₀)ᵀx + b₁ − b₀)

    which is a dense layer of one output per class, the head `frame_bce`; its loss, the binary
    cross-entropy, is the categorical one of both outputs. So nothing is left to learn in here.

    Frames lie on the grid of stream "main", joined to `frame_seconds`. That stream may hold the
    embeddings itself, or only lend its frames to those of another.

    Source: Section 3.

    Raises:
        ConfigError: the pipeline has no such stream, or `frame_seconds` is no multiple of the hop
            of stream "main".
    """

    Config = AsrFinetuneConfig
    config: AsrFinetuneConfig

    def __init__(self, config: AsrFinetuneConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        default = ASR_STREAM if ASR_STREAM in streams else "main"
        self.stream = default if config.stream is None else config.stream
        size = _stream(streams, self.stream, "asr_finetune", "stream").size
        main = streams["main"].grid
        self.time_reduction = _whole_ratio(config.frame_seconds, main)
        self.grid = main.reduced(self.time_reduction)
        self.speech = SpeechEmbeddings(size, config.asr_norm)
        self.spec = EncodedSpec(StreamSpec(size, self.grid))

    def forward(self, inputs: Inputs) -> Encoded:
        """Aligns the stream: Features [B, R, D] → frames [B, ⌈T / time_reduction⌉, D]."""
        main = inputs.main
        lengths = -(-main.lengths // self.time_reduction)
        n_frames = -(-main.values.shape[1] // self.time_reduction)
        values = self.speech(inputs[self.stream], lengths, n_frames, self.grid)
        return Encoded(Features(values, lengths, self.grid))


def _shown(maps: Mapping[str, Tensor], frames: Features) -> dict[str, Features]:
    """Returns maps [B, 1 or T', F] as features on the frames' grid, zero on padding."""
    count = frames.values.shape[1]
    return {
        name: Features(values.expand(-1, count, -1), frames.lengths, frames.grid).zero_padded()
        for name, values in maps.items()
    }


def _stream(streams: Mapping[str, StreamSpec], name: str, encoder: str, option: str) -> StreamSpec:
    if name not in streams:
        raise ConfigError(
            f'{encoder} reads speech embeddings from stream "{name}", the pipeline has: '
            f"{', '.join(streams)}.{did_you_mean(name, streams)} Add a frontend of that name, such "
            f"as tdnnf_embedding, or set {option} to another."
        )
    return streams[name]


def _whole_ratio(frame_seconds: float, main: FrameGrid) -> int:
    ratio = frame_seconds / main.hop_seconds
    whole = round(ratio)
    if whole < 1 or not math.isclose(ratio, whole, rel_tol=1e-6):
        raise ConfigError(
            f'asr_finetune gives frames of {frame_seconds:g} s, but stream "main" has one every '
            f"{main.hop_seconds:g} s. Set frame_seconds to a multiple of that, or give the "
            f"frontend hop_seconds = {frame_seconds:g}."
        )
    return whole
