"""Scores of tags for many weightings of the same clips at once: what a bootstrap needs.

A resample weights each clip by how often it was drawn. The numbers are those of scikit-learn with
these as `sample_weight`, ties included, found for all resamples together from one sort per class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedsdk.evaluation.clip_tags import ClipTags

SCORE_NAMES = ("auc", "average_precision", "f1")


def weighted_tag_scores(
    tags: ClipTags, weights: NDArray[np.int32]
) -> dict[str, NDArray[np.float64]]:
    """Scores every class under every weighting.

    Args:
        tags: of the clips.
        weights: [clips, R], how often each clip counts; all together below 2³¹.

    Returns:
        "auc", "average_precision" and "f1" (at the thresholds), float64 [R, C] each. NaN where no
        clip that counts holds the class, and for the AUC where all do.
    """
    shape = (weights.shape[1], len(tags.labels))
    found = {name: np.full(shape, np.nan) for name in SCORE_NAMES}
    exceeds = tags.probabilities > tags.thresholds.astype(tags.probabilities.dtype)
    for column in range(len(tags.labels)):
        known = np.flatnonzero(tags.known[:, column])
        own = weights if len(known) == len(weights) else weights[known]
        truth = tags.truth[known, column]
        found["auc"][:, column], found["average_precision"][:, column] = ranking_scores(
            tags.probabilities[known, column], truth, own
        )
        found["f1"][:, column] = f1_scores(exceeds[known, column], truth, own)
    return found


def ranking_scores(
    scores: NDArray[np.floating[Any]], truth: NDArray[np.bool_], weights: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the area under the ROC curve and the average precision: [R] each.

    With clips of equal score taken together, k running over the distinct scores from the highest
    down, TP_k and FP_k the weights of positive and negative clips down to k, P and N all of them,
    and Δ the step from k − 1 to k:

        AUC = Σ_k ΔTP_k (N − (FP_{k−1} + FP_k) / 2) / (P N)
        AP  = Σ_k ΔTP_k TP_k / (TP_k + FP_k) / P

    Args:
        scores: [clips].
        truth: [clips].
        weights: [clips, R].
    """
    if not truth.any():
        undefined = np.full(weights.shape[1], np.nan)
        return undefined, undefined
    order = np.argsort(-scores, kind="stable")
    ranked, truth = scores[order], truth[order]
    stops = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) + 1
    begins = np.append(0, stops[:-1])
    counts = np.logical_or.reduceat(truth, begins)  # where ΔTP is 0, nothing is added
    begins, stops = begins[counts], stops[counts]
    positive = np.flatnonzero(truth)

    drawn = weights[order]
    total = np.cumsum(drawn, axis=0, dtype=np.int32)  # [clips, R]
    found = total[stops - 1].astype(np.float64)  # TP_k + FP_k, [K, R]
    above = np.where((begins > 0)[:, None], total[begins - 1], 0)
    new = np.add.reduceat(drawn[positive], np.searchsorted(positive, begins), axis=0)
    right = np.cumsum(new, axis=0, dtype=np.float64)
    wrong, wrong_above = found - right, above - (right - new)
    n_positive = right[-1]
    n_negative = total[-1] - n_positive
    with np.errstate(invalid="ignore"):  # 0 / 0 where a class was not drawn
        auc = (new * (n_negative - (wrong + wrong_above) / 2)).sum(axis=0)
        auc = auc / (n_positive * n_negative)
        precision = right / np.where(found > 0, found, 1.0)
        average_precision = (new * precision).sum(axis=0) / n_positive
    return auc, average_precision


def f1_scores(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], weights: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Returns F1 = 2 TP / (found + positive): [R]; NaN where no clip that counts is positive.

    Args:
        found: [clips], above the threshold.
        truth: [clips].
        weights: [clips, R].
    """
    hits, n_found, n_positive = (
        weights[chosen].sum(axis=0, dtype=np.float64) for chosen in (found & truth, found, truth)
    )
    with np.errstate(invalid="ignore"):
        return np.where(n_positive > 0, 2 * hits / (n_found + n_positive), np.nan)
