"""Frames taken out of many recordings: what an encoder makes of each, and its label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sedsdk.errors import DataError
from sedsdk.types import FrameGrid

if TYPE_CHECKING:
    from sedsdk.data.manifest import Clip
    from sedsdk.runtime.detector import Detector

BACKGROUND = "background"
SEVERAL = "several at once"
UNKNOWN = "unknown"
FEWEST_PER_CLIP = 5
"""Frames of a clip; where they would be fewer, clips are left out instead."""

Values = npt.NDArray[np.floating]


@dataclass(frozen=True)
class FrameSample:
    """Frames of many clips, as one encoder gives them.

    Attributes:
        values: float32 [N, H].
        labels: of each frame: a class, `BACKGROUND`, `SEVERAL` or `UNKNOWN`.
        strong: bool [N]; False where the label is that of the clip, as its frames' are unknown.
        seconds: float64 [N], centre of each frame from the start of its clip.
        clips: id of each frame's clip.
    """

    values: Values
    labels: tuple[str, ...]
    strong: npt.NDArray[np.bool_]
    seconds: npt.NDArray[np.float64]
    clips: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def evenly(clips: Sequence[Clip], n_frames: int) -> list[tuple[Clip, int]]:
    """Spreads frames over clips.

    Args:
        clips: at least one.
        n_frames: in all, at least 1.

    Returns:
        Clips in order, each with its number of frames, which differ by one at most. Where a clip
        would get fewer than five, evenly spaced clips are kept so that each gets that many.

    Raises:
        DataError: there is no clip.
    """
    if not clips:
        raise DataError("there is no clip to take frames from.")
    count = min(len(clips), max(1, n_frames // FEWEST_PER_CLIP))
    kept = [clips[index * len(clips) // count] for index in range(count)]
    borders = [index * n_frames // count for index in range(count + 1)]
    return [(clip, borders[i + 1] - borders[i]) for i, clip in enumerate(kept)]


def sample_frames(
    detector: Detector,
    chosen: Sequence[tuple[Clip, int]],
    on_clip: Callable[[int, int], None] | None = None,
    on_problem: Callable[[Clip, Exception], None] | None = None,
) -> FrameSample:
    """Takes frames of clips at the times of `sample_times`, which are those of every detector.

    A frame that an event covers, after `FrameGrid.span`, has its label; one that several events of
    different classes cover is `SEVERAL`, one that none covers is `BACKGROUND`. Where events are
    unknown, the clip's only tag stands for its frames, or `SEVERAL`, or `UNKNOWN`.

    Args:
        detector: whose encoder is asked; long clips are heard block by block.
        chosen: clips with their numbers of frames; see `evenly`. A clip of fewer frames gives all.
        on_clip: called with the number of clips done and of all, after each.
        on_problem: called with a clip that cannot be read and why, and the rest are done; None
            raises instead.

    Raises:
        DataError: no clip could be read.
        AudioError: one could not, and there is no `on_problem`.
    """
    values, labels, strong, seconds, ids = [], [], [], [], []
    for done, (clip, count) in enumerate(chosen, start=1):
        try:
            frames, grid, duration = _frames_of(detector, clip)
        except Exception as error:  # whatever one recording provokes, the others go on
            if on_problem is None:
                raise
            on_problem(clip, error)
            continue
        times = sample_times(clip, duration, count)
        nearest = np.rint((times - grid.first_seconds) / grid.hop_seconds).astype(np.intp)
        index = np.unique(nearest.clip(0, len(frames) - 1))
        known, is_strong = _labels(clip, grid, len(frames))
        values.append(frames[index])
        labels += [known[frame] for frame in index]
        strong += [is_strong] * len(index)
        seconds.append(grid.first_seconds + index * grid.hop_seconds)
        ids += [clip.id] * len(index)
        if on_clip is not None:
            on_clip(done, len(chosen))
    if not values:
        raise DataError(f"none of {len(chosen)} clips could be read.")
    return FrameSample(
        np.concatenate(values), tuple(labels), np.array(strong), np.concatenate(seconds), tuple(ids)
    )


def sample_times(clip: Clip, seconds: float, count: int) -> npt.NDArray[np.float64]:
    """Returns where a clip's frames are taken, in seconds from its start, in order: [count].

    Half of them, rounded up, are spread evenly over the stretches with events, which may be short,
    the others over the rest; all over the clip if its events are unknown, everywhere or nowhere.
    """
    events, rest, end = [], [], 0.0
    for event in sorted(clip.events or ()):
        onset, offset = max(event.onset, end), min(event.offset, seconds)
        if offset > onset:
            events.append((onset, offset))
            rest.append((end, onset))
            end = offset
    rest = [(start, stop) for start, stop in [*rest, (end, seconds)] if stop > start]
    inside = (count + 1) // 2 if events and rest else count if events else 0
    return np.sort(np.concatenate([_spread(events, inside), _spread(rest, count - inside)]))


def _spread(stretches: Sequence[tuple[float, float]], count: int) -> npt.NDArray[np.float64]:
    """Returns `count` times in the middle of equal shares of the stretches, joined to one."""
    if not count:
        return np.empty(0)
    starts, stops = np.array(stretches).T
    before = np.concatenate([[0.0], np.cumsum(stops - starts)])
    places = (np.arange(count) + 0.5) / count * before[-1]
    index = np.searchsorted(before, places, side="right") - 1
    return np.asarray(starts[index] + places - before[index])


def _frames_of(detector: Detector, clip: Clip) -> tuple[Values, FrameGrid, float]:
    from sedsdk.audio import read_audio
    from sedsdk.runtime.representations import frame_representations

    samples, rate = read_audio(clip.path, start=clip.start, end=clip.end)
    found = frame_representations(detector, samples, rate)
    return found.values, found.grid, len(samples) / rate


def _labels(clip: Clip, grid: FrameGrid, n_frames: int) -> tuple[list[str], bool]:
    """Returns what is known of each frame, and whether it is known of the frame itself."""
    if clip.events is None:
        if clip.tags is None:
            return [UNKNOWN] * n_frames, False
        if not clip.tags:
            return [BACKGROUND] * n_frames, True
        return [clip.tags[0] if len(clip.tags) == 1 else SEVERAL] * n_frames, False
    found = [BACKGROUND] * n_frames
    for event in clip.events:
        first, stop = grid.span(event.onset, event.offset, n_frames)
        for frame in range(first, stop):
            found[frame] = event.label if found[frame] in (BACKGROUND, event.label) else SEVERAL
    return found, True
