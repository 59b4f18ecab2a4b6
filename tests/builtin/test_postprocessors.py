"""Each post-processor against a plain loop over one class's frames, and the laws of all of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sedsdk.contract import PostProcessor
from sedsdk.errors import ConfigError
from sedsdk.host import Host
from sedsdk.types import ClipPrediction, Event, FrameGrid

LABELS = ("babycry", "glassbreak", "gunshot")
GRID = FrameGrid(0.02, 0.01)
HOST = Host(discover=False)
NAMES = [entry.name for entry in HOST.parts("postprocessor")]
NEEDS_DECISIONS = ("fill_gaps", "minimum_duration", "longest_run", "clip_gate", "to_events")
DECIDES = ("threshold", "dynamic_threshold", "hysteresis")

probabilities = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 60), st.just(3)),
    elements=st.floats(0, 1, width=32),
)
decisions = arrays.arrays(np.bool_, st.tuples(st.integers(0, 60), st.just(3)))


def build(name: str, labels: tuple[str, ...] = LABELS, **options: Any) -> PostProcessor:
    cls = HOST.load("postprocessor", name)
    return cls(cls.Config(**options), labels)


def clip_of(frames: Any, active: Any = None, clip: Any = None, grid: FrameGrid = GRID) -> Any:
    frames = np.asarray(frames, dtype=np.float32)
    clip = np.full(frames.shape[1], 0.5) if clip is None else clip
    return ClipPrediction(
        LABELS[: frames.shape[1]], np.asarray(clip, dtype=np.float32), frames, grid, active
    )


def decided(active: Any, grid: FrameGrid = GRID) -> ClipPrediction:
    active = np.asarray(active, dtype=bool)
    return clip_of(np.where(active, 0.9, 0.1), active, grid=grid)


def column(text: str) -> np.ndarray:
    """One class's decisions, from '..##..'."""
    return np.array([[mark == "#"] for mark in text])


def text_of(clip: ClipPrediction) -> str:
    assert clip.active is not None
    return "".join("#" if on else "." for on in clip.active[:, 0])


def plain_runs(active: Any) -> list[tuple[int, int]]:
    runs, position = [], 0
    for on, group in groupby(list(active)):
        length = len(list(group))
        if on:
            runs.append((position, position + length))
        position += length
    return runs


def plain_mask(runs: list[tuple[int, int]], n_frames: int) -> np.ndarray:
    mask = np.zeros(n_frames, dtype=bool)
    for first, stop in runs:
        mask[first:stop] = True
    return mask


# Laws that all of them keep


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(frames=probabilities)
def test_input_arrays_are_never_changed(name: str, frames: np.ndarray) -> None:
    clip = clip_of(frames, frames > 0.4 if name in NEEDS_DECISIONS else None)
    kept = [None if a is None else a.copy() for a in (clip.clip, clip.frames, clip.active)]
    for array in (clip.clip, clip.frames, clip.active):
        if array is not None:
            array.flags.writeable = False
    build(name)(clip)
    for before, after in zip(kept, (clip.clip, clip.frames, clip.active), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(frames=probabilities)
def test_a_class_depends_on_its_own_column_only(name: str, frames: np.ndarray) -> None:
    clip = clip_of(frames, frames > 0.4 if name in NEEDS_DECISIONS else None)
    together = build(name)(clip)
    for index, label in enumerate(LABELS):
        alone = build(name, (label,))(
            ClipPrediction(
                (label,),
                clip.clip[[index]],
                clip.frames[:, [index]],
                GRID,
                None if clip.active is None else clip.active[:, [index]],
            )
        )
        np.testing.assert_array_equal(alone.frames[:, 0], together.frames[:, index])
        if together.active is not None:
            assert alone.active is not None
            np.testing.assert_array_equal(alone.active[:, 0], together.active[:, index])
        if together.events is not None:
            assert alone.events == tuple(e for e in together.events if e.label == label)


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_without_frames_passes(name: str) -> None:
    empty = np.zeros((0, 3), dtype=np.float32)
    result = build(name)(clip_of(empty, empty > 0 if name in NEEDS_DECISIONS else None))
    assert result.frames.shape == (0, 3)
    assert result.events in (None, ())


@pytest.mark.parametrize("name", NAMES)
def test_every_searched_value_is_accepted_as_number_and_as_mapping(name: str) -> None:
    cls = HOST.load("postprocessor", name)
    for field, values in cls.search_space().items():
        assert list(values) == sorted(set(values))
        for value in values:
            build(name, **{field: value})
            build(name, **{field: dict.fromkeys(LABELS, value)})


@pytest.mark.parametrize("name", NAMES)
def test_mappings_give_each_class_its_own_value(name: str) -> None:
    rng = np.random.default_rng(3)
    frames = rng.random((80, 3), dtype=np.float32)
    clip = clip_of(frames, frames > 0.4 if name in NEEDS_DECISIONS else None, rng.random(3))
    for field, values in HOST.load("postprocessor", name).search_space().items():
        chosen = dict(zip(LABELS, (values[0], values[-1], values[len(values) // 2]), strict=True))
        mapped = build(name, **{field: chosen})(clip)
        for index, label in enumerate(LABELS):
            single = build(name, **{field: chosen[label]})(clip)
            np.testing.assert_array_equal(mapped.frames[:, index], single.frames[:, index])
            if single.active is not None and mapped.active is not None:
                np.testing.assert_array_equal(mapped.active[:, index], single.active[:, index])


# Mistakes


def test_an_unknown_class_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r'"babycri".*Did you mean "babycry"'):
        build("threshold", value={"babycri": 0.5, "glassbreak": 0.5, "gunshot": 0.5})


def test_a_missing_class_is_named() -> None:
    with pytest.raises(ConfigError, match="no value for glassbreak, gunshot"):
        build("hysteresis", high={"babycry": 0.5})


@pytest.mark.parametrize("name", NEEDS_DECISIONS)
def test_parts_that_shape_decisions_say_what_to_put_before_them(name: str) -> None:
    with pytest.raises(ConfigError, match="Put threshold, dynamic_threshold or hysteresis before"):
        build(name)(clip_of(np.zeros((4, 3))))


@pytest.mark.parametrize("name", [*NEEDS_DECISIONS, "median"])
def test_parts_behind_to_events_are_refused(name: str) -> None:
    done = replace(decided(np.zeros((4, 3))), events=())
    with pytest.raises(ConfigError, match="before to_events"):
        build(name)(done)


@pytest.mark.parametrize("name", DECIDES)
def test_deciding_twice_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="has decided already"):
        build(name)(decided(np.zeros((4, 3))))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("threshold", {"value": 1.5}),
        ("threshold", {"value": {"babycry": -0.1}}),
        ("hysteresis", {"low_ratio": 0.0}),
        ("hysteresis", {"low": 0.2}),
        ("median", {"seconds": -1}),
        ("fill_gaps", {"seconds": float("nan")}),
        ("to_events", {"score": "median"}),
    ],
)
def test_values_out_of_range_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        build(name, **options)


# Decisions


def test_threshold_is_strict_in_the_probabilities_own_type() -> None:
    clip = clip_of([[0.3, 0.300001, 0.299999]])
    active = build("threshold", value=0.3)(clip).active
    assert active is not None
    assert active.tolist() == [[False, True, False]]


def test_dynamic_threshold_adds_beta_times_the_clip_mean() -> None:
    clip = clip_of([[0.5], [0.1], [0.3]])  # mean 0.3
    active = build("dynamic_threshold", ("babycry",), base=0.1, beta=0.5)(clip).active
    assert active is not None
    assert active[:, 0].tolist() == [True, False, True]  # threshold 0.25


def test_hysteresis_keeps_the_low_run_around_a_high_frame() -> None:
    frames = np.array([[0.3, 0.9, 0.4, 0.1, 0.4, 0.5, 0.1]]).T
    result = build("hysteresis", ("babycry",), high=0.8, low_ratio=0.25)(clip_of(frames))
    assert text_of(result) == "###...."


@settings(max_examples=100, deadline=None)
@given(frames=probabilities, high=st.floats(0, 1), ratio=st.floats(0.01, 1))
def test_hysteresis_equals_a_plain_loop(frames: np.ndarray, high: float, ratio: float) -> None:
    active = build("hysteresis", high=high, low_ratio=ratio)(clip_of(frames)).active
    assert active is not None
    for index in range(3):
        values = frames[:, index]
        runs = [
            (first, stop)
            for first, stop in plain_runs(values > np.float32(high * ratio))
            if any(value > np.float32(high) for value in values[first:stop])
        ]
        np.testing.assert_array_equal(active[:, index], plain_mask(runs, len(frames)))


@settings(max_examples=50, deadline=None)
@given(frames=probabilities, high=st.floats(0, 1))
def test_hysteresis_with_ratio_one_is_threshold(frames: np.ndarray, high: float) -> None:
    one = build("hysteresis", high=high, low_ratio=1.0)(clip_of(frames)).active
    other = build("threshold", value=high)(clip_of(frames)).active
    np.testing.assert_array_equal(one, other)


def test_clip_gate_closes_at_the_threshold_and_opens_above() -> None:
    clip = clip_of(np.full((2, 3), 0.9), np.ones((2, 3), dtype=bool), [0.5, 0.51, 0.2])
    active = build("clip_gate", threshold=0.5)(clip).active
    assert active is not None
    assert active.tolist() == [[False, True, False]] * 2


# Median


@pytest.mark.parametrize(
    ("seconds", "hop", "frames"),
    [(0.54, 0.02, 27), (0.3, 0.05, 7), (0.3, 0.02, 15), (0.0, 0.02, 1), (0.03, 0.02, 1)],
)
def test_median_spans_the_nearest_odd_number_of_frames(
    seconds: float, hop: float, frames: int
) -> None:
    median: Any = build("median", seconds=seconds)
    assert median.window(FrameGrid(hop)).tolist() == [frames] * 3


@settings(max_examples=100, deadline=None)
@given(frames=probabilities, half=st.integers(0, 8))
def test_median_of_probabilities_is_scipys(frames: np.ndarray, half: int) -> None:
    result = build("median", seconds=(2 * half + 1) * GRID.hop_seconds)(clip_of(frames))
    assert result.active is None
    if len(frames):
        expected = scipy.ndimage.median_filter(frames, size=(2 * half + 1, 1), mode="nearest")
        np.testing.assert_array_equal(result.frames, expected)


@settings(max_examples=100, deadline=None)
@given(active=decisions, half=st.integers(0, 8))
def test_median_of_decisions_is_scipys_and_leaves_the_frames(active: np.ndarray, half: int) -> None:
    clip = decided(active)
    result = build("median", seconds=(2 * half + 1) * GRID.hop_seconds)(clip)
    np.testing.assert_array_equal(result.frames, clip.frames)
    if len(active):
        expected = scipy.ndimage.median_filter(
            active.astype(np.uint8), size=(2 * half + 1, 1), mode="nearest"
        )
        np.testing.assert_array_equal(result.active, expected.astype(bool))


def test_median_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.random.default_rng(0).random((200, 3), dtype=np.float32)
    whole = build("median", seconds=0.3)(clip_of(frames)).frames
    monkeypatch.setattr("sedsdk.builtin.median_filter.BLOCK_VALUES", 1000)
    np.testing.assert_array_equal(build("median", seconds=0.3)(clip_of(frames)).frames, whole)


# Shaping decisions


@pytest.mark.parametrize(
    ("seconds", "before", "after"),
    [
        (0.04, "..#..#...#..", "..####...#.."),
        (0.06, "..#..#...#..", "..########.."),
        (0.0, "#.#", "#.#"),
        (1.0, "...##...", "...##..."),
        (1.0, "........", "........"),
    ],
)
def test_fill_gaps_closes_gaps_up_to_its_length(seconds: float, before: str, after: str) -> None:
    result = build("fill_gaps", ("babycry",), seconds=seconds)(decided(column(before)))
    assert text_of(result) == after


@pytest.mark.parametrize(
    ("seconds", "before", "after"),
    [
        (0.04, "#..##..###", "...##..###"),
        (0.05, "#..##..###", ".......###"),
        (0.0, "#..##..###", "#..##..###"),
        (9.0, "#..##..###", ".........."),
    ],
)
def test_minimum_duration_drops_what_is_shorter(seconds: float, before: str, after: str) -> None:
    result = build("minimum_duration", ("babycry",), seconds=seconds)(decided(column(before)))
    assert text_of(result) == after


@settings(max_examples=100, deadline=None)
@given(active=decisions, n_frames=st.integers(0, 12))
def test_shaping_parts_equal_plain_loops(active: np.ndarray, n_frames: int) -> None:
    seconds = n_frames * GRID.hop_seconds
    filled = build("fill_gaps", seconds=seconds)(decided(active)).active
    cleaned = build("minimum_duration", seconds=seconds)(decided(active)).active
    longest = build("longest_run")(decided(active)).active
    assert filled is not None
    assert cleaned is not None
    assert longest is not None
    for index in range(3):
        runs = plain_runs(active[:, index])
        gaps = list(pairwise(runs))
        closed = runs + [(a[1], b[0]) for a, b in gaps if b[0] - a[1] <= n_frames]
        np.testing.assert_array_equal(filled[:, index], plain_mask(closed, len(active)))
        kept = [run for run in runs if run[1] - run[0] >= n_frames]
        np.testing.assert_array_equal(cleaned[:, index], plain_mask(kept, len(active)))
        best = [max(runs, key=lambda run: run[1] - run[0])] if runs else []
        np.testing.assert_array_equal(longest[:, index], plain_mask(best, len(active)))


def test_longest_run_takes_the_earliest_of_equals() -> None:
    result = build("longest_run", ("babycry",))(decided(column(".##.##.#")))
    assert text_of(result) == ".##....."


# Events


def test_events_span_half_a_hop_around_their_frames() -> None:
    frames = np.array([[0.2, 0.9, 0.7, 0.1, 0.6]]).T
    clip = clip_of(frames, frames > 0.5, grid=FrameGrid(0.1, 0.05))
    events = build("to_events", ("babycry",))(clip).events
    assert events is not None
    assert [event.label for event in events] == ["babycry", "babycry"]
    np.testing.assert_allclose([(e.onset, e.offset) for e in events], [(0.1, 0.3), (0.4, 0.5)])
    np.testing.assert_allclose([e.score for e in events], [0.9, 0.6], rtol=1e-6)


def test_event_score_may_be_the_mean() -> None:
    frames = np.array([[0.9, 0.7]]).T
    clip = clip_of(frames, frames > 0.5)
    events = build("to_events", ("babycry",), score="mean")(clip).events
    assert events is not None
    assert events[0].score == pytest.approx(0.8)


def test_an_event_never_begins_before_the_recording() -> None:
    events = build("to_events", ("babycry",))(decided(column("#."), FrameGrid(0.1))).events
    assert events is not None
    assert (events[0].onset, events[0].offset) == (0.0, pytest.approx(0.05))


@settings(max_examples=100, deadline=None)
@given(active=decisions)
def test_events_are_the_runs_in_order(active: np.ndarray) -> None:
    clip = decided(active)
    events = build("to_events")(clip).events
    expected = [
        Event(GRID.start(first), GRID.start(stop), label, float(np.float32(0.9)))
        for index, label in enumerate(LABELS)
        for first, stop in plain_runs(active[:, index])
    ]
    assert events == tuple(sorted(expected))


def test_a_chain_finds_the_event_between_gaps_and_clicks() -> None:
    frames = np.full((100, 1), 0.05, dtype=np.float32)
    frames[30:50] = 0.6
    frames[38:41] = 0.1
    frames[40] = 0.95
    frames[80] = 0.9
    clip = clip_of(frames, grid=FrameGrid(0.02, 0.01))
    for name, options in (
        ("hysteresis", {"high": 0.5, "low_ratio": 0.5}),
        ("fill_gaps", {"seconds": 0.1}),
        ("minimum_duration", {"seconds": 0.1}),
        ("to_events", {}),
    ):
        clip = build(name, ("babycry",), **options)(clip)
    assert clip.events is not None
    assert [(e.onset, e.offset) for e in clip.events] == [(pytest.approx(0.6), pytest.approx(1.0))]
