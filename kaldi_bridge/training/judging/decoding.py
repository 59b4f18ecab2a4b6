"""From phone posteriors to phones: all options in one place, and the free phone loop."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import ShapeError

UNIT_SECONDS = 0.03
"""Length of a frame that weights and penalties of the phone loop are stated for."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Decoding:
    """How posteriors become digits and phones.

    None of these is ever fitted by the program: a person chooses them on the train part.

    Attributes:
        posterior_floor: smallest posterior before the logarithm, 0 < floor < 1.
        prior_floor: smallest prior that is divided by, 0 < floor < 1: a class that training hardly
            ever saw would otherwise win wherever nothing fits.
        digit_prior_scale: how much of the log priors is taken off in the alignment of digits.
        digit_min_seconds: shortest phone of a digit; at least one frame, and no more frames than
            let the pronunciation fit into the recording.
        loop_prior_scale: how much of the log priors is taken off in the phone loop.
        loop_min_seconds: shortest phone of the loop; at least one frame.
        language_weight: of the log bigram, per change of phone.
        insertion_penalty: taken off per change of phone.
        frame_seconds: between the moments at which frames are compared; None: the classifier's
            own frames.
    """

    posterior_floor: float = 1e-4
    prior_floor: float = 1e-3
    digit_prior_scale: float = 0.0
    digit_min_seconds: float = 0.05
    loop_prior_scale: float = 0.0
    loop_min_seconds: float = 0.03
    language_weight: float = 1.0
    insertion_penalty: float = 0.0
    frame_seconds: float | None = 0.01

    def __post_init__(self) -> None:
        """Raises ShapeError where a value makes no sense."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            free = field.name == "insertion_penalty"
            if not np.isfinite(value) or (value < 0 and not free):
                raise ShapeError(f"{field.name} is {value}; it must be a number, 0 or more.")
        for name in ("posterior_floor", "prior_floor"):
            if not 0 < getattr(self, name) < 1:
                raise ShapeError(f"{name} is {getattr(self, name)}; give 0 < floor < 1.")
        if self.frame_seconds == 0:
            raise ShapeError("frame_seconds is 0; give more than 0, or None.")

    def scores(self, posteriors: ArrayLike, priors: ArrayLike | None, prior_scale: float) -> Scores:
        """Returns floored log posteriors [T, C] less the scaled log priors.

        Args:
            posteriors: [T, C].
            priors: [C]; needed if `prior_scale` is not 0.
            prior_scale: 1 gives log likelihoods, up to a constant per frame.

        Raises:
            ShapeError: priors are needed and not there, or do not fit.
        """
        x = np.log(np.maximum(np.asarray(posteriors, np.float64), self.posterior_floor))
        if prior_scale == 0:
            return x
        if priors is None:
            raise ShapeError(
                "this classifier states no priors: set the prior scales to 0, or give it priors."
            )
        known = np.asarray(priors, np.float64)
        if known.shape != x.shape[1:]:
            raise ShapeError(f"priors of shape {list(known.shape)} for {x.shape[1]} classes.")
        result: Scores = x - prior_scale * np.log(np.maximum(known, self.prior_floor))
        return result

    def score_scale(self, hop: float) -> float:
        """Returns what the scores of frames of `hop` seconds are multiplied by in the phone loop.

        Neighbouring frames say much the same: with it, a second of speech weighs the same against
        language and penalty at any rate of frames.
        """
        return hop / UNIT_SECONDS


def frames_of(seconds: float, hop: float) -> int:
    """Returns the whole number of frames, at least 1, nearest to a duration."""
    return max(1, round(seconds / hop))


def phone_loop(
    scores: ArrayLike,
    log_bigram: ArrayLike | None = None,
    *,
    language_weight: float = 1.0,
    insertion_penalty: float = 0.0,
    min_frames: int = 1,
    outside: int = 0,
) -> NDArray[np.int64]:
    """Returns the class of each frame on the best path through a loop of all phones.

    Among all ways to label the frames in which each run of a class lasts at least `min_frames`,
    the one with the largest sum of scores plus, for every change from class q to p, language_weight
    · log_bigram[q, p] − insertion_penalty. The class `outside` stands before the first frame and
    behind the last: starting or ending in another class is a change.

    Args:
        scores: [T, C].
        log_bigram: log probabilities [C, C] of the next class (column) after a class (row); None
            for a uniform one, 1 / C.
        language_weight: of the bigram.
        insertion_penalty: per change.
        min_frames: shortest run; shortened to T where the recording is shorter.
        outside: class around the recording, silence.

    Returns:
        int64 [T].

    Raises:
        ShapeError: arrays or options that do not fit.
    """
    x = np.asarray(scores, np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ShapeError(f"scores of shape {list(x.shape)}: expected finite numbers [T, C].")
    n_frames, n_classes = x.shape
    change = _changes(log_bigram, n_classes, language_weight, insertion_penalty)
    if n_frames == 0:
        return np.zeros(0, np.int64)
    if min_frames < 1:
        raise ShapeError(f"min_frames is {min_frames}; give 1 or more.")
    depth = min(min_frames, n_frames)
    edge = change[outside].copy()
    edge[outside] = 0.0
    # best[k, p]: the best path whose last k + 1 frames are p, or at least so many if k + 1 = depth
    best = np.full((depth, n_classes), -np.inf)
    best[0] = edge + x[0]
    columns = np.arange(n_classes)
    came_from = np.full((n_frames, n_classes), -1)  # class before, where a run begins
    stayed = np.zeros((n_frames, n_classes), bool)  # at full depth: stayed rather than reached it
    for t in range(1, n_frames):
        last = best[-1]
        arriving = last[:, None] + change  # [from, to]
        came_from[t] = arriving.argmax(axis=0)
        entering = arriving[came_from[t], columns]
        moved = np.vstack((entering, best[:-1]))
        stayed[t] = last > moved[-1]
        moved[-1] = np.maximum(last, moved[-1])
        best = moved + x[t]
    leaving = change[:, outside].copy()
    leaving[outside] = 0.0
    return _trace(int((best[-1] + leaving).argmax()), came_from, stayed, depth)


def _trace(
    final: int, came_from: NDArray[np.int64], stayed: NDArray[np.bool_], depth: int
) -> NDArray[np.int64]:
    path = np.empty(len(stayed), np.int64)
    phone, t = final, len(path) - 1
    while t >= 0:
        while stayed[t, phone]:
            path[t] = phone
            t -= 1
        first = t - depth + 1
        path[first : t + 1] = phone
        phone, t = int(came_from[first, phone]), first - 1
    return path


def _changes(log_bigram: ArrayLike | None, n_classes: int, weight: float, penalty: float) -> Scores:
    """What a change costs [from, to]; there is none from a class to itself."""
    if log_bigram is None:
        bigram = np.full((n_classes, n_classes), -np.log(n_classes))
    else:
        bigram = np.asarray(log_bigram, np.float64)
    if bigram.shape != (n_classes, n_classes) or not np.isfinite(bigram).all():
        raise ShapeError(
            f"a bigram of shape {list(bigram.shape)} for {n_classes} classes: expected finite log "
            f"probabilities [{n_classes}, {n_classes}], smoothed."
        )
    change: Scores = weight * bigram - penalty
    np.fill_diagonal(change, -np.inf)
    return change


def runs(path: NDArray[np.integer[Any]]) -> list[int]:
    """Returns the classes of a path, each run once."""
    if not len(path):
        return []
    first = np.flatnonzero(np.diff(path, prepend=path[0] - 1))
    return [int(path[t]) for t in first]
