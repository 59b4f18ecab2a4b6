"""The best sequence of phones under a minimum duration, and its times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import ShapeError


@dataclass(frozen=True)
class FrameClock:
    """Turns output frames into seconds and back.

    Output frame k stands for the input frames from k · factor on, so it covers the hop that begins
    at k · factor · shift. (The analysis window of an input frame reaches 25 ms from there on, and
    the network looks further to both sides.)

    Attributes:
        frame_shift_seconds: between input frames.
        frame_subsampling_factor: input frames per output frame.
    """

    frame_shift_seconds: float = 0.01
    frame_subsampling_factor: int = 1

    @property
    def hop_seconds(self) -> float:
        """Seconds between output frames."""
        return self.frame_shift_seconds * self.frame_subsampling_factor

    def seconds(self, frame: int) -> float:
        """Returns when an output frame begins."""
        return frame * self.hop_seconds

    def frame(self, seconds: float) -> int:
        """Returns the output frame that covers a time; a boundary belongs to the later frame."""
        return int(np.floor(seconds / self.hop_seconds + 1e-9))


@dataclass(frozen=True)
class PhoneSegment:
    """A phone from frame `start` up to but not including frame `end`.

    Attributes:
        phone: its name.
        index: its column.
        start: first output frame.
        end: output frame behind the last.
        score: mean log posterior of the phone in these frames.
    """

    phone: str
    index: int
    start: int
    end: int
    score: float

    def times(self, clock: FrameClock) -> tuple[float, float]:
        """Returns onset and offset in seconds."""
        return clock.seconds(self.start), clock.seconds(self.end)


def viterbi_phones(
    log_posteriors: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    min_duration: int | Sequence[int] = 1,
    transition_penalty: float = 0.0,
) -> list[PhoneSegment]:
    """Returns the best sequence of phones in which each lasts at least so long.

    Among all cuts of the frames into segments, each of one phone and no shorter than its minimum,
    the one with the largest sum of log posteriors less a penalty per change of phone. With V[t, p]
    the best score of the first t frames ending in p, b[t] the largest of V[t], and c the running
    sums of the log posteriors,

        V[t, p] = max(V[t-1, p] + x[t-1, p],  b[t-d] - penalty + c[t, p] - c[t-d, p]):

    stay, or enter d frames ago and stay since. Time and memory grow with frames times phones and
    not with the duration.

    Args:
        log_posteriors: [T, P].
        names: of the phones; their numbers if not given.
        min_duration: frames, for all phones or for each; shortened to T where it is longer.
        transition_penalty: zero or more, subtracted at each change.

    Returns:
        Segments that follow each other without a gap from frame 0 to T; empty for no frames.

    Raises:
        ShapeError: arrays or options that do not fit.
    """
    x = np.asarray(log_posteriors, np.float64)
    duration = _checked(x, names, min_duration, transition_penalty)
    n_frames, n_phones = x.shape
    if n_frames == 0:
        return []
    duration = np.minimum(duration, n_frames)
    sums = np.zeros((n_frames + 1, n_phones))
    np.cumsum(x, axis=0, out=sums[1:])
    best = np.full(n_frames + 1, -np.inf)
    came_from = np.full(n_frames + 1, -1)
    entered = np.zeros((n_frames + 1, n_phones), bool)
    columns = np.arange(n_phones)
    penalties = np.full(n_frames + 1, transition_penalty)
    penalties[0] = best[0] = 0.0
    staying = np.full(n_phones, -np.inf)
    for t in range(1, n_frames + 1):
        start = t - duration
        possible = start >= 0
        start = np.maximum(start, 0)
        entering = best[start] - penalties[start] + sums[t] - sums[start, columns]
        entering[~possible] = -np.inf
        staying = staying + x[t - 1]
        entered[t] = entering > staying
        staying = np.where(entered[t], entering, staying)
        came_from[t] = staying.argmax()
        best[t] = staying[came_from[t]]
    return _segments(_boundaries(entered, came_from, duration), sums, names)


def _checked(
    x: NDArray[np.float64],
    names: Sequence[str] | None,
    min_duration: int | Sequence[int],
    transition_penalty: float,
) -> NDArray[np.int64]:
    """Checks the options of a search; returns the minimum duration of each phone."""
    if x.ndim != 2 or x.shape[1] == 0:
        raise ShapeError(f"log posteriors of shape {list(x.shape)}: expected [T, P].")
    if not np.isfinite(x).all():
        raise ShapeError("log posteriors must be finite: floor the probabilities first.")
    if names is not None and len(names) != x.shape[1]:
        raise ShapeError(f"{len(names)} names for {x.shape[1]} phones.")
    duration = np.asarray(min_duration, np.int64)
    if duration.shape not in ((), (x.shape[1],)) or (duration < 1).any():
        raise ShapeError(f"min_duration must be one frame or more, one number or {x.shape[1]}.")
    if not 0 <= transition_penalty < np.inf:
        raise ShapeError(f"transition_penalty is {transition_penalty}; it must be zero or more.")
    return np.full(x.shape[1], duration)


def _boundaries(
    entered: NDArray[np.bool_], came_from: NDArray[np.int64], duration: NDArray[np.int64]
) -> list[tuple[int, int, int]]:
    """Walks back from the end: (phone, start, end), equal neighbours joined."""
    found: list[tuple[int, int, int]] = []
    t = len(came_from) - 1
    while t > 0:
        phone, end = int(came_from[t]), t
        while not entered[t, phone]:
            t -= 1
        t -= int(duration[phone])
        if found and found[-1][0] == phone:
            end = found.pop()[2]
        found.append((phone, t, end))
    return found[::-1]


def _segments(
    boundaries: list[tuple[int, int, int]],
    sums: NDArray[np.float64],
    names: Sequence[str] | None,
) -> list[PhoneSegment]:
    return [
        PhoneSegment(
            phone=str(names[phone]) if names is not None else str(phone),
            index=phone,
            start=start,
            end=end,
            score=float((sums[end, phone] - sums[start, phone]) / (end - start)),
        )
        for phone, start, end in boundaries
    ]
