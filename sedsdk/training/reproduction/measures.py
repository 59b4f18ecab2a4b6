"""What plans may name as their measure, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sedsdk.errors import DataError
from sedsdk.evaluation import (
    RunScores,
    beside,
    read_clip_counts,
    resample_runs,
    scores_of_runs,
)
from sedsdk.training.reproduction.measure import (
    AVERAGE,
    CONFIDENCE,
    REPORT_FILE,
    RESAMPLES,
    Measure,
    Measured,
    Measurement,
    Sampled,
    ScoreKind,
    Trainings,
)
from sedsdk.training.reproduction.tagging import Tagging

__all__ = [
    "AVERAGE",
    "CONFIDENCE",
    "MEASURES",
    "REPORT_FILE",
    "RESAMPLES",
    "Measure",
    "Measured",
    "Measurement",
    "RareEvents",
    "Sampled",
    "ScoreKind",
    "Tagging",
    "Trainings",
]

COUNTS_FILE = "counts.json"


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
        """Returns the class-mean error rate of a report.

        Raises:
            DataError: the report is on tags alone.
        """
        report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
        if "event_based_onset" not in report:
            raise DataError(
                f"{folder / REPORT_FILE} scores tags and no events. In the plan, set measure to "
                "tagging, or test on clips with strong labels and end the post-processors with "
                "to_events."
            )
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


MEASURES: dict[str, Measure] = {"rare_events": RareEvents(), "tagging": Tagging()}
"""Measure by the name that plans use."""
