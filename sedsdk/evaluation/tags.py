"""Scores of clip probabilities (tags): class means of ROC AUC, average precision, F1 and the rest.

The numbers are scikit-learn's. A class that a number is not defined for is left out of that
number's mean and listed; nothing is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sedsdk.errors import ConfigError, DataError, did_you_mean, missing_dependency

Thresholds = float | Mapping[str, float] | Sequence[float]
"""One threshold for all classes, or one per class by label or in the order of the labels."""

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class TagScore:
    """Scores of one class.

    Attributes:
        auc: area under the ROC curve; None unless the class has positive and negative clips.
        average_precision: None for a class without positive clips.
        f1: at the threshold; None for a class without positive clips.
        precision: at the threshold, 0 if nothing exceeds it; None like f1.
        recall: at the threshold; None like f1.
        threshold: a clip is positive if its probability is strictly greater.
        n_positive: clips that hold the class.
        n_found: clips whose probability exceeds the threshold.
    """

    auc: float | None
    average_precision: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    threshold: float
    n_positive: int
    n_found: int


@dataclass(frozen=True)
class TagScores:
    """Scores per class and their plain means over the classes that have them.

    Attributes:
        classes: score per label, in the order of the labels.
        auc: class mean, None if no class has it; so for the others.
        mean_average_precision: class mean (mAP).
        f1: class mean.
        precision: class mean.
        recall: class mean.
        without_positives: classes left out of every mean, because no clip holds them.
        without_negatives: classes left out of the mean AUC, because every clip holds them.
        n_clips: clips scored.
    """

    classes: dict[str, TagScore]
    auc: float | None
    mean_average_precision: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    without_positives: tuple[str, ...]
    without_negatives: tuple[str, ...]
    n_clips: int

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return asdict(self)


def tag_scores(
    probabilities: ArrayLike,
    present: ArrayLike,
    labels: Sequence[str],
    thresholds: Thresholds = DEFAULT_THRESHOLD,
) -> TagScores:
    """Scores clip probabilities against what the clips hold.

    Args:
        probabilities: floating [clips, C] in [0, 1].
        present: bool or 0/1 [clips, C], true where the clip holds the class.
        labels: C class names.
        thresholds: what a probability has to exceed, strictly, in the probabilities' own type.

    Raises:
        ConfigError: the thresholds do not fit the labels.
        DataError: shapes do not fit, or a value is out of its range.
        MissingDependency: scikit-learn is not installed.
    """
    scores, truth = _checked(probabilities, present, labels)
    limits = thresholds_of_classes(thresholds, labels)
    found = scores > limits.astype(scores.dtype)
    metrics = _import_metrics()
    classes: dict[str, TagScore] = {}
    for column, label in enumerate(labels):
        classes[label] = _class_score(
            metrics, scores[:, column], truth[:, column], found[:, column], float(limits[column])
        )
    positives = truth.sum(axis=0)
    return TagScores(
        classes=classes,
        auc=_mean([score.auc for score in classes.values()]),
        mean_average_precision=_mean([score.average_precision for score in classes.values()]),
        f1=_mean([score.f1 for score in classes.values()]),
        precision=_mean([score.precision for score in classes.values()]),
        recall=_mean([score.recall for score in classes.values()]),
        without_positives=tuple(
            label for label, n in zip(labels, positives, strict=True) if n == 0
        ),
        without_negatives=tuple(
            label for label, n in zip(labels, positives, strict=True) if n == len(truth)
        ),
        n_clips=len(truth),
    )


def best_f1_thresholds(
    probabilities: ArrayLike,
    present: ArrayLike,
    labels: Sequence[str],
    default: float = DEFAULT_THRESHOLD,
) -> dict[str, float]:
    """Returns, per class, the threshold with the best F1 on these (validation) clips.

    Candidates lie halfway between neighbouring distinct probabilities, and halfway between 0 and
    the smallest; of equally good ones, the one in the widest gap is taken, since it moves least
    when the recordings change. A class without positive clips keeps `default`.

    Args:
        probabilities: floating [clips, C] in [0, 1].
        present: bool or 0/1 [clips, C].
        labels: C class names.
        default: threshold where nothing can be fitted.

    Raises:
        DataError: shapes do not fit, or a value is out of its range.
    """
    scores, truth = _checked(probabilities, present, labels)
    return {
        label: _best_f1_threshold(scores[:, column], truth[:, column])
        if truth[:, column].any()
        else default
        for column, label in enumerate(labels)
    }


def _best_f1_threshold(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    values, hits = scores[order], np.cumsum(truth[order])
    last_of_value = np.append(values[1:] != values[:-1], True)
    upper, hits = values[last_of_value], hits[last_of_value]
    n_found = np.flatnonzero(last_of_value) + 1
    lower = np.append(upper[1:], 0).astype(upper.dtype)
    usable = upper > lower  # a probability of 0 exceeds no threshold
    if not usable.any():
        return 0.0
    f1 = 2.0 * hits[usable] / (n_found[usable] + truth.sum())
    upper, lower = upper[usable], lower[usable]
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    chosen = best[np.argmax((upper - lower)[best])]
    middle = scores.dtype.type(lower[chosen] + (upper[chosen] - lower[chosen]) / 2)
    return float(middle if middle < upper[chosen] else lower[chosen])


def _class_score(
    metrics: ModuleType,
    scores: NDArray[np.floating],
    truth: NDArray[np.bool_],
    found: NDArray[np.bool_],
    threshold: float,
) -> TagScore:
    n_positive = int(truth.sum())
    n_found = int(found.sum())
    if not n_positive:
        return TagScore(None, None, None, None, None, threshold, 0, n_found)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, found, average="binary", zero_division=0
    )
    return TagScore(
        auc=float(metrics.roc_auc_score(truth, scores)) if n_positive < len(truth) else None,
        average_precision=float(metrics.average_precision_score(truth, scores)),
        f1=float(f1),
        precision=float(precision),
        recall=float(recall),
        threshold=threshold,
        n_positive=n_positive,
        n_found=n_found,
    )


def _checked(
    probabilities: ArrayLike, present: ArrayLike, labels: Sequence[str]
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    scores = np.asarray(probabilities)
    truth = np.asarray(present)
    if scores.ndim != 2 or scores.shape != truth.shape or scores.shape[1] != len(labels):
        raise DataError(
            f"probabilities and present must both be [clips, {len(labels)}], "
            f"got {scores.shape} and {truth.shape}."
        )
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise DataError("probabilities must lie in [0, 1]; apply the sigmoid, and look for NaN.")
    if not np.isin(truth, (0, 1)).all():
        raise DataError("present must hold true and false, or 1 and 0, only.")
    return scores, truth.astype(bool)


def thresholds_of_classes(thresholds: Thresholds, labels: Sequence[str]) -> NDArray[np.float64]:
    """Returns a threshold for every label: float64 [C].

    Raises:
        ConfigError: the thresholds do not fit the labels.
    """
    if isinstance(thresholds, Mapping):
        for label in thresholds:
            if label not in labels:
                raise ConfigError(
                    f'thresholds name the class "{label}".{did_you_mean(label, labels)} '
                    f"Classes: {', '.join(labels)}."
                )
        if missing := [label for label in labels if label not in thresholds]:
            raise ConfigError(f"thresholds give no value for {', '.join(missing)}.")
        return np.array([float(thresholds[label]) for label in labels])
    values = np.asarray(thresholds, dtype=np.float64)
    if values.shape not in ((), (len(labels),)):
        raise ConfigError(
            f"thresholds must be one number or one per class ({len(labels)}), "
            f"got shape {values.shape}."
        )
    limits: NDArray[np.float64] = np.broadcast_to(values, (len(labels),)).copy()
    return limits


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _import_metrics() -> ModuleType:
    try:
        import sklearn.metrics
    except ModuleNotFoundError as error:
        raise missing_dependency("sklearn", "scoring tags", "train") from error
    metrics: ModuleType = sklearn.metrics
    return metrics
