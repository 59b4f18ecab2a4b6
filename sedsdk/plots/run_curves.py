"""The validation curves of many runs in one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sedsdk.errors import DataError
from sedsdk.plots.curves import EPOCH, read_curves
from sedsdk.plots.style import (
    GRID_COLOUR,
    TEXT_COLOUR,
    class_colour,
    new_axes,
    new_figure,
    save,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS_IN_A_ROW = 4
LETTERS_IN_A_LINE = 150
UNITS = {"valid_loss": "mean per clip", "event_error_rate": "errors per event"}
"""Of validation scores; the others are ratios."""


@dataclass(frozen=True)
class RunCurve:
    """Where to find the validation curve of one run.

    Attributes:
        row: of the table.
        model: of the row.
        table: curves.csv.
        score: its column that is drawn.
    """

    row: str
    model: str
    table: Path
    score: str


def plot_run_curves(
    curves: Sequence[RunCurve], path: str | Path | None = None, title: str = ""
) -> Figure:
    """Draws the validation score of every run over its epochs, one colour per row.

    Runs of different models, or judged by different scores, have panels of their own.

    Args:
        curves: at least one.
        path: file to write (.png, .svg, .pdf); None only builds the figure.
        title: written above.

    Raises:
        DataError: there are no curves, or one cannot be read.
        MissingDependency: matplotlib is not installed.
    """
    if not curves:
        raise DataError("there are no curves to draw: no run has ended an epoch.")
    panels = list(dict.fromkeys((curve.model, curve.score) for curve in curves))
    rows = list(dict.fromkeys(curve.row for curve in curves))
    across = min(PANELS_IN_A_ROW, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(0.9 + 4.0 * down)
    from matplotlib.ticker import MaxNLocator

    cells = figure.add_gridspec(down, across)
    named: dict[str, Any] = {}
    for index, panel in enumerate(panels):
        axes = new_axes(figure, cells[index // across, index % across])
        for curve in curves:
            if (curve.model, curve.score) == panel:
                points = _points(curve)
                (line,) = axes.plot(
                    *points,
                    color=class_colour(rows.index(curve.row)),
                    lw=1.5,
                    alpha=0.85,
                    marker="o" if len(points[0]) < 3 else None,
                )
                named.setdefault(curve.row, line)
        axes.grid(color=GRID_COLOUR, lw=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.03)
        axes.set_xlabel("epoch", fontsize=11)
        axes.set_ylabel(_axis(panel[1]), fontsize=11)
        if len({model for model, _ in panels}) > 1:
            axes.set_title(panel[0], loc="left", fontsize=11, color=TEXT_COLOUR)
    legend_below(figure, named)
    set_title(figure, title)
    return save(figure, path)


def legend_below(figure: Figure, named: Mapping[str, Any]) -> None:
    """Names marks under a figure, in one legend for all its panels."""
    longest = max(len(name) for name in named) + 6
    figure.legend(
        list(named.values()), list(named), loc="outside lower left", frameon=False, fontsize=10,
        ncols=max(1, min(len(named), LETTERS_IN_A_LINE // longest)),
    )  # fmt: skip


def _points(curve: RunCurve) -> tuple[list[float], list[float]]:
    curves = read_curves(curve.table)
    if curve.score not in curves:
        raise DataError(f'{curve.table} has no column "{curve.score}".')
    known = [
        (epoch, value)
        for epoch, value in zip(curves[EPOCH], curves[curve.score], strict=True)
        if math.isfinite(value)
    ]
    return [epoch for epoch, _ in known], [value for _, value in known]


def _axis(score: str) -> str:
    """Returns the name of a validation score with its unit."""
    words = score.removeprefix("valid_").replace("_", " ")
    return f"validation {words} ({UNITS.get(score, 'ratio')})"
