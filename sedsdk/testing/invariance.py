"""Laws on what a result may depend on: not on padding or neighbours, only on the seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sedsdk.testing.batches import EncodedBatch, StreamBatch
from sedsdk.testing.laws import Trial
from sedsdk.testing.subject import Output, Subject
from sedsdk.types import Features, Inputs, Targets

TOLERANCE = 1e-5
TRAINING_TOLERANCE = 1e-4
EXTRA_PADDING = 5
MARKER = 10.0
MARKER_SHARE = 0.3
"""Share of the marker that shows it: above what filling masked frames with a clip's mean gives."""
MARKER_SEEDS = 8


def lengths_law(subject: Subject) -> None:
    """Alone, in the batch, and in the batch with noisy padding: the same result per clip."""
    made = subject.build()
    mixes = subject.kind == "conditioner" and made.when == "training"
    for batch in subject.batches(made):
        noise = torch.Generator().manual_seed(1)
        with torch.no_grad():
            trial = subject.trial("lengths", batch)
            with trial.guarded():
                together = subject.run(made, batch)
                _check_lengths_agree(trial, together)
                for extra in (0,) if mixes else (0, EXTRA_PADDING):
                    noisy = subject.run(made, batch.with_noise_in_padding(extra, noise))
                    what = f"without and with {extra} more frames of padding, full of noise"
                    _same_clips(trial, noisy, together, range(batch.size), TOLERANCE, what)
                for index in range(batch.size) if not mixes else ():
                    alone = subject.run(made, batch.alone(index))
                    _same_clip(
                        trial, alone, 0, together, index, TOLERANCE, "alone and in the batch"
                    )
    if subject.kind in ("encoder", "head"):
        _training_statistics_leave_padding_out(subject)


def _check_lengths_agree(trial: Trial, outputs: Sequence[Output]) -> None:
    for output in outputs:
        if output.lengths is not None:
            fits = int(output.lengths.max()) <= output.values.shape[1]
            trial.require(fits, f"{output.name}: lengths exceed the frames")


def _training_statistics_leave_padding_out(subject: Subject) -> None:
    """In training mode, without dropout, more padding changes neither results nor statistics."""
    for batch in subject.training_batches(subject.build()):
        trial = subject.trial("lengths", batch, "in training mode")
        with trial.guarded(), torch.no_grad():
            runs: list[tuple[list[Output], dict[str, Tensor]]] = []
            noise = torch.Generator().manual_seed(1)
            padded = batch.with_noise_in_padding(EXTRA_PADDING, noise)
            for given, seed in ((batch, 0), (batch, 1), (padded, 0)):
                made = _without_dropout(subject.build().train())
                outputs = _seeded(seed, partial(subject.run, made, given))
                runs.append((outputs, dict(made.named_buffers())))
            if not _equal(runs[0][0], runs[1][0]):
                return
            what = f"without and with {EXTRA_PADDING} more frames of padding"
            clips = range(batch.size)
            _same_clips(trial, runs[2][0], runs[0][0], clips, TRAINING_TOLERANCE, what)
            for name, buffer in runs[0][1].items():
                shown = f"buffer {name}, {what}"
                trial.same(runs[2][1][name], buffer, TRAINING_TOLERANCE, shown)


def _without_dropout(made: nn.Module) -> nn.Module:
    for module in made.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            module.dropout = 0.0
    return made


def determinism_law(subject: Subject) -> None:
    """The same seed twice; no draw in evaluation; conditioners draw from their generator alone."""
    _same_weights(subject)
    made = subject.build()
    random_frontend = subject.kind == "frontend" and not made.deterministic
    for batch in subject.batches(made):
        trial = subject.trial("determinism", batch)
        with trial.guarded(), torch.no_grad():
            kept = [tensor.clone() for tensor in _held(batch)]
            seeds = (0, 0) if random_frontend else (0, 1)
            runs = [_seeded(seed, partial(subject.run, made, batch)) for seed in seeds]
            trial.require(_unchanged(batch, kept), "the input was changed in place")
            what = (
                "twice with one generator seed, the global state differing"
                if subject.kind == "conditioner"
                else "twice in evaluation mode"
            )
            _same_clips(trial, runs[1], runs[0], range(batch.size), 0.0, what)
    if subject.kind in ("encoder", "head"):
        _training_follows_the_seed(subject)


def _training_follows_the_seed(subject: Subject) -> None:
    for batch in subject.training_batches(subject.build()):
        trial = subject.trial("determinism", batch, "in training mode")
        with trial.guarded(), torch.no_grad():
            trained = [
                _seeded(3, partial(subject.run, subject.build().train(), batch)) for _ in range(2)
            ]
            what = "twice with one manual seed"
            _same_clips(trial, trained[1], trained[0], range(batch.size), 0.0, what)


def _same_weights(subject: Subject) -> None:
    trial = subject.trial("determinism", note="built twice with one manual seed")
    with trial.guarded():
        first, second = subject.build(5).state_dict(), subject.build(5).state_dict()
        trial.require(list(first) == list(second), "other weights")
        for name, values in first.items():
            trial.same(second[name], values, 0.0, f"weight {name}")


def targets_move_law(subject: Subject) -> None:
    """Where the features of an event appear, its label is: a marker planted in both shows it."""
    made = subject.build()
    shortest = subject.setting.shortest
    for frames in (8, 12, 20, 50):
        for seed in range(MARKER_SEEDS):
            batch = _marked_batch(
                subject, (frames + shortest, max(4, frames // 2) + shortest), seed
            )
            trial = subject.trial(
                "targets move", batch, f"marker {MARKER:g} on labelled frames, seed {seed}"
            )
            with trial.guarded(), torch.no_grad():
                generator = torch.Generator().manual_seed(seed)
                inputs, moved = made(batch.inputs, batch.targets, generator)
                for name in inputs:
                    _check_marker(subject, trial, inputs[name], moved, name)


def _marked_batch(subject: Subject, lengths: tuple[int, ...], seed: int) -> StreamBatch:
    """Returns streams that hold `MARKER` where class 0 is labelled, else 0; clip 1 has no event."""
    batch = subject.batch(None, lengths, seed)
    assert isinstance(batch, StreamBatch)
    generator = torch.Generator().manual_seed(seed)
    count = lengths[0]
    length = max(1, count // 5)
    onset = int(torch.randint(0, count - length + 1, (1,), generator=generator))
    frames = torch.zeros_like(batch.targets.frames)
    frames[0, onset : onset + length, 0] = 1.0
    grid = batch.targets.grid
    streams = {}
    for name in batch.inputs:
        stream = batch.inputs[name]
        times = stream.grid.times(stream.values.shape[1])
        values = torch.zeros_like(stream.values)
        for index, seconds in enumerate(times):
            frame = round(grid.position(float(seconds)))
            if onset <= frame < onset + length:
                values[0, index] = MARKER
        streams[name] = replace(stream, values=values).zero_padded()
    valid = batch.inputs.main.mask().unsqueeze(-1).expand_as(frames)
    targets = Targets(
        frames.amax(1), torch.ones_like(batch.targets.clip_mask), frames, valid.clone(), grid
    )
    return StreamBatch(Inputs(streams), targets)


def _check_marker(
    subject: Subject, trial: Trial, stream: Features, moved: Targets, name: str
) -> None:
    values = stream.zero_padded().values
    top = max(MARKER, float(values.max()))
    marked = (values > MARKER_SHARE * top).any(-1)
    labelled = moved.frames.amax(-1) > 1e-6
    smear = subject.setting.marker_frames
    smear += (
        round(max(stream.grid.hop_seconds, moved.grid.hop_seconds) / moved.grid.hop_seconds) - 1
    )
    for clip, frame in marked.nonzero().tolist():
        seconds = stream.grid.first_seconds + frame * stream.grid.hop_seconds
        centre = round(moved.grid.position(seconds))
        near = labelled[clip, max(0, centre - smear) : centre + smear + 1]
        where = labelled[clip].nonzero().flatten().tolist()
        trial.require(
            bool(near.any()),
            f"stream {name}: the marker lies on frame {frame} of clip {clip}, "
            f"the label on frames {where}",
        )
        present = float(moved.clip[clip].max()) > 1e-6
        trial.require(present, f"the marker lies in clip {clip}, whose clip label is 0")


def _seeded(seed: int, run: Any) -> Any:
    """Runs with torch's global state seeded, and Python's moved on."""
    random.random()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return run()


def _equal(first: Sequence[Output], second: Sequence[Output]) -> bool:
    return all(
        a.values.shape == b.values.shape and torch.equal(a.values, b.values)
        for a, b in zip(first, second, strict=True)
    )


def _same_clips(
    trial: Trial,
    got: Sequence[Output],
    want: Sequence[Output],
    clips: Iterable[int],
    tolerance: float,
    what: str,
) -> None:
    for index in clips:
        _same_clip(trial, got, index, want, index, tolerance, what)


def _same_clip(
    trial: Trial,
    got: Sequence[Output],
    got_index: int,
    want: Sequence[Output],
    index: int,
    tolerance: float,
    what: str,
) -> None:
    for mine, other in zip(got, want, strict=True):
        shown = f"clip {index} of {other.name}, {what}"
        one, two = mine.clip(got_index), other.clip(index)
        if other.is_map:
            one, two = _common_features(one, two)
        trial.same(one, two, tolerance, shown)


def _common_features(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts two maps [T, F] to the features that both have: padding adds some to [T, T] weights."""
    common = min(one.shape[-1], two.shape[-1])
    return one[..., :common], two[..., :common]


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in _tensors(item)]
    if isinstance(value, tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    if hasattr(value, "__dataclass_fields__"):
        return _tensors({name: getattr(value, name) for name in value.__dataclass_fields__})
    return []


def _held(batch: Any) -> list[Tensor]:
    return _tensors(batch.value if isinstance(batch, EncodedBatch) else batch)


def _unchanged(batch: Any, kept: list[Tensor]) -> bool:
    now = _held(batch)
    return all(torch.equal(a, b) for a, b in zip(now, kept, strict=True))
