"""The measure of taggers: AUC, mAP and F1 of clip probabilities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sedsdk.errors import DataError
from sedsdk.evaluation import (
    TagRunScores,
    beside_tags,
    read_clip_tags,
    resample_tag_runs,
    tag_scores_of_runs,
)
from sedsdk.training.reproduction.measure import (
    AVERAGE,
    REPORT_FILE,
    RESAMPLES,
    Measured,
    Measurement,
    Sampled,
    ScoreKind,
    Trainings,
)

TAG_SCORES_FILE = "tag_scores.npz"


class Tagging:
    """Area under the ROC curve, average precision and F1, per class and their class means."""

    scores: tuple[ScoreKind, ...] = (
        ScoreKind("auc", "AUC %", "area under the ROC curve (%)", 1, 100.0, from_zero=False),
        ScoreKind("average_precision", "mAP %", "average precision (%)", 1, 100.0),
        ScoreKind("f1", "F1 %", "F1 (%)", 1, 100.0),
    )
    explanation: str = (
        "AUC, average precision (mAP is its class mean) and F1 are of clip probabilities, larger "
        "is better; F1 at the detector's own thresholds. The average is the mean over the classes; "
        "a class that a resample gives no clip with it is left out of that resample's mean."
    )

    def headline(self, folder: Path) -> str:
        """Returns the class-mean AUC of a report."""
        report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
        auc = report["tags"]["auc"]
        return "AUC not defined" if auc is None else f"AUC {100 * auc:.1f}"

    def measured(self, rows: Mapping[str, Trainings]) -> Measurement:
        """Measures rows; recording groups (clips, where groups are not known) are resampled."""
        read = {
            name: [
                beside_tags([read_clip_tags(folder / TAG_SCORES_FILE) for folder in models])
                for models in trainings
            ]
            for name, trainings in rows.items()
        }
        drawn = resample_tag_runs(list(read.values()), resamples=RESAMPLES)
        every = [run.known_clips() for runs in read.values() for run in runs]
        units = {unit for run in every for unit in run.units}
        clips = {clip for run in every for clip in run.clip_ids}
        unit = every[0].unit
        return Measurement(
            {
                name: _columns(tag_scores_of_runs(read[name]), draws)
                for name, draws in zip(read, drawn, strict=True)
            },
            f"{len(units)} {unit}{'' if len(units) == 1 else 's'}",
            f"{len(clips)} clips",
        )


def _columns(values: TagRunScores, draws: TagRunScores) -> Measured:
    """Returns the scores of each class and their means; a score that is not defined is left out."""
    columns: Measured = {label: {} for label in values.labels}
    columns[AVERAGE] = {}
    for kind in Tagging.scores:
        for index, label in enumerate(values.labels):
            by_training = values.classes[kind.name][:, index]
            if not np.isnan(by_training).any():
                columns[label][kind.name] = Sampled(by_training, draws.classes[kind.name][:, index])
        if np.isnan(values.means[kind.name]).any():
            raise DataError(
                f"no class of {', '.join(values.labels)} has an {kind.heading.removesuffix(' %')}: "
                "it takes test clips that hold the class, and others that do not."
            )
        columns[AVERAGE][kind.name] = Sampled(values.means[kind.name], draws.means[kind.name])
    return {column: cell for column, cell in columns.items() if cell}
