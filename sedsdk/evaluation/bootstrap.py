"""Confidence intervals of event-based scores, by resampling clips or whole recording groups.

Efron: Bootstrap methods, Annals of Statistics 1979 (percentile interval). Clips cut from one
recording or one place resemble each other; with `groups`, whole groups are drawn (cluster
bootstrap), which gives the wider interval that is honest then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation.matching import EventCounts, own_clips
from sedsdk.evaluation.rates import error_rates, f1_scores

BLOCK_VALUES = 1 << 23
"""Draws that are held in memory at a time."""


@dataclass(frozen=True)
class Interval:
    """A percentile interval.

    Attributes:
        low: its lower end.
        high: its upper end.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Intervals of the error rate and F1, per class and of their class mean.

    Attributes:
        error_rate: per label.
        f1: per label.
        average_error_rate: of the plain mean of the classes' error rates.
        average_f1: of the plain mean of the classes' F1.
        confidence: probability content, such as 0.95.
        resamples: how many resamples were drawn.
        n_units: how many clips, or groups, were resampled; below some ten, distrust the interval.
        unit: "clip" or "group".
        seed: that the draws came from.
    """

    error_rate: dict[str, Interval]
    f1: dict[str, Interval]
    average_error_rate: Interval
    average_f1: Interval
    confidence: float
    resamples: int
    n_units: int
    unit: str
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return asdict(self)


def bootstrap_intervals(
    counts: EventCounts,
    *,
    groups: Mapping[str, str] | None = None,
    clip_class: Mapping[str, str] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Draws clips (or groups) with replacement and scores every draw.

    Args:
        counts: per clip and class, from `count_events`.
        groups: recording group of each clip; None draws single clips.
        clip_class: the class that each clip was made for, to score each class on its own clips as
            in DCASE 2017 Task 2; None scores every class on every clip.
        resamples: at least 1.
        confidence: in (0, 1).
        seed: the same seed gives the same intervals.

    Raises:
        ConfigError: resamples or confidence is out of its range.
        DataError: there are no clips, or a clip has no group or no class.
    """
    check_resampling(resamples, confidence)
    if not counts.clip_ids:
        raise DataError("there are no clips to draw from. Give at least one.")
    own = own_clips(counts.clip_ids, counts.labels, clip_class)
    table = np.stack([counts.n_ref * own, counts.n_sys * own, counts.hits * own], axis=-1)
    if groups is not None:
        names = [_group(groups, clip_id) for clip_id in counts.clip_ids]
        known = {name: index for index, name in enumerate(dict.fromkeys(names))}
        pooled = np.zeros((len(known), *table.shape[1:]), dtype=table.dtype)
        np.add.at(pooled, [known[name] for name in names], table)
        table = pooled

    generator = np.random.default_rng(seed)
    n_units = len(table)
    sums = resampled_sums(table.reshape(n_units, -1), resamples, generator)
    # each [resamples, C]
    n_ref, n_sys, hits = np.moveaxis(sums.reshape(resamples, len(counts.labels), 3), -1, 0)
    rates = error_rates(n_ref + n_sys - 2 * hits, n_ref)
    f1 = f1_scores(hits, n_ref, n_sys)
    return Intervals(
        error_rate=_per_class(rates, counts.labels, confidence),
        f1=_per_class(f1, counts.labels, confidence),
        average_error_rate=percentile_interval(rates.mean(axis=1), confidence),
        average_f1=percentile_interval(f1.mean(axis=1), confidence),
        confidence=confidence,
        resamples=resamples,
        n_units=n_units,
        unit="clip" if groups is None else "group",
        seed=seed,
    )


def check_resampling(resamples: int, confidence: float) -> None:
    """Refuses what no interval can be made of.

    Raises:
        ConfigError: resamples or confidence is out of its range.
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise ConfigError(
            "resamples must be at least 1 and confidence in (0, 1), "
            f"got {resamples} and {confidence}."
        )


def _group(groups: Mapping[str, str], clip_id: str) -> str:
    if clip_id not in groups:
        raise DataError(f'groups does not name the clip "{clip_id}". Give every clip a group.')
    return groups[clip_id]


def _per_class(
    values: NDArray[np.float64], labels: tuple[str, ...], confidence: float
) -> dict[str, Interval]:
    return {
        label: percentile_interval(values[:, column], confidence)
        for column, label in enumerate(labels)
    }


def resampled_sums(
    table: NDArray[np.generic], resamples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draws rows with replacement, as many as there are, and sums them: [resamples, K].

    Args:
        table: numbers [units, K].
        resamples: how often.
        generator: one of the same state draws the same rows of every table of that height.
    """
    n_units = len(table)
    values = table.astype(np.float64)
    even = np.full(n_units, 1.0 / n_units)
    block = max(1, BLOCK_VALUES // n_units)
    return np.concatenate(
        [
            generator.multinomial(n_units, even, min(block, resamples - begin)) @ values
            for begin in range(0, resamples, block)
        ]
    )


def percentile_interval(values: NDArray[np.float64], confidence: float) -> Interval:
    """Returns the interval that leaves out equally many of the values at either end."""
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))
