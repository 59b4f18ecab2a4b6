"""One report of a test: JSON for programs, Markdown for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sedsdk.config import PartRef
from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation.bootstrap import Intervals, bootstrap_intervals
from sedsdk.evaluation.clip_counts import COUNTS_NAME, ClipCounts
from sedsdk.evaluation.clip_tags import TAG_SCORES_NAME, ClipTags
from sedsdk.evaluation.events import event_scores, rare_event_scores, segment_scores
from sedsdk.evaluation.matching import EventLists, count_events
from sedsdk.evaluation.psds import PSDS_SCENARIO_1, PSDS_SCENARIO_2, PsdsScore, psds_scores
from sedsdk.evaluation.rates import ClassScores
from sedsdk.evaluation.report_text import report_markdown
from sedsdk.evaluation.tag_bootstrap import TagIntervals, tag_intervals
from sedsdk.evaluation.tags import DEFAULT_THRESHOLD, TagScores, Thresholds
from sedsdk.evaluation.written_report import WrittenReport, part_refs, plain_parts
from sedsdk.types import ClipPrediction

FORMAT = "sedsdk-report/1"


@dataclass(frozen=True)
class Report(WrittenReport):
    """Every score of one test, with what it was computed from.

    Attributes:
        title: heading of the report.
        labels: class names in order.
        n_clips: clips scored.
        n_groups: recording groups, None if they are not known.
        seconds: total length of the clips.
        onset: event-based, onset only.
        onset_offset: event-based, onset and offset.
        segments: segment-based.
        tags: scores of the clip probabilities.
        intervals: bootstrap intervals of `onset`.
        counts: what `onset` was counted from, clip by clip.
        tag_intervals: bootstrap intervals of `tags`.
        clip_tags: what `tags` was computed from, clip by clip.
        psds: PSDS per scenario, empty if not asked for.
        postprocessors: the post-processors whose events were scored.
        notes: further facts for the reader, such as where the thresholds were fitted.
    """

    title: str
    labels: tuple[str, ...]
    n_clips: int
    n_groups: int | None
    seconds: float
    onset: ClassScores
    onset_offset: ClassScores
    segments: ClassScores
    tags: TagScores
    intervals: Intervals
    counts: ClipCounts
    tag_intervals: TagIntervals
    clip_tags: ClipTags
    psds: dict[str, PsdsScore]
    postprocessors: tuple[PartRef, ...]
    notes: tuple[str, ...]

    @classmethod
    def build(
        cls,
        predictions: Mapping[str, ClipPrediction],
        reference: EventLists,
        *,
        durations: Mapping[str, float] | None = None,
        groups: Mapping[str, str] | None = None,
        clip_class: Mapping[str, str] | None = None,
        postprocessors: Sequence[PartRef | Mapping[str, Any] | str] = (),
        tag_thresholds: Thresholds = DEFAULT_THRESHOLD,
        present: Mapping[str, Sequence[str]] | None = None,
        collar: float = 0.5,
        percentage_of_length: float = 0.5,
        segment_seconds: float = 1.0,
        with_psds: bool = False,
        resamples: int = 1000,
        confidence: float = 0.95,
        seed: int = 0,
        title: str = "Test report",
        notes: Sequence[str] = (),
    ) -> Report:
        """Scores post-processed clips.

        Args:
            predictions: per clip id, all with the same labels and with `events` set.
            reference: the events to find, for exactly these clips.
            durations: seconds of each clip; None takes the span of its frames.
            groups: recording group of each clip, for the intervals; None resamples clips.
            clip_class: the class that each clip was made for: event-based scores and intervals
                then follow DCASE 2017 Task 2, each class on its own clips.
            postprocessors: what made the events, for the record.
            tag_thresholds: what a clip probability has to exceed.
            present: labels that each clip holds, for the tags; None takes those of its events.
            collar: of the event-based scores, in seconds.
            percentage_of_length: of the offsets' tolerance, in [0, 1].
            segment_seconds: length of the segments.
            with_psds: compute PSDS too, scenarios 1 and 2.
            resamples: of the bootstrap.
            confidence: of the intervals.
            seed: of the bootstrap.
            title: heading.
            notes: one line each.

        Raises:
            ConfigError: a parameter is out of its range, or a clip has no events because the
                post-processors do not end with to_events.
            DataError: clips or labels do not fit together.
            MissingDependency: sed_eval, scikit-learn or (for PSDS) sed_scores_eval is missing.
        """
        labels = _checked_labels(predictions, reference)
        estimated = {clip_id: clip.events or () for clip_id, clip in predictions.items()}
        if durations is None:
            durations = {
                clip_id: clip.grid.start(len(clip.frames)) for clip_id, clip in predictions.items()
            }

        def scored(offsets: bool) -> ClassScores:
            options = (collar, offsets, percentage_of_length)
            if clip_class is None:
                return event_scores(reference, estimated, labels, *options)
            return rare_event_scores(reference, estimated, labels, clip_class, *options)

        held = (
            {clip_id: {event.label for event in events} for clip_id, events in reference.items()}
            if present is None
            else _checked_present(present, predictions, labels)
        )
        counts = count_events(reference, estimated, labels, collar=collar)
        clip_tags = ClipTags.of(
            predictions,
            held,
            # groups that only repeat the class that a clip was made for name no recordings
            groups=None if groups == clip_class else groups,
            thresholds=tag_thresholds,
        )
        return cls(
            title=title,
            labels=labels,
            n_clips=len(predictions),
            n_groups=None if groups is None else len({groups.get(clip) for clip in predictions}),
            seconds=float(sum(durations.get(clip_id, 0.0) for clip_id in predictions)),
            onset=scored(offsets=False),
            onset_offset=scored(offsets=True),
            segments=segment_scores(
                reference, estimated, labels, segment_seconds, durations=durations
            ),
            tags=clip_tags.scores(),
            intervals=bootstrap_intervals(
                counts,
                groups=groups,
                clip_class=clip_class,
                resamples=resamples,
                confidence=confidence,
                seed=seed,
            ),
            counts=ClipCounts(
                counts, _of(counts.clip_ids, groups), _of(counts.clip_ids, clip_class), collar
            ),
            tag_intervals=tag_intervals(
                clip_tags, resamples=resamples, confidence=confidence, seed=seed
            ),
            clip_tags=clip_tags,
            psds={
                name: psds_scores(predictions, reference, durations, parameters)
                for name, parameters in (
                    ("scenario_1", PSDS_SCENARIO_1),
                    ("scenario_2", PSDS_SCENARIO_2),
                )
            }
            if with_psds
            else {},
            postprocessors=part_refs(postprocessors),
            notes=tuple(notes),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON: no NaN, None where nothing is defined."""
        return {
            "format": FORMAT,
            "title": self.title,
            "labels": list(self.labels),
            "n_clips": self.n_clips,
            "n_groups": self.n_groups,
            "seconds": self.seconds,
            "event_based_onset": self.onset.as_dict(),
            "event_based_onset_offset": self.onset_offset.as_dict(),
            "segment_based": self.segments.as_dict(),
            "tags": self.tags.as_dict(),
            "tag_intervals": self.tag_intervals.as_dict(),
            "intervals": self.intervals.as_dict(),
            "psds": {name: score.as_dict() for name, score in self.psds.items()},
            "postprocessors": plain_parts(self.postprocessors),
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """Returns the report as a page to read."""
        return report_markdown(self.to_dict())

    def beside(self) -> dict[str, bytes | None]:
        """Returns counts.json and tag_scores.npz."""
        return {
            COUNTS_NAME: self.counts.to_json().encode(),
            TAG_SCORES_NAME: self.clip_tags.to_bytes(),
        }


def _of(clip_ids: Sequence[str], named: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if named is None else {clip_id: named[clip_id] for clip_id in clip_ids}


def _checked_labels(
    predictions: Mapping[str, ClipPrediction], reference: EventLists
) -> tuple[str, ...]:
    if not predictions or set(predictions) != set(reference):
        different = sorted(set(predictions) ^ set(reference))[:3]
        raise DataError(
            "predictions and reference must name the same clips, at least one; "
            f"in one of them only: {', '.join(different) or 'none, both are empty'}."
        )
    labels = next(iter(predictions.values())).labels
    for clip_id, clip in predictions.items():
        if clip.labels != labels:
            raise DataError(
                f'clip "{clip_id}" has the labels {", ".join(clip.labels)}, the first one '
                f"{', '.join(labels)}. All clips must come from one pipeline."
            )
        if clip.events is None:
            raise ConfigError(
                f'clip "{clip_id}" has no events yet. Post-process it, with to_events at the end.'
            )
        if not all(map(math.isfinite, clip.clip.tolist())):
            raise DataError(
                f'clip "{clip_id}" has clip probabilities that are not finite: '
                "look for NaN in its audio or in the model."
            )
    return labels


def _checked_present(
    present: Mapping[str, Sequence[str]],
    predictions: Mapping[str, ClipPrediction],
    labels: tuple[str, ...],
) -> dict[str, set[str]]:
    held = {}
    for clip_id in predictions:
        if clip_id not in present:
            raise DataError(f'present does not name the clip "{clip_id}". Name every clip.')
        held[clip_id] = set(present[clip_id])
        if unknown := sorted(held[clip_id] - set(labels)):
            raise DataError(
                f'present gives the label "{unknown[0]}" for clip "{clip_id}"; '
                f"scored are {', '.join(labels)}."
            )
    return held
