"""Clip tags of several models as a table with bars."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from sedsdk.plots.style import GRID_COLOUR, TEXT_COLOUR, class_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR_WIDTH = 0.92
BAR_HEIGHT = 0.66
LONGEST_NAME = 150
"""Letters that the names of all classes may have together, in one line."""
FAINT, FULL = 0.18, 0.75
"""Opacity of the bar of a class that is not tagged, and of one that is."""


def draw_tags(
    axes: Axes,
    probabilities: Mapping[str, Mapping[str, float]],
    tags: Mapping[str, Collection[str]],
    columns: Sequence[str],
    truth: Collection[str] | None = None,
) -> None:
    """Draws a row per model and a column per class: a bar as long as the clip probability.

    A decided tag is drawn in full colour and marked ✓; where the truth is known, a wrong one is
    called false, a lacking one missed, and the names of true classes are bold.

    Args:
        axes: where the table goes; it has no axis.
        probabilities: model → class → clip probability in [0, 1]; classes may lack.
        tags: model → the classes that it decided are there.
        columns: classes in order.
        truth: classes that are there; None if unknown.
    """
    axes.set_xlim(0.0, float(len(columns)))
    axes.set_ylim(float(len(probabilities)), 0.0)
    axes.spines[:].set_visible(False)
    axes.set_title("clip tags", loc="left", fontsize=11, fontweight="bold", pad=20)
    note = "bar: clip probability; ✓ tagged" + ("" if truth is None else "; bold: in the reference")
    axes.set_title(note, loc="right", fontsize=9, pad=21)
    shared = LONGEST_NAME // max(1, len(columns))
    axes.set_xticks(
        [column + BAR_WIDTH / 2 for column in range(len(columns))],
        [name if len(name) <= shared else f"{name[: shared - 1]}…" for name in columns],
    )
    axes.set_yticks([row + 0.5 for row in range(len(probabilities))], list(probabilities))
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False, labelsize=10)
    for label, text in zip(columns, axes.get_xticklabels(), strict=True):
        text.set_fontweight("bold" if truth is not None and label in truth else "normal")
        text.set_color(TEXT_COLOUR)
    for row, (model, text) in enumerate(zip(probabilities, axes.get_yticklabels(), strict=True)):
        text.set_color(class_colour(row))
        text.set_fontweight("bold")
        for column, label in enumerate(columns):
            if label in probabilities[model]:
                tagged = label in tags[model]
                present = None if truth is None else label in truth
                _draw_cell(axes, row, column, probabilities[model][label], tagged, present)


def _draw_cell(
    axes: Axes, row: int, column: int, probability: float, tagged: bool, present: bool | None
) -> None:
    from matplotlib.patches import Rectangle

    corner = (column, row + (1 - BAR_HEIGHT) / 2)
    axes.add_patch(Rectangle(corner, BAR_WIDTH, BAR_HEIGHT, fc="none", ec=GRID_COLOUR, lw=1.0))
    axes.add_patch(
        Rectangle(
            corner, BAR_WIDTH * probability, BAR_HEIGHT, fc=class_colour(row),
            alpha=FULL if tagged else FAINT, lw=0,
        )
    )  # fmt: skip
    words = f"{probability:.2f}" + (" ✓" if tagged else "")
    if present is not None and tagged != present:
        words += " false" if tagged else " missed"
    axes.text(
        column + 0.03, row + 0.5, words, va="center", fontsize=9, color=TEXT_COLOUR,
        bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1.2},
    )  # fmt: skip
