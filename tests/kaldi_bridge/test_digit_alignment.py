"""Forced alignment against trying every path."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.training.judging.alignment import AROUND, align, alignment_scores


def every_path(n_frames: int, n_phones: int, shortest: int) -> Iterator[list[int]]:
    """Yields all paths: frames before, phones of at least `shortest` frames, frames behind."""

    def lengths(left: int, phones: int) -> Iterator[list[int]]:
        if phones == 0:
            yield []
            return
        for first in range(shortest, left + 1):
            for others in lengths(left - first, phones - 1):
                yield [first, *others]

    for before in range(n_frames + 1):
        for spans in lengths(n_frames - before, n_phones):
            behind = n_frames - before - sum(spans)
            middle = [number for number, span in enumerate(spans) for _ in range(span)]
            yield [AROUND] * before + middle + [AROUND] * behind


def by_trying(
    scores: np.ndarray, phones: list[int], around: list[int], shortest: int
) -> tuple[float, list[int]]:
    def total(path: list[int]) -> float:
        return sum(
            max(scores[t, c] for c in around) if number == AROUND else scores[t, phones[number]]
            for t, number in enumerate(path)
        )

    best = max(every_path(len(scores), len(phones), shortest), key=total)
    return total(best), best


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("shortest", [1, 2])
def test_alignment_is_the_best_of_all(seed: int, shortest: int) -> None:
    random = np.random.default_rng(seed)
    n_frames = int(random.integers(6, 9))
    scores = random.normal(size=(n_frames, 5))
    candidates = [random.integers(2, 5, size=random.integers(1, 4)).tolist() for _ in range(4)]
    found = alignment_scores(scores, candidates, around=(0, 1), min_frames=shortest)
    for phones, score in zip(candidates, found, strict=True):
        wanted, path = by_trying(scores, phones, [0, 1], shortest)
        assert score == pytest.approx(wanted, abs=1e-12)
        alone, aligned = align(scores, phones, around=(0, 1), min_frames=shortest)
        assert alone == pytest.approx(wanted, abs=1e-12)
        assert aligned.tolist() == path


def test_alignment_finds_planted_borders() -> None:
    said = [0, 0, 3, 3, 3, 2, 3, 1, 0]
    scores = np.full((9, 4), -5.0)
    scores[np.arange(9), said] = -0.1
    score, path = align(scores, [3, 2, 3], around=(0, 1))
    assert path.tolist() == [AROUND, AROUND, 0, 0, 0, 1, 2, AROUND, AROUND]
    assert score == pytest.approx(-0.9)
    # the one frame of 2 must become two, at the cost of one wrong frame, and so must the last 3
    score, path = align(scores, [3, 2, 3], around=(0, 1), min_frames=2)
    assert score == pytest.approx(-0.1 * 7 - 5.0 * 2)
    assert np.bincount(path[path >= 0]).min() == 2


def test_silence_around_the_phones_is_optional() -> None:
    scores = np.log(np.array([[0.1, 0.1, 0.8]] * 3))
    assert alignment_scores(scores, [[2]])[0] == pytest.approx(3 * np.log(0.8))


def test_short_recordings_shorten_the_phones() -> None:
    scores = np.zeros((4, 5))
    found = alignment_scores(scores, [[2], [2, 3], [2, 3, 4], [2, 3, 4, 2, 3]], min_frames=3)
    assert found.tolist() == [0.0, 0.0, 0.0, -np.inf]
    assert alignment_scores(scores[:0], [[2]]).tolist() == [-np.inf]
    with pytest.raises(ShapeError, match="4 frames cannot hold 5 phones"):
        align(scores, [2, 3, 4, 2, 3])


@pytest.mark.parametrize(
    ("scores", "candidates", "options", "said"),
    [
        (np.zeros(3), [[2]], {}, r"expected finite numbers \[T, C\]"),
        (np.full((3, 3), -np.inf), [[2]], {}, "expected finite numbers"),
        (np.zeros((3, 3)), [], {}, "nothing to align"),
        (np.zeros((3, 3)), [[]], {}, "nothing to align"),
        (np.zeros((3, 3)), [[3]], {}, "3 columns"),
        (np.zeros((3, 3)), [[2]], {"around": ()}, "3 columns"),
        (np.zeros((3, 3)), [[2]], {"min_frames": 0}, "min_frames is 0"),
    ],
)
def test_what_does_not_fit_is_refused(
    scores: np.ndarray, candidates: list[list[int]], options: dict, said: str
) -> None:
    with pytest.raises(ShapeError, match=said):
        alignment_scores(scores, candidates, **options)
