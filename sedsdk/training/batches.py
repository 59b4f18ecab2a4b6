"""Where training batches come from: mixtures made on the fly, or chunks of recorded clips.

Both are functions of (seed, epoch, step) alone, so a resumed run goes on with the batches that the
killed one would have seen, and every process of a distributed run takes its share of the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sedsdk.data.energy_mixer import EnergyMixer
from sedsdk.data.manifest import Clip
from sedsdk.data.mixture_plans import MixturePlanner, MixturePlans
from sedsdk.data.waveform_mixer import WaveformMixer
from sedsdk.errors import DataError
from sedsdk.pipeline import Pipeline
from sedsdk.stages import Frontend
from sedsdk.training.streams import Stored, StreamReader, clip_targets
from sedsdk.types import MAIN_STREAM, Features, Inputs, Targets


@dataclass(frozen=True)
class Share:
    """Which part of every global batch this process takes.

    Attributes:
        batch_size: clips in a batch over all processes.
        rank: this process, from 0.
        world: number of processes; it divides the batch size.
    """

    batch_size: int
    rank: int = 0
    world: int = 1

    def positions(self, step: int) -> range:
        """Returns the positions in the epoch of this process's clips of a step."""
        own = self.batch_size // self.world
        first = step * self.batch_size + self.rank * own
        return range(first, first + own)


@dataclass(frozen=True)
class StoredBatch:
    """A batch up to where something may learn.

    Attributes:
        streams: as `Frontend.store` gives them.
        targets_on: features of these clips → what is known of them, on the grid of stream "main".
    """

    streams: Inputs
    targets_on: Callable[[Inputs], Targets]

    def finished(self, pipeline: Pipeline) -> tuple[Inputs, Targets]:
        """Finishes the features, with gradients for frontends that learn."""
        inputs = pipeline.finish(self.streams)
        return inputs, self.targets_on(inputs)


class Batches(Protocol):
    """A map-style data set of whole batches, and how a batch becomes tensors."""

    def __len__(self) -> int:
        """Steps per epoch."""

    def __getitem__(self, step: int) -> Any:
        """Returns what a worker process can prepare of this step's batch."""

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, counted from 1."""

    def stored(self, batch: Any, device: torch.device | str) -> StoredBatch:
        """Puts a batch on the device, for a training step to finish."""

    def tensors(self, batch: Any, device: torch.device | str) -> tuple[Inputs, Targets]:
        """Finishes a batch on the device."""

    def fit_frontends(self) -> None:
        """Fits the frontends that need it, on training data only."""

    def positive_share(self) -> Tensor:
        """Returns the share of training clips that hold each class, where known: float32 [C]."""


class MixtureBatches(Dataset[MixturePlans]):
    """Batches of mixtures that no epoch repeats.

    Args:
        pipeline: whose frontends give the features.
        planner: draws the plans.
        mixers: per stream, for additive frontends; None mixes waveforms.
        waveform_mixer: mixes where a frontend is not additive.
        steps: per epoch.
        share: of this process.
        weak: the targets say which classes a mixture holds, and not when.
    """

    FIT_CLIPS = 256
    COUNTED_CLIPS = 4096

    def __init__(
        self,
        pipeline: Pipeline,
        planner: MixturePlanner,
        mixers: dict[str, EnergyMixer],
        waveform_mixer: WaveformMixer | None,
        steps: int,
        share: Share,
        weak: bool = False,
    ) -> None:
        self._pipeline = pipeline
        self._planner = planner
        self._mixers = mixers
        self._waveforms = waveform_mixer
        self._steps = steps
        self._share = share
        self._weak = weak
        self._epoch = 1

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[MixturePlans]:
        return (self[step] for step in range(len(self)))

    def __getitem__(self, step: int) -> MixturePlans:
        first = self._epoch * self._steps * self._share.batch_size
        return self._planner.draw([first + position for position in self._share.positions(step)])

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, counted from 1."""
        self._epoch = epoch

    def stored(self, batch: MixturePlans, device: torch.device | str) -> StoredBatch:
        """Mixes energies, or waveforms and what the frontends store of them."""
        made = self._rendered(batch, device)
        return replace(made, targets_on=_forgetting_when(made.targets_on)) if self._weak else made

    def tensors(self, batch: MixturePlans, device: torch.device | str) -> tuple[Inputs, Targets]:
        """Mixes, and runs the frontends."""
        return self.stored(batch, device).finished(self._pipeline)

    def _rendered(self, batch: MixturePlans, device: torch.device | str) -> StoredBatch:
        if self._waveforms is not None:
            audio, targets = self._waveforms.render(batch, self._pipeline.sample_rates)
            moved = {
                rate: (wave.to(device), length.to(device)) for rate, (wave, length) in audio.items()
            }
            return StoredBatch(
                self._pipeline.store(moved), lambda inputs: targets(inputs.main).to(device)
            )
        rendered = {name: mixer.render(batch) for name, mixer in self._mixers.items()}
        _, main_targets = rendered[MAIN_STREAM]
        return StoredBatch(
            Inputs({name: energies for name, (energies, _) in rendered.items()}),
            lambda inputs: _on_grid(main_targets, inputs.main),
        )

    def fit_frontends(self) -> None:
        """Fits the frontends on the mixtures that come before those of epoch 1."""
        frontends: dict[str, Frontend] = dict(self._pipeline.frontends.items())  # type: ignore[arg-type]
        plans = [self._planner.draw(range(i, i + 32)) for i in range(0, self.FIT_CLIPS, 32)]
        for name, frontend in frontends.items():
            if not frontend.needs_fit:
                continue
            if self._waveforms is not None:
                mixer = self._waveforms
                rate = frontend.sample_rate
                frontend.fit(
                    _on_device(mixer.render(plan, (rate,))[0][rate], frontend) for plan in plans
                )
            else:
                frontend.fit_energies(self._mixers[name].render(plan)[0] for plan in plans)

    def positive_share(self) -> Tensor:
        """Counts the events of plans; nothing is rendered."""
        classes = np.arange(len(self._pipeline.labels))
        label = self._planner.draw(range(self.COUNTED_CLIPS)).label  # [N, S]
        held = (label[:, :, None] == classes).any(axis=1)  # [N, C]
        return torch.from_numpy(held.mean(axis=0)).float()


@dataclass(frozen=True)
class Chunk:
    """A piece of a clip: seconds from its start."""

    clip: int
    start: float
    end: float


@dataclass(frozen=True)
class ChunkBatch:
    """Stored streams of a batch of chunks, with the clips they come from."""

    stored: list[Stored]
    clips: list[Clip]
    offsets: list[float]


class ClipBatches(Dataset[ChunkBatch]):
    """Batches of recorded clips, whole or cut into chunks that overlap, in a new order each epoch.

    Args:
        pipeline: whose frontends give the features.
        reader: computes and keeps the streams.
        clips: labelled clips.
        durations: of the clips, in seconds.
        chunk_seconds: length of a chunk; None takes whole clips.
        overlap_seconds: of neighbouring chunks.
        seed: of the order.
        share: of this process.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        reader: StreamReader,
        clips: Sequence[Clip],
        durations: Sequence[float],
        chunk_seconds: float | None,
        overlap_seconds: float,
        seed: int,
        share: Share,
    ) -> None:
        self._pipeline = pipeline
        self._reader = reader
        self._clips = list(clips)
        self._chunks = [
            Chunk(index, start, end)
            for index, duration in enumerate(durations)
            for start, end in cut_into_chunks(duration, chunk_seconds, overlap_seconds)
        ]
        self._whole = chunk_seconds is None
        self._seed = seed
        self._share = share
        self._epoch = 1

    def __len__(self) -> int:
        return max(1, len(self._chunks) // self._share.batch_size)

    def __iter__(self) -> Iterator[ChunkBatch]:
        return (self[step] for step in range(len(self)))

    def __getitem__(self, step: int) -> ChunkBatch:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._chunks))
        positions = [order[p % len(order)] for p in self._share.positions(step)]
        chunks = [self._chunks[position] for position in positions]
        stored = [self._stored(chunk) for chunk in chunks]
        return ChunkBatch(
            stored, [self._clips[chunk.clip] for chunk in chunks], [chunk.start for chunk in chunks]
        )

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, counted from 1."""
        self._epoch = epoch

    def stored(self, batch: ChunkBatch, device: torch.device | str) -> StoredBatch:
        """Pads the chunks."""
        labels = self._pipeline.labels
        return StoredBatch(
            self._reader.batch(batch.stored, device),
            lambda inputs: clip_targets(batch.clips, batch.offsets, inputs, labels),
        )

    def tensors(self, batch: ChunkBatch, device: torch.device | str) -> tuple[Inputs, Targets]:
        """Pads the chunks and finishes the features."""
        return self.stored(batch, device).finished(self._pipeline)

    def fit_frontends(self) -> None:
        """Fits the frontends on every training clip, once."""
        from sedsdk.audio import read_audio

        frontends: dict[str, Frontend] = dict(self._pipeline.frontends.items())  # type: ignore[arg-type]
        for name, frontend in frontends.items():
            if not frontend.needs_fit:
                continue
            if frontend.additive:
                frontend.fit_energies(
                    Features(
                        torch.from_numpy(np.array(values)).unsqueeze(0),
                        torch.tensor([len(values)]),
                        frontend.energy_spec.grid,
                    ).to(frontend.device)
                    for values in (self._reader.read(clip, [name])[name] for clip in self._clips)
                )
            else:
                rate = frontend.sample_rate
                waveforms = (
                    torch.from_numpy(read_audio(clip.path, rate, clip.start or 0.0, clip.end)[0])
                    for clip in self._clips
                )
                frontend.fit(
                    _on_device((wave.unsqueeze(0), torch.tensor([len(wave)])), frontend)
                    for wave in waveforms
                )

    @torch.no_grad()
    def positive_share(self) -> Tensor:
        """Counts the clip targets of all chunks; only chunks of strong labels have to be read.

        Raises:
            DataError: it is not known of any clip what it holds.
        """
        held = [
            self._clip_targets(chunk)
            for chunk in self._chunks
            if self._clips[chunk.clip].events is not None
            or self._clips[chunk.clip].tags is not None
        ]
        if not held:
            raise DataError(
                "no training clip has known labels, so the head cannot be told how often a class "
                "occurs. Label the clips."
            )
        return torch.stack(held).mean(dim=0)

    def _clip_targets(self, chunk: Chunk) -> Tensor:
        """Returns what a chunk holds: float32 [C] on the CPU."""
        clip, labels = self._clips[chunk.clip], self._pipeline.labels
        if self._whole or clip.events is None:
            held = set(clip.labels)
            return torch.tensor([float(label in held) for label in labels])
        inputs = self._reader.inputs([self._stored(chunk)], self._pipeline.device)
        return clip_targets([clip], [chunk.start], inputs, labels).clip[0].cpu()

    def _stored(self, chunk: Chunk) -> Stored:
        stored = self._reader.read(self._clips[chunk.clip])
        return stored if self._whole else self._reader.cut(stored, chunk.start, chunk.end)


def cut_into_chunks(
    duration: float, chunk_seconds: float | None, overlap_seconds: float
) -> list[tuple[float, float]]:
    """Returns (start, end) of chunks that cover a clip; the last one ends with the clip.

    Args:
        duration: of the clip, in seconds.
        chunk_seconds: length; None, or longer than the clip, gives one chunk.
        overlap_seconds: of neighbours, below the length.
    """
    if chunk_seconds is None or duration <= chunk_seconds:
        return [(0.0, duration)]
    hop = chunk_seconds - overlap_seconds
    count = int(np.ceil((duration - chunk_seconds) / hop - 1e-9)) + 1
    starts = [min(i * hop, duration - chunk_seconds) for i in range(count)]
    return [(start, start + chunk_seconds) for start in starts]


def _on_device(audio: tuple[Tensor, Tensor], frontend: Frontend) -> tuple[Tensor, Tensor]:
    return audio[0].to(frontend.device), audio[1].to(frontend.device)


def _forgetting_when(targets_on: Callable[[Inputs], Targets]) -> Callable[[Inputs], Targets]:
    def weak(inputs: Inputs) -> Targets:
        targets = targets_on(inputs)
        return replace(targets, frame_mask=torch.zeros_like(targets.frame_mask))

    return weak


def _on_grid(targets: Targets, features: Features) -> Targets:
    """Brings targets from the energies' grid to that of the features made of them."""
    factor = max(1, round(features.grid.hop_seconds / targets.grid.hop_seconds))
    return targets.reduced(factor, features.values.shape[1])
