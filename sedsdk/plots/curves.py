"""Learning curves: losses and validation scores per epoch, from a run's `curves.csv`."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from sedsdk.errors import DataError
from sedsdk.plots.style import (
    GRID_COLOUR,
    class_colour,
    new_axes,
    new_figure,
    save,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EPOCH = "epoch"
LOSSES = {"train_loss": "training", "valid_loss": "validation"}
SCORE_PREFIX = "valid_"
OTHER_COLUMNS = ("learning_rate", "lr", "seconds", "step", "steps")
"""Numbers of an epoch that are no scores."""
MOST_MARKERS = 40
LOWER_IS_BETTER = ("er", "error_rate", "loss", "eer")


def read_curves(curves_csv: str | Path) -> dict[str, list[float]]:
    """Reads a table of one row per epoch.

    Args:
        curves_csv: file with a column "epoch" and columns of numbers; an empty cell is a value
            that was not computed in that epoch.

    Returns:
        Column → values, NaN for empty cells; columns that hold texts are left out.

    Raises:
        DataError: the file is missing, has no column "epoch", or has no rows.
    """
    path = Path(curves_csv)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(
            f'cannot read learning curves "{path}": {error.strerror}. A run writes the file after '
            "its first epoch."
        ) from error
    if not rows or EPOCH not in rows[0]:
        missing = "has no rows yet" if not rows else f'has no column "{EPOCH}"'
        raise DataError(f'learning curves "{path}": the table {missing}.')
    curves: dict[str, list[float]] = {}
    for name in rows[0]:
        try:
            curves[name] = [float(row[name]) if row[name] else math.nan for row in rows]
        except (TypeError, ValueError):
            continue
    if EPOCH not in curves:
        raise DataError(f'learning curves "{path}": the column "{EPOCH}" holds more than numbers.')
    return curves


def plot_curves(curves_csv: str | Path, path: str | Path | None = None, title: str = "") -> Figure:
    """Draws losses, and beside them the validation scores, over epochs.

    Of every validation curve the best epoch is circled: the lowest loss and error rate, the highest
    of any other score.

    Args:
        curves_csv: table with the columns epoch, train_loss, valid_loss; every further column of
            numbers is a validation score, except those of `OTHER_COLUMNS`.
        path: file to write (.png, .svg, .pdf); None only builds the figure.
        title: written above.

    Raises:
        DataError: the table cannot be read, or holds neither losses nor scores.
        MissingDependency: matplotlib is not installed.
    """
    curves = read_curves(curves_csv)
    losses = [name for name in LOSSES if name in curves]
    scores = [name for name in curves if name not in (EPOCH, *LOSSES, *OTHER_COLUMNS)]
    groups = [group for group in (losses, scores) if group]
    if not groups:
        raise DataError(
            f'learning curves "{curves_csv}": found neither {", ".join(LOSSES)} nor a score; '
            f"columns: {', '.join(curves)}."
        )
    figure = new_figure(4.0 + 0.24 * max(len(group) for group in groups))
    from matplotlib.ticker import MaxNLocator

    cells = figure.add_gridspec(1, len(groups))
    for column, group in enumerate(groups):
        axes = new_axes(figure, cells[0, column])
        for row, name in enumerate(group):
            _draw_curve(axes, curves, name, row)
        axes.grid(color=GRID_COLOUR, lw=0.8)
        axes.set_xlabel("epoch", fontsize=11)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(
            "loss (mean per clip)" if group is losses else "validation score (ratio)", fontsize=11
        )
        axes.set_ylim(bottom=0.0)
        axes.margins(x=0.03)
        axes.legend(
            frameon=False, fontsize=10, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=1
        )
    set_title(figure, title)
    return save(figure, path)


def _draw_curve(axes: Axes, curves: dict[str, list[float]], name: str, row: int) -> None:
    known = [
        (epoch, value)
        for epoch, value in zip(curves[EPOCH], curves[name], strict=True)
        if math.isfinite(value)
    ]
    measure = name.removeprefix(SCORE_PREFIX)
    label = LOSSES.get(name) or _in_words(measure)
    colour = class_colour(row)
    if known and name != "train_loss":
        lower = any(measure == word or measure.endswith("_" + word) for word in LOWER_IS_BETTER)
        best = (min if lower else max)(known, key=lambda point: point[1])
        axes.plot(*best, marker="o", ms=8, mfc="white", mec=colour, mew=2.0, zorder=4)
        label += f" (best {best[1]:.3f}, epoch {best[0]:g})"
    axes.plot(
        [epoch for epoch, _ in known], [value for _, value in known], color=colour, lw=1.6,
        marker="o" if len(known) <= MOST_MARKERS else None, ms=3.5, label=label,
    )  # fmt: skip


def _in_words(measure: str) -> str:
    """Returns a column's name as a reader says it, as in "event F1"."""
    return " ".join(word.upper() if len(word) == 2 else word for word in measure.split("_"))
