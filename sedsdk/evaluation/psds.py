"""PSDS: the polyphonic sound detection score, which needs no threshold, by `sed_scores_eval`.

Bilen et al.: A framework for the robust evaluation of sound event detection, ICASSP 2020.
Ebbers, Serizel, Haeb-Umbach: Threshold-independent evaluation of sound event detection scores,
ICASSP 2022 (the exact computation, which is what is used here).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np

from sedsdk.errors import ConfigError, DataError, missing_dependency
from sedsdk.evaluation.events import check_durations
from sedsdk.evaluation.matching import EventLists, check_labels
from sedsdk.types import ClipPrediction


@dataclass(frozen=True)
class PsdsParameters:
    """What counts as found, and what is punished.

    Attributes:
        dtc_threshold: detection tolerance: part of a detection, in [0, 1], that reference events
            of its class must cover, else it is a false positive.
        gtc_threshold: ground-truth intersection: part of a reference event, in [0, 1], that
            tolerated detections must cover, else it is missed.
        cttc_threshold: cross-trigger tolerance: part of a false positive, in [0, 1], that another
            class's events must cover to make it a cross trigger; None without `alpha_ct`.
        alpha_ct: weight of cross triggers, at least 0.
        alpha_st: weight of the spread over the classes, at least 0.
        max_efpr: effective false positives per hour up to which the curve is taken, above 0.
    """

    dtc_threshold: float
    gtc_threshold: float
    cttc_threshold: float | None = None
    alpha_ct: float = 0.0
    alpha_st: float = 1.0
    max_efpr: float = 100.0

    def __post_init__(self) -> None:
        for name in ("dtc_threshold", "gtc_threshold", "cttc_threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], got {value}.")
        if self.alpha_ct < 0 or self.alpha_st < 0 or not self.max_efpr > 0:
            raise ConfigError(
                "alpha_ct and alpha_st must be at least 0 and max_efpr above 0, "
                f"got {self.alpha_ct}, {self.alpha_st} and {self.max_efpr}."
            )
        if (self.alpha_ct > 0) != (self.cttc_threshold is not None):
            raise ConfigError("give alpha_ct and cttc_threshold together, or neither.")


PSDS_SCENARIO_1 = PsdsParameters(0.7, 0.7)
"""DCASE 2021–2023 Task 4, scenario 1: react fast, localise well."""
PSDS_SCENARIO_2 = PsdsParameters(0.1, 0.1, cttc_threshold=0.3, alpha_ct=0.5)
"""DCASE 2021–2023 Task 4, scenario 2: do not confuse classes, where exactly matters less."""


@dataclass(frozen=True)
class PsdsScore:
    """The score and what it was computed with.

    Attributes:
        psds: in [0, 1]; None if no class has a reference event.
        classes: PSDS of each class on its own; None for a class without reference events, which
            is left out of `psds` too.
        parameters: what was asked for. With a single class there are no cross triggers, and
            `alpha_ct` has no effect.
    """

    psds: float | None
    classes: dict[str, float | None]
    parameters: PsdsParameters

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return asdict(self)


def psds_scores(
    predictions: Mapping[str, ClipPrediction],
    reference: EventLists,
    durations: Mapping[str, float],
    parameters: PsdsParameters = PSDS_SCENARIO_1,
) -> PsdsScore:
    """Computes PSDS from frame probabilities, with every threshold that matters.

    Args:
        predictions: frame probabilities [T, C] per clip; decisions and events are not looked at.
            Each has the same labels.
        reference: the events to find; exactly the clips of `predictions`. Events of one class
            that overlap or touch are joined, and those without a length dropped, as the score
            is defined on time that is covered.
        durations: seconds of each clip.
        parameters: one of the two scenarios, or your own.

    Raises:
        DataError: clips or labels do not fit, or a clip has no frames or no duration.
        MissingDependency: sed_scores_eval is not installed.
    """
    library, create_scores = _import_sed_scores_eval()
    if not predictions or set(predictions) != set(reference):
        different = sorted(set(predictions) ^ set(reference))[:3]
        raise DataError(
            "predictions and reference must name the same clips, at least one; "
            f"in one of them only: {', '.join(different) or 'none, both are empty'}."
        )
    labels = next(iter(predictions.values())).labels
    check_labels(reference, labels, "reference")
    check_durations(reference, durations)
    truth = {clip_id: _joined(events) for clip_id, events in reference.items()}
    held = {label for spans in truth.values() for _, _, label in spans}
    scored = [label for label in labels if label in held]
    if not scored:
        return PsdsScore(None, dict.fromkeys(labels), parameters)

    columns = [labels.index(label) for label in scored]
    scores = {}
    for clip_id, clip in predictions.items():
        if clip.labels != labels or not len(clip.frames):
            raise DataError(
                f'clip "{clip_id}" has {len(clip.frames)} frames and the labels '
                f"{', '.join(clip.labels)}; expected at least one frame and {', '.join(labels)}."
            )
        edges = np.array([clip.grid.start(frame) for frame in range(len(clip.frames) + 1)])
        scores[clip_id] = create_scores(
            clip.frames[:, columns].astype(np.float64), edges, list(scored)
        )
    crosses = parameters.alpha_ct > 0 and len(scored) > 1
    value, classes, *_ = library.psds(
        scores=scores,
        ground_truth=truth,
        audio_durations={clip_id: float(durations[clip_id]) for clip_id in reference},
        dtc_threshold=parameters.dtc_threshold,
        gtc_threshold=parameters.gtc_threshold,
        cttc_threshold=parameters.cttc_threshold if crosses else None,
        alpha_ct=parameters.alpha_ct if crosses else 0.0,
        alpha_st=parameters.alpha_st,
        max_efpr=parameters.max_efpr,
    )
    return PsdsScore(
        float(value),
        {label: float(classes[label]) if label in classes else None for label in labels},
        parameters,
    )


def _joined(events: Any) -> list[tuple[float, float, str]]:
    """Returns (onset, offset, label) with overlapping or touching events of a class joined."""
    spans: list[tuple[float, float, str]] = []
    for event in sorted(events, key=lambda event: (event.label, event.onset, event.offset)):
        if not event.offset > event.onset:
            continue
        if spans and spans[-1][2] == event.label and event.onset <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], event.offset), event.label)
        else:
            spans.append((event.onset, event.offset, event.label))
    return spans


def _import_sed_scores_eval() -> tuple[ModuleType, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from sed_scores_eval import intersection_based
            from sed_scores_eval.base_modules.scores import create_score_dataframe
        except ModuleNotFoundError as error:
            library = (error.name or "sed_scores_eval").partition(".")[0]
            raise missing_dependency(library, "PSDS", "psds") from error
    return intersection_based, create_score_dataframe
