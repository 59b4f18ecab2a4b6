"""Bootstrap intervals against closed forms: quantiles of a binomial, and of nothing that varies."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation import EventCounts, bootstrap_intervals
from sedsdk.evaluation import bootstrap as bootstrap_module

LABELS = ("babycry", "gunshot")


def counts_of(hits: np.ndarray) -> EventCounts:
    """Clips with one reference event per class, found where `hits` is 1, without false alarms."""
    hits = np.asarray(hits, dtype=np.int64)
    clip_ids = tuple(f"c{index}" for index in range(len(hits)))
    return EventCounts(clip_ids, LABELS, np.ones_like(hits), hits.copy(), hits)


def test_error_rate_interval_is_the_binomials() -> None:
    n = 200
    hits = np.zeros((n, 2))
    hits[:160, 0] = hits[:100, 1] = 1
    intervals = bootstrap_intervals(counts_of(hits), resamples=4000, seed=1)
    for label, missed in (("babycry", 0.2), ("gunshot", 0.5)):
        low, high = scipy.stats.binom.ppf([0.025, 0.975], n, missed) / n
        assert intervals.error_rate[label].low == pytest.approx(low, abs=0.01)
        assert intervals.error_rate[label].high == pytest.approx(high, abs=0.01)
    assert (intervals.unit, intervals.n_units) == ("clip", n)


def test_groups_are_drawn_whole() -> None:
    hits = np.repeat(np.array([[1, 1]] * 10 + [[0, 0]] * 10), 10, axis=0)
    counts = counts_of(hits)
    groups = {clip_id: f"g{index // 10}" for index, clip_id in enumerate(counts.clip_ids)}
    intervals = bootstrap_intervals(counts, groups=groups, resamples=4000)
    low, high = scipy.stats.binom.ppf([0.025, 0.975], 20, 0.5) / 20
    assert intervals.average_error_rate.low == pytest.approx(low, abs=0.02)
    assert intervals.average_error_rate.high == pytest.approx(high, abs=0.02)
    assert (intervals.unit, intervals.n_units) == ("group", 20)


def test_what_does_not_vary_has_no_width() -> None:
    intervals = bootstrap_intervals(counts_of(np.ones((7, 2))), resamples=50)
    assert (intervals.average_error_rate.low, intervals.average_error_rate.high) == (0.0, 0.0)
    assert (intervals.average_f1.low, intervals.average_f1.high) == (1.0, 1.0)


def test_nothing_to_find_is_defined_in_every_draw() -> None:
    nothing = np.zeros((3, 2), dtype=np.int64)
    extra = nothing.copy()
    extra[0, 0] = 1
    intervals = bootstrap_intervals(
        EventCounts(("a", "b", "c"), LABELS, nothing, extra, nothing), resamples=200
    )
    assert intervals.error_rate["gunshot"].high == 0.0
    assert intervals.f1["gunshot"].low == 1.0
    assert intervals.error_rate["babycry"].low == 0.0
    assert intervals.error_rate["babycry"].high >= 2.0
    assert (intervals.f1["babycry"].low, intervals.f1["babycry"].high) == (0.0, 1.0)


def test_own_clips_only() -> None:
    hits = np.array([[1, 0]] * 5 + [[1, 0]] * 5)  # babycry found everywhere, gunshot nowhere
    hits[:5, 0] = 0
    counts = counts_of(hits)
    made_for = {clip: LABELS[index // 5] for index, clip in enumerate(counts.clip_ids)}
    intervals = bootstrap_intervals(counts, clip_class=made_for, resamples=100)
    # Drawn clips may all be of one class; then nothing is asked of the other, and ER is 0 there.
    assert intervals.error_rate["babycry"].high == 1.0
    assert intervals.error_rate["babycry"].low == 1.0
    assert intervals.f1["babycry"].high == 0.0


def test_seed_decides_and_blocks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counts_of(np.random.default_rng(0).integers(0, 2, (30, 2)))
    one = bootstrap_intervals(counts, resamples=300, seed=5)
    assert one != bootstrap_intervals(counts, resamples=300, seed=6)
    monkeypatch.setattr(bootstrap_module, "BLOCK_VALUES", 1000)
    assert one == bootstrap_intervals(counts, resamples=300, seed=5)


def test_mistakes_are_named() -> None:
    counts = counts_of(np.ones((2, 2)))
    with pytest.raises(ConfigError, match="resamples"):
        bootstrap_intervals(counts, resamples=0)
    with pytest.raises(ConfigError, match="confidence"):
        bootstrap_intervals(counts, confidence=95)
    with pytest.raises(DataError, match='"c1"'):
        bootstrap_intervals(counts, groups={"c0": "g"})
    with pytest.raises(DataError, match='"c1"'):
        bootstrap_intervals(counts, clip_class={"c0": "gunshot"})
    with pytest.raises(DataError, match="no clips"):
        bootstrap_intervals(counts_of(np.ones((0, 2))))
