"""Scores of a trained pipeline on the test clips and on every further test of its recipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sedsdk.data.manifest import Manifest
from sedsdk.pipeline import Pipeline
from sedsdk.training.prepare import Prepared
from sedsdk.training.score import ScoringClips, mixture_class, predict_clips, report_on_clips


@dataclass(frozen=True)
class FinalScores:
    """What the tests gave.

    Attributes:
        report: of the test as `Report.to_dict` or `TagReport.to_dict` gives it; None without one.
        further: the same of further tests, by name.
        page: all of them as Markdown.
        problems: one line per clip that could not be read.
    """

    report: dict[str, Any] | None
    further: dict[str, dict[str, Any]]
    page: str
    problems: tuple[str, ...]


def final_scores(
    pipeline: Pipeline,
    prepared: Prepared,
    folder: Path,
    notes: Sequence[str],
    say: Callable[[str], None],
) -> FinalScores:
    """Scores what there is and writes a report on each: the test's here, others in subfolders.

    Args:
        pipeline: trained, with its thresholds in place.
        prepared: the test clips; tests without any labels are passed over.
        folder: where reports go.
        notes: one line each, for every report.
        say: takes lines for the reader.
    """
    first = {} if prepared.test is None else {"test": prepared.test}
    left_out = [f"{name} was not scored: {reason}" for name, reason in prepared.skipped.items()]
    reports: dict[str, dict[str, Any]] = {}
    pages: list[str] = []
    problems: list[str] = []
    for name, manifest in {**first, **prepared.further_tests}.items():
        what, place = (
            ("test clips", folder) if name == "test" else (f"clips of {name}", folder / name)
        )
        say(f"scoring {len(manifest)} {what}")
        clips = ScoringClips(manifest, prepared.reader, pipeline.labels, pipeline.device)
        problems += clips.problems
        if not clips.present:
            say(f"the {what} have no labels and are not scored")
            continue
        origin = prepared.origins.get(name)
        scored = report_on_clips(
            pipeline,
            predict_clips(pipeline, clips),
            clips,
            "Test scores" if name == "test" else f"Test scores on {name}",
            [
                *notes,
                *([f"scored on {origin}"] if origin else []),
                *_heard_in_words(manifest, prepared.validation),
                *left_out,
            ],
        )
        scored.write(place)
        reports[name] = json.loads(scored.to_json())
        pages.append(scored.to_markdown())
    report = reports.pop("test", None)
    return FinalScores(report, reports, "\n\n".join(pages or left_out), tuple(problems))


def _heard_in_words(test: Manifest, validation: Manifest) -> list[str]:
    """Says how many test clips are validation clips: the same files, or mixtures of one name."""
    paths = {clip.path for clip in validation}
    names = {clip.id for clip in validation if mixture_class(clip.id) is not None}
    count = sum(clip.path in paths or clip.id in names for clip in test)
    if not count:
        return []
    return [f"{count} of these {len(test)} clips are validation clips too: no unseen data"]
