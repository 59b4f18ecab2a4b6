"""Fits the thresholds of a trained pipeline, of events and of tags, on validation clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sedsdk.config import PartRef
from sedsdk.evaluation import (
    ClipTags,
    FittedPostProcessors,
    FittedTagThresholds,
    fit_postprocessors,
    fit_tag_thresholds,
)
from sedsdk.pipeline import Pipeline
from sedsdk.training.score import TAG_PART, ScoringClips, part_name, tag_thresholds
from sedsdk.types import ClipPrediction, Event

DECIDING_PARTS = frozenset({"threshold", "dynamic_threshold", "hysteresis", "clip_gate"})
"""Parts whose thresholds are fitted on events; durations stay as the recipe has them."""

EVENT_PART = "to_events"


@dataclass(frozen=True)
class Judged:
    """Predictions with what they are judged by, by clip id; clips of which something is known.

    Attributes:
        predictions: before any post-processing.
        reference: the events to find; clips with strong labels only.
        present: the labels that each clip holds, from weak or strong labels.
        groups: recording group.
        made_for: class that each mixture was made for; None if they were not made for one.
    """

    predictions: dict[str, ClipPrediction]
    reference: dict[str, tuple[Event, ...]]
    present: dict[str, tuple[str, ...]]
    groups: dict[str, str]
    made_for: dict[str, str] | None

    @classmethod
    def of(cls, clips: ScoringClips, predictions: Mapping[str, ClipPrediction]) -> Judged:
        """Puts the predictions of clips beside their labels."""
        present, groups, made_for = clips.present, clips.groups, clips.made_for
        return cls(
            {clip_id: predictions[clip_id] for clip_id in present},
            clips.reference,
            present,
            {clip_id: groups[clip_id] for clip_id in present},
            None if made_for is None else {clip_id: made_for[clip_id] for clip_id in present},
        )

    @classmethod
    def together(cls, parts: Mapping[str, Judged]) -> Judged:
        """Joins what several models judged; clip ids and groups get the part's name in front."""
        joined = cls({}, {}, {}, {}, {})
        made_for: dict[str, str] | None = {}
        for name, part in parts.items():
            for clip_id, prediction in part.predictions.items():
                own = f"{name}/{clip_id}"
                joined.predictions[own] = prediction
                joined.present[own] = part.present[clip_id]
                joined.groups[own] = f"{name}/{part.groups[clip_id]}"
                if clip_id in part.reference:
                    joined.reference[own] = part.reference[clip_id]
                if made_for is not None and part.made_for is not None:
                    made_for[own] = part.made_for[clip_id]
            if part.made_for is None:
                made_for = None
        return cls(joined.predictions, joined.reference, joined.present, joined.groups, made_for)


@dataclass(frozen=True)
class FittedThresholds:
    """What was fitted; None where there was nothing to fit, or nothing to fit it on.

    Attributes:
        events: of the parts that decide on frames.
        tags: of `tag_threshold`.
    """

    events: FittedPostProcessors | None = None
    tags: FittedTagThresholds | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON: those of `events`, and of `tags` in one key."""
        events = {} if self.events is None else self.events.as_dict()
        return events if self.tags is None else {**events, "tags": self.tags.as_dict()}

    def notes(self, pipeline: Pipeline) -> list[str]:
        """Says in a line each where the thresholds of a pipeline come from."""
        events = _has(pipeline, EVENT_PART) or not _has(pipeline, TAG_PART)
        return [
            f"{what} set {'by hand, in the recipe' if found is None else 'on validation data only'}"
            for what, found, asked in (
                ("thresholds", self.events, events),
                ("thresholds of tags", self.tags, _has(pipeline, TAG_PART)),
            )
            if asked
        ]


def fit_to_clips(pipeline: Pipeline, judged: Judged) -> FittedThresholds:
    """Fits the pipeline's post-processors and puts them in place.

    Events are fitted across recording groups, where the pipeline makes any and clips have strong
    labels; tags per class for the best F1, where the pipeline has `tag_threshold`.
    """
    return FittedThresholds(_fit_events(pipeline, judged), _fit_tags(pipeline, judged))


def _fit_events(pipeline: Pipeline, judged: Judged) -> FittedPostProcessors | None:
    if not judged.reference or not _has(pipeline, EVENT_PART):
        return None
    refs, made_for = pipeline.config.postprocessors, judged.made_for
    fitted = fit_postprocessors(
        refs,
        {clip_id: judged.predictions[clip_id] for clip_id in judged.reference},
        judged.reference,
        groups=judged.groups,
        clip_class=made_for,
        search={ref.part: {} for ref in refs if part_name(ref) not in DECIDING_PARTS},
        host=pipeline.host,
    )
    pipeline.set_postprocessors(fitted.postprocessors)
    return fitted


def _fit_tags(pipeline: Pipeline, judged: Judged) -> FittedTagThresholds | None:
    if not judged.present or not _has(pipeline, TAG_PART):
        return None
    clips = ClipTags.of(judged.predictions, judged.present, thresholds=tag_thresholds(pipeline))
    fitted = fit_tag_thresholds(clips)
    pipeline.set_postprocessors(
        [
            PartRef.model_validate(
                {"part": ref.part, **ref.options, "threshold": fitted.thresholds}
            )
            if part_name(ref) == TAG_PART
            else ref
            for ref in pipeline.config.postprocessors
        ]
    )
    return fitted


def _has(pipeline: Pipeline, name: str) -> bool:
    return any(part_name(ref) == name for ref in pipeline.config.postprocessors)
