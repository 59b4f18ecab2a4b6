"""What all pictures share: colours, sizes, making a figure, saving it."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sedsdk.errors import DataError, missing_dependency
from sedsdk.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASS_COLOURS = (
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # green
    "#CC79A7",  # purple
    "#56B4E9",  # sky
    "#E69F00",  # orange
    "#8C6D31",  # brown
    "#5B5B5B",  # grey
)
"""Okabe and Ito 2008; their yellow and black, lost on white or among texts, are brown and grey."""
REFERENCE_COLOUR = "#3B3B3B"
REFERENCE_SHADE = "#D9D9D9"
TARGET_BOX_COLOUR = "#2BD957"
OTHER_BOX_COLOUR = "#FF6FB5"
TEXT_COLOUR = "#222222"
GRID_COLOUR = "#E4E4E4"

WIDTH_INCHES = 12.0
DOTS_PER_INCH = 120
SAVED_SUFFIXES = (".png", ".svg", ".pdf")


def new_figure(height_inches: float) -> Figure:
    """Returns an empty figure, 12 inches (1440 dots) wide, that lays itself out.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_dependency("matplotlib", "Drawing a picture", "plots") from error
    return Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout="constrained")


def new_axes(figure: Figure, cell: Any, share_time: Axes | None = None) -> Axes:
    """Returns plain axes in a grid cell: two spines, quiet grid lines, readable ticks."""
    axes: Axes = figure.add_subplot(cell, sharex=share_time)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#888888")
    axes.tick_params(labelsize=10, color="#888888", labelcolor=TEXT_COLOUR)
    axes.set_axisbelow(True)
    return axes


def class_colour(index: int) -> str:
    """Returns the colour of the class in row `index`."""
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]


def set_title(figure: Figure, title: str, left_out: int = 0) -> None:
    """Writes the picture's title, left, if there is one, and how many classes had no room."""
    if left_out:
        title += f"   ({left_out} more classes not shown)"
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=TEXT_COLOUR)


def hide_time_labels(panels: Sequence[Axes]) -> None:
    """Leaves the tick labels of the shared time axis to the lowest panel, which names it."""
    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
    panels[-1].set_xlabel("time (s)", fontsize=11)


def save(figure: Figure, path: str | Path | None) -> Figure:
    """Writes the figure if a path is given, making the folder, and returns it.

    The file appears whole or not at all.

    Raises:
        DataError: the file's ending is none of .png, .svg and .pdf.
    """
    if path is None:
        return figure
    path = Path(path)
    if path.suffix.lower() not in SAVED_SUFFIXES:
        raise DataError(
            f'cannot draw to "{path}": the name must end in {", ".join(SAVED_SUFFIXES)}.'
        )
    picture = BytesIO()
    figure.savefig(picture, format=path.suffix.lower().lstrip("."))
    write_atomically(path, picture.getvalue())
    return figure
