"""Counting errors, and how sure a count is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import ShapeError

Z_95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Share:
    """How many of how many were right.

    Attributes:
        correct: right ones.
        total: all.
    """

    correct: int
    total: int

    @property
    def value(self) -> float:
        """Share that was right; NaN of none."""
        return self.correct / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval; holds if the trials are independent."""
        return wilson_interval(self.correct, self.total)

    def as_dict(self) -> dict[str, Any]:
        """Returns counts, share and interval, for JSON."""
        low, high = self.interval
        share = self.value if self.total else None
        return {**asdict(self), "share": share, "interval_95": [low, high]}


def wilson_interval(correct: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Returns the interval of a share by Wilson's score method, without continuity correction.

    Wilson (1927), J. Am. Stat. Assoc. 22: with p = correct / total and n = total, the centre is
    (p + z² / 2n) / (1 + z² / n), the half width z √(p (1 − p) / n + z² / 4n²) / (1 + z² / n).

    Args:
        correct: successes.
        total: trials; of none the interval is (0, 1).
        z: quantile of the normal distribution.

    Raises:
        ShapeError: not 0 ≤ correct ≤ total.
    """
    if not 0 <= correct <= total:
        raise ShapeError(f"{correct} of {total} cannot be: give 0 <= correct <= total.")
    if total == 0:
        return 0.0, 1.0
    share, scale = correct / total, 1 + z * z / total
    centre = (share + z * z / (2 * total)) / scale
    half = z / scale * float(np.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2))
    # At the ends the bound is 0 or 1 itself, but for rounding.
    low = 0.0 if correct == 0 else centre - half
    return low, 1.0 if correct == total else centre + half


@dataclass(frozen=True)
class Edits:
    """What turns a reference into a hypothesis.

    Attributes:
        reference: symbols of the reference.
        substitutions: symbols replaced.
        deletions: symbols of the reference that are missed.
        insertions: symbols of the hypothesis that are too many.
    """

    reference: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        """All edits."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Edits per symbol of the reference, may exceed 1; NaN without a reference."""
        return self.errors / self.reference if self.reference else float("nan")

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            self.reference + other.reference,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    def as_dict(self) -> dict[str, Any]:
        """Returns the counts and the rate, for JSON."""
        return {**asdict(self), "rate": self.rate if self.reference else None}


def edits(reference: Sequence[object], hypothesis: Sequence[object]) -> Edits:
    """Counts the fewest edits (Levenshtein) that turn a reference into a hypothesis.

    Where several ways need equally few, the one with the most substitutions counts: then the three
    numbers do not depend on the order in which ways are tried.
    """
    n, m = len(reference), len(hypothesis)
    # A substitution costs `unit`, a deletion or insertion one more, so that the whole cost is
    # unit · edits + (deletions + insertions), and those are at most n + m < unit.
    unit = n + m + 1
    row = [column * (unit + 1) for column in range(m + 1)]
    for symbol in reference:
        above, row = row, [row[0] + unit + 1]
        for column, other in enumerate(hypothesis):
            same = above[column] + (0 if symbol == other else unit)
            row.append(min(same, above[column + 1] + unit + 1, row[column] + unit + 1))
    total, unpaired = divmod(row[m], unit)
    deletions = (unpaired + n - m) // 2
    return Edits(n, total - unpaired, deletions, unpaired - deletions)


def bootstrap_rate(
    files: Sequence[Edits], resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """Returns the 95 % percentile interval of the error rate over resampled files.

    Args:
        files: edits of each file.
        resamples: draws of as many files, with replacement.
        seed: of the draws.

    Returns:
        None for fewer than two files with a reference: they say nothing of how files differ.
    """
    counts = np.array([(each.errors, each.reference) for each in files if each.reference])
    if len(counts) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(counts), size=(resamples, len(counts)))
    sums = counts[drawn].sum(axis=1)  # [resamples, 2]
    low, high = np.percentile(sums[:, 0] / sums[:, 1], [2.5, 97.5])
    return float(low), float(high)


def counted(
    pairs: NDArray[np.integer[Any]], others: NDArray[np.integer[Any]], size: int
) -> NDArray[np.int64]:
    """Returns how often each pair occurs, int64 [size, size]: rows `pairs`, columns `others`."""
    joined = np.asarray(pairs, np.int64) * size + np.asarray(others, np.int64)
    return np.bincount(joined, minlength=size * size).reshape(size, size)
