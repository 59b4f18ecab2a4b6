"""Laws on what a part states and gives: config, shapes, grids, dtypes and devices."""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from sedsdk.testing.batches import EncodedBatch, StreamBatch, WaveformBatch
from sedsdk.testing.laws import Trial
from sedsdk.testing.subject import Subject
from sedsdk.types import Features, FrameGrid, Inputs

GRID_TOLERANCE = 1e-6
DOUBLE_TOLERANCE = 1e-3
"""How far float32 may lie from float64: log and division amplify rounding."""
SPLIT_TOLERANCE = 1e-4
ADDITIVE_TOLERANCE = 0.1
"""How far the mean energy of two mixed noises may lie from the sum, as a share of it."""


def config_law(subject: Subject) -> None:
    """Config → JSON → Config; every field described; unknown keys refused; immutable."""
    trial = subject.trial("config", note=f"options {subject.options}")
    with trial.guarded():
        model = subject.part_class.Config
        config = subject.config
        text = json.dumps(config.model_dump(mode="json"))
        trial.require(
            model.model_validate_json(text) == config,
            f"{text} reads back as {model.model_validate_json(text)!r}, it was {config!r}",
        )
        schema = model.model_json_schema()
        bare = [
            name
            for name, field in schema.get("properties", {}).items()
            if not (field.get("description") or model.model_fields[name].description)
        ]
        trial.require(not bare, f"no description of field {', '.join(bare)}")
        try:
            model.model_validate({**subject.options, "no_such_field": 1})
        except ValidationError:
            pass
        else:
            trial.require(False, 'the unknown key "no_such_field" is accepted')
        trial.require(bool(model.model_config.get("frozen")), "a built config can be changed")


def shapes_law(subject: Subject) -> None:
    """Shapes, lengths, grids and ranges on every batch, smallest first."""
    made = subject.build()
    for batch in subject.batches(made):
        trial = subject.trial("shapes and grids", batch)
        with trial.guarded(), torch.no_grad():
            _SHAPES[subject.kind](trial, made, batch)
    if subject.kind == "frontend":
        _clicks_are_where_the_grid_says(subject, made)
        if made.additive:
            _additive_frontend_splits(subject, made)


def _frontend_shapes(trial: Trial, made: Any, batch: WaveformBatch) -> None:
    features = made(batch.waveforms, batch.lengths)
    counts = [made.frame_count(int(n)) for n in batch.lengths]
    trial.require(
        features.lengths.tolist() == counts,
        f"lengths {features.lengths.tolist()}, frame_count says {counts}",
    )
    trial.require(
        features.values.shape[1] == max(counts),
        f"{features.values.shape[1]} frames for lengths {counts}",
    )
    check_features(trial, features, batch.size, made.spec.size, made.spec.grid, "features")
    _check_padding_is_zero(trial, features.values, features.mask(), "features")


def _conditioner_shapes(trial: Trial, made: Any, batch: StreamBatch) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, moved = made(batch.inputs, batch.targets, generator)
    _check_streams_kept(trial, inputs, batch.inputs)
    trial.require(moved is not None, "targets were given and none come back")
    before = batch.targets
    for name in ("clip", "clip_mask", "frames", "frame_mask"):
        old, new = getattr(before, name), getattr(moved, name)
        trial.require(
            old.shape == new.shape and old.dtype == new.dtype,
            f"targets.{name} was {old.dtype} {tuple(old.shape)}, is {new.dtype} {tuple(new.shape)}",
        )
    trial.require(moved.grid == before.grid, f"targets' grid {before.grid} became {moved.grid}")
    known_padding = moved.frame_mask & ~batch.inputs.main.mask().unsqueeze(-1)
    trial.require(not bool(known_padding.any()), "frame targets are known on padding")
    inside = bool(((moved.frames >= 0) & (moved.frames <= 1)).all())
    trial.require(inside, "frame targets outside [0, 1]")
    if made.when == "always":
        inputs, none = made(batch.inputs, None, generator)
        trial.require(none is None, "targets come back where none were given")
        _check_streams_kept(trial, inputs, batch.inputs)


def _encoder_shapes(trial: Trial, made: Any, batch: StreamBatch) -> None:
    encoded = made(batch.inputs)
    spec = made.spec.frames
    check_features(trial, encoded.frames, batch.size, spec.size, spec.grid, "frames")
    trial.require(
        len(encoded.scales) == len(made.spec.scales),
        f"{len(encoded.scales)} scales, the spec says {len(made.spec.scales)}",
    )
    for index, (scale, stated) in enumerate(zip(encoded.scales, made.spec.scales, strict=True)):
        check_features(trial, scale, batch.size, stated.size, stated.grid, f"scale {index}")
    main = batch.inputs.main
    hop = main.grid.hop_seconds * made.time_reduction
    stated = encoded.frames.grid.hop_seconds
    trial.require(
        math.isclose(stated, hop, rel_tol=GRID_TOLERANCE),
        f"hop {stated} s, time_reduction {made.time_reduction} gives {hop} s",
    )
    for given, got in zip(main.lengths.tolist(), encoded.frames.lengths.tolist(), strict=True):
        trial.require(
            abs(got - given / made.time_reduction) <= 1,
            f"{given} frames became {got} at time_reduction {made.time_reduction}",
        )
    for name, found in encoded.attention.items():
        _check_attention(trial, found, main, batch.size, f'attention map "{name}"')


def _head_shapes(trial: Trial, made: Any, batch: EncodedBatch) -> None:
    prediction = made(batch.value)
    classes = made.n_classes
    trial.require(
        tuple(prediction.clip.shape) == (batch.size, classes),
        f"clip has shape {tuple(prediction.clip.shape)}, expected {(batch.size, classes)}",
    )
    frames = Features(prediction.frames, prediction.lengths, prediction.grid)
    check_features(trial, frames, batch.size, classes, prediction.grid, "frames")
    for name, values in (("clip", prediction.clip), ("frames", prediction.frames)):
        trial.finite(values, name)
        inside = bool(((values >= 0) & (values <= 1)).all())
        trial.require(inside, f"{name} probabilities outside [0, 1]")
    _check_padding_is_zero(trial, prediction.frames, frames.mask(), "frame probabilities")
    for name, values in prediction.extras.items():
        trial.require(values.shape[:1] == (batch.size,), f"extra {name} has no batch axis first")


_SHAPES: dict[str, Any] = {
    "frontend": _frontend_shapes,
    "conditioner": _conditioner_shapes,
    "encoder": _encoder_shapes,
    "head": _head_shapes,
}


def check_features(
    trial: Trial, features: Features, batch: int, size: int, grid: FrameGrid, what: str
) -> None:
    """Raises `LawBroken` unless features have the shape and the grid that are stated."""
    shape = tuple(features.values.shape)
    trial.require(
        len(shape) == 3 and shape[0] == batch and shape[2] == size,
        f"{what} have shape {shape}, expected [{batch}, T, {size}]",
    )
    trial.require(features.lengths.dtype == torch.int64, f"{what}: lengths are no int64")
    trial.require(
        tuple(features.lengths.shape) == (batch,)
        and bool((features.lengths >= 0).all())
        and bool((features.lengths <= shape[1]).all()),
        f"{what}: lengths {features.lengths.tolist()} for {batch} clips of {shape[1]} frames",
    )
    same = math.isclose(features.grid.hop_seconds, grid.hop_seconds, rel_tol=GRID_TOLERANCE)
    same &= abs(features.grid.first_seconds - grid.first_seconds) <= GRID_TOLERANCE
    trial.require(same, f"{what} lie on {features.grid}, the spec says {grid}")
    valid = features.values[features.mask()]
    trial.require(valid.is_floating_point(), f"{what} are {valid.dtype}")
    trial.finite(valid, f"valid {what}")


def _check_attention(trial: Trial, found: Any, main: Features, batch: int, what: str) -> None:
    """A map has lengths and a grid of its own, which cover the clips that went in."""
    trial.require(
        isinstance(found, Features),
        f"{what} is a {type(found).__name__}; give Features: values [B, T, F], lengths and grid",
    )
    shape = tuple(found.values.shape)
    trial.require(len(shape) == 3, f"{what} has shape {shape}, expected [{batch}, T, F]")
    check_features(trial, found, batch, shape[2], found.grid, what)
    hop = main.grid.hop_seconds
    for given, got in zip(main.lengths.tolist(), found.lengths.tolist(), strict=True):
        trial.require(
            abs(got * found.grid.hop_seconds - given * hop)
            <= max(hop, found.grid.hop_seconds) + GRID_TOLERANCE,
            f"{what} covers {got * found.grid.hop_seconds:.4g} s of a clip of {given * hop:.4g} s",
        )


def _check_padding_is_zero(trial: Trial, values: Tensor, mask: Tensor, what: str) -> None:
    outside = values[~mask]
    trial.require(bool((outside == 0).all()), f"{what} are not zero on padding")


def _check_streams_kept(trial: Trial, inputs: Inputs, before: Inputs) -> None:
    trial.require(list(inputs) == list(before), f"streams {list(before)} became {list(inputs)}")
    for name in before:
        old, new = before[name], inputs[name]
        trial.require(
            old.values.shape == new.values.shape,
            f"stream {name}: {tuple(old.values.shape)} became {tuple(new.values.shape)}",
        )
        trial.require(
            old.lengths.tolist() == new.lengths.tolist(),
            f"stream {name}: lengths {old.lengths.tolist()} became {new.lengths.tolist()}",
        )
        trial.require(old.grid == new.grid, f"stream {name}: {old.grid} became {new.grid}")
        trial.finite(new.values[new.mask()], f"stream {name}")


def _clicks_are_where_the_grid_says(subject: Subject, made: Any) -> None:
    """Moving a click in quiet noise changes the frames at both times at which it lay.

    Two clicked clips are compared, not a clicked and a quiet one, because normalisation by the
    clip's loudest frame changes every frame of those.
    """
    batch = subject.waveforms(made, (60,), 0)
    quiet = batch.waveforms * 0.01
    grid, hop = made.spec.grid, made.spec.grid.hop_seconds
    for shares in ((0.2, 0.6), (0.4, 0.8)):
        samples = [int(quiet.shape[1] * share) for share in shares]
        times = [sample / made.sample_rate for sample in samples]
        note = f"a click at {times[0]:.4f} s or at {times[1]:.4f} s"
        trial = subject.trial("shapes and grids", batch, note)
        with trial.guarded(), torch.no_grad():
            clicked = []
            for sample in samples:
                waveform = quiet.clone()
                waveform[0, sample] = 0.9
                clicked.append(made(waveform, batch.lengths).values[0])
            change = (clicked[0] - clicked[1]).abs().sum(-1)
            middle = round(len(change) * sum(shares) / 2)
            for seconds, first, part in (
                (times[0], 0, change[:middle]),
                (times[1], middle, change[middle:]),
            ):
                centre = first + float((part >= 0.5 * part.max()).nonzero().double().mean())
                found = grid.first_seconds + centre * hop
                trial.require(
                    abs(found - seconds) <= subject.setting.grid_hops * hop,
                    f"the frames that change most lie at {found:.4f} s on {grid}",
                )


def _additive_frontend_splits(subject: Subject, made: Any) -> None:
    """Stated energies are not negative, compress to the features, and add up in a mixture."""
    batch = subject.waveforms(made, (60, 45), 0)
    other = subject.waveforms(made, (60, 45), 1)
    trial = subject.trial("shapes and grids", batch, "additive")
    with trial.guarded(), torch.no_grad():
        energies = made.energies(batch.waveforms, batch.lengths)
        spec = made.energy_spec
        check_features(trial, energies, batch.size, spec.size, spec.grid, "energies")
        trial.require(bool((energies.values >= 0).all()), "an energy below zero")
        whole, split = made(batch.waveforms, batch.lengths), made.compress(energies)
        for index in range(batch.size):
            what = f"clip {index}, compressed energies and features"
            trial.same(split.clip(index).values, whole.clip(index).values, SPLIT_TOLERANCE, what)
        parts = energies.values + made.energies(other.waveforms, batch.lengths).values
        mixed = made.energies(batch.waveforms + other.waveforms, batch.lengths).values
        ratio = float(mixed.mean() / parts.mean())
        trial.require(
            abs(ratio - 1) < ADDITIVE_TOLERANCE,
            f"the energy of two noises mixed is {ratio:.3f} times the sum of theirs",
        )


def device_and_dtype_law(subject: Subject) -> None:
    """float64 agrees with float32; bfloat16 autocast is finite; cuda agrees where there is one."""
    made = subject.build()
    double = subject.build().double()
    for batch in subject.batches(made):
        with torch.no_grad():
            trial = subject.trial("device and dtype", batch, "float64")
            with trial.guarded():
                plain = subject.run(made, batch)
                wide = subject.run(double, batch.to(dtype=torch.float64))
                for got, want in zip(wide, plain, strict=True):
                    trial.require(
                        got.values.dtype == torch.float64, f"{got.name} are {got.values.dtype}"
                    )
                    for index in range(batch.size):
                        what = f"clip {index} of {got.name}, float64 and float32"
                        trial.same(got.clip(index), want.clip(index), DOUBLE_TOLERANCE, what)
            trial = subject.trial("device and dtype", batch, "bfloat16 autocast")
            with trial.guarded(), torch.autocast("cpu", torch.bfloat16):
                for output in subject.run(made, batch):
                    for index in range(batch.size):
                        trial.finite(output.clip(index), f"clip {index} of {output.name}")
    if torch.cuda.is_available():
        _cuda_agrees(subject)


def _cuda_agrees(subject: Subject) -> None:
    made, moved = subject.build(), subject.build().to("cuda")
    for batch in subject.batches(made):
        trial = subject.trial("device and dtype", batch, "cuda")
        with trial.guarded(), torch.no_grad():
            plain = subject.run(made, batch)
            there = subject.run(moved, batch.to("cuda"))
            for got, want in zip(there, plain, strict=True):
                trial.require(got.values.is_cuda, f"{got.name} stayed on {got.values.device}")
                if subject.kind != "conditioner":
                    for index in range(batch.size):
                        what = f"clip {index} of {got.name}, cuda and cpu"
                        here = got.clip(index).cpu()
                        trial.same(here, want.clip(index), DOUBLE_TOLERANCE, what)
            with torch.autocast("cuda", torch.float16):
                for output in subject.run(moved, batch.to("cuda")):
                    for index in range(batch.size):
                        trial.finite(output.clip(index), f"clip {index} of {output.name}, float16")
