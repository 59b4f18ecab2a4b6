"""What is measured of a finished training: the columns of a table, as values and resamples.

A plan names its measure. A measure reads the score folders of runs and knows nothing of plans,
launching or tables, so a new one (AUC and mAP of a tagger, say) is a class here and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sedsdk.evaluation import (
    RunScores,
    beside,
    read_clip_counts,
    resample_runs,
    scores_of_runs,
)

RESAMPLES = 2000
CONFIDENCE = 0.95
AVERAGE = "average"
REPORT_FILE = "report.json"
COUNTS_FILE = "counts.json"

Trainings = Sequence[Sequence[Path]]
"""Score folders of one row: a sequence per training, a folder in it per model."""


@dataclass(frozen=True)
class ScoreKind:
    """One number of a cell.

    Attributes:
        name: in JSON.
        heading: in a table.
        axis: in a picture, with its unit.
        decimals: shown.
        factor: from the number to what is shown, 100 for per cent.
    """

    name: str
    heading: str
    axis: str
    decimals: int
    factor: float = 1.0

    def text(self, value: float) -> str:
        """Returns a number as a table shows it."""
        return f"{value * self.factor:.{self.decimals}f}"


@dataclass(frozen=True)
class Sampled:
    """A score of one row.

    Attributes:
        by_training: [S], in the order of the trainings.
        draws: [RESAMPLES], of resampled recordings and trainings; draw r is of the same recordings
            in every row that was measured together.
    """

    by_training: NDArray[np.float64]
    draws: NDArray[np.float64]


Measured = dict[str, dict[str, Sampled]]
"""Column (a class, or "average") → name of a score → its values."""


@dataclass(frozen=True)
class Measurement:
    """Rows measured together.

    Attributes:
        rows: by the row's name.
        resampled: what was drawn, in words, as in "27 recording groups".
        tested: what was tested on, in words.
    """

    rows: dict[str, Measured]
    resampled: str
    tested: str


class Measure(Protocol):
    """Turns score folders into columns.

    Attributes:
        scores: the numbers of a cell; the first one decides differences and pictures.
        explanation: of the numbers, one sentence under the table.
    """

    scores: tuple[ScoreKind, ...]
    explanation: str

    def headline(self, folder: Path) -> str:
        """Returns the most telling number of one finished run, as in "ER 0.31"."""
        ...

    def measured(self, rows: Mapping[str, Trainings]) -> Measurement:
        """Measures rows on the same test.

        Args:
            rows: row's name → its trainings, at least one.

        Raises:
            DataError: a score folder is incomplete, or what is in several does not fit together.
        """
        ...


class RareEvents:
    """Event-based error rate and F1 by onset, per class and their mean over the classes."""

    scores: tuple[ScoreKind, ...] = (
        ScoreKind("error_rate", "ER", "error rate (errors per event)", 2),
        ScoreKind("f1", "F1 %", "F1 (%)", 1, 100.0),
    )
    explanation: str = (
        "ER = (insertions + deletions) / events, event-based, an onset is right within the collar "
        "of the report (0.5 s unless changed); the average is the mean over the classes."
    )

    def headline(self, folder: Path) -> str:
        """Returns the class-mean error rate of a report."""
        report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
        return f"ER {report['event_based_onset']['average']['error_rate']:.2f}"

    def measured(self, rows: Mapping[str, Trainings]) -> Measurement:
        """Measures rows; recording groups (clips, where groups are not known) are resampled."""
        read = {
            name: [
                [read_clip_counts(folder / COUNTS_FILE) for folder in models]
                for models in trainings
            ]
            for name, trainings in rows.items()
        }
        counted = {
            name: [beside([counts.by_unit() for counts in models]) for models in trainings]
            for name, trainings in read.items()
        }
        drawn = resample_runs(list(counted.values()), resamples=RESAMPLES)
        every = [counts for trainings in read.values() for models in trainings for counts in models]
        units = {unit for runs in counted.values() for run in runs for unit in run.units}
        clips = {clip for counts in every for clip in counts.counts.clip_ids}
        unit = every[0].unit
        return Measurement(
            {
                name: _columns(scores_of_runs(counted[name]), draws)
                for name, draws in zip(counted, drawn, strict=True)
            },
            f"{len(units)} {unit}{'' if len(units) == 1 else 's'}",
            f"{len(clips)} clips",
        )


def _columns(values: RunScores, draws: RunScores) -> Measured:
    columns: Measured = {}
    for index, label in enumerate(values.labels):
        columns[label] = {
            "error_rate": Sampled(values.error_rate[:, index], draws.error_rate[:, index]),
            "f1": Sampled(values.f1[:, index], draws.f1[:, index]),
        }
    columns[AVERAGE] = {
        "error_rate": Sampled(values.error_rate.mean(axis=1), draws.error_rate.mean(axis=1)),
        "f1": Sampled(values.f1.mean(axis=1), draws.f1.mean(axis=1)),
    }
    return columns


MEASURES: dict[str, Measure] = {"rare_events": RareEvents()}
"""Measure by the name that plans use."""
