"""Laws on post-processors: inputs untouched, sensible on the shortest and dullest clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sedsdk.errors import SedsdkError
from sedsdk.testing.laws import Trial
from sedsdk.testing.subject import Subject
from sedsdk.types import ClipPrediction, Event, FrameGrid

CLIP_FRAMES = (0, 1, 2, 3, 7, 60)
GRID = FrameGrid(0.02, 0.01)


def postprocessing_law(subject: Subject) -> None:
    """On clips of 0 to 60 frames, all zero, all one and random, in every state that it accepts."""
    trial = subject.trial("post-processing", note="construction")
    with trial.guarded():
        made = subject.build()
        _search_space_fits(trial, subject)
    taken = 0
    for case, clip in clips(subject.setting.labels):
        trial = subject.trial("post-processing", note=case)
        with trial.guarded():
            kept = _copy(clip)
            try:
                result = made(clip)
            except SedsdkError:
                trial.require(_same(clip, kept), "the input was changed before it was refused")
                continue
            taken += 1
            trial.require(_same(clip, kept), "the input's arrays were changed in place")
            _check_result(trial, clip, result)
            trial.require(_same(made(clip), result), "twice the same clip, two results")
            fresh = subject.build()(clip)
            trial.require(_same(fresh, result), "the result depends on the clips before it")
    trial = subject.trial("post-processing", note="every state of a clip")
    trial.require(taken > 0, "refuses undecided clips, decided clips and clips with events")


def accepted(made: Any, labels: tuple[str, ...]) -> str:
    """Returns the first state of a clip that a post-processor accepts.

    Returns:
        "undecided", "decided" or "with events"; "" if it refuses all.
    """
    for case, clip in clips(labels):
        if "60 frames, random" not in case:
            continue
        try:
            made(clip)
        except SedsdkError:
            continue
        return case.split(", ")[-1]
    return ""


def clips(labels: tuple[str, ...]) -> Iterator[tuple[str, ClipPrediction]]:
    """Yields clips with what they hold, shortest first; arrays are float32."""
    generator = np.random.default_rng(0)
    for n_frames in CLIP_FRAMES:
        shape = (n_frames, len(labels))
        noise = generator.random(shape, dtype=np.float32)
        for name, frames in (
            ("all zero", np.zeros(shape, np.float32)),
            ("all one", np.ones(shape, np.float32)),
            ("random", noise),
        ):
            top = frames.max(0) if n_frames else np.zeros(len(labels), np.float32)
            undecided = ClipPrediction(labels, top, frames, GRID)
            decided = replace(undecided, active=frames > 0.5)
            events = tuple(Event(0.0, 0.02, label, 0.7) for label in labels) if n_frames else ()
            for state, clip in (
                ("undecided", undecided),
                ("decided", decided),
                ("with events", replace(decided, events=events)),
            ):
                yield f"{n_frames} frames, {name}, {state}", clip


def _search_space_fits(trial: Trial, subject: Subject) -> None:
    fields = subject.part_class.Config.model_fields
    for name, values in subject.part_class.search_space().items():
        trial.require(name in fields, f"search_space names {name}, which is no field of Config")
        for value in values:
            per_class = {label: value for label in subject.setting.labels}
            for given in (value, per_class):
                subject.part_class.Config.model_validate({**subject.options, name: given})


def _check_result(trial: Trial, before: ClipPrediction, after: Any) -> None:
    trial.require(isinstance(after, ClipPrediction), f"gave {type(after).__name__}")
    trial.require(after.labels == before.labels, f"labels became {after.labels}")
    trial.require(after.grid == before.grid, f"grid became {after.grid}")
    for name, dtype in (("clip", np.floating), ("frames", np.floating), ("active", np.bool_)):
        old = before.frames if name == "active" else getattr(before, name)
        new = getattr(after, name)
        if new is None and name == "active":
            continue
        trial.require(
            new.shape == old.shape and np.issubdtype(new.dtype, dtype),
            f"{name} is {new.dtype} {new.shape}, expected {dtype.__name__} {old.shape}",
        )
        if name != "active":
            trial.require(bool(np.isfinite(new).all()), f"{name} holds values that are not finite")
            trial.require(bool(((new >= 0) & (new <= 1)).all()), f"{name} leaves [0, 1]")
    for event in after.events or ():
        trial.require(
            event.label in before.labels
            and 0 <= event.onset <= event.offset
            and 0 <= event.score <= 1,
            f"gave {event}",
        )
    tags = after.tags or ()
    trial.require(
        len(set(tags)) == len(tags) and set(tags) <= set(before.labels),
        f"gave the tags {tags}, expected labels, each once",
    )


def _copy(clip: ClipPrediction) -> ClipPrediction:
    active = None if clip.active is None else clip.active.copy()
    return replace(clip, clip=clip.clip.copy(), frames=clip.frames.copy(), active=active)


def _same(one: ClipPrediction, other: ClipPrediction) -> bool:
    if (one.active is None) != (other.active is None):
        return False
    if one.events != other.events or one.tags != other.tags:
        return False
    pairs = [(one.clip, other.clip), (one.frames, other.frames)]
    if one.active is not None and other.active is not None:
        pairs.append((one.active, other.active))
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)
