"""Scores on the screen: a report's event-based scores as one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sedsdk.evaluation.rates import Rates
    from sedsdk.evaluation.report import Report

COLUMNS = ("class", "ER", "F1", "precision", "recall", "events", "found", "right")


def print_report(report: Report) -> None:
    """Prints the event-based scores (onset only) of every class and their average.

    Args:
        report: of a test.
    """
    from sedsdk.cli.screen import print_table

    collar = report.onset.parameters.get("collar", 0.5)
    rows = [
        [label, *_rates(score), str(score.n_ref), str(score.n_sys), str(score.hits)]
        for label, score in report.onset.classes.items()
    ]
    if len(rows) > 1:
        rows.append(["average", *_rates(report.onset.average), "", "", ""])
    minutes = report.seconds / 60
    print_table(
        COLUMNS,
        rows,
        f"{report.title}: {report.n_clips} clips, {minutes:.1f} min; "
        f"event-based (sed_eval), onset within {collar:g} s",
        right=COLUMNS[1:],
    )


def _rates(score: Rates) -> list[str]:
    shares = (score.f1, score.precision, score.recall)
    return [f"{score.error_rate:.2f}", *(f"{100 * share:.1f} %" for share in shares)]
