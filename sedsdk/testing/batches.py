"""Random ragged batches: laws cut them to one clip, pad them further and cast them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from sedsdk.stages import EncodedSpec, Encoder, Frontend, StreamSpec
from sedsdk.types import MAIN_STREAM, Encoded, Features, FrameGrid, Inputs, Targets, frame_mask

RAGGED_LENGTHS: tuple[tuple[int, ...], ...] = (
    (1,),
    (2,),
    (1, 2),
    (3, 1),
    (5,),
    (7, 3),
    (16, 9, 4),
    (41, 17, 33),
)
"""Frames per clip of the batches that a law is tried on, smallest first."""

PADDING_NOISE = 30.0
"""Standard deviation of what is written into padding; real features are near 1."""


@dataclass(frozen=True)
class WaveformBatch:
    """Waveforms [B, N] in [-1, 1] with lengths [B] in samples."""

    waveforms: Tensor
    lengths: Tensor

    @property
    def case(self) -> str:
        """The batch in words."""
        batch, samples = self.waveforms.shape
        return f"waveforms [B={batch}, N={samples}], lengths {self.lengths.tolist()} samples"

    @property
    def size(self) -> int:
        """Clips."""
        return len(self.lengths)

    def alone(self, index: int) -> WaveformBatch:
        """Returns one clip without padding."""
        n = int(self.lengths[index])
        return WaveformBatch(self.waveforms[index : index + 1, :n], self.lengths[index : index + 1])

    def with_noise_in_padding(self, extra: int, generator: torch.Generator) -> WaveformBatch:
        """Returns the same clips with `extra` more frames' worth of padding, full of noise."""
        values = F.pad(self.waveforms, (0, extra * 100))
        noise = torch.rand(values.shape, generator=generator, dtype=values.dtype) * 2 - 1
        mask = frame_mask(self.lengths, values.shape[1])
        return WaveformBatch(torch.where(mask, values, noise), self.lengths)

    def to(self, device: str | None = None, dtype: torch.dtype | None = None) -> WaveformBatch:
        """Moves and casts."""
        return WaveformBatch(
            self.waveforms.to(device=device, dtype=dtype), self.lengths.to(device=device)
        )


@dataclass(frozen=True)
class StreamBatch:
    """Named streams with targets on the grid of "main"."""

    inputs: Inputs
    targets: Targets

    @property
    def case(self) -> str:
        """The batch in words."""
        return "; ".join(_describe(name, self.inputs[name]) for name in self.inputs)

    @property
    def size(self) -> int:
        """Clips."""
        return self.inputs.batch_size

    def alone(self, index: int) -> StreamBatch:
        """Returns one clip without padding."""
        inputs = Inputs({name: self.inputs[name].clip(index) for name in self.inputs})
        return StreamBatch(inputs, clip_targets(self.targets, index, int(inputs.main.lengths[0])))

    def with_noise_in_padding(self, extra: int, generator: torch.Generator) -> StreamBatch:
        """Returns the same clips with `extra` more frames of padding, full of noise."""
        streams = {name: _noisy(self.inputs[name], extra, generator) for name in self.inputs}
        frames = streams[MAIN_STREAM].values.shape[1]
        return StreamBatch(Inputs(streams), padded_targets(self.targets, frames))

    def to(self, device: str | None = None, dtype: torch.dtype | None = None) -> StreamBatch:
        """Moves and casts."""
        return StreamBatch(self.inputs.to(device, dtype), self.targets.to(device, dtype))


@dataclass(frozen=True)
class EncodedBatch:
    """What a head reads: random frames, or what an encoder made of random streams.

    Attributes:
        encoded: the batch, if it is random.
        streams: what `encoder` reads, if one is given.
        encoder: in evaluation mode.
    """

    encoded: Encoded | None
    streams: StreamBatch | None = None
    encoder: Encoder | None = None

    @cached_property
    def value(self) -> Encoded:
        """The encoded batch."""
        if self.encoded is not None:
            return self.encoded
        assert self.encoder is not None
        assert self.streams is not None
        with torch.no_grad():
            return self.encoder(self.streams.inputs)  # type: ignore[no-any-return]

    @property
    def case(self) -> str:
        """The batch in words."""
        if self.encoded is None:
            assert self.streams is not None
            return f"{self.streams.case}, through {type(self.encoder).__name__}"
        scales = [_describe(f"scale {i}", scale) for i, scale in enumerate(self.encoded.scales)]
        return "; ".join([_describe("frames", self.encoded.frames), *scales])

    @property
    def size(self) -> int:
        """Clips."""
        return self.streams.size if self.streams else len(self.value.frames.lengths)

    def alone(self, index: int) -> EncodedBatch:
        """Returns one clip without padding."""
        if self.encoded is None:
            assert self.streams is not None
            return replace(self, streams=self.streams.alone(index))
        scales = tuple(scale.clip(index) for scale in self.encoded.scales)
        return EncodedBatch(Encoded(self.encoded.frames.clip(index), scales))

    def with_noise_in_padding(self, extra: int, generator: torch.Generator) -> EncodedBatch:
        """Returns the same clips with `extra` more frames of padding, full of noise."""
        if self.encoded is None:
            assert self.streams is not None
            return replace(self, streams=self.streams.with_noise_in_padding(extra, generator))
        scales = tuple(_noisy(scale, extra, generator) for scale in self.encoded.scales)
        return EncodedBatch(Encoded(_noisy(self.encoded.frames, extra, generator), scales))

    def to(self, device: str | None = None, dtype: torch.dtype | None = None) -> EncodedBatch:
        """Moves and casts."""
        value = self.value
        scales = tuple(scale.to(device, dtype) for scale in value.scales)
        maps = {name: map_.to(device, dtype) for name, map_ in value.attention.items()}
        return EncodedBatch(Encoded(value.frames.to(device, dtype), scales, maps))


Batch = WaveformBatch | StreamBatch | EncodedBatch


def ragged_lengths(shortest: int) -> Iterator[tuple[int, ...]]:
    """Yields frames per clip of growing batches, none below `shortest`."""
    for lengths in RAGGED_LENGTHS:
        yield tuple(length + shortest - 1 for length in lengths)


def waveform_batch(lengths: Sequence[int], generator: torch.Generator) -> WaveformBatch:
    """Returns noise at about −20 dB, zero on padding; lengths in samples."""
    values = torch.randn(len(lengths), max(lengths), generator=generator) * 0.1
    counts = torch.tensor(lengths)
    mask = frame_mask(counts, values.shape[1])
    return WaveformBatch(values.clamp(-1, 1) * mask, counts)


def stream_batch(
    streams: Mapping[str, StreamSpec],
    lengths: Sequence[int],
    n_classes: int,
    generator: torch.Generator,
) -> StreamBatch:
    """Returns random streams and targets; lengths in frames of "main".

    Other streams last as long as "main" does. Some labels are unknown.
    """
    hop = streams[MAIN_STREAM].grid.hop_seconds
    made = {}
    for name, spec in streams.items():
        counts = [max(1, round(length * hop / spec.grid.hop_seconds)) for length in lengths]
        made[name] = _features(counts, spec, generator)
    targets = random_targets(
        made[MAIN_STREAM].lengths, max(lengths), n_classes, streams[MAIN_STREAM].grid, generator
    )
    return StreamBatch(Inputs(made), targets)


def encoded_batch(
    spec: EncodedSpec, lengths: Sequence[int], generator: torch.Generator
) -> EncodedBatch:
    """Returns random frames and scales; lengths in frames of `spec.frames`."""
    hop = spec.frames.grid.hop_seconds
    scales = tuple(
        _features(
            [
                max(1, -(-int(length * hop * 1e6) // int(scale.grid.hop_seconds * 1e6)))
                for length in lengths
            ],
            scale,
            generator,
        )
        for scale in spec.scales
    )
    return EncodedBatch(Encoded(_features(lengths, spec.frames, generator), scales))


def random_targets(
    lengths: Tensor, n_frames: int, n_classes: int, grid: FrameGrid, generator: torch.Generator
) -> Targets:
    """Returns random frame and clip labels that agree, a fifth of them unknown.

    Args:
        lengths: int64 [B], valid frames.
        n_frames: T.
        n_classes: C.
        grid: of the frames.
        generator: CPU generator.
    """
    shape = (len(lengths), n_frames, n_classes)
    valid = frame_mask(lengths.cpu(), n_frames).unsqueeze(-1)
    frames = (torch.rand(shape, generator=generator) < 0.4).float() * valid
    known = (torch.rand(shape, generator=generator) < 0.8) & valid
    clip_known = torch.rand(shape[0], n_classes, generator=generator) < 0.8
    return Targets(frames.amax(1), clip_known, frames, known, grid)


def label_shares(n_classes: int) -> Tensor:
    """Returns a share of clips in [0.1, 0.5] for each class, all different: what a head is told."""
    return torch.linspace(0.1, 0.5, n_classes)


def clip_targets(targets: Targets, index: int, n_frames: int) -> Targets:
    """Returns one clip's targets, cut to its frames."""
    one = slice(index, index + 1)
    return replace(
        targets,
        clip=targets.clip[one],
        clip_mask=targets.clip_mask[one],
        frames=targets.frames[one, :n_frames],
        frame_mask=targets.frame_mask[one, :n_frames],
    )


def padded_targets(targets: Targets, n_frames: int) -> Targets:
    """Returns the targets with unknown frames appended up to `n_frames`."""
    missing = n_frames - targets.frames.shape[1]
    return replace(
        targets,
        frames=F.pad(targets.frames, (0, 0, 0, missing)),
        frame_mask=F.pad(targets.frame_mask, (0, 0, 0, missing)),
    )


def sample_lengths(frontend: Frontend, frames: Sequence[int]) -> list[int]:
    """Returns clip lengths in samples that give a frontend at least so many frames each.

    Raises:
        ValueError: a second of audio gives no frame.
    """
    hop = max(1, round(frontend.spec.grid.hop_seconds * frontend.sample_rate))
    shortest = next((n for n in range(1, 10 * frontend.sample_rate) if frontend.frame_count(n)), 0)
    if not shortest:
        raise ValueError("frame_count gives no frame for ten seconds of audio")
    beyond = (0, hop - 1, hop // 2)
    return [shortest + (count - 1) * hop + beyond[i % 3] for i, count in enumerate(frames)]


def _features(lengths: Sequence[int], spec: StreamSpec, generator: torch.Generator) -> Features:
    values = torch.randn(len(lengths), max(lengths), spec.size, generator=generator)
    return Features(values, torch.tensor(list(lengths)), spec.grid).zero_padded()


def _noisy(features: Features, extra: int, generator: torch.Generator) -> Features:
    values = F.pad(features.values, (0, 0, 0, extra))
    noise = torch.randn(values.shape, generator=generator, dtype=values.dtype) * PADDING_NOISE
    mask = frame_mask(features.lengths, values.shape[1]).unsqueeze(-1)
    return replace(features, values=torch.where(mask, values, noise))


def _describe(name: str, features: Features) -> str:
    batch, frames, size = features.values.shape
    lengths = features.lengths.tolist()
    return f"{name} [B={batch}, T={frames}, F={size}], lengths {lengths}"
