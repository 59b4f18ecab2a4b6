"""Tracks that several pictures share: class probabilities, bars of events, boxes around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sedsdk.plots.style import (
    GRID_COLOUR,
    OTHER_BOX_COLOUR,
    REFERENCE_COLOUR,
    REFERENCE_SHADE,
    TARGET_BOX_COLOUR,
    TEXT_COLOUR,
    class_colour,
    new_axes,
)
from sedsdk.types import ClipPrediction, Event

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 8
MOST_POINTS = 2400
"""Points of a probability curve: two per dot of a picture's width."""
MOST_SCORES = 16
"""Found events up to which each one's score is written beside it."""
CLASS_HEIGHT = 0.85
"""Of the panel with a class's probability, in inches."""
EVENT_ROW_HEIGHT = 0.36
LATE_SHARE = 0.85
"""Of the time axis: the label of a later event is written to the left of its end."""
NAME_SHARE = 0.1
"""Share of the time axis within which an equal label is not written again."""
CLOSE = 0.2
"""Thresholds nearer to each other than this have their values written above and below them."""

Thresholds = Mapping[str, Sequence[float]]
"""Label → its thresholds in [0, 1]: one, or the high and the low one of a hysteresis."""


def shown_classes(
    prediction: ClipPrediction, reference: Sequence[Event] | None = None, most: int = MOST_CLASSES
) -> list[str]:
    """Returns the classes that a picture has room for, in the order of the labels.

    Classes with a reference or found event come first, then those with the highest frame
    probability.
    """
    with_events = {event.label for event in [*(reference or ()), *(prediction.events or ())]}
    frames = prediction.frames
    peaks = frames.max(axis=0) if len(frames) else np.zeros(len(prediction.labels))
    order = sorted(
        range(len(prediction.labels)),
        key=lambda index: (prediction.labels[index] not in with_events, -peaks[index]),
    )
    return [prediction.labels[index] for index in sorted(order[:most])]


def thinned(
    values: npt.NDArray[np.floating], most: int = MOST_POINTS
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.floating]]:
    """Thins a curve to at most `most` points, keeping the highest of each stretch.

    Args:
        values: [T].
        most: at least 1.

    Returns:
        Frame indices [P] (increasing) and their values [P], P at most `most`.
    """
    if len(values) <= most:
        return np.arange(len(values)), values
    borders = np.linspace(0, len(values), most + 1).astype(np.intp)
    index = np.array([first + values[first:stop].argmax() for first, stop in pairwise(borders)])
    return index, values[index]


def track_heights(n_classes: int) -> list[float]:
    """Returns the heights of the class panels and of the events below them, in inches."""
    return [*[CLASS_HEIGHT] * n_classes, EVENT_ROW_HEIGHT * n_classes + 0.2]


def draw_class_panels(
    figure: Figure,
    cells: Sequence[Any],
    share_time: Axes,
    prediction: ClipPrediction,
    rows: Sequence[str],
    reference: Sequence[Event] | None = None,
    thresholds: Thresholds | None = None,
    caption: str = "{}",
) -> list[Axes]:
    """Draws the frame probability of each class, its thresholds and, in grey, its reference.

    Args:
        figure: that the panels are added to.
        cells: of the figure's grid, one per class.
        share_time: axes whose time axis the panels share.
        prediction: of the recording, or of the span that is drawn.
        rows: class names.
        reference: true events; None if they are not known.
        thresholds: broken lines; of two the lower one is dotted.
        caption: written above each panel, with the class for "{}".
    """
    panels = []
    for row, (label, cell) in enumerate(zip(rows, cells, strict=True)):
        panel = new_axes(figure, cell, share_time)
        _draw_probability(panel, prediction, label, class_colour(row), caption.format(label))
        _draw_thresholds(panel, (thresholds or {}).get(label, ()))
        for event in reference or ():
            if event.label == label:
                panel.axvspan(event.onset, event.offset, color=REFERENCE_SHADE, lw=0, zorder=0)
        panels.append(panel)
    return panels


def _draw_probability(
    axes: Axes, prediction: ClipPrediction, label: str, colour: str, caption: str
) -> None:
    index, values = thinned(prediction.frames[:, prediction.labels.index(label)])
    times = prediction.grid.first_seconds + index * prediction.grid.hop_seconds
    axes.fill_between(times, values, color=colour, alpha=0.25, lw=0, zorder=2)
    axes.plot(times, values, color=colour, lw=1.3, zorder=3)
    axes.set_ylim(0.0, 1.02)
    axes.set_yticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
    axes.set_ylabel("probability", fontsize=10)
    axes.set_title(caption, loc="left", fontsize=11, fontweight="bold", color=colour, pad=2)
    axes.grid(axis="x", color=GRID_COLOUR, lw=0.8)


def _draw_thresholds(axes: Axes, thresholds: Sequence[float]) -> None:
    close = len(thresholds) > 1 and max(thresholds) - min(thresholds) < CLOSE
    for rank, value in enumerate(sorted(thresholds, reverse=True)):
        style = (0, (5, 3)) if rank == 0 else (0, (1, 2))
        side = ("bottom" if rank == 0 else "top") if close else "center"
        axes.axhline(value, color=TEXT_COLOUR, lw=1.0, ls=style, zorder=4)
        axes.annotate(
            f"{value:.2f}", (1.0, value), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va=side, fontsize=9, color=TEXT_COLOUR,
        )  # fmt: skip


def draw_events(
    axes: Axes,
    rows: Sequence[str],
    found: Sequence[Event],
    reference: Sequence[Event] | None,
    shown_above: str = "grey spans above",
) -> None:
    """Draws a row per class with bars of its found events, and of the reference if it is known.

    Args:
        axes: where they go; its time axis is in seconds.
        rows: class names, the first at the top.
        found: each with its score beside it, if they are few.
        reference: true events; None if they are not known.
        shown_above: how the panels above mark the reference.
    """
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.patches import Patch

    lane = 0.36 if reference is not None else 0.6
    for row, label in enumerate(rows):
        base = len(rows) - 1 - row
        mine = [event for event in found if event.label == label]
        known = [event for event in reference or () if event.label == label]
        low = base + 0.1 if reference is not None else base + 0.2
        _draw_bars(axes, mine, low, lane, class_colour(row))
        _draw_bars(axes, known, base + 0.52, lane, REFERENCE_COLOUR)
        if len(found) <= MOST_SCORES:
            for event in mine:
                axes.annotate(
                    f"{event.score:.2f}", (event.offset, low + lane / 2), xytext=(3, -0.5),
                    textcoords="offset points", va="center", fontsize=8, color=TEXT_COLOUR,
                )  # fmt: skip
        if row:
            axes.axhline(base + 1.0, color=GRID_COLOUR, lw=0.8)
    axes.set_ylim(0.0, float(len(rows)))
    axes.set_yticks([len(rows) - 0.5 - row for row in range(len(rows))], list(rows))
    axes.tick_params(axis="y", length=0)
    for row, text in enumerate(axes.get_yticklabels()):
        text.set_color(class_colour(row))
        text.set_fontweight("bold")
    axes.grid(axis="x", color=GRID_COLOUR, lw=0.8)
    axes.set_ylabel("events", fontsize=11)
    keys: list[Any] = [tuple(Patch(color=class_colour(row)) for row in range(len(rows)))]
    texts = ["found, with score" if 0 < len(found) <= MOST_SCORES else "found"]
    if reference is not None:
        keys.insert(0, Patch(color=REFERENCE_COLOUR))
        texts.insert(0, f"reference ({shown_above})")
    axes.legend(
        keys, texts, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False,
        fontsize=9, borderaxespad=0.1, handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
    )  # fmt: skip


def _draw_bars(
    axes: Axes, events: Sequence[Event], bottom: float, height: float, colour: str
) -> None:
    spans = [(event.onset, event.offset - event.onset) for event in events]
    if spans:
        axes.broken_barh(
            spans, (bottom, height), facecolor=colour, edgecolor=colour, lw=1.0, zorder=3
        )


def draw_boxes(
    axes: Axes, reference: Iterable[Event], targets: Sequence[str], named: bool = False
) -> None:
    """Encloses events in a picture over time, from its lower to its upper end.

    Args:
        axes: of the picture; its time axis, in seconds, has its limits.
        reference: the events; those beyond the limits are left out.
        targets: labels whose boxes are green; others, which may be taken for them, are pink.
        named: write each event's label into its box, once where equal ones crowd.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(axes.transData, axes.transAxes)
    outline = [withStroke(linewidth=3.2, foreground="black")]
    left, right = axes.get_xlim()
    last_named: Event | None = None
    for event in sorted(reference):
        if event.offset < left or event.onset > right:
            continue
        colour = TARGET_BOX_COLOUR if event.label in targets else OTHER_BOX_COLOUR
        axes.add_patch(
            Rectangle(
                (event.onset, 0.015), event.offset - event.onset, 0.97, transform=place, fill=False,
                edgecolor=colour, lw=1.6, zorder=5, path_effects=outline,
            )
        )  # fmt: skip
        repeats = (
            last_named is not None
            and last_named.label == event.label
            and event.onset - last_named.onset < NAME_SHARE * (right - left)
        )
        if named and not repeats:
            last_named = event
            late = event.onset > left + LATE_SHARE * (right - left)
            beside = min(event.offset, right) if late else max(event.onset, left)
            axes.annotate(
                event.label, (beside, 0.985), xycoords=place, xytext=(-4 if late else 4, -3),
                textcoords="offset points", ha="right" if late else "left", va="top", fontsize=9,
                fontweight="bold", color=colour, zorder=6, path_effects=outline,
            )  # fmt: skip
