"""Scores on the screen: a report's event-based scores as one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RATES = ("F1", "precision", "recall")
COUNTS = ("events", "found", "right")


def print_report(report: Mapping[str, Any]) -> None:
    """Prints the event-based scores (onset only) of every class and their average.

    Args:
        report: as `Report.to_dict` gives it.
    """
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


def _rates(score: Mapping[str, float], interval: Mapping[str, float] | None) -> list[str]:
    shares = (f"{100 * score[name]:.1f} %" for name in ("f1", "precision", "recall"))
    span = f"{interval['low']:.2f} – {interval['high']:.2f}" if interval else ""
    return [f"{score['error_rate']:.2f}", span, *shares]
