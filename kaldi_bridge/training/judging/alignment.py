"""Forced alignment: how well given sequences of phones fit the posteriors of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import ShapeError

Scores = NDArray[np.float64]
AROUND = -1
"""Label, in a path, of the frames before the first phone and behind the last."""


@dataclass(frozen=True, eq=False)
class _Lattice:
    """Chains of states, one row per candidate, padded at the end.

    Row: before, then for each phone as many states as it lasts at least, then behind. A state is
    followed by itself or by the next one.

    Attributes:
        labels: column of the scores that a state is scored by [K, S]; the last column is for the
            frames around, `AROUND`.
        phone: number of the phone in its sequence [K, S], AROUND outside.
        last: last state of the last phone [K].
    """

    labels: NDArray[np.int64]
    phone: NDArray[np.int64]
    last: NDArray[np.int64]


def alignment_scores(
    scores: ArrayLike,
    candidates: Sequence[Sequence[int]],
    *,
    around: Sequence[int] = (0, 1),
    min_frames: int = 1,
) -> Scores:
    """Returns how well each candidate fits: the sum of scores on its best path.

    A path takes the phones of the candidate in order, each for `min_frames` frames or more; before
    the first and behind the last, any number of frames may be of the classes `around`, mixed.
    A candidate that is too long for that is tried with shorter phones, down to one frame each.

    Args:
        scores: [T, C], log posteriors or log likelihoods.
        candidates: classes of each.
        around: classes that may surround the phones.
        min_frames: shortest phone.

    Returns:
        float64 [K]; −inf where there are fewer frames than phones.

    Raises:
        ShapeError: arrays or options that do not fit.
    """
    x = _checked(scores, candidates, around, min_frames)
    if len(x) == 0:
        return np.full(len(candidates), -np.inf)
    lattice = _lattice(candidates, x.shape[1] - 1, len(x), min_frames)
    best: Scores = _ends(_walk(x, lattice, None), lattice).max(axis=1)
    return best


def align(
    scores: ArrayLike,
    phones: Sequence[int],
    *,
    around: Sequence[int] = (0, 1),
    min_frames: int = 1,
) -> tuple[float, NDArray[np.int64]]:
    """Returns the score of the best path, and for each frame the number of its phone.

    Args:
        scores: [T, C].
        phones: classes, in order.
        around: classes that may surround them.
        min_frames: shortest phone; shortened where the phones do not fit otherwise.

    Returns:
        The score, and int64 [T]: position in `phones`, or AROUND.

    Raises:
        ShapeError: arrays or options that do not fit, or fewer frames than phones.
    """
    x = _checked(scores, [phones], around, min_frames)
    if len(x) < len(phones):
        raise ShapeError(f"{len(x)} frames cannot hold {len(phones)} phones.")
    lattice = _lattice([phones], x.shape[1] - 1, len(x), min_frames)
    stayed = np.zeros((len(x), *lattice.labels.shape), bool)
    ends = _ends(_walk(x, lattice, stayed), lattice)[0]
    state = int(lattice.last[0]) + int(ends.argmax())
    path = np.empty(len(x), np.int64)
    for t in range(len(x) - 1, -1, -1):
        path[t] = lattice.phone[0, state]
        state -= not stayed[t, 0, state]
    return float(ends.max()), path


def _walk(x: Scores, lattice: _Lattice, stayed: NDArray[np.bool_] | None) -> Scores:
    """Returns the best score that ends in each state [K, S]; notes where a state was kept."""
    best = np.full(lattice.labels.shape, -np.inf)
    best[:, :2] = x[0, lattice.labels[:, :2]]  # before, or the first phone
    moved = np.full_like(best, -np.inf)
    for t in range(1, len(x)):
        moved[:, 1:] = best[:, :-1]
        if stayed is not None:
            np.greater_equal(best, moved, out=stayed[t])
        best = np.maximum(best, moved) + x[t, lattice.labels]
    return best


def _ends(best: Scores, lattice: _Lattice) -> Scores:
    """Returns the scores of ending in the last phone and behind it [K, 2]."""
    rows = np.arange(len(best))
    return np.stack((best[rows, lattice.last], best[rows, lattice.last + 1]), axis=1)


def _lattice(
    candidates: Sequence[Sequence[int]], surround: int, n_frames: int, min_frames: int
) -> _Lattice:
    depths = [max(1, min(min_frames, n_frames // len(phones))) for phones in candidates]
    sizes = [len(phones) * depth for phones, depth in zip(candidates, depths, strict=True)]
    shape = (len(candidates), max(sizes) + 2)
    labels = np.full(shape, surround)
    phone = np.full(shape, AROUND)
    for row, (phones, depth, size) in enumerate(zip(candidates, depths, sizes, strict=True)):
        labels[row, 1 : size + 1] = np.repeat(phones, depth)
        phone[row, 1 : size + 1] = np.repeat(np.arange(len(phones)), depth)
    return _Lattice(labels, phone, np.array(sizes))


def _checked(
    scores: ArrayLike, candidates: Sequence[Sequence[int]], around: Sequence[int], min_frames: int
) -> Scores:
    """Returns the scores with one more column: the better of `around` in each frame."""
    x = np.asarray(scores, np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ShapeError(f"scores of shape {list(x.shape)}: expected finite numbers [T, C].")
    if not candidates or not all(len(phones) for phones in candidates):
        raise ShapeError("nothing to align: give candidates of one phone or more.")
    named = [*around, *(phone for phones in candidates for phone in phones)]
    if not around or min(named) < 0 or max(named) >= x.shape[1]:
        raise ShapeError(f"classes {min(named)} to {max(named)} for {x.shape[1]} columns.")
    if min_frames < 1:
        raise ShapeError(f"min_frames is {min_frames}; give 1 or more.")
    return np.column_stack((x, x[:, list(around)].max(axis=1)))
