"""Counts of errors and their intervals, against published and hand-worked numbers."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.training.judging.measures import (
    Edits,
    Share,
    bootstrap_rate,
    counted,
    edits,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_the_published_one(
    correct: int, total: int, low: float, high: float
) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500), st.data())
def test_wilson_interval_solves_the_score_equation(total: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(1, total))
    low, high = wilson_interval(correct, total)
    share = correct / total
    for bound in (low, high) if correct < total else (low,):
        assert abs(share - bound) / np.sqrt(bound * (1 - bound) / total) == pytest.approx(
            1.959964, rel=1e-6
        )
    mirrored = wilson_interval(total - correct, total)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)


def test_wilson_interval_of_nothing_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert np.isnan(Share(0, 0).value)
    assert Share(0, 0).as_dict()["share"] is None
    with pytest.raises(ShapeError, match="0 <= correct <= total"):
        wilson_interval(3, 2)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("kitten", "sitting", (2, 0, 1)),
        ("", "ab", (0, 0, 2)),
        ("ab", "", (0, 2, 0)),
        ("ab", "ab", (0, 0, 0)),
        # two substitutions or one deletion and one insertion: equally few, the former counts
        ("ab", "ba", (2, 0, 0)),
        ("abc", "bc", (0, 1, 0)),
        ("abcd", "acbd", (2, 0, 0)),
        # one deletion and one insertion where substituting all would take more
        ("xabcde", "abcdey", (0, 1, 1)),
    ],
)
def test_edits_by_hand(reference: str, hypothesis: str, counts: tuple[int, int, int]) -> None:
    found = edits(reference, hypothesis)
    assert (found.substitutions, found.deletions, found.insertions) == counts
    assert found.reference == len(reference)


@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_edits_are_the_best_of_all_alignments(reference: str, hypothesis: str) -> None:
    @cache
    def best(i: int, j: int) -> tuple[int, int, int, int]:
        """All edits, then minus the substitutions, deletions, insertions of what is left."""
        ways = []
        if i < len(reference) and j < len(hypothesis):
            total, s, d, n = best(i + 1, j + 1)
            differs = reference[i] != hypothesis[j]
            ways.append((total + differs, s - differs, d, n))
        if i < len(reference):
            total, s, d, n = best(i + 1, j)
            ways.append((total + 1, s, d + 1, n))
        if j < len(hypothesis):
            total, s, d, n = best(i, j + 1)
            ways.append((total + 1, s, d, n + 1))
        return min(ways, default=(0, 0, 0, 0))

    found = edits(reference, hypothesis)
    total, s, d, n = best(0, 0)
    assert (found.errors, found.substitutions, found.deletions, found.insertions) == (
        total,
        -s,
        d,
        n,
    )


def test_edits_add_up() -> None:
    total = Edits(10, 1, 2, 3) + Edits(5, 1, 0, 0)
    assert total == Edits(15, 2, 2, 3)
    assert total.rate == pytest.approx(7 / 15)
    assert Edits().as_dict()["rate"] is None


def test_bootstrap_of_two_files_reaches_from_one_to_the_other() -> None:
    # Both draws are the first file, or the second, with a chance of one in four each.
    files = [Edits(10, 1, 0, 0), Edits(10, 5, 0, 0)]
    assert bootstrap_rate(files) == pytest.approx((0.1, 0.5))
    weighted = [Edits(30, 3, 0, 0), Edits(10, 5, 0, 0), Edits(0, 0, 0, 4)]
    assert bootstrap_rate(weighted) == pytest.approx((0.1, 0.5))


def test_bootstrap_of_many_files_is_the_normal_interval() -> None:
    rates = np.random.default_rng(0).integers(0, 21, size=400)
    found = bootstrap_rate([Edits(20, int(errors), 0, 0) for errors in rates])
    assert found is not None
    half = 1.96 * rates.std() / np.sqrt(400) / 20
    middle = rates.mean() / 20
    assert found == pytest.approx((middle - half, middle + half), abs=0.15 * half)


def test_bootstrap_of_one_file_is_refused() -> None:
    assert bootstrap_rate([Edits(10, 1, 0, 0)]) is None
    assert bootstrap_rate([]) is None


def test_counted_pairs() -> None:
    pairs = counted(np.array([0, 0, 2]), np.array([1, 1, 0]), 3)
    assert pairs.tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]
