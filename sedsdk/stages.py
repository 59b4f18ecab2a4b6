"""The five contracts: who may touch what flows, and what each must keep.

`Frontend`, `Conditioner`, `Encoder` and `Head` are torch modules; `PostProcessor` (from
`sedsdk.contract`) is plain numpy. The law that all of them keep: a clip's result depends neither on
its padding nor on the clips beside it in the batch. `sedsdk.testing` holds one check per law.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sedsdk.contract import Part, PartConfig, PostProcessor
from sedsdk.errors import ConfigError, did_you_mean
from sedsdk.types import (
    MAIN_STREAM,
    Encoded,
    Features,
    FrameGrid,
    Inputs,
    Prediction,
    Targets,
)

__all__ = [
    "Conditioner",
    "ConditionerConfig",
    "EncodedSpec",
    "Encoder",
    "Frontend",
    "Head",
    "Part",
    "PartConfig",
    "PostProcessor",
    "StreamSpec",
]


@dataclass(frozen=True)
class StreamSpec:
    """What is known of a stream before any audio is seen.

    Attributes:
        size: features per frame (F, or H behind an encoder).
        grid: where its frames lie in time.
    """

    size: int
    grid: FrameGrid


@dataclass(frozen=True)
class EncodedSpec:
    """What is known of an encoder's output before any audio is seen.

    Attributes:
        frames: spec of `Encoded.frames`: hidden size H and grid.
        scales: spec of each of `Encoded.scales`.
    """

    frames: StreamSpec
    scales: tuple[StreamSpec, ...] = ()


class Frontend(nn.Module, Part):
    """Waveform → one stream of features.

    A subclass sets `sample_rate` and `spec` in its constructor and writes `forward`.

    Training takes it in two stages, `forward = finish ∘ store`: what is stored is computed once per
    clip, without gradients, and kept on disk; what finishes it runs inside every training step.

    | frontend | `store` | `finish` |
    |---|---|---|
    | learns nothing | the features | nothing to do |
    | additive | `energies` | `compress` |
    | learns | the samples | `forward` |
    | learns from some point on | what is frozen, if it overrides `store` | the rest |

    Attributes:
        sample_rate: hertz; the caller resamples to it.
        spec: size and grid of the features.
        deterministic: the same audio gives the same, so that what is stored may be kept.
    """

    sample_rate: int
    spec: StreamSpec
    deterministic: bool = True

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Computes features.

        Args:
            waveforms: float [B, N] in [-1, 1]; samples at and after a clip's length are ignored.
            lengths: int64 [B], samples per clip.

        Returns:
            Features [B, T, F] with zero padding and T = the largest frame count.
        """
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where waveforms have to be: the device of its tensors, the CPU if it has none."""
        tensors = [*self.parameters(), *self.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def frame_count(self, n_samples: int) -> int:
        """Returns the number of frames for a clip of `n_samples` samples."""
        raise NotImplementedError

    @property
    def needs_fit(self) -> bool:
        """True while `fit` has to see the training set before features can be computed."""
        return False

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Fits statistics on training audio only; they are buffers, saved with the model.

        Args:
            batches: pairs of waveforms [B, N] and lengths [B].
        """

    @property
    def learns(self) -> bool:
        """True if some of its parameters learn; `store` may not depend on them."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @property
    def stored_spec(self) -> StreamSpec:
        """Size and grid of what `store` gives; a subclass that overrides it overrides this, too."""
        if self.additive:
            return self.energy_spec
        if self.learns:
            return StreamSpec(1, FrameGrid(1 / self.sample_rate, 0.5 / self.sample_rate))
        return self.spec

    def store(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Computes what does not depend on anything that learns; see the class.

        Args:
            waveforms: as for `forward`.
            lengths: as for `forward`.

        Returns:
            Features [B, S, size of `stored_spec`] with zero padding. Each frame stands for its
            time on the grid alone, so that a piece of a clip can be cut out of it.
        """
        if self.additive:
            return self.energies(waveforms, lengths)
        if self.learns:
            return Features(waveforms.unsqueeze(2), lengths, self.stored_spec.grid).zero_padded()
        features: Features = self(waveforms, lengths)
        return features

    def finish(self, stored: Features) -> Features:
        """Computes from what was stored the features that `forward` gives, with gradients."""
        if self.additive:
            return self.compress(stored)
        if self.learns:
            features: Features = self(stored.values.squeeze(2), stored.lengths)
            return features
        return stored

    @property
    def additive(self) -> bool:
        """True if `energies` of a mixture is, in expectation, the sum of the parts' energies.

        Such a frontend splits into `energies` and `compress`, with `forward = compress ∘ energies`,
        and training can mix thousands of clips on cached energies instead of waveforms.
        """
        return False

    @property
    def energy_spec(self) -> StreamSpec:
        """Size and grid of `energies`; only for an additive frontend."""
        raise NotImplementedError(f"{type(self).__name__} is not additive")

    def energies(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Waveforms [B, N] → non-negative, additive band energies [B, T, bands]."""
        raise NotImplementedError(f"{type(self).__name__} is not additive")

    def compress(self, energies: Features) -> Features:
        """Band energies → the features that `forward` gives."""
        raise NotImplementedError(f"{type(self).__name__} is not additive")

    def fit_energies(self, batches: Iterable[Features]) -> None:
        """`fit` for an additive frontend, from energies that are already there."""
        raise NotImplementedError(f"{type(self).__name__} is not additive")


class ConditionerConfig(PartConfig):
    """What every conditioner can be told."""

    mode: Literal["replace", "append"] = Field(
        "replace",
        description="replace: train on the conditioned data (OM); append: on both (AM)",
    )
    streams: tuple[str, ...] = Field(("main",), description="names of the streams it acts on")
    inference: Literal["conditioned", "original", "average"] = Field(
        "conditioned",
        description="what an appending conditioner that always runs feeds at inference; "
        "average: the mean of both predictions",
    )


class Conditioner(nn.Module, Part):
    """(Inputs, Targets) → (Inputs, Targets): changes the data, never learns unless it says so.

    The part only says what the conditioned data are; the pipeline decides when it runs and whether
    its result replaces the original or is appended to the batch.

    Attributes:
        when: "always" (a deterministic transform that inference needs too, such as EDC) or
            "training" (augmentation).
    """

    Config: ClassVar[type[PartConfig]] = ConditionerConfig
    when: Literal["always", "training"] = "training"

    def __init__(self, config: Any, streams: Mapping[str, StreamSpec]) -> None:
        """Args:
        config: an instance of this class's `Config`.
        streams: spec of every stream of the pipeline.
        """
        super().__init__()
        self.config = config
        self.streams = dict(streams)

    def forward(
        self, inputs: Inputs, targets: Targets | None, generator: torch.Generator
    ) -> tuple[Inputs, Targets | None]:
        """Conditions a batch.

        Args:
            inputs: all streams; lengths, grids and batch size stay as they are.
            targets: None at inference. What moves frames must move frame targets with them.
            generator: CPU generator that every random choice is drawn from.
        """
        raise NotImplementedError


class Encoder(nn.Module, Part):
    """Inputs → Encoded.

    A subclass sets `spec` in its constructor. Frame lengths of what it gives are its own to state
    (`Encoded.frames.lengths`); they depend on the clip's own length only.

    Attributes:
        spec: size and grid of the frames it gives, and of every further scale.
        time_reduction: input frames of stream "main" per output frame.
    """

    spec: EncodedSpec
    time_reduction: int = 1

    def __init__(self, config: Any, streams: Mapping[str, StreamSpec]) -> None:
        """Args:
        config: an instance of this class's `Config`.
        streams: spec of every stream of the pipeline.
        """
        super().__init__()
        self.config = config
        self.streams = dict(streams)

    def labelled_stream(self, name: str) -> StreamSpec:
        """Returns the spec of a stream whose frames are those that labels lie on.

        Raises:
            ConfigError: the pipeline has no such stream, or its frames are not those of "main".
        """
        who, streams = type(self).__name__, self.streams
        if name not in streams:
            raise ConfigError(
                f'{who} reads stream "{name}", the pipeline has: {", ".join(streams)}.'
                f"{did_you_mean(name, streams)} Set stream to one of them."
            )
        main = streams.get(MAIN_STREAM, streams[name])
        if streams[name].grid != main.grid:
            raise ConfigError(
                f'{who} reads stream "{name}" with {streams[name].grid}, but labels lie on stream '
                f'"{MAIN_STREAM}" with {main.grid}. Make their hops and centres equal.'
            )
        return streams[name]

    def forward(self, inputs: Inputs) -> Encoded:
        """Encodes a batch; see the class for what is kept."""
        raise NotImplementedError


class Head(nn.Module, Part):
    """Encoded → Prediction, and the loss of a Prediction against Targets."""

    def __init__(self, config: Any, encoded: EncodedSpec, n_classes: int) -> None:
        """Args:
        config: an instance of this class's `Config`.
        encoded: spec of what the encoder gives.
        n_classes: C.
        """
        super().__init__()
        self.config = config
        self.encoded = encoded
        self.n_classes = n_classes

    @property
    def needs_fit(self) -> bool:
        """True while `fit` has to be told about the training set before a loss can be computed."""
        return False

    def fit(self, positive_share: Tensor) -> None:
        """Takes what the loss has to know of the training set; buffers, saved with the model.

        Args:
            positive_share: float [C] in [0, 1], share of the training clips that hold each class,
                among those for which it is known.
        """

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts clip [B, C] and frame [B, T', C] probabilities."""
        raise NotImplementedError

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns one loss per clip.

        The batch's loss is their mean, so how clips are batched or spread over processes changes
        nothing. Unknown labels and padding add nothing; a clip of which nothing is known gives 0.

        Args:
            prediction: of this head.
            targets: already on the prediction's grid and number of frames.

        Returns:
            float [B].
        """
        raise NotImplementedError
