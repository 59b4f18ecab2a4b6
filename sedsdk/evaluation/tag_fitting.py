"""Fits the thresholds of tags, per class, for the best F1 on validation clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sedsdk.errors import DataError
from sedsdk.evaluation.clip_tags import ClipTags
from sedsdk.evaluation.tags import best_f1_thresholds
from sedsdk.evaluation.weighted_tags import f1_scores

SHOWN_THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Thresholds whose F1 is noted beside that of the fitted one, for a picture."""


@dataclass(frozen=True)
class FittedTagThresholds:
    """Thresholds of tags, and how F1 depends on them.

    Attributes:
        thresholds: per class; classes of `unfitted` keep what was configured.
        f1: on these clips, per fitted class.
        unfitted: classes that no clip holds.
        score_table: per fitted class, pairs of a threshold and the F1 it gives, ready to be drawn.
        n_clips: that were fitted on.
    """

    thresholds: dict[str, float]
    f1: dict[str, float]
    unfitted: tuple[str, ...]
    score_table: dict[str, list[tuple[float, float]]]
    n_clips: int

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return {
            "objective": "f1",
            "n_clips": self.n_clips,
            "thresholds": dict(self.thresholds),
            "f1": dict(self.f1),
            "unfitted": list(self.unfitted),
            "score_table": {
                label: list(map(list, pairs)) for label, pairs in self.score_table.items()
            },
        }


def fit_tag_thresholds(tags: ClipTags) -> FittedTagThresholds:
    """Chooses each class's threshold by `best_f1_thresholds`.

    Choose on validation clips only: what is scored later must not be among them.

    Args:
        tags: of these clips; those with unknown labels do not count, and its thresholds are kept
            where nothing can be fitted.

    Raises:
        DataError: no clip has known labels, or a probability is not in [0, 1].
    """
    tags = tags.known_clips()
    if not tags.clip_ids:
        raise DataError("there are no validation clips with known labels to fit thresholds on.")
    best = best_f1_thresholds(tags.probabilities, tags.truth, tags.labels)
    fitted = [tags.labels[column] for column in np.flatnonzero(tags.truth.any(axis=0))]
    configured = dict(zip(tags.labels, tags.thresholds.tolist(), strict=True))
    chosen = {label: best[label] if label in fitted else configured[label] for label in tags.labels}
    table = {
        label: _f1_at(tags, label, sorted({*SHOWN_THRESHOLDS, chosen[label]})) for label in fitted
    }
    return FittedTagThresholds(
        thresholds=chosen,
        f1={label: dict(table[label])[chosen[label]] for label in fitted},
        unfitted=tuple(label for label in tags.labels if label not in fitted),
        score_table=table,
        n_clips=len(tags.clip_ids),
    )


def _f1_at(tags: ClipTags, label: str, thresholds: Sequence[float]) -> list[tuple[float, float]]:
    column = tags.labels.index(label)
    scores, truth = tags.probabilities[:, column], tags.truth[:, column]
    once = np.ones((len(scores), 1), dtype=np.int32)
    return [
        (value, float(f1_scores(scores > scores.dtype.type(value), truth, once)[0]))
        for value in thresholds
    ]
