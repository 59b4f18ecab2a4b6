"""A pipeline as a torch module: frontends, conditioners, encoder, head, and its post-processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sedsdk.config import PartRef, PipelineConfig, read_model
from sedsdk.contract import PostProcessor
from sedsdk.host import Host, default_host
from sedsdk.stages import Conditioner, Encoder, Frontend, Head, StreamSpec
from sedsdk.types import (
    MAIN_STREAM,
    ClipPrediction,
    Features,
    Inputs,
    Prediction,
    Targets,
    clip_predictions,
)

Audio = Mapping[int, tuple[Tensor, Tensor]]
"""A batch of waveforms: sample rate → (waveforms [B, N], lengths [B])."""


class Pipeline(nn.Module):
    """Everything between a waveform and events, built from a config by a host.

    Attributes:
        config: what it was built from.
        host: what resolved the names.
        labels: class names in output order.
        frontends: by stream name.
        conditioners, encoder, head: torch modules.
        postprocessors: numpy parts, applied in order by `postprocess`.

    Args:
        config: the pipeline as data.
        host: plugin host; None for the default one.
        seed: makes the initial weights reproducible; the global random state is left as it was.

    Raises:
        UnknownPart: a part is not installed.
        ConfigError: an option is unknown or wrong, or parts do not fit together.
    """

    def __init__(
        self, config: PipelineConfig, host: Host | None = None, seed: int | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.host = host or default_host()
        self.labels = config.labels
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.default_generator.manual_seed(seed)  # of the CPU alone: parts are built there
            self._build()

    def _build(self) -> None:
        config, host = self.config, self.host
        frontends: dict[str, Frontend] = {}
        for name, ref in config.frontends.items():
            part, options = ref.resolve("frontend", host)
            frontends[name] = part(options)
        streams = {name: frontend.spec for name, frontend in frontends.items()}
        conditioners: list[Conditioner] = []
        for ref in config.conditioners:
            part, options = ref.resolve("conditioner", host)
            conditioners.append(part(options, streams))
        part, options = config.encoder.resolve("encoder", host)
        encoder: Encoder = part(options, streams)
        part, options = config.head.resolve("head", host)
        head: Head = part(options, encoder.spec, len(config.labels))
        self.frontends = nn.ModuleDict(frontends)
        self.conditioners = nn.ModuleList(conditioners)
        self.encoder = encoder
        self.head = head
        self.set_postprocessors(config.postprocessors)

    def set_postprocessors(self, refs: Sequence[PartRef]) -> None:
        """Replaces the post-processors, as threshold fitting does, and their part of the config.

        Raises:
            UnknownPart: a part is not installed; the old ones stay.
            ConfigError: an option is unknown or wrong; the old ones stay.
        """
        postprocessors: list[PostProcessor] = []
        for ref in refs:
            part, options = ref.resolve("postprocessor", self.host)
            postprocessors.append(part(options, self.labels))
        self.postprocessors = postprocessors
        self.config = self.config.model_copy(update={"postprocessors": tuple(refs)})

    # What it expects

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        tensors = [*self.parameters(), *self.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @property
    def sample_rates(self) -> tuple[int, ...]:
        """The sample rates that the frontends ask for, each once, in hertz."""
        return tuple(dict.fromkeys(frontend.sample_rate for frontend in self._frontends().values()))

    @property
    def streams(self) -> dict[str, StreamSpec]:
        """Spec of every stream."""
        return {name: frontend.spec for name, frontend in self._frontends().items()}

    def _frontends(self) -> dict[str, Frontend]:
        return dict(self.frontends.items())  # type: ignore[arg-type]

    def _conditioners(self) -> list[Conditioner]:
        return list(self.conditioners)  # type: ignore[arg-type]

    # Audio to predictions

    def batch(self, waveforms: Sequence[Any], sample_rate: int) -> dict[int, tuple[Tensor, Tensor]]:
        """Pads and resamples waveforms into the batch that `features` reads.

        Args:
            waveforms: float arrays [N] of any lengths, in [-1, 1].
            sample_rate: their rate in hertz.

        Returns:
            For each sample rate asked for: waveforms [B, N] and lengths [B], on this device.
        """
        from sedsdk.audio import resample

        audio: dict[int, tuple[Tensor, Tensor]] = {}
        for rate in self.sample_rates:
            clips = [torch.as_tensor(resample(clip, sample_rate, rate)) for clip in waveforms]
            lengths = torch.tensor([len(clip) for clip in clips])
            padded = nn.utils.rnn.pad_sequence(clips, batch_first=True).float()
            audio[rate] = (padded.to(self.device), lengths.to(self.device))
        return audio

    def features(self, audio: Audio) -> Inputs:
        """Runs every frontend: waveforms by sample rate → named streams."""
        return Inputs(
            {
                name: frontend(*audio[frontend.sample_rate])
                for name, frontend in self._frontends().items()
            }
        )

    @torch.no_grad()
    def store(self, audio: Audio) -> Inputs:
        """Runs of every frontend what does not learn; `finish` makes features of it."""
        return Inputs(
            {
                name: frontend.store(*audio[frontend.sample_rate])
                for name, frontend in self._frontends().items()
            }
        )

    def finish(self, stored: Inputs) -> Inputs:
        """Finishes every stream: what `store` gives → what `features` gives, with gradients."""
        return Inputs({name: part.finish(stored[name]) for name, part in self._frontends().items()})

    def forward(self, inputs: Inputs) -> Prediction:
        """Predicts as at inference: conditioners that always run, encoder, head.

        Args:
            inputs: streams as `features` gives them.
        """
        batch = inputs.batch_size
        inputs, _ = self._condition(inputs, None, torch.Generator(), training=False)
        prediction = self.head(self.encoder(inputs))
        copies = inputs.batch_size // batch
        return prediction if copies == 1 else _average_copies(prediction, copies)

    def predict(self, waveforms: Sequence[Any], sample_rate: int) -> list[ClipPrediction]:
        """Predicts clips and post-processes them; evaluation mode, no gradients.

        Args:
            waveforms: float arrays [N] of any lengths, in [-1, 1]; none gives an empty list.
            sample_rate: their rate in hertz.
        """
        if len(waveforms) == 0:
            return []
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with torch.inference_mode():
                prediction = self(self.features(self.batch(waveforms, sample_rate)))
        finally:
            for module, mode in modes:
                module.training = mode
        return self.postprocess(prediction)

    def postprocess(self, prediction: Prediction) -> list[ClipPrediction]:
        """Splits a batch into clips and runs the post-processors on each."""
        return [self.postprocess_clip(clip) for clip in clip_predictions(prediction, self.labels)]

    def postprocess_clip(self, clip: ClipPrediction) -> ClipPrediction:
        """Runs the post-processors on one clip."""
        for postprocessor in self.postprocessors:
            clip = postprocessor(clip)
        return clip

    # Training

    def training_losses(
        self, inputs: Inputs, targets: Targets, generator: torch.Generator
    ) -> Tensor:
        """Runs augmentation, encoder and head, and gives the head's loss of every clip.

        Args:
            inputs: streams as `features` gives them.
            targets: with frame labels on the grid of stream "main".
            generator: every random choice of a conditioner is drawn from it.

        Returns:
            float [B'], where B' exceeds B if a conditioner appends.
        """
        conditioned, moved = self._condition(inputs, targets, generator, training=True)
        assert moved is not None
        return self.losses(self.head(self.encoder(conditioned)), moved)

    def losses(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns the head's loss of every clip, float [B]; targets on the main stream's grid."""
        n_frames = prediction.frames.shape[1]
        return self.head.loss(prediction, targets.reduced(self.encoder.time_reduction, n_frames))

    def _condition(
        self,
        inputs: Inputs,
        targets: Targets | None,
        generator: torch.Generator,
        training: bool,
    ) -> tuple[Inputs, Targets | None]:
        for conditioner in self._conditioners():
            if conditioner.when == "training" and not training:
                continue
            config = conditioner.config
            append = config.mode == "append"
            if append and not training and config.inference == "original":
                continue
            changed, moved = conditioner(inputs, targets, generator)
            if append and (training or config.inference == "average"):
                inputs, targets = _concatenate(inputs, changed, targets, moved)
            else:
                inputs, targets = changed, moved
        return inputs, targets


def compose(
    labels: Sequence[str],
    frontend: str | PartRef | Mapping[str, str | PartRef],
    encoder: str | PartRef,
    head: str | PartRef,
    conditioners: Sequence[str | PartRef] = (),
    postprocessors: Sequence[str | PartRef] = (),
    host: Host | None = None,
    seed: int | None = None,
) -> Pipeline:
    """Builds a pipeline from parts, named by text or by `sedsdk.part(name, **options)`.

    Args:
        labels: class names; their order is that of all outputs.
        frontend: one, which becomes stream "main", or a mapping from stream name to frontend.
        encoder: any of `sedsdk parts`.
        head: any of `sedsdk parts`.
        conditioners: applied in this order.
        postprocessors: applied in this order.
        host: plugin host; None for the default one.
        seed: makes the initial weights reproducible.

    Raises:
        UnknownPart: a part is not installed.
        ConfigError: an option is unknown or wrong, or parts do not fit together.
    """
    values = {
        "labels": _listed(labels),
        "frontends": dict(frontend) if isinstance(frontend, Mapping) else {MAIN_STREAM: frontend},
        "conditioners": _listed(conditioners),
        "encoder": encoder,
        "head": head,
        "postprocessors": _listed(postprocessors),
    }
    return Pipeline(read_model(PipelineConfig, values, "pipeline"), host, seed)


def _listed(values: Sequence[Any]) -> Any:
    """Returns a tuple, but a text as it is: it is no list of its letters, and gets refused."""
    return values if isinstance(values, str) else tuple(values)


def _concatenate(
    first: Inputs, second: Inputs, targets: Targets | None, moved: Targets | None
) -> tuple[Inputs, Targets | None]:
    """Joins two batches of the same clips along the batch axis."""
    streams = {}
    for name in first:
        a, b = first[name], second[name]
        frames = max(a.values.shape[1], b.values.shape[1])
        values = torch.cat([_padded(a.values, frames), _padded(b.values, frames)])
        streams[name] = Features(values, torch.cat([a.lengths, b.lengths]), a.grid)
    if targets is None or moved is None:
        return Inputs(streams), None
    frames = max(targets.frames.shape[1], moved.frames.shape[1])
    joined = replace(
        targets,
        clip=torch.cat([targets.clip, moved.clip]),
        clip_mask=torch.cat([targets.clip_mask, moved.clip_mask]),
        frames=torch.cat([_padded(targets.frames, frames), _padded(moved.frames, frames)]),
        frame_mask=torch.cat(
            [_padded(targets.frame_mask, frames), _padded(moved.frame_mask, frames)]
        ),
    )
    return Inputs(streams), joined


def _padded(values: Tensor, frames: int) -> Tensor:
    return nn.functional.pad(values, (0, 0, 0, frames - values.shape[1]))


def _average_copies(prediction: Prediction, copies: int) -> Prediction:
    """Averages the predictions of several conditioned copies of the same clips."""

    def average(values: Tensor) -> Tensor:
        return values.reshape(copies, -1, *values.shape[1:]).float().mean(0).to(values.dtype)

    return Prediction(
        average(prediction.clip),
        average(prediction.frames),
        prediction.lengths[: len(prediction.lengths) // copies],
        prediction.grid,
        {name: average(value) for name, value in prediction.extras.items()},
    )
