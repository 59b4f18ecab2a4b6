"""Intervals over several trainings of one detector, and of the difference between two detectors.

A score varies with the recordings that it is tested on and with the seed that was trained with.
Both are resampled: whole recording groups, the same ones for every training and every detector, and
the trainings of each detector. The mean over trainings is formed in every resample. What a detector
gains over another is then the difference of the two in the same resample, which leaves out how
hard the drawn recordings are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation.bootstrap import resampled_sums
from sedsdk.evaluation.clip_counts import UnitCounts
from sedsdk.evaluation.rates import error_rates, f1_scores


@dataclass(frozen=True)
class RunScores:
    """Error rate and F1 per class; of several trainings, or of several resamples.

    Attributes:
        labels: class names, in the order of the columns.
        error_rate: float64 [rows, C].
        f1: float64 [rows, C].
    """

    labels: tuple[str, ...]
    error_rate: NDArray[np.float64]
    f1: NDArray[np.float64]


def beside(parts: Sequence[UnitCounts]) -> UnitCounts:
    """Joins the counts of detectors for different classes into those of one for all.

    A recording group that several of them were tested on stays one.

    Args:
        parts: no label twice.

    Raises:
        DataError: two of them count the same class.
    """
    labels = [label for part in parts for label in part.labels]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise DataError(
            f'the class "{twice[0]}" is counted by two models. Give every model classes of its own.'
        )
    units = _all_units(parts)
    return UnitCounts(
        units, tuple(labels), np.concatenate([_rows(part, units) for part in parts], axis=1)
    )


def scores_of_runs(runs: Sequence[UnitCounts]) -> RunScores:
    """Returns the scores of every training: a row each."""
    sums = np.stack([run.table.sum(axis=0) for run in _agreeing(runs)])  # [S, C, 3]
    return _scores(runs[0].labels, sums)


def resample_runs(
    detectors: Sequence[Sequence[UnitCounts]], *, resamples: int = 1000, seed: int = 0
) -> list[RunScores]:
    """Draws recording groups and trainings with replacement and scores every draw.

    Args:
        detectors: the trainings of each detector, all tested on the same classes. The groups of
            all of them are drawn together, so that row r of every result is of the same draw.
        resamples: at least 1.
        seed: the same seed gives the same draws.

    Returns:
        Per detector the mean over the drawn trainings: [resamples, C].

    Raises:
        ConfigError: resamples is below 1.
        DataError: a detector has no training, there are no clips, or classes differ.
    """
    if resamples < 1:
        raise ConfigError(f"resamples must be at least 1, got {resamples}.")
    for runs in detectors:
        _agreeing(runs)
    units = _all_units([run for runs in detectors for run in runs])
    if not units:
        raise DataError("there are no clips to draw from. Give at least one.")
    drawn = []
    for index, runs in enumerate(detectors):
        table = np.stack([_rows(run, units) for run in runs], axis=1)  # [U, S, C, 3]
        same = np.random.default_rng(seed)  # for every detector, hence the same groups
        sums = resampled_sums(table.reshape(len(units), -1), resamples, same)
        scores = _scores(runs[0].labels, sums.reshape(resamples, *table.shape[1:]))
        own = np.random.default_rng([seed, 1 + index])
        often = own.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), resamples)
        shares = often / len(runs)  # [R, S]
        drawn.append(
            RunScores(
                scores.labels,
                np.einsum("rs,rsc->rc", shares, scores.error_rate),
                np.einsum("rs,rsc->rc", shares, scores.f1),
            )
        )
    return drawn


def _scores(labels: tuple[str, ...], sums: NDArray[np.generic]) -> RunScores:
    """Returns the scores of counts [..., C, 3]."""
    n_ref, n_sys, hits = np.moveaxis(sums.astype(np.float64), -1, 0)
    return RunScores(
        labels, error_rates(n_ref + n_sys - 2 * hits, n_ref), f1_scores(hits, n_ref, n_sys)
    )


def _agreeing(runs: Sequence[UnitCounts]) -> Sequence[UnitCounts]:
    if not runs:
        raise DataError("a detector has no finished training to score.")
    for run in runs[1:]:
        if run.labels != runs[0].labels:
            raise DataError(
                f"one training counts {', '.join(runs[0].labels)}, another one of the same "
                f"detector {', '.join(run.labels)}."
            )
    return runs


def _all_units(parts: Sequence[UnitCounts]) -> tuple[str, ...]:
    return tuple(sorted({unit for part in parts for unit in part.units}))


def _rows(part: UnitCounts, units: Sequence[str]) -> NDArray[np.int64]:
    """Returns the counts in the order of `units`, zero for those not in the part."""
    row_of = {unit: row for row, unit in enumerate(part.units)}
    table = np.zeros((len(units), *part.table.shape[1:]), dtype=np.int64)
    for row, unit in enumerate(units):
        if unit in row_of:
            table[row] = part.table[row_of[unit]]
    return table
