"""Intervals of tag scores, over several trainings and of the difference between two detectors.

Drawn as in `sedsdk.evaluation.run_bootstrap`: whole recording groups, the same ones for every
training and every detector, and the trainings of each detector. The means are formed in every
resample. A class that a resample gives no positive clip is left out of that resample's means (and
of its mean AUC, too, if there is no negative one); its own interval is of the resamples that have
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation.bootstrap import Interval, check_resampling, percentile_interval
from sedsdk.evaluation.clip_tags import ClipTags
from sedsdk.evaluation.weighted_tags import SCORE_NAMES, weighted_tag_scores

BLOCK_VALUES = 1 << 18
"""Weights of clips that are worked on at a time: they fit a processor's cache."""
SMALLEST_BLOCK = 16


@dataclass(frozen=True)
class TagRunScores:
    """Scores per class and class means; of several trainings, or of several resamples.

    Attributes:
        labels: class names, in the order of the columns.
        classes: "auc", "average_precision" and "f1" → float64 [rows, C]; NaN is not defined.
        means: the same names → float64 [rows], mean over the classes that are defined.
    """

    labels: tuple[str, ...]
    classes: dict[str, NDArray[np.float64]]
    means: dict[str, NDArray[np.float64]]


def tag_scores_of_runs(runs: Sequence[ClipTags]) -> TagRunScores:
    """Returns the scores of every training: a row each.

    Raises:
        DataError: there is no training, or classes differ.
    """
    labels = _labels(runs)
    found = [weighted_tag_scores(run, np.ones((len(run.clip_ids), 1), np.int32)) for run in runs]
    classes = {name: np.concatenate([one[name] for one in found]) for name in SCORE_NAMES}
    return TagRunScores(
        labels, classes, {name: mean_of_defined(values, 1) for name, values in classes.items()}
    )


def resample_tag_runs(
    detectors: Sequence[Sequence[ClipTags]], *, resamples: int = 1000, seed: int = 0
) -> list[TagRunScores]:
    """Draws recording groups and trainings with replacement and scores every draw.

    Args:
        detectors: the trainings of each detector, all tested on the same classes. The groups of
            all of them are drawn together, so that row r of every result is of the same draw.
        resamples: at least 1.
        seed: the same seed gives the same draws, which are those of `resample_runs`.

    Returns:
        Per detector the mean over the drawn trainings, a row per resample.

    Raises:
        ConfigError: resamples is below 1.
        DataError: a detector has no training, there are no clips, or classes differ.
    """
    if resamples < 1:
        raise ConfigError(f"resamples must be at least 1, got {resamples}.")
    labels = [_labels(runs) for runs in detectors]
    every = [run.known_clips() for runs in detectors for run in runs]
    units = sorted({unit for run in every for unit in run.units})
    if not units:
        raise DataError("there are no clips to draw from. Give at least one.")
    row_of = {unit: row for row, unit in enumerate(units)}
    rows = [np.array([row_of[unit] for unit in run.units], dtype=np.intp) for run in every]
    drawn: list[list[dict[str, NDArray[np.float64]]]] = [[] for _ in every]
    generator = np.random.default_rng(seed)
    even = np.full(len(units), 1 / len(units))
    block = max(SMALLEST_BLOCK, BLOCK_VALUES // max(len(units), *map(len, rows)))
    for begin in range(0, resamples, block):
        often = generator.multinomial(len(units), even, min(block, resamples - begin))
        weights = np.ascontiguousarray(often.T, dtype=np.int32)  # [units, block]
        for place, run in enumerate(every):
            drawn[place].append(weighted_tag_scores(run, weights[rows[place]]))
    results, first = [], 0
    for index, runs in enumerate(detectors):
        own = drawn[first : first + len(runs)]
        first += len(runs)
        stacked = {  # [S, R, C]
            name: np.stack([np.concatenate([part[name] for part in parts]) for parts in own])
            for name in SCORE_NAMES
        }
        trained = np.random.default_rng([seed, 1 + index])
        shares = trained.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), resamples)
        results.append(
            TagRunScores(
                labels[index],
                {name: _over_trainings(stacked[name], shares) for name in SCORE_NAMES},
                {
                    name: _over_trainings(mean_of_defined(stacked[name], 2), shares)
                    for name in SCORE_NAMES
                },
            )
        )
    return results


@dataclass(frozen=True)
class TagIntervals:
    """Intervals of one test's tag scores; None where no resample defines a score.

    Attributes:
        classes: label → "auc", "average_precision" and "f1" → interval.
        auc: of the class mean.
        mean_average_precision: the same.
        f1: the same.
        confidence: probability content, such as 0.95.
        resamples: how many were drawn.
        n_units: how many clips, or groups, were resampled; below some ten, distrust the interval.
        unit: "clip" or "group".
        seed: that the draws came from.
    """

    classes: dict[str, dict[str, Interval | None]]
    auc: Interval | None
    mean_average_precision: Interval | None
    f1: Interval | None
    confidence: float
    resamples: int
    n_units: int
    unit: str
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return asdict(self)


def tag_intervals(
    tags: ClipTags, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> TagIntervals:
    """Draws recording groups, or clips where groups are not known, and scores every draw.

    Args:
        tags: of the test.
        resamples: at least 1.
        confidence: in (0, 1).
        seed: the same seed gives the same intervals.

    Raises:
        ConfigError: resamples or confidence is out of its range.
        DataError: no clip has known labels.
    """
    check_resampling(resamples, confidence)
    (drawn,) = resample_tag_runs([[tags]], resamples=resamples, seed=seed)
    means = {name: defined_interval(drawn.means[name], confidence) for name in SCORE_NAMES}
    return TagIntervals(
        classes={
            label: {
                name: defined_interval(drawn.classes[name][:, column], confidence)
                for name in SCORE_NAMES
            }
            for column, label in enumerate(tags.labels)
        },
        auc=means["auc"],
        mean_average_precision=means["average_precision"],
        f1=means["f1"],
        confidence=confidence,
        resamples=resamples,
        n_units=len(set(tags.known_clips().units)),
        unit="clip" if tags.groups is None else "group",
        seed=seed,
    )


def defined_interval(values: NDArray[np.float64], confidence: float) -> Interval | None:
    """Returns the percentile interval of the values that are not NaN; None if all are."""
    defined = values[~np.isnan(values)]
    return percentile_interval(defined, confidence) if len(defined) else None


def mean_of_defined(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Returns the mean over an axis of the values that are not NaN; NaN where all are."""
    return _weighted_mean(values, np.ones(values.shape), axis)


def _over_trainings(
    values: NDArray[np.float64], often: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Returns the mean [R, ...] over drawn trainings of values [S, R, ...]; `often` is [R, S]."""
    weights = often.T.reshape(*values.shape[:2], *[1] * (values.ndim - 2))
    return _weighted_mean(values, np.broadcast_to(weights, values.shape), 0)


def _weighted_mean(
    values: NDArray[np.float64], weights: NDArray[np.generic], axis: int
) -> NDArray[np.float64]:
    there = np.where(np.isnan(values), 0.0, weights)
    total: NDArray[np.float64] = (np.nan_to_num(values) * there).sum(axis)
    count = there.sum(axis)
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)


def _labels(runs: Sequence[ClipTags]) -> tuple[str, ...]:
    if not runs:
        raise DataError("a detector has no finished training to score.")
    for run in runs[1:]:
        if run.labels != runs[0].labels:
            raise DataError(
                f"one training tags {', '.join(runs[0].labels)}, another one of the same "
                f"detector {', '.join(run.labels)}."
            )
    return runs[0].labels
