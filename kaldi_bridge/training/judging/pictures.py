"""Pictures of a training: what is taken for what, and how the losses and scores went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import MissingLibrary, ShapeError
from kaldi_bridge.sink import opened_atomically
from kaldi_bridge.training.inventory import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("vowels", ("IY", "IH", "EH", "AE", "AA", "AO", "AH", "ER", "UH", "UW")),
    ("diphthongs", ("EY", "AY", "OY", "AW", "OW")),
    ("glides", ("W", "Y", "R", "L")),
    ("nasals", ("M", "N", "NG")),
    ("fricatives", ("HH", "V", "F", "DH", "TH", "Z", "S", "ZH", "SH")),
    ("stops, affricates", ("B", "P", "D", "T", "G", "K", "JH", "CH")),
    ("no phone", ("SIL", "SPN")),
)
"""The classes in the order of the picture: alike ones beside each other."""
NOT_SCORES = ("epoch", "steps", "step", "learning_rate", "seconds")
LOWER_IS_BETTER = ("error", "per", "loss")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D31", "#5B5B5B")
"""Okabe and Ito 2008; their yellow and black are brown and grey."""
DOTS_PER_INCH = 120
MOST_COUNTS_WRITTEN = 15
"""Rows up to which the counts are written into the cells."""

_TEXT, _RULE, _EMPTY = "#222222", "#9A9A9A", "#ECECEC"


def confusion_picture(
    matrix: ArrayLike, names: Sequence[str], path: Path | str, *, title: str = ""
) -> Figure:
    """Draws how often each class is taken for each other, rows summing to 100 %.

    Classes of `inventory.CLASSES` are sorted by how they are spoken; others stay in order. Rows
    that never occur are grey. Few classes have their counts written into the cells.

    Args:
        matrix: counts [C, C], what is there (rows) by what is heard (columns); one more column, for
            what was heard as none of them, is allowed.
        names: of the classes [C].
        path: .png, .svg or .pdf.
        title: written above.

    Raises:
        ShapeError: counts or names that do not fit, or another kind of file.
        MissingLibrary: matplotlib is not installed.
    """
    counts = np.asarray(matrix)
    n = len(names)
    if counts.shape not in ((n, n), (n, n + 1)) or not n or (counts < 0).any():
        raise ShapeError(f"counts of shape {list(counts.shape)} for {n} names: expected [C, C].")
    order, borders = _order(names)
    columns = [*order, *range(n, counts.shape[1])]
    counts = counts[order][:, columns]
    labels = [names[index] for index in order]
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.ma.masked_array(
        100 * counts / np.maximum(totals, 1), np.repeat(totals == 0, len(columns), 1)
    )
    figure = _figure(*((7.6, 6.6) if n <= MOST_COUNTS_WRITTEN else (12.4, 11.0)))
    axes = figure.add_subplot()
    colours = _colours()
    image = axes.imshow(shares, cmap=colours, norm=_norm(n), interpolation="nearest")
    size = 11 if n <= MOST_COUNTS_WRITTEN else 9
    axes.set_xticks(range(len(columns)), [*labels, *["–"] * (len(columns) - n)])
    axes.set_yticks(range(n), labels)
    axes.tick_params(labelsize=size, length=0, labelcolor=_TEXT)
    if max(map(len, labels)) > 2 and n > MOST_COUNTS_WRITTEN:
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_xlabel("heard", fontsize=12, color=_TEXT)
    axes.set_ylabel("said", fontsize=12, color=_TEXT)
    axes.spines[:].set_color(_RULE)
    _name_groups(axes, borders, n)
    if n <= MOST_COUNTS_WRITTEN:
        _write_counts(axes, counts, shares)
    bar: Any = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("share of what was said (%)", fontsize=11, color=_TEXT)
    bar.outline.set_visible(False)
    if n > MOST_COUNTS_WRITTEN:
        bar.set_ticks([0, 2, 5, 10, 20, 40, 60, 80, 100])
    return _saved(figure, path, title)


def learning_curve(
    rows: Sequence[Mapping[str, float]], path: Path | str, *, title: str = ""
) -> Figure:
    """Draws the losses and, beside them, the scores over epochs.

    The best epoch of each score is circled: the lowest of an error rate, the highest of others.

    Args:
        rows: one per epoch, with "epoch"; columns with "loss" in their name are losses, all others
            but those of NOT_SCORES are scores. NaN is left out.
        path: .png, .svg or .pdf.
        title: written above.

    Raises:
        ShapeError: no rows, no epochs, nothing to draw, or another kind of file.
        MissingLibrary: matplotlib is not installed.
    """
    if not rows or "epoch" not in rows[0]:
        raise ShapeError('no curve to draw: expected rows of epochs, with a column "epoch".')
    names = [name for name in rows[0] if name not in NOT_SCORES]
    panels = {
        "loss": [name for name in names if "loss" in name],
        "score": [name for name in names if "loss" not in name],
    }
    panels = {label: columns for label, columns in panels.items() if columns}
    if not panels:
        raise ShapeError(f"no curve to draw: only {', '.join(rows[0])}.")
    below = 0.19 * max(map(len, panels.values()))  # inches that the longest legend needs
    figure = _figure(6.4 * len(panels), 4.6 + below)
    epochs = np.array([row["epoch"] for row in rows])
    for number, (label, columns) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E4E4E4")
        axes.set_axisbelow(True)
        axes.set_xlabel("epoch", fontsize=11, color=_TEXT)
        axes.set_ylabel(label, fontsize=11, color=_TEXT)
        for index, name in enumerate(columns):
            values = np.array([row.get(name, np.nan) for row in rows], float)
            _curve(axes, epochs, values, name, COLOURS[index % len(COLOURS)])
        axes.locator_params(axis="x", integer=True)
        axes.legend(
            frameon=False, fontsize=10, loc="upper left", bbox_to_anchor=(0, -0.13), borderaxespad=0
        )
    return _saved(figure, path, title)


def _curve(axes: Axes, epochs: NDArray[Any], values: NDArray[Any], name: str, colour: str) -> None:
    known = np.isfinite(values)
    if not known.any():
        return
    lower = any(word in name.lower().split("_") for word in LOWER_IS_BETTER)
    best = int(np.nanargmin(values) if lower else np.nanargmax(values))
    text = f"{name.replace('_', ' ')} (best {values[best]:.3g})"
    axes.plot(epochs[known], values[known], color=colour, marker=".", linewidth=1.8, label=text)
    axes.plot(epochs[best], values[best], "o", markersize=10, fillstyle="none", color=colour)


def _order(names: Sequence[str]) -> tuple[list[int], list[tuple[str, int, int]]]:
    """Returns the order of the rows, and each group with its first row and the one behind it."""
    if not set(names) <= set(CLASSES):
        return list(range(len(names))), []
    order: list[int] = []
    borders = []
    for group, members in GROUPS:
        first = len(order)
        order += [names.index(name) for name in members if name in names]
        if len(order) > first:
            borders.append((group, first, len(order)))
    return order, borders


def _name_groups(axes: Axes, borders: Sequence[tuple[str, int, int]], n: int) -> None:
    for group, first, last in borders:
        if last < n:
            axes.axhline(last - 0.5, color=_RULE, linewidth=0.8)
            axes.axvline(last - 0.5, color=_RULE, linewidth=0.8)
        axes.text(
            (first + last - 1) / 2, -0.8, group, ha="center", va="bottom", fontsize=9, color=_TEXT
        )


def _write_counts(axes: Axes, counts: NDArray[Any], shares: NDArray[Any]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 55 else _TEXT
            axes.text(column, row, str(count), ha="center", va="center", fontsize=10, color=colour)


def _norm(n: int) -> Any:
    """Spreads the small shares of many classes: the square root of a share gives its colour."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(1.0 if n <= MOST_COUNTS_WRITTEN else 0.5, vmin=0, vmax=100)


def _colours() -> Any:
    from matplotlib import colormaps

    return colormaps["Blues"].with_extremes(bad=_EMPTY)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingLibrary(
            'pictures are drawn by matplotlib: pip install "sedsdk[plots]"'
        ) from None
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def _saved(figure: Figure, path: Path | str, title: str) -> Figure:
    """Writes the picture, whole or not at all."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ShapeError(f'cannot draw to "{path}": the name must end in {", ".join(SUFFIXES)}.')
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=_TEXT)
    picture = BytesIO()
    figure.savefig(picture, format=path.suffix.lower().lstrip("."))
    with opened_atomically(path) as file:
        file.write(picture.getvalue())
    return figure
