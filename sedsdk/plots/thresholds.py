"""How a score depends on the threshold, per class: how sharply a threshold had to be chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sedsdk.errors import DataError
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

COLUMNS = 4


def plot_thresholds(
    table: Mapping[str, Sequence[tuple[float, float]]],
    path: str | Path | None = None,
    chosen: Mapping[str, float] | None = None,
    score_name: str = "F1 on validation clips (ratio)",
    field_name: str = "threshold",
    title: str = "",
) -> Figure:
    """Draws the score against the threshold, one panel per class.

    Args:
        table: label → pairs of threshold in [0, 1] and score, in any order; where a threshold
            occurs more than once (other options vary with it) its highest score is drawn.
        path: file to write (.png, .svg, .pdf); None only builds the figure.
        chosen: the fitted threshold per class, drawn as a broken line.
        score_name: names the score axis, with its unit.
        field_name: names the threshold axis, as in "hysteresis.high".
        title: written above.

    Raises:
        DataError: the table is empty.
        MissingDependency: matplotlib is not installed.
    """
    if not table or not all(table.values()):
        empty = [label for label, pairs in table.items() if not pairs]
        raise DataError(
            "no thresholds to draw: the table needs at least one (threshold, score) pair per "
            f"class{', and ' + empty[0] + ' has none' if empty else ''}."
        )
    rows = -(-len(table) // COLUMNS)
    columns = min(len(table), COLUMNS)
    figure = new_figure(0.8 + 3.0 * rows)
    cells = figure.add_gridspec(rows, columns)
    first = None
    for index, (label, pairs) in enumerate(table.items()):
        best: dict[float, float] = {}
        for threshold, score in pairs:
            best[threshold] = max(score, best.get(threshold, score))
        axes = new_axes(figure, cells[index // columns, index % columns])
        if first is not None:
            axes.sharey(first)
        first = first or axes
        thresholds = sorted(best)
        scores = [best[threshold] for threshold in thresholds]
        colour = class_colour(index)
        axes.plot(thresholds, scores, color=colour, lw=1.6, marker="o", ms=3.5)
        if chosen and label in chosen:
            axes.axvline(chosen[label], color=TEXT_COLOUR, lw=1.0, ls=(0, (5, 3)))
        name = f"{label}: {chosen[label]:.2f} chosen" if chosen and label in chosen else label
        axes.set_title(name, loc="left", fontsize=11, fontweight="bold", color=colour)
        axes.set_xlim(0.0, 1.0)
        axes.grid(color=GRID_COLOUR, lw=0.8)
        axes.set_xlabel(f"{field_name} (probability)", fontsize=10)
        if index % columns == 0:
            axes.set_ylabel(score_name, fontsize=10)
    set_title(figure, title)
    return save(figure, path)
