"""Error rate, F1, precision and recall out of counts, defined for every count.

`sed_eval` gives NaN where there is nothing to find or nothing was found. Here, with `n_ref` events
to find, `n_sys` found and `hits` of them right:

    ER        = (substitutions + insertions + deletions) / max(1, n_ref)
    F1        = 2 · hits / (n_ref + n_sys), and 1 when both are 0
    precision = hits / n_sys; with n_sys = 0: 1 if n_ref is 0 too, else 0
    recall    = hits / n_ref; with n_ref = 0: 1 if n_sys is 0 too, else 0

Nothing to find and nothing found is thus a perfect result (ER 0, F1 1); a false alarm where there
is nothing to find costs ER 1. Wherever `sed_eval` gives a number with references present, this is
the same number. Scores always carry `n_ref`, so that a perfect score on nothing is seen as that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def error_rates(errors: ArrayLike, n_ref: ArrayLike) -> NDArray[np.float64]:
    """Returns errors / max(1, n_ref), elementwise; `errors` is S + I + D."""
    rates: NDArray[np.float64] = np.asarray(errors, np.float64) / np.maximum(1, np.asarray(n_ref))
    return rates


def f1_scores(hits: ArrayLike, n_ref: ArrayLike, n_sys: ArrayLike) -> NDArray[np.float64]:
    """Returns 2 · hits / (n_ref + n_sys), elementwise, and 1 where both are 0."""
    total = np.asarray(n_ref, dtype=np.float64) + np.asarray(n_sys)
    doubled = 2.0 * np.asarray(hits, dtype=np.float64)
    return np.where(total > 0, doubled / np.where(total > 0, total, 1.0), 1.0)


def fraction(hits: float, among: float, other: float) -> float:
    """Returns precision (`among` = n_sys) or recall (`among` = n_ref), as the module defines them.

    Args:
        hits: right ones.
        among: what they are counted in.
        other: the other one of n_sys and n_ref.
    """
    if among:
        return float(hits / among)
    return 0.0 if other else 1.0


@dataclass(frozen=True)
class Rates:
    """Four rates; as an average, the plain mean of each over the classes.

    Attributes:
        error_rate: at least 0, best 0; above 1 where there are more errors than references.
        f1: in [0, 1].
        precision: in [0, 1].
        recall: in [0, 1].
    """

    error_rate: float
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Score(Rates):
    """Rates together with the counts (of events, or of segments) that they come from.

    Attributes:
        n_ref: to find.
        n_sys: found.
        hits: found and right.
        substitutions: right in time, wrong in class; 0 for a single class.
        insertions: found and in no way right.
        deletions: missed.
    """

    n_ref: int
    n_sys: int
    hits: int
    substitutions: int
    insertions: int
    deletions: int

    @classmethod
    def from_counts(
        cls,
        n_ref: float,
        n_sys: float,
        hits: float,
        errors: tuple[float, float, float] | None = None,
    ) -> Score:
        """Builds a score.

        Args:
            n_ref: to find.
            n_sys: found.
            hits: found and right.
            errors: substitutions, insertions and deletions; None for a single class, where they
                follow from the counts.
        """
        substitutions, insertions, deletions = errors or (0, n_sys - hits, n_ref - hits)
        return cls(
            error_rate=float(error_rates(substitutions + insertions + deletions, n_ref)),
            f1=float(f1_scores(hits, n_ref, n_sys)),
            precision=fraction(hits, n_sys, n_ref),
            recall=fraction(hits, n_ref, n_sys),
            n_ref=round(n_ref),
            n_sys=round(n_sys),
            hits=round(hits),
            substitutions=round(substitutions),
            insertions=round(insertions),
            deletions=round(deletions),
        )


@dataclass(frozen=True)
class ClassScores:
    """Scores per class and over all of them.

    Attributes:
        classes: score per label, in the order of the labels.
        average: plain mean of the classes' rates, which DCASE 2017 Task 2 ranks by.
        overall: pooled counts of all classes ("micro"); here substitutions exist.
        parameters: what the scores were computed with (collar and so on, in seconds).
    """

    classes: dict[str, Score]
    average: Rates
    overall: Score
    parameters: dict[str, float | bool]

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return {
            "parameters": dict(self.parameters),
            "average": asdict(self.average),
            "overall": asdict(self.overall),
            "classes": {label: asdict(score) for label, score in self.classes.items()},
        }


def mean_rates(scores: list[Score]) -> Rates:
    """Returns the plain mean of each rate over the classes."""
    return Rates(
        *(
            float(np.mean([getattr(score, name) for score in scores]))
            for name in ("error_rate", "f1", "precision", "recall")
        )
    )
