"""Event-based and segment-based scores by `sed_eval`, the field's own tool.

The counts are `sed_eval`'s (event-based: optimal matching); rates are formed from them by
`sedsdk.evaluation.rates`, which defines what `sed_eval` leaves NaN or near infinity: silence, no
events, no references.

Mesaros, Heittola, Virtanen: Metrics for polyphonic sound event detection, Applied Sciences 2016.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from sedsdk.errors import ConfigError, DataError, MissingDependency, missing_dependency
from sedsdk.evaluation.matching import (
    EventLists,
    check_clip_class,
    check_estimate,
    check_labels,
    check_matching,
)
from sedsdk.evaluation.rates import ClassScores, Score, mean_rates
from sedsdk.types import Event


def event_scores(
    reference: EventLists,
    estimated: EventLists,
    labels: Sequence[str],
    collar: float = 0.5,
    offsets: bool = False,
    percentage_of_length: float = 0.5,
) -> ClassScores:
    """Scores events: is each one found where it starts (and ends)?

    An estimated event is right if its label is, its onset differs from the reference's by at most
    `collar` and, with `offsets`, its offset by at most the larger of `collar` and
    `percentage_of_length` of the reference event's length. Pairs are chosen optimally.

    Args:
        reference: the events to find; it decides which clips there are.
        estimated: the events found; a clip that is not listed has none.
        labels: class names, in the order of the result.
        collar: in seconds, above 0.
        offsets: offsets have to be right too.
        percentage_of_length: in [0, 1]; no effect without `offsets`.

    Raises:
        ConfigError: a parameter is out of its range, or there are no labels.
        DataError: an unknown clip or label.
        MissingDependency: sed_eval cannot be imported.
    """
    check_matching(labels, collar, percentage_of_length)
    check_estimate(reference, estimated, labels)
    check_labels(reference, labels, "reference")
    sed_eval = import_sed_eval()
    metric = sed_eval.sound_event.EventBasedMetrics(
        event_label_list=list(labels),
        evaluate_onset=True,
        evaluate_offset=offsets,
        t_collar=float(collar),
        percentage_of_length=float(percentage_of_length),
        event_matching_type="optimal",
    )
    for clip_id, events in reference.items():
        found = estimated.get(clip_id, ())
        if events or found:
            metric.evaluate(_plain(events), _plain(found))
    classes = _class_scores(metric, labels)
    pooled = metric.overall
    overall = Score.from_counts(
        pooled["Nref"],
        pooled["Nsys"],
        pooled["Ntp"],
        (pooled["Nsubs"], pooled["Nfp"], pooled["Nfn"]),
    )
    parameters: dict[str, float | bool] = {"collar": float(collar), "offsets": offsets}
    if offsets:
        parameters["percentage_of_length"] = float(percentage_of_length)
    return ClassScores(classes, mean_rates(list(classes.values())), overall, parameters)


def rare_event_scores(
    reference: EventLists,
    estimated: EventLists,
    labels: Sequence[str],
    clip_class: Mapping[str, str],
    collar: float = 0.5,
    offsets: bool = False,
    percentage_of_length: float = 0.5,
) -> ClassScores:
    """Scores by the protocol of DCASE 2017 Task 2: each class on its own mixtures only.

    The detector of class c is given the mixtures that were made for c and asked for c; what is
    found of other classes in them is not counted. The average over the classes is what the
    challenge ranks by (ER first). `overall` pools the classes' counts, without substitutions.

    Args:
        reference: the events to find; it decides which clips there are.
        estimated: the events found; a clip that is not listed has none.
        labels: class names, in the order of the result.
        clip_class: the class that each clip was made for.
        collar: in seconds; 0.5 in the challenge.
        offsets: False in the challenge.
        percentage_of_length: see `event_scores`.

    Raises:
        ConfigError: a parameter is out of its range, or there are no labels.
        DataError: an unknown clip or label, or a clip without a class.
        MissingDependency: sed_eval cannot be imported.
    """
    check_matching(labels, collar, percentage_of_length)
    check_estimate(reference, estimated, labels)
    check_labels(reference, labels, "reference")
    check_clip_class(reference, clip_class, labels)
    classes: dict[str, Score] = {}
    parameters: dict[str, float | bool] = {}
    for label in labels:
        own = [clip_id for clip_id in reference if clip_class[clip_id] == label]
        scores = event_scores(
            {clip_id: _only(reference[clip_id], label) for clip_id in own},
            {clip_id: _only(estimated.get(clip_id, ()), label) for clip_id in own},
            [label],
            collar,
            offsets,
            percentage_of_length,
        )
        classes[label] = scores.classes[label]
        parameters = {**scores.parameters, "own_clips_only": True}
    overall = Score.from_counts(
        sum(score.n_ref for score in classes.values()),
        sum(score.n_sys for score in classes.values()),
        sum(score.hits for score in classes.values()),
    )
    return ClassScores(classes, mean_rates(list(classes.values())), overall, parameters)


def segment_scores(
    reference: EventLists,
    estimated: EventLists,
    labels: Sequence[str],
    resolution: float = 1.0,
    *,
    durations: Mapping[str, float],
) -> ClassScores:
    """Scores activity in segments of equal length: is each class active where it should be?

    A class is active in a segment if any of its events touches it. Counts are of segments.

    Args:
        reference: the events to find; it decides which clips there are.
        estimated: the events found; a clip that is not listed has none.
        labels: class names, in the order of the result.
        resolution: segment length, in seconds, above 0.
        durations: seconds of each clip; what lies beyond is not scored.

    Raises:
        ConfigError: the resolution is not above 0, or there are no labels.
        DataError: an unknown clip or label, or a clip without a duration above 0.
        MissingDependency: sed_eval cannot be imported.
    """
    check_matching(labels, 1.0, 0.0)
    if not 0 < resolution < float("inf"):
        raise ConfigError(f"resolution must be a time above 0 seconds, got {resolution}.")
    check_estimate(reference, estimated, labels)
    check_labels(reference, labels, "reference")
    check_durations(reference, durations)
    sed_eval = import_sed_eval()
    metric = sed_eval.sound_event.SegmentBasedMetrics(
        event_label_list=list(labels), time_resolution=float(resolution)
    )
    for clip_id, events in reference.items():
        found = estimated.get(clip_id, ())
        if events or found:
            metric.evaluate(_plain(events), _plain(found), float(durations[clip_id]))
    classes = _class_scores(metric, labels)
    pooled = metric.overall
    overall = Score.from_counts(
        pooled["Nref"], pooled["Nsys"], pooled["Ntp"], (pooled["S"], pooled["I"], pooled["D"])
    )
    parameters: dict[str, float | bool] = {"resolution": float(resolution)}
    return ClassScores(classes, mean_rates(list(classes.values())), overall, parameters)


def import_sed_eval() -> ModuleType:
    """Imports sed_eval without the warnings that its old dependencies print.

    Raises:
        MissingDependency: it is not installed, or setuptools is too new for it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import sed_eval
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "pkg_resources":
                raise MissingDependency(
                    "scoring events needs sed_eval, which needs pkg_resources, which setuptools "
                    '81 and newer leave out. Install it with: pip install "setuptools<81"'
                ) from error
            library = (error.name or "sed_eval").partition(".")[0]
            raise missing_dependency(library, "scoring events", "train") from error
    module: ModuleType = sed_eval
    return module


def check_durations(reference: EventLists, durations: Mapping[str, float]) -> None:
    """Refuses a clip without a duration.

    Raises:
        DataError: naming the clip.
    """
    for clip_id in reference:
        if not 0 < durations.get(clip_id, 0.0) < float("inf"):
            raise DataError(
                f'durations gives {durations.get(clip_id)} for clip "{clip_id}"; '
                "it must give the seconds, above 0, of every clip of the reference."
            )


def _class_scores(metric: Any, labels: Sequence[str]) -> dict[str, Score]:
    return {
        label: Score.from_counts(counts["Nref"], counts["Nsys"], counts["Ntp"])
        for label in labels
        for counts in [metric.class_wise[label]]
    }


def _plain(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [
        {"event_label": event.label, "onset": event.onset, "offset": event.offset}
        for event in events
    ]


def _only(events: Sequence[Event], label: str) -> list[Event]:
    return [event for event in events if event.label == label]
