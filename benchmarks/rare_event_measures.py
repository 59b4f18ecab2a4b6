"""What is measured of a rare-event model: its size, its inference and its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from interleaved import Setting, Timing, interleaved
from multiply_accumulates import multiply_accumulates
from rare_event_models import CONFIGURATIONS

from sedsdk import Features, Host, Inputs, Pipeline, StreamSpec, Targets
from sedsdk.training.progress import CountedWork

MAX_GRADIENT_NORM = 5.0
LEARNING_RATE = 1e-4
NOISE_LEVEL = 0.1

Say = Callable[[str], None]
"""Takes a line that says how far the work is."""


@dataclass
class Subject:
    """A model, and what was measured of it.

    Attributes:
        name: in `CONFIGURATIONS`.
        pipeline: the model.
        waveform: the clip that it is timed on, float32 [N].
        inputs: its features.
        batch: features that it is trained on, [B, T, F] in each stream.
        figures: name → number or text, ready for JSON.
        times: what was timed ("model", "audio to events", "training"), setting → `Timing`.
    """

    name: str
    pipeline: Pipeline
    waveform: torch.Tensor
    inputs: Inputs
    batch: Inputs
    figures: dict[str, Any] = field(default_factory=dict)
    times: dict[str, dict[str, Timing]] = field(default_factory=dict)

    @property
    def rate(self) -> int:
        """Hertz."""
        return self.pipeline.sample_rates[0]

    @property
    def clip_seconds(self) -> float:
        """Length of the clip."""
        return len(self.waveform) / self.rate

    @property
    def batch_seconds(self) -> float:
        """Audio of a training batch, all clips together."""
        main = self.batch.main
        return main.values.shape[0] * main.values.shape[1] * main.grid.hop_seconds


def make_subject(
    name: str,
    host: Host,
    device: str = "cpu",
    clip_seconds: float = 30.0,
    batch_clips: int | None = None,
) -> Subject:
    """Builds a model and what it is fed with: noise.

    Args:
        name: in `CONFIGURATIONS`.
        host: with the parts that it needs.
        device: "cpu" or "cuda".
        clip_seconds: length of the clip; no longer are those of the training batch.
        batch_clips: clips of a training batch; None: as many as the configuration says.

    Raises:
        UnknownPart: a plugin is not installed.
    """
    configuration = CONFIGURATIONS[name]
    pipeline = configuration.build(host).to(device).eval()
    rate = pipeline.sample_rates[0]
    waveform = NOISE_LEVEL * torch.randn(round(clip_seconds * rate))
    with torch.inference_mode():
        inputs = pipeline.features(pipeline.batch([waveform], rate))
    clips = batch_clips or configuration.batch_clips
    seconds = min(configuration.batch_seconds, clip_seconds)
    streams = {
        stream: _noise_features(spec, clips, round(seconds / spec.grid.hop_seconds), device)
        for stream, spec in pipeline.streams.items()
    }
    return Subject(name, pipeline, waveform, inputs, Inputs(streams))


def _noise_features(spec: StreamSpec, clips: int, frames: int, device: str) -> Features:
    lengths = torch.full((clips,), frames, device=device)
    return Features(torch.randn(clips, frames, spec.size, device=device), lengths, spec.grid)


def measure_size(subject: Subject) -> None:
    """Fills in shapes, parameters and multiply-accumulates of the model without its frontend."""
    pipeline, inputs = subject.pipeline, subject.inputs
    with torch.inference_mode():
        prediction = pipeline(inputs)
    count = multiply_accumulates(pipeline, partial(pipeline, inputs))
    subject.figures |= {
        "input": list(inputs.main.values.shape[1:]),
        "output_frames": list(prediction.frames.shape[1:]),
        "parameters": sum(p.numel() for p in pipeline.parameters()),
        "multiply_accumulates_per_second": count / subject.clip_seconds,
        "training_batch": list(subject.batch.main.values.shape),
    }


def measure_inference(
    subjects: Sequence[Subject], settings: Sequence[Setting], rounds: int, say: Say
) -> None:
    """Times features to probabilities, and audio to events."""
    calls: dict[str, Callable[[], Any]] = {}
    for each in subjects:
        calls[f"{each.name} model"] = partial(_predict, each)
        calls[f"{each.name} audio to events"] = partial(
            each.pipeline.predict, [each.waveform.numpy()], each.rate
        )
    taken = interleaved(calls, settings, rounds, CountedWork("timing clips", say))
    for each in subjects:
        for what in ("model", "audio to events"):
            each.times[what] = {
                s.name: Timing(taken[f"{each.name} {what}", s.name], each.clip_seconds)
                for s in settings
            }


def measure_training(
    subjects: Sequence[Subject], settings: Sequence[Setting], steps: int, say: Say
) -> None:
    """Times training steps, and leaves the models in training mode."""
    calls = {each.name: _training_step(each) for each in subjects}
    taken = interleaved(calls, settings, steps, CountedWork("timing training steps", say))
    for each in subjects:
        each.times["training"] = {
            s.name: Timing(taken[each.name, s.name], each.batch_seconds) for s in settings
        }


def _predict(subject: Subject) -> None:
    with torch.inference_mode():
        subject.pipeline(subject.inputs)


def _training_step(subject: Subject) -> Callable[[], None]:
    pipeline, targets = subject.pipeline.train(), _targets(subject)
    optimiser = torch.optim.Adam(pipeline.parameters(), LEARNING_RATE)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        loss = pipeline.training_losses(subject.batch, targets, generator).mean()
        with torch.autocast(pipeline.device.type, enabled=False):
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(pipeline.parameters(), MAX_GRADIENT_NORM)
            optimiser.step()
            optimiser.zero_grad()

    return step


def _targets(subject: Subject) -> Targets:
    """Puts an event of the first class into the middle third of every second clip."""
    main, classes = subject.batch.main, len(subject.pipeline.labels)
    clips, frames = main.values.shape[:2]
    labels = main.values.new_zeros(clips, frames, classes)
    labels[::2, frames // 3 : frames * 2 // 3 + 1, 0] = 1.0
    clip = labels.amax(1)
    known = torch.ones_like(labels, dtype=torch.bool)
    return Targets(clip, torch.ones_like(clip, dtype=torch.bool), labels, known, main.grid)
