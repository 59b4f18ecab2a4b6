"""Post-processors: probabilities → decisions → events, in plain numpy.

    frames [T, C] ─ median* ─▶ threshold | dynamic_threshold | hysteresis ─▶ active [T, C]
      ─ median*, fill_gaps, minimum_duration, longest_run, clip_gate ─▶ active ─ to_events ─▶ events

Laws that all of them keep: the input's arrays are never changed; a class's result depends on that
class's column alone; a frame stands for one hop, so `n` frames last `n · hop` seconds; durations
are compared with a tolerance of 1e-6 hops. A field that is "per class" takes one number for all
classes or a mapping that names every class of the pipeline.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sedsdk.builtin.median_filter import median_filter
from sedsdk.builtin.per_class import PerClassPostProcessor
from sedsdk.builtin.runs import Runs, find_runs
from sedsdk.contract import PartConfig
from sedsdk.types import ClipPrediction, Event, FrameGrid

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Ratio = Annotated[float, Field(gt=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
Seconds = Annotated[float, Field(ge=0.0, description="seconds")]

FRAME_TOLERANCE = 1e-6
"""Hops by which a duration may miss a whole number of frames and still count as that number."""


class ThresholdConfig(PartConfig):
    """What `threshold` can be told."""

    value: Probability | dict[str, Probability] = Field(
        0.5, description="threshold on the frame probability, in [0, 1], per class"
    )


class Threshold(PerClassPostProcessor):
    """Active where the frame probability is strictly greater than the class's threshold.

    The threshold is rounded to the probabilities' own floating type first, so that a float32
    probability of 0.3 is not greater than 0.3.

    Raises:
        ConfigError: the mapping does not fit the labels (constructor), or the clip has been
            decided on already (call).
    """

    Config = ThresholdConfig

    def __init__(self, config: ThresholdConfig, labels: tuple[str, ...]) -> None:
        super().__init__(config, labels)
        self.thresholds = self.values("value")

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `active` [T, C]."""
        frames = self.undecided(clip)
        return replace(clip, active=frames > self.thresholds.astype(frames.dtype))

    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        """Returns nineteen thresholds, 0.05 to 0.95."""
        return {"value": _steps(0.05, 0.95, 0.05)}


class DynamicThresholdConfig(PartConfig):
    """What `dynamic_threshold` can be told."""

    base: Probability | dict[str, Probability] = Field(
        0.3, description="T_base, the threshold of a silent clip, in [0, 1], per class"
    )
    beta: Weight | dict[str, Weight] = Field(
        1.0, description="β, weight of the clip's mean frame probability, at least 0, per class"
    )


class DynamicThreshold(PerClassPostProcessor):
    """Active where the frame probability exceeds T_i = T_base + β · S_i.

    S_i is the mean of class i's frame probabilities over the clip (gradual network, section on
    post-processing), 0 for a clip without frames. A clip in which a class is noisy throughout
    gets a higher threshold.

    Raises:
        ConfigError: a mapping does not fit the labels (constructor), or the clip has been decided
            on already (call).
    """

    Config = DynamicThresholdConfig

    def __init__(self, config: DynamicThresholdConfig, labels: tuple[str, ...]) -> None:
        super().__init__(config, labels)
        self.base = self.values("base")
        self.beta = self.values("beta")

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `active` [T, C]."""
        frames = self.undecided(clip)
        mean = frames.sum(axis=0, dtype=np.float64) / max(1, len(frames))
        threshold = (self.base + self.beta * mean).astype(frames.dtype)
        return replace(clip, active=frames > threshold)

    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        """Returns nine bases, 0.05 to 0.85, and five weights, 0 to 2."""
        return {"base": _steps(0.05, 0.85, 0.1), "beta": (0.0, 0.25, 0.5, 1.0, 2.0)}


class HysteresisConfig(PartConfig):
    """What `hysteresis` can be told."""

    high: Probability | dict[str, Probability] = Field(
        0.5, description="probability that starts an event, in [0, 1], per class"
    )
    low_ratio: Ratio | dict[str, Ratio] = Field(
        0.5, description="the event goes on above high · low_ratio; in (0, 1], per class"
    )


class Hysteresis(PerClassPostProcessor):
    """Active on every run above the low threshold that somewhere exceeds the high one.

    The low threshold is `high · low_ratio`; with a ratio of 1 this is `threshold`. Both
    comparisons are strict. The event extends to both sides of the frames above the high
    threshold (Canny's double threshold, in one dimension).

    Raises:
        ConfigError: a mapping does not fit the labels (constructor), or the clip has been decided
            on already (call).
    """

    Config = HysteresisConfig

    def __init__(self, config: HysteresisConfig, labels: tuple[str, ...]) -> None:
        super().__init__(config, labels)
        self.high = self.values("high")
        self.low = self.high * self.values("low_ratio")

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `active` [T, C]."""
        frames = self.undecided(clip)
        runs = find_runs(frames > self.low.astype(frames.dtype))
        peak = runs.highest(frames)
        return replace(
            clip, active=runs.kept(peak > self.high.astype(frames.dtype)[runs.column]).as_active()
        )

    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        """Returns eighteen high thresholds, 0.1 to 0.95, and five ratios."""
        return {"high": _steps(0.1, 0.95, 0.05), "low_ratio": (0.2, 0.35, 0.5, 0.7, 1.0)}


class MedianConfig(PartConfig):
    """What `median` can be told."""

    seconds: Seconds | dict[str, Seconds] = Field(
        0.3,
        description="span of the filter, in seconds, per class; becomes the nearest odd number of "
        "frames (of two equally near, the larger); less than two hops filters nothing",
    )


class Median(PerClassPostProcessor):
    """Median filter along time: on the probabilities before a decision, on the decisions after.

    At the edges the first and the last frame are repeated beyond the clip, so an event that
    touches an edge is not eaten from there (scipy.ndimage's mode "nearest"; scipy.signal.medfilt,
    which the DCASE 2017 baseline used, puts zeros there).

    Raises:
        ConfigError: the mapping does not fit the labels (constructor), or events have been made
            already (call).
    """

    Config = MedianConfig

    def __init__(self, config: MedianConfig, labels: tuple[str, ...]) -> None:
        super().__init__(config, labels)
        self.seconds = self.values("seconds")

    def window(self, grid: FrameGrid) -> NDArray[np.intp]:
        """Returns the filter's odd length on a grid, in frames, per class: int [C]."""
        hops = self.seconds / grid.hop_seconds
        return 2 * np.floor(hops / 2 + FRAME_TOLERANCE).astype(np.intp) + 1

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Filters `active` if it is set, else `frames`."""
        window = self.window(clip.grid)
        if clip.active is None and clip.events is None:
            return replace(clip, frames=median_filter(clip.frames, window))
        return replace(clip, active=median_filter(self.decided(clip), window))

    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        """Returns four spans, 0 (no filter) to 0.54 s (the DCASE 2017 baseline's)."""
        return {"seconds": (0.0, 0.1, 0.3, 0.54)}


class FillGapsConfig(PartConfig):
    """What `fill_gaps` can be told."""

    seconds: Seconds | dict[str, Seconds] = Field(
        0.5, description="longest gap that is closed, in seconds, per class"
    )


class FillGaps(PerClassPostProcessor):
    """Joins two runs of a class when the gap between them is no longer than `seconds`.

    The stretches before the first run and after the last one are no gaps.

    Raises:
        ConfigError: the mapping does not fit the labels (constructor); there are no decisions yet,
            or there are events already (call).
    """

    Config = FillGapsConfig

    def __init__(self, config: FillGapsConfig, labels: tuple[str, ...]) -> None:
        super().__init__(config, labels)
        self.seconds = self.values("seconds")

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `active` [T, C]."""
        runs = find_runs(self.decided(clip))
        longest = np.floor(self.seconds / clip.grid.hop_seconds + FRAME_TOLERANCE)
        joins = (runs.column[1:] == runs.column[:-1]) & (
            runs.first[1:] - runs.stop[:-1] <= longest[runs.column[1:]]
        )
        if not joins.any():
            return clip
        opens = np.concatenate([[True], ~joins])
        closes = np.concatenate([~joins, [True]])
        joined = Runs(runs.first[opens], runs.stop[closes], runs.column[opens], runs.shape)
        return replace(clip, active=joined.as_active())

    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        """Returns five gaps, 0 (closes none) to 1 s."""
        return {"seconds": (0.0, 0.1, 0.25, 0.5, 1.0)}


class MinimumDurationConfig(PartConfig):
    """What `minimum_duration` can be told."""

    seconds: Seconds | dict[str, Seconds] = Field(
        0.1, description="shortest run that is kept, in seconds, per class"
    )


class MinimumDuration(PerClassPostProcessor):
    """Drops every run that is shorter than `seconds`; one of exactly that length stays.

    Raises:
        ConfigError: the mapping does not fit the labels (constructor); there are no decisions yet,
            or there are events already (call).
    """

    Config = MinimumDurationConfig

    def __init__(self, config: MinimumDurationConfig, labels: tuple[str, ...]) -> None:
        super().__init__(config, labels)
        self.seconds = self.values("seconds")

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `active` [T, C]."""
        runs = find_runs(self.decided(clip))
        shortest = np.ceil(self.seconds / clip.grid.hop_seconds - FRAME_TOLERANCE)
        keep = runs.length >= shortest[runs.column]
        return clip if keep.all() else replace(clip, active=runs.kept(keep).as_active())

    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        """Returns five durations, 0 (keeps all) to 0.4 s."""
        return {"seconds": (0.0, 0.06, 0.1, 0.2, 0.4)}


class LongestRun(PerClassPostProcessor):
    """Keeps the longest run of each class; of equally long ones the earliest.

    Multi-resolution RNN and gradual network: a clip holds at most one event of a class.

    Raises:
        ConfigError: there are no decisions yet, or there are events already (call).
    """

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `active` [T, C]."""
        runs = find_runs(self.decided(clip))
        order = np.lexsort((runs.first, -runs.length, runs.column))
        keep = np.zeros(len(order), dtype=bool)
        keep[order[np.unique(runs.column[order], return_index=True)[1]]] = True
        return clip if keep.all() else replace(clip, active=runs.kept(keep).as_active())


class ClipGateConfig(PartConfig):
    """What `clip_gate` can be told."""

    threshold: Probability | dict[str, Probability] = Field(
        0.5, description="clip probability that a class has to exceed, in [0, 1], per class"
    )


class ClipGate(PerClassPostProcessor):
    """Drops all decisions of a class whose clip probability does not exceed the threshold.

    Multi-resolution RNN, section on inference: no event if p ≤ 0.5. The comparison is strict and
    in the probabilities' own floating type.

    Raises:
        ConfigError: the mapping does not fit the labels (constructor); there are no decisions yet,
            or there are events already (call).
    """

    Config = ClipGateConfig

    def __init__(self, config: ClipGateConfig, labels: tuple[str, ...]) -> None:
        super().__init__(config, labels)
        self.thresholds = self.values("threshold")

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `active` [T, C]."""
        is_open = clip.clip > self.thresholds.astype(clip.clip.dtype)
        active = self.decided(clip)
        return clip if is_open.all() else replace(clip, active=active & is_open)

    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        """Returns ten thresholds, 0 to 0.9."""
        return {"threshold": _steps(0.0, 0.9, 0.1)}


class ToEventsConfig(PartConfig):
    """What `to_events` can be told."""

    score: Literal["maximum", "mean"] = Field(
        "maximum", description="the event's score: maximum or mean frame probability of its run"
    )


class ToEvents(PerClassPostProcessor):
    """Turns every active run into an event.

    The onset is where the span of the run's first frame begins, the offset where the span of its
    last frame ends, both by the frame grid: half a hop to either side of the frames' centres, and
    never before 0. Events are in order of onset, offset and label. A clip without decisions in
    favour of any class has an empty tuple of events.

    Raises:
        ConfigError: there are no decisions yet, or there are events already (call).
    """

    Config = ToEventsConfig

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `events`."""
        runs = find_runs(self.decided(clip))
        score_of = runs.mean if self.config.score == "mean" else runs.highest
        scores = np.clip(score_of(clip.frames), 0.0, 1.0)
        start = clip.grid.start
        events = [
            Event(start(first), start(stop), self.labels[column], score)
            for first, stop, column, score in zip(
                runs.first.tolist(),
                runs.stop.tolist(),
                runs.column.tolist(),
                scores.tolist(),
                strict=True,
            )
        ]
        return replace(clip, events=tuple(sorted(events)))


def _steps(first: float, last: float, step: float) -> tuple[float, ...]:
    count = round((last - first) / step) + 1
    return tuple(round(first + index * step, 6) for index in range(count))
