"""A reproduction's tables as pictures: rows side by side, or a score over a swept parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sedsdk.errors import DataError
from sedsdk.plots.run_curves import PANELS_IN_A_ROW, legend_below
from sedsdk.plots.style import (
    GRID_COLOUR,
    TEXT_COLOUR,
    class_colour,
    new_axes,
    new_figure,
    save,
    set_title,
)
from sedsdk.training.reproduction.measures import AVERAGE, ScoreKind
from sedsdk.training.reproduction.table import MAIN_TEST, Estimate, RowResult, TableResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEVELOPMENT = "development"
"""What papers call the test that the main one is compared with."""
MARKERS = ("o", "s", "^", "v")
WIDE_RANGE = 20.0
"""Largest over smallest value of a sweep that asks for a logarithmic axis."""


def plot_rows(table: TableResult, score: ScoreKind, path: str | Path | None = None) -> Figure:
    """Draws a score of every row with its interval, a panel per class and one for the average.

    What the paper prints stands beside it as a hollow mark.

    Args:
        table: with results.
        score: the one that is drawn.
        path: file to write (.png, .svg, .pdf); None only builds the figure.

    Raises:
        DataError: the table has no results.
        MissingDependency: matplotlib is not installed.
    """
    _check(table)
    rows = list(table.rows)
    across = min(PANELS_IN_A_ROW, len(table.columns))
    down = -(-len(table.columns) // across)
    height = 1.0 + 0.32 * len(rows) * max(1.0, 0.6 * len(table.tests))
    figure = new_figure(1.4 + down * height)
    cells = figure.add_gridspec(down, across)
    first: Axes | None = None
    for index, column in enumerate(table.columns):
        axes = new_axes(figure, cells[index // across, index % across])
        if first is None:
            first = axes
        else:
            axes.sharex(first)
        for place, row in enumerate(rows):
            _draw_row(axes, table, row, column, score, place)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), [row.name for row in rows] if index % across == 0 else [])
        axes.set_title(
            column,
            loc="left",
            fontsize=11,
            fontweight="bold" if column == AVERAGE else "normal",
            color=TEXT_COLOUR,
        )
        axes.grid(axis="x", color=GRID_COLOUR, lw=0.8)
        axes.set_xlabel(score.axis, fontsize=10)
    assert first is not None
    if score.from_zero:
        first.set_xlim(left=0.0)
    _name_marks(figure, table)
    set_title(figure, table.title)
    return save(figure, path)


def plot_sweep(table: TableResult, score: ScoreKind, path: str | Path | None = None) -> Figure:
    """Draws a score over the parameter of a sweep: the average with intervals, and every class.

    Args:
        table: of kind "sweep", with results.
        score: the one that is drawn.
        path: file to write (.png, .svg, .pdf); None only builds the figure.

    Raises:
        DataError: the table has no results, or is no sweep.
        MissingDependency: matplotlib is not installed.
    """
    _check(table)
    if table.kind != "sweep":
        raise DataError(f'table "{table.name}" is no sweep, so it has no parameter to draw over.')
    rows = sorted(table.rows, key=lambda row: _value(row))
    values = [_value(row) for row in rows]
    figure = new_figure(5.2)
    cells = figure.add_gridspec(1, len(table.tests))
    first: Axes | None = None
    for index, test in enumerate(table.tests):
        axes = new_axes(figure, cells[0, index])
        if first is None:
            first = axes
        else:
            axes.sharey(first)
        for place, column in enumerate(table.columns):
            _draw_line(axes, rows, test, column, score, place)
        if min(values) > 0 and max(values) >= WIDE_RANGE * min(values):
            axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        axes.grid(color=GRID_COLOUR, lw=0.8)
        axes.set_xlabel(str(table.parameter), fontsize=11)
        axes.set_ylabel(score.axis, fontsize=11)
        if test != MAIN_TEST:
            axes.set_title(test, loc="left", fontsize=11, color=TEXT_COLOUR)
    assert first is not None
    if score.from_zero:
        first.set_ylim(bottom=0.0)
    lines = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes]
    legend_below(figure, {label: line for pairs in lines for line, label in pairs})
    set_title(figure, table.title)
    return save(figure, path)


def _check(table: TableResult) -> None:
    if table.is_empty:
        raise DataError(f'table "{table.name}" has no finished run to draw.')


def _draw_row(
    axes: Axes, table: TableResult, row: RowResult, column: str, score: ScoreKind, place: int
) -> None:
    step = 0.5 / len(table.tests)
    for index, test in enumerate(table.tests):
        height = place + (index - (len(table.tests) - 1) / 2) * step
        marker = MARKERS[index % len(MARKERS)]
        estimate = row.measured.get(test, {}).get(column, {}).get(score.name)
        if estimate is not None:
            span = [score.factor * end for end in (estimate.low, estimate.high)]
            axes.plot(span, [height] * 2, color=class_colour(place), lw=2.0, alpha=0.55)
            axes.plot(
                score.factor * estimate.value, height, marker, color=class_colour(place), ms=7
            )
        printed = _printed(row.printed, test, column)
        if printed is not None:
            axes.plot(printed, height, marker, mfc="white", mec=TEXT_COLOUR, mew=1.3, ms=7)


def _draw_line(
    axes: Axes, rows: Sequence[RowResult], test: str, column: str, score: ScoreKind, place: int
) -> None:
    colour = TEXT_COLOUR if column == AVERAGE else class_colour(place)
    found: list[tuple[float, Estimate]] = []
    for row in rows:
        estimate = row.measured.get(test, {}).get(column, {}).get(score.name)
        if estimate is not None:
            found.append((_value(row), estimate))
    if found:
        values = [value for value, _ in found]
        means = [score.factor * estimate.value for _, estimate in found]
        wide = column == AVERAGE
        axes.plot(
            values, means, color=colour, marker="o", ms=7 if wide else 4, lw=2.4 if wide else 1.3,
            label=f"{column} (95 % interval)" if wide else column, zorder=3 if wide else 2,
        )  # fmt: skip
        if wide:
            lows = [score.factor * estimate.low for _, estimate in found]
            highs = [score.factor * estimate.high for _, estimate in found]
            axes.vlines(values, lows, highs, color=colour, lw=2.0, alpha=0.55)
    said = [(_value(row), _printed(row.printed, test, column)) for row in rows]
    points = [(value, printed) for value, printed in said if printed is not None]
    if points:
        axes.plot(
            [value for value, _ in points], [printed for _, printed in points], "o", ls="",
            mfc="white", mec=colour, mew=1.3, ms=7, label=f"{column}, paper", zorder=4,
        )  # fmt: skip


def _printed(
    printed: Mapping[str, Mapping[str, Sequence[float | None]]], test: str, column: str
) -> float | None:
    """Returns the first value that the paper prints for what a test is compared with."""
    values = printed.get(DEVELOPMENT if test == MAIN_TEST else test, {}).get(column)
    return values[0] if values else None


def _name_marks(figure: Figure, table: TableResult) -> None:
    from matplotlib.lines import Line2D

    marks = {}
    for index, test in enumerate(table.tests):
        marker = MARKERS[index % len(MARKERS)]
        words = "measured, line: 95 % interval" if index == 0 else f"measured, {test}"
        marks[words] = Line2D([], [], color=class_colour(0), marker=marker, ms=7, lw=2.0)
        if any(_printed(row.printed, test, column) is not None
               for row in table.rows for column in table.columns):  # fmt: skip
            words = DEVELOPMENT if test == MAIN_TEST else test
            marks[f"paper, {words}"] = Line2D(
                [], [], ls="", marker=marker, mfc="white", mec=TEXT_COLOUR, mew=1.3, ms=7
            )
    legend_below(figure, marks)


def _value(row: RowResult) -> float:
    return 0.0 if row.value is None else row.value
