"""Weighted AUC, average precision and F1 against scikit-learn's `sample_weight`, ties included."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sedsdk.evaluation.weighted_tags import f1_scores, ranking_scores

CLIPS = 14


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(np.float32, CLIPS, elements=st.sampled_from([0, 0.1, 0.25, 0.5, 0.5001, 1])),
    arrays.arrays(np.bool_, CLIPS),
    arrays.arrays(np.int32, (CLIPS, 3), elements=st.integers(0, 4)),
)
def test_every_weighting_is_scikit_learns(scores, truth, weights):
    auc, precision = ranking_scores(scores, truth, weights)
    f1 = f1_scores(scores > 0.25, truth, weights)
    for column in range(weights.shape[1]):
        weight = weights[:, column]
        counts = weight[truth].sum(), weight[~truth].sum()
        if not counts[0]:
            assert np.isnan([auc[column], precision[column], f1[column]]).all()
            continue
        expected = sklearn.metrics.average_precision_score(truth, scores, sample_weight=weight)
        assert precision[column] == pytest.approx(expected, abs=1e-12)
        assert f1[column] == pytest.approx(
            sklearn.metrics.f1_score(truth, scores > 0.25, sample_weight=weight), abs=1e-12
        )
        if not counts[1]:
            assert np.isnan(auc[column])
            continue
        expected = sklearn.metrics.roc_auc_score(truth, scores, sample_weight=weight)
        assert auc[column] == pytest.approx(expected, abs=1e-12)


def test_drawing_a_clip_twice_is_having_it_twice():
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.2
    scores = np.round(0.2 * truth + rng.random(300), 2).astype(np.float32)
    often = rng.multinomial(300, np.full(300, 1 / 300), 20).astype(np.int32)
    auc, precision = ranking_scores(scores, truth, often.T)
    for draw, times in enumerate(often):
        there, held = np.repeat(scores, times), np.repeat(truth, times)
        assert auc[draw] == pytest.approx(sklearn.metrics.roc_auc_score(held, there), abs=1e-12)
        assert precision[draw] == pytest.approx(
            sklearn.metrics.average_precision_score(held, there), abs=1e-12
        )
