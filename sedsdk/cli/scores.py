"""Scores on the screen: a report's event-based scores as one table, its tags as another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RATES = ("F1", "precision", "recall")
COUNTS = ("events", "found", "right")
TAG_RATES = ("f1", "precision", "recall")


def print_report(report: Mapping[str, Any]) -> None:
    """Prints the scores of every class and their average.

    Of events, by onset only; of tags, if there is nothing else or the detector decides on them.

    Args:
        report: as `Report.to_dict` or `TagReport.to_dict` gives it.
    """
    has_events = "event_based_onset" in report
    if has_events:
        _print_events(report)
    parts = [ref["part"].rsplit("/", 1)[-1] for ref in report["postprocessors"]]
    if not has_events or "tag_threshold" in parts:
        _print_tags(report)


def _print_events(report: Mapping[str, Any]) -> None:
    from sedsdk.cli.screen import print_table

    scores, intervals = report["event_based_onset"], report["intervals"]
    rows = [
        [
            label,
            *_rates(score, intervals["error_rate"].get(label)),
            *(str(score[count]) for count in ("n_ref", "n_sys", "hits")),
        ]
        for label, score in scores["classes"].items()
    ]
    if len(rows) > 1:
        average = _rates(scores["average"], intervals["average_error_rate"])
        rows.append(["average", *average, "", "", ""])
    columns = ["class", "ER", f"{100 * intervals['confidence']:g} % interval", *RATES, *COUNTS]
    print_table(
        columns,
        rows,
        f"{report['title']}: {report['n_clips']} clips, {report['seconds'] / 60:.1f} min; "
        f"events by onset within {scores['parameters']['collar']:g} s (sed_eval)",
        right=columns[1:],
    )


def _print_tags(report: Mapping[str, Any]) -> None:
    from sedsdk.cli.screen import print_table

    tags, intervals = report["tags"], report["tag_intervals"]
    rows = [
        [
            label,
            _percent(score["auc"]),
            _percents(intervals["classes"][label]["auc"]),
            *(_percent(score[name]) for name in ("average_precision", *TAG_RATES)),
            *(str(score[count]) for count in ("n_positive", "n_found")),
        ]
        for label, score in tags["classes"].items()
    ]
    if len(rows) > 1:
        means = [_percent(tags[name]) for name in ("mean_average_precision", *TAG_RATES)]
        average = [_percent(tags["auc"]), _percents(intervals["auc"]), *means]
        rows.append(["average", *average, "", ""])
    columns = ["class", "AUC", f"{100 * intervals['confidence']:g} % interval", "AP", *RATES]
    columns += ["clips", "found"]
    print_table(
        columns,
        rows,
        f"{report['title']}: {tags['n_clips']} clips, {report['seconds'] / 60:.1f} min; "
        "tags by clip probability (scikit-learn)",
        right=columns[1:],
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _percents(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return ""
    return f"{100 * interval['low']:.1f} – {100 * interval['high']:.1f} %"


def _rates(score: Mapping[str, float], interval: Mapping[str, float] | None) -> list[str]:
    shares = (f"{100 * score[name]:.1f} %" for name in ("f1", "precision", "recall"))
    span = f"{interval['low']:.2f} – {interval['high']:.2f}" if interval else ""
    return [f"{score['error_rate']:.2f}", span, *shares]
