"""Scores of events and tags, fitted thresholds, confidence intervals, and one report of it all.

Each name loads its module when it is first asked for; sed_eval, scikit-learn and sed_scores_eval
load when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedsdk.evaluation.bootstrap import Interval, Intervals, bootstrap_intervals
    from sedsdk.evaluation.clip_counts import ClipCounts, UnitCounts, read_clip_counts
    from sedsdk.evaluation.clip_tags import ClipTags, beside_tags, read_clip_tags
    from sedsdk.evaluation.events import event_scores, rare_event_scores, segment_scores
    from sedsdk.evaluation.matching import (
        EventCounts,
        count_events,
        match_intervals,
        match_onsets,
    )
    from sedsdk.evaluation.psds import (
        PSDS_SCENARIO_1,
        PSDS_SCENARIO_2,
        PsdsParameters,
        PsdsScore,
        psds_scores,
    )
    from sedsdk.evaluation.rates import ClassScores, Rates, Score
    from sedsdk.evaluation.report import Report
    from sedsdk.evaluation.run_bootstrap import (
        RunScores,
        beside,
        resample_runs,
        scores_of_runs,
    )
    from sedsdk.evaluation.tag_bootstrap import (
        TagIntervals,
        TagRunScores,
        resample_tag_runs,
        tag_intervals,
        tag_scores_of_runs,
    )
    from sedsdk.evaluation.tag_fitting import FittedTagThresholds, fit_tag_thresholds
    from sedsdk.evaluation.tag_report import TagReport
    from sedsdk.evaluation.tags import TagScore, TagScores, best_f1_thresholds, tag_scores
    from sedsdk.evaluation.thresholds import FittedPostProcessors, Trial, fit_postprocessors

__all__ = [
    "PSDS_SCENARIO_1",
    "PSDS_SCENARIO_2",
    "ClassScores",
    "ClipCounts",
    "ClipTags",
    "EventCounts",
    "FittedPostProcessors",
    "FittedTagThresholds",
    "Interval",
    "Intervals",
    "PsdsParameters",
    "PsdsScore",
    "Rates",
    "Report",
    "RunScores",
    "Score",
    "TagIntervals",
    "TagReport",
    "TagRunScores",
    "TagScore",
    "TagScores",
    "Trial",
    "UnitCounts",
    "beside",
    "beside_tags",
    "best_f1_thresholds",
    "bootstrap_intervals",
    "count_events",
    "event_scores",
    "fit_postprocessors",
    "fit_tag_thresholds",
    "match_intervals",
    "match_onsets",
    "psds_scores",
    "rare_event_scores",
    "read_clip_counts",
    "read_clip_tags",
    "resample_runs",
    "resample_tag_runs",
    "scores_of_runs",
    "segment_scores",
    "tag_intervals",
    "tag_scores",
    "tag_scores_of_runs",
]

_NAMES_BY_MODULE = {
    "bootstrap": "Interval Intervals bootstrap_intervals",
    "clip_counts": "ClipCounts UnitCounts read_clip_counts",
    "clip_tags": "ClipTags beside_tags read_clip_tags",
    "events": "event_scores rare_event_scores segment_scores",
    "matching": "EventCounts count_events match_intervals match_onsets",
    "psds": "PSDS_SCENARIO_1 PSDS_SCENARIO_2 PsdsParameters PsdsScore psds_scores",
    "rates": "ClassScores Rates Score",
    "report": "Report",
    "run_bootstrap": "RunScores beside resample_runs scores_of_runs",
    "tag_bootstrap": (
        "TagIntervals TagRunScores resample_tag_runs tag_intervals tag_scores_of_runs"
    ),
    "tag_fitting": "FittedTagThresholds fit_tag_thresholds",
    "tag_report": "TagReport",
    "tags": "TagScore TagScores best_f1_thresholds tag_scores",
    "thresholds": "FittedPostProcessors Trial fit_postprocessors",
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'sedsdk.evaluation' has no attribute {name!r}")
    value = getattr(import_module(f"sedsdk.evaluation.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
