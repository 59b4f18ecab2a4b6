"""One report of a test of tags alone: clips whose labels are known, and when they sound is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sedsdk.config import PartRef, read_model
from sedsdk.errors import DataError
from sedsdk.evaluation.clip_counts import COUNTS_NAME
from sedsdk.evaluation.clip_tags import TAG_SCORES_NAME, ClipTags
from sedsdk.evaluation.report import JSON_NAME, MARKDOWN_NAME
from sedsdk.evaluation.report_text import tag_report_markdown
from sedsdk.evaluation.tag_bootstrap import TagIntervals, tag_intervals
from sedsdk.evaluation.tags import TagScores
from sedsdk.files import write_atomically

FORMAT = "sedsdk-tag-report/1"


@dataclass(frozen=True)
class TagReport:
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
            postprocessors=tuple(
                ref if isinstance(ref, PartRef) else read_model(PartRef, ref, "post-processor")
                for ref in postprocessors
            ),
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
            "postprocessors": [{"part": ref.part, **ref.options} for ref in self.postprocessors],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Returns `to_dict` as strict JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Returns the report as a page to read."""
        return tag_report_markdown(self.to_dict())

    def write(self, folder: str | Path) -> Path:
        """Writes tag_scores.npz, report.json and report.md, and returns the folder.

        Each file appears whole or not at all; the scores of the clips come first, so that where
        there is a report, there are scores. The event counts of an earlier report in this folder
        go: they belong to other scores.

        Raises:
            OSError: the folder or the disk cannot be written to.
        """
        folder = Path(folder)
        write_atomically(folder / TAG_SCORES_NAME, self.clips.to_bytes())
        (folder / COUNTS_NAME).unlink(missing_ok=True)
        write_atomically(folder / JSON_NAME, self.to_json().encode())
        write_atomically(folder / MARKDOWN_NAME, self.to_markdown().encode())
        return folder
