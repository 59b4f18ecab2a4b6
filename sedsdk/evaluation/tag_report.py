"""One report of a test of tags alone: clips whose labels are known, and when they sound is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sedsdk.config import PartRef
from sedsdk.errors import DataError
from sedsdk.evaluation.clip_counts import COUNTS_NAME
from sedsdk.evaluation.clip_tags import TAG_SCORES_NAME, ClipTags
from sedsdk.evaluation.report_text import tag_report_markdown
from sedsdk.evaluation.tag_bootstrap import TagIntervals, tag_intervals
from sedsdk.evaluation.tags import TagScores
from sedsdk.evaluation.written_report import WrittenReport, part_refs, plain_parts

FORMAT = "sedsdk-tag-report/1"


@dataclass(frozen=True)
class TagReport(WrittenReport):
    """Every score of tags of one test, with what it was computed from.

    Attributes:
        title: heading of the report.
        labels: class names in order.
        n_clips: clips scored.
        n_unknown: clips that were left out because none of their labels is known.
        n_groups: recording groups of the scored clips, None if they are not known.
        seconds: total length of the scored clips.
        tags: scores of the clip probabilities.
        intervals: bootstrap intervals of `tags`.
        clips: what `tags` was computed from, clip by clip.
        postprocessors: of the pipeline.
        notes: further facts for the reader, such as where the thresholds were fitted.
    """

    title: str
    labels: tuple[str, ...]
    n_clips: int
    n_unknown: int
    n_groups: int | None
    seconds: float
    tags: TagScores
    intervals: TagIntervals
    clips: ClipTags
    postprocessors: tuple[PartRef, ...]
    notes: tuple[str, ...]

    @classmethod
    def build(
        cls,
        clips: ClipTags,
        *,
        durations: Mapping[str, float] | None = None,
        postprocessors: Sequence[PartRef | Mapping[str, Any] | str] = (),
        resamples: int = 1000,
        confidence: float = 0.95,
        seed: int = 0,
        title: str = "Test report",
        notes: Sequence[str] = (),
    ) -> TagReport:
        """Scores clip probabilities.

        Args:
            clips: probabilities, labels, groups and thresholds.
            durations: seconds of each clip, by clip id.
            postprocessors: of the pipeline, for the record.
            resamples: of the bootstrap.
            confidence: of the intervals.
            seed: of the bootstrap.
            title: heading.
            notes: one line each.

        Raises:
            ConfigError: a parameter is out of its range.
            DataError: no clip has known labels, or a probability is not in [0, 1].
            MissingDependency: scikit-learn is missing.
        """
        scored = clips.known_clips()
        if not scored.clip_ids:
            raise DataError("no clip has known labels, so there is nothing to score.")
        return cls(
            title=title,
            labels=clips.labels,
            n_clips=len(scored.clip_ids),
            n_unknown=clips.n_unknown,
            n_groups=None if clips.groups is None else len(set(scored.units)),
            seconds=float(sum((durations or {}).get(clip_id, 0.0) for clip_id in scored.clip_ids)),
            tags=clips.scores(),
            intervals=tag_intervals(clips, resamples=resamples, confidence=confidence, seed=seed),
            clips=clips,
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
            "n_unknown": self.n_unknown,
            "n_groups": self.n_groups,
            "seconds": self.seconds,
            "tags": self.tags.as_dict(),
            "tag_intervals": self.intervals.as_dict(),
            "postprocessors": plain_parts(self.postprocessors),
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """Returns the report as a page to read."""
        return tag_report_markdown(self.to_dict())

    def beside(self) -> dict[str, bytes | None]:
        """Returns tag_scores.npz, and that there are no event counts."""
        return {TAG_SCORES_NAME: self.clips.to_bytes(), COUNTS_NAME: None}
