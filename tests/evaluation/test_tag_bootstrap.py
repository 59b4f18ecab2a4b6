"""Resampled tag scores: against scikit-learn on the drawn clips, one resample at a time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation import (
    ClipTags,
    resample_tag_runs,
    tag_intervals,
    tag_scores_of_runs,
)
from sedsdk.evaluation import tag_bootstrap as module

LABELS = ("babycry", "gunshot", "dogbark")
RESAMPLES = 30
METRICS = {
    "auc": sklearn.metrics.roc_auc_score,
    "average_precision": sklearn.metrics.average_precision_score,
}


def random_tags(rng: np.random.Generator, truth: np.ndarray, grouped: bool = True) -> ClipTags:
    """Clips in groups of three, probabilities with ties, the last class held by few."""
    n = len(truth)
    ids = tuple(f"c{index}" for index in range(n))
    scores = np.round(np.clip(0.3 * truth + 0.7 * rng.random(truth.shape), 0, 1), 1)
    return ClipTags(
        ids,
        {clip: f"g{index // 3:02}" for index, clip in enumerate(ids)} if grouped else None,
        LABELS,
        scores.astype(np.float32),
        truth,
        np.ones(truth.shape, bool),
        np.array([0.4, 0.5, 0.6]),
    )


def some_truth(n: int = 24) -> np.ndarray:
    truth = np.random.default_rng(4).random((n, 3)) < 0.4
    truth[:, 2] = False
    truth[[1, 2], 2] = True  # both in group 0: most resamples hold it, some do not
    return truth


def plain_scores(run: ClipTags, clips: list[int]) -> dict[str, list[float]]:
    """scikit-learn's scores of a list of clips, which may repeat some; NaN where not defined."""
    truth, scores = run.truth[clips], run.probabilities[clips]
    found = scores > run.thresholds.astype(np.float32)
    values: dict[str, list[float]] = {"auc": [], "average_precision": [], "f1": []}
    for column in range(len(LABELS)):
        held = truth[:, column]
        for name, metric in METRICS.items():
            defined = held.any() and (name != "auc" or not held.all())
            values[name].append(metric(held, scores[:, column]) if defined else np.nan)
        values["f1"].append(
            sklearn.metrics.f1_score(held, found[:, column]) if held.any() else np.nan
        )
    return values


@pytest.mark.parametrize("block", [1, 1 << 18])
def test_every_draw_is_scikit_learns_of_the_drawn_clips(monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK_VALUES", block)
    monkeypatch.setattr(module, "SMALLEST_BLOCK", 7)
    rng, truth = np.random.default_rng(3), some_truth()
    detectors = [[random_tags(rng, truth) for _ in range(seeds)] for seeds in (3, 2)]
    drawn = resample_tag_runs(detectors, resamples=RESAMPLES, seed=7)

    often = np.random.default_rng(7).multinomial(8, [1 / 8] * 8, RESAMPLES)
    left_out = 0
    for index, runs in enumerate(detectors):
        trained = np.random.default_rng([7, 1 + index]).multinomial(
            len(runs), [1 / len(runs)] * len(runs), RESAMPLES
        )
        for draw in range(RESAMPLES):
            clips = [
                clip
                for group, times in enumerate(often[draw])
                for clip in list(range(3 * group, 3 * group + 3)) * int(times)
            ]
            plain = [plain_scores(run, clips) for run in runs]
            chosen = [
                one for one, times in zip(plain, trained[draw], strict=True) for _ in range(times)
            ]
            for name in ("auc", "average_precision", "f1"):
                values = np.array([one[name] for one in chosen])  # [S, C]
                left_out += np.isnan(values[:, 2]).any()
                np.testing.assert_allclose(
                    drawn[index].classes[name][draw], values.mean(axis=0), atol=1e-12
                )
                means = [np.mean([v for v in row if not np.isnan(v)]) for row in values]
                assert drawn[index].means[name][draw] == pytest.approx(np.mean(means), abs=1e-12)
    assert left_out > 20  # resamples without the last class were among them


def test_scores_of_trainings_are_those_of_all_their_clips():
    rng, truth = np.random.default_rng(5), some_truth()
    runs = [random_tags(rng, truth) for _ in range(4)]
    scores = tag_scores_of_runs(runs)
    for row, run in enumerate(runs):
        report = run.scores()
        assert scores.means["auc"][row] == pytest.approx(report.auc, abs=1e-12)
        assert scores.means["average_precision"][row] == pytest.approx(
            report.mean_average_precision, abs=1e-12
        )
        assert scores.means["f1"][row] == pytest.approx(report.f1, abs=1e-12)
        for column, score in enumerate(report.classes.values()):
            assert scores.classes["auc"][row, column] == pytest.approx(score.auc, abs=1e-12)


def test_a_difference_leaves_out_how_hard_the_clips_are():
    rng = np.random.default_rng(0)
    truth = rng.random((200, 3)) < 0.5
    plain = random_tags(rng, truth, grouped=False)
    better = np.where(truth, plain.probabilities + 0.02, plain.probabilities).clip(0, 1)
    other = ClipTags(**{**vars(plain), "probabilities": better.astype(np.float32)})
    first, second = resample_tag_runs([[plain], [other]], resamples=1000)
    difference = second.means["auc"] - first.means["auc"]
    assert (difference > 0).all()
    apart = np.var(first.means["auc"]) + np.var(second.means["auc"])
    assert np.var(difference) < 0.2 * apart


def test_the_interval_of_a_recall_like_f1_is_the_binomials():
    """One class in every clip, found in 70 of 100: F1 = 2 h / (h + n) of binomial h."""
    found = np.zeros((100, 1), np.float32)
    found[:70] = 0.9
    ids = tuple(f"c{index:03}" for index in range(100))
    held = np.ones((100, 1), bool)
    tags = ClipTags(ids, None, ("a",), found, held, held, np.array([0.5]))
    intervals = tag_intervals(tags, resamples=4000)
    hits = scipy.stats.binom.ppf([0.025, 0.975], 100, 0.7)
    low, high = 2 * hits / (hits + 100)
    assert intervals.f1.low == pytest.approx(low, abs=0.012)
    assert intervals.f1.high == pytest.approx(high, abs=0.012)
    assert (intervals.auc, intervals.classes["a"]["auc"]) == (None, None)  # no negative clip
    assert (intervals.n_units, intervals.unit) == (100, "clip")


def test_clips_without_labels_are_not_drawn():
    rng = np.random.default_rng(1)
    whole = random_tags(rng, some_truth())
    known = whole.known.copy()
    known[12:] = False
    half = ClipTags(**{**vars(whole), "known": known})
    alone = half.known_clips()
    assert len(alone.clip_ids) == 12
    assert tag_intervals(half, resamples=50) == tag_intervals(alone, resamples=50)
    assert tag_intervals(half, resamples=50).n_units == 4


def test_mistakes_are_named():
    tags = random_tags(np.random.default_rng(0), some_truth())
    with pytest.raises(ConfigError, match="resamples"):
        resample_tag_runs([[tags]], resamples=0)
    with pytest.raises(ConfigError, match="confidence"):
        tag_intervals(tags, confidence=1.0)
    with pytest.raises(DataError, match="no finished training"):
        resample_tag_runs([[tags], []])
    other = ClipTags(**{**vars(tags), "labels": ("a", "b", "c")})
    with pytest.raises(DataError, match="a, b, c"):
        tag_scores_of_runs([tags, other])
    nothing = ClipTags(**{**vars(tags), "known": np.zeros_like(tags.known)})
    with pytest.raises(DataError, match="no clips to draw from"):
        tag_intervals(nothing)
