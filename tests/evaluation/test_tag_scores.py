"""Tag scores against scikit-learn, and what happens to classes that nothing is defined for."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation import best_f1_thresholds, tag_scores

LABELS = ("a", "b", "c")


def sample(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((80, 3)) < 0.3
    return np.clip(0.4 * truth + rng.random((80, 3)) * 0.7, 0, 1).astype(np.float32), truth


def test_class_means_are_scikit_learns() -> None:
    scores, truth = sample()
    limits = [0.4, 0.5, 0.6]
    result = tag_scores(scores, truth, LABELS, limits)
    found = scores > np.array(limits, dtype=np.float32)
    assert result.auc == pytest.approx(
        sklearn.metrics.roc_auc_score(truth, scores, average="macro")
    )
    assert result.mean_average_precision == pytest.approx(
        sklearn.metrics.average_precision_score(truth, scores, average="macro")
    )
    for name, metric in (
        ("f1", sklearn.metrics.f1_score),
        ("precision", sklearn.metrics.precision_score),
        ("recall", sklearn.metrics.recall_score),
    ):
        assert getattr(result, name) == pytest.approx(metric(truth, found, average="macro"))
        per_class = metric(truth, found, average=None)
        assert [getattr(s, name) for s in result.classes.values()] == pytest.approx(list(per_class))


def test_thresholds_may_be_a_number_or_a_mapping() -> None:
    scores, truth = sample()
    assert tag_scores(scores, truth, LABELS, 0.4) == tag_scores(
        scores, truth, LABELS, dict.fromkeys(LABELS, 0.4)
    )


def test_classes_without_positives_or_negatives_are_listed_and_left_out() -> None:
    scores, truth = sample()
    truth[:, 0], truth[:, 2] = False, True
    result = tag_scores(scores, truth, LABELS)
    assert result.without_positives == ("a",)
    assert result.without_negatives == ("c",)
    assert result.classes["a"].average_precision is None
    assert result.classes["c"].auc is None
    assert result.auc == pytest.approx(sklearn.metrics.roc_auc_score(truth[:, 1], scores[:, 1]))
    assert result.mean_average_precision == pytest.approx(
        (sklearn.metrics.average_precision_score(truth[:, 1], scores[:, 1]) + 1) / 2
    )


def test_nothing_to_find_at_all_is_none_and_not_nan() -> None:
    result = tag_scores(np.full((3, 3), 0.2), np.zeros((3, 3)), LABELS)
    assert (result.auc, result.mean_average_precision, result.f1) == (None, None, None)
    assert result.n_clips == 3


@settings(max_examples=150, deadline=None)
@given(
    arrays.arrays(np.float32, (12, 1), elements=st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 1])),
    arrays.arrays(np.bool_, (12, 1)),
)
def test_no_threshold_has_a_better_f1(scores: np.ndarray, truth: np.ndarray) -> None:
    threshold = best_f1_thresholds(scores, truth, ["a"], default=0.5)["a"]
    if not truth.any():
        assert threshold == 0.5
        return
    reached = sklearn.metrics.f1_score(truth, scores > np.float32(threshold), zero_division=0)
    best = max(
        sklearn.metrics.f1_score(truth, scores > np.float32(t), zero_division=0)
        for t in (0, 0.05, 0.2, 0.3, 0.6, 0.9)
    )
    assert reached == pytest.approx(best)


def test_the_threshold_lies_in_the_widest_of_equally_good_gaps() -> None:
    scores = np.array([[0.05], [0.2], [0.8], [0.9]])
    truth = np.array([[0], [0], [1], [1]])
    assert best_f1_thresholds(scores, truth, ["a"])["a"] == pytest.approx(0.5)


def test_neighbouring_floats_are_still_separated() -> None:
    one = np.float32(1)
    value = np.float32(0.5)
    for _ in range(2):  # halfway rounds down for one pair and up for the next
        value, above = np.nextafter(value, one), np.nextafter(np.nextafter(value, one), one)
        scores = np.array([[value], [above]], dtype=np.float32)
        threshold = best_f1_thresholds(scores, [[0], [1]], ["a"])
        assert tag_scores(scores, [[0], [1]], ["a"], threshold).f1 == 1.0


def test_mistakes_are_named() -> None:
    scores, truth = sample()
    with pytest.raises(DataError, match=r"\[clips, 2\]"):
        tag_scores(scores, truth, LABELS[:2])
    with pytest.raises(DataError, match="sigmoid"):
        tag_scores(scores * 3, truth, LABELS)
    with pytest.raises(DataError, match="sigmoid"):
        tag_scores(np.full((80, 3), np.nan), truth, LABELS)
    with pytest.raises(DataError, match="present"):
        tag_scores(scores, truth * 2.0, LABELS)
    with pytest.raises(ConfigError, match="no value for c"):
        tag_scores(scores, truth, LABELS, {"a": 0.5, "b": 0.5})
    with pytest.raises(ConfigError, match='the class "x"'):
        tag_scores(scores, truth, LABELS, {"x": 0.5})
    with pytest.raises(ConfigError, match="one per class"):
        tag_scores(scores, truth, LABELS, [0.5, 0.5])
