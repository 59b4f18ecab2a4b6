"""Resampled trainings and differences: against plain loops, closed forms, and sed_eval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation import EventCounts, Report
from sedsdk.evaluation.clip_counts import ClipCounts, UnitCounts, read_clip_counts
from sedsdk.evaluation.run_bootstrap import beside, resample_runs, scores_of_runs
from sedsdk.types import ClipPrediction, Event, FrameGrid

LABELS = ("babycry", "gunshot")
RESAMPLES = 40


def random_counts(generator: np.random.Generator, clips: int = 12) -> ClipCounts:
    """Mixtures of two classes in turn, in groups of three, with random hits and false alarms."""
    ids = tuple(f"c{index}" for index in range(clips))
    n_ref = generator.integers(0, 2, (clips, 2))
    hits = n_ref * generator.integers(0, 2, (clips, 2))
    n_sys = hits + generator.integers(0, 2, (clips, 2))
    return ClipCounts(
        EventCounts(ids, LABELS, n_ref, n_sys, hits),
        {clip_id: f"g{index // 3}" for index, clip_id in enumerate(ids)},
        {clip_id: LABELS[index % 2] for index, clip_id in enumerate(ids)},
        0.5,
    )


def plain_rates(counts: ClipCounts, clip_ids: list[str]) -> tuple[list[float], list[float]]:
    """ER and F1 of a list of clips, which may repeat some, added up one by one."""
    rates, f1 = [], []
    for column, label in enumerate(LABELS):
        n_ref = n_sys = hits = 0
        for clip_id in clip_ids:
            if counts.made_for[clip_id] == label:
                row = counts.counts.clip_ids.index(clip_id)
                n_ref += int(counts.counts.n_ref[row, column])
                n_sys += int(counts.counts.n_sys[row, column])
                hits += int(counts.counts.hits[row, column])
        rates.append((n_ref - hits + n_sys - hits) / max(1, n_ref))
        f1.append(2 * hits / (n_ref + n_sys) if n_ref + n_sys else 1.0)
    return rates, f1


def test_every_draw_is_what_a_plain_loop_adds_up() -> None:
    generator = np.random.default_rng(3)
    detectors = [[random_counts(generator) for _ in range(seeds)] for seeds in (3, 2)]
    drawn = resample_runs(
        [[run.by_unit() for run in runs] for runs in detectors], resamples=RESAMPLES, seed=7
    )

    groups = ["g0", "g1", "g2", "g3"]
    often = np.random.default_rng(7).multinomial(4, [0.25] * 4, RESAMPLES)
    for index, runs in enumerate(detectors):
        trained = np.random.default_rng([7, 1 + index]).multinomial(
            len(runs), [1 / len(runs)] * len(runs), RESAMPLES
        )
        for draw in range(RESAMPLES):
            rates, f1 = [], []
            for run, times_trained in zip(runs, trained[draw], strict=True):
                clips = [
                    clip_id
                    for group, times in zip(groups, often[draw], strict=True)
                    for clip_id in list(run.groups) * int(times)
                    if run.groups[clip_id] == group
                ]
                for _ in range(int(times_trained)):
                    one = plain_rates(run, clips)
                    rates.append(one[0])
                    f1.append(one[1])
            np.testing.assert_allclose(drawn[index].error_rate[draw], np.mean(rates, axis=0))
            np.testing.assert_allclose(drawn[index].f1[draw], np.mean(f1, axis=0))


def test_scores_of_trainings_are_those_of_all_their_clips() -> None:
    generator = np.random.default_rng(5)
    runs = [random_counts(generator) for _ in range(4)]
    scores = scores_of_runs([run.by_unit() for run in runs])
    for row, run in enumerate(runs):
        rates, f1 = plain_rates(run, list(run.counts.clip_ids))
        np.testing.assert_allclose(scores.error_rate[row], rates)
        np.testing.assert_allclose(scores.f1[row], f1)


def found(hits: np.ndarray, labels: tuple[str, ...] = ("gunshot",)) -> UnitCounts:
    """One clip a unit with one event, found where `hits` is 1, without false alarms."""
    hits = np.asarray(hits, dtype=np.int64).reshape(-1, len(labels))
    table = np.stack([np.ones_like(hits), hits, hits], axis=-1)
    return UnitCounts(tuple(f"u{index:03}" for index in range(len(hits))), labels, table)


def test_the_interval_of_one_training_is_the_binomials() -> None:
    n, missed = 200, 0.3
    hits = np.ones(n)
    hits[: round(n * missed)] = 0
    (drawn,) = resample_runs([[found(hits)]], resamples=4000)
    low, high = scipy.stats.binom.ppf([0.025, 0.975], n, missed) / n
    assert np.quantile(drawn.error_rate, [0.025, 0.975]) == pytest.approx([low, high], abs=0.01)


def test_a_difference_leaves_out_how_hard_the_clips_are() -> None:
    hits = np.random.default_rng(0).integers(0, 2, 100)
    hits[:10] = 0
    better = hits.copy()
    better[:10] = 1  # the same clips are right, and ten more
    first, second = resample_runs([[found(hits)], [found(better)]], resamples=2000)
    difference = (second.error_rate - first.error_rate)[:, 0]
    low, high = -scipy.stats.binom.ppf([0.975, 0.025], 100, 0.1) / 100
    assert np.quantile(difference, [0.025, 0.975]) == pytest.approx([low, high], abs=0.011)
    apart = np.var(first.error_rate) + np.var(second.error_rate)
    assert np.var(difference) < 0.3 * apart


def test_trainings_are_drawn_too() -> None:
    alike, apart = np.full(50, 1), np.full(50, 0)
    (drawn,) = resample_runs([[found(alike), found(apart)]], resamples=4000)
    # Every clip is the same, so only the share of drawn trainings varies: 0, 1/2 or 1.
    shares = [float(np.mean(drawn.error_rate[:, 0] == rate)) for rate in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_models_of_one_class_each_make_one_detector() -> None:
    first, second = found([1, 0, 1]), found([0, 0], ("babycry",))
    joined = beside([first, second])
    assert joined.labels == ("gunshot", "babycry")
    assert joined.units == ("u000", "u001", "u002")
    assert joined.table[:, 0].tolist() == first.table[:, 0].tolist()
    assert joined.table[:, 1].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    scores = scores_of_runs([joined])
    assert scores.error_rate[0] == pytest.approx([1 / 3, 1.0])
    with pytest.raises(DataError, match='the class "gunshot" is counted by two models'):
        beside([first, first])


def test_groups_that_only_name_the_class_are_no_units() -> None:
    counts = random_counts(np.random.default_rng(1))
    assert counts.unit == "recording group"
    assert counts.by_unit().units == ("g0", "g1", "g2", "g3")
    classes = ClipCounts(counts.counts, counts.made_for, counts.made_for, 0.5)
    assert classes.unit == "clip"
    assert classes.by_unit().units == counts.counts.clip_ids


def test_a_report_leaves_counts_that_give_its_error_rates(tmp_path: Path) -> None:
    grid = FrameGrid(0.1, 0.05)

    def clip(*events: Event) -> ClipPrediction:
        frames = np.full((100, 2), 0.1, dtype=np.float32)
        return ClipPrediction(LABELS, np.array([0.5, 0.5]), frames, grid, events=events)

    reference = {
        "a": [Event(1.0, 2.0, "babycry")],
        "b": [Event(3.0, 4.0, "gunshot")],
        "c": [],
        "é": [Event(5.0, 6.0, "gunshot")],
    }
    predictions = {
        "a": clip(Event(1.2, 2.0, "babycry"), Event(8.0, 8.5, "gunshot")),
        "b": clip(Event(3.9, 4.0, "gunshot")),
        "c": clip(Event(2.0, 2.5, "gunshot")),
        "é": clip(Event(5.1, 6.0, "gunshot")),
    }
    made_for = {"a": "babycry", "b": "gunshot", "c": "gunshot", "é": "gunshot"}
    groups = {"a": "x", "b": "x", "c": "y", "é": "y"}
    for clip_class in (made_for, None):
        for known in (groups, None):
            report = Report.build(
                predictions, reference, clip_class=clip_class, groups=known, resamples=5
            )
            folder = report.write(tmp_path / "scores")
            counts = read_clip_counts(folder / "counts.json")
            assert (counts.groups, counts.made_for, counts.collar) == (known, clip_class, 0.5)
            scores = scores_of_runs([counts.by_unit()])
            for column, label in enumerate(LABELS):
                score = report.onset.classes[label]
                assert scores.error_rate[0, column] == pytest.approx(score.error_rate)
                assert scores.f1[0, column] == pytest.approx(score.f1)
    assert json.loads((folder / "counts.json").read_text(encoding="utf-8"))["clips"][3]["hits"] == [
        0,
        1,
    ]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="resamples"):
        resample_runs([[found([1])]], resamples=0)
    with pytest.raises(DataError, match="no finished training"):
        resample_runs([[found([1])], []])
    with pytest.raises(DataError, match="babycry"):
        resample_runs([[found([1]), found([1], ("babycry",))]])
    with pytest.raises(DataError, match="score the detector again"):
        read_clip_counts(tmp_path / "counts.json")
    (tmp_path / "counts.json").write_text('{"format": "other"}', encoding="utf-8")
    with pytest.raises(DataError, match="does not hold counts"):
        read_clip_counts(tmp_path / "counts.json")
