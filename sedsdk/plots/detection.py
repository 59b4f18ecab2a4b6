"""One recording on one time axis: spectrogram, probabilities, reference and found events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sedsdk.contract import PostProcessor
from sedsdk.plots.spectrogram import draw_spectrogram, log_mel_spectrogram
from sedsdk.plots.style import (
    GRID_COLOUR,
    REFERENCE_COLOUR,
    REFERENCE_SHADE,
    TEXT_COLOUR,
    class_colour,
    hide_time_labels,
    new_axes,
    new_figure,
    save,
    set_title,
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

Thresholds = Mapping[str, Sequence[float]]
"""Label → its thresholds in [0, 1]: one, or the high and the low one of a hysteresis."""


def plot_detection(
    samples: npt.ArrayLike,
    sample_rate: float,
    prediction: ClipPrediction,
    reference: Sequence[Event] | None = None,
    title: str = "",
    path: str | Path | None = None,
    thresholds: Thresholds | None = None,
) -> Figure:
    """Draws what a detector heard in a recording, above what is known and what it found.

    The spectrogram; per class the frame probability, with its thresholds as broken lines and the
    reference as grey spans; bars of reference and found events. Of more than eight classes those
    with events are shown first, then those with the highest peaks. Curves of long recordings are
    thinned to the highest value within each dot, so no peak is lost.

    Args:
        samples: [N] in [-1, 1], one channel.
        sample_rate: hertz.
        prediction: frame probabilities and, if post-processing ran, events.
        reference: true events; None if they are not known (an empty sequence says: there are none).
        title: written above.
        path: file to write (.png, .svg, .pdf); None only builds the figure.
        thresholds: per class, in [0, 1], where known; see `decision_thresholds`.

    Raises:
        AudioError: the samples cannot be drawn.
        DataError: the path's ending is unknown.
        MissingDependency: matplotlib is not installed.
    """
    rows = shown_classes(prediction, reference)
    found = prediction.events or ()
    heights = [3.2, *[0.85] * len(rows), 0.36 * len(rows) + 0.2]
    figure = new_figure(1.1 + sum(heights))
    cells = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(60, 1))
    spectrogram = log_mel_spectrogram(samples, sample_rate)
    panels = [new_axes(figure, cells[0, 0])]
    draw_spectrogram(panels[0], figure.add_subplot(cells[0, 1]), spectrogram)
    for row, label in enumerate(rows):
        panel = new_axes(figure, cells[1 + row, 0], panels[0])
        _draw_probability(panel, prediction, label, class_colour(row))
        _draw_thresholds(panel, (thresholds or {}).get(label, ()))
        for event in reference or ():
            if event.label == label:
                panel.axvspan(event.onset, event.offset, color=REFERENCE_SHADE, lw=0, zorder=0)
        panels.append(panel)
    panels.append(new_axes(figure, cells[len(heights) - 1, 0], panels[0]))
    _draw_events(panels[-1], rows, found, reference)
    panels[0].set_xlim(0.0, spectrogram.seconds)
    hide_time_labels(panels)
    left_out = len(prediction.labels) - len(rows)
    set_title(figure, title + (f"   ({left_out} more classes not shown)" if left_out else ""))
    return save(figure, path)


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


def _draw_probability(axes: Axes, prediction: ClipPrediction, label: str, colour: str) -> None:
    index, values = thinned(prediction.frames[:, prediction.labels.index(label)])
    times = prediction.grid.first_seconds + index * prediction.grid.hop_seconds
    axes.fill_between(times, values, color=colour, alpha=0.25, lw=0, zorder=2)
    axes.plot(times, values, color=colour, lw=1.3, zorder=3)
    axes.set_ylim(0.0, 1.02)
    axes.set_yticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
    axes.set_ylabel("probability", fontsize=10)
    axes.set_title(label, loc="left", fontsize=11, fontweight="bold", color=colour, pad=2)
    axes.grid(axis="x", color=GRID_COLOUR, lw=0.8)


def _draw_thresholds(axes: Axes, thresholds: Sequence[float]) -> None:
    for rank, value in enumerate(sorted(thresholds, reverse=True)):
        style = (0, (5, 3)) if rank == 0 else (0, (1, 2))
        axes.axhline(value, color=TEXT_COLOUR, lw=1.0, ls=style, zorder=4)
        axes.annotate(
            f"{value:.2f}", (1.0, value), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=9, color=TEXT_COLOUR,
        )  # fmt: skip


def _draw_events(
    axes: Axes, rows: Sequence[str], found: Sequence[Event], reference: Sequence[Event] | None
) -> None:
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
        texts.insert(0, "reference (grey spans above)")
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


def decision_thresholds(
    postprocessors: Iterable[PostProcessor], prediction: ClipPrediction
) -> dict[str, tuple[float, ...]]:
    """Returns the thresholds that built-in parts hold the frame probabilities of a clip against.

    Args:
        postprocessors: those of the pipeline; parts other than `threshold`, `hysteresis` and
            `dynamic_threshold` say nothing about probabilities and are passed over.
        prediction: of the clip; a dynamic threshold follows its mean.

    Returns:
        Label → one threshold, or the high and the low one; empty if no such part is there.
    """
    from sedsdk.builtin.postprocessors import DynamicThreshold, Hysteresis, Threshold

    for part in postprocessors:
        if isinstance(part, Threshold):
            columns = [part.thresholds]
        elif isinstance(part, Hysteresis):
            columns = [part.high, part.low]
        elif isinstance(part, DynamicThreshold):
            frames = prediction.frames
            columns = [part.base + part.beta * frames.sum(axis=0) / max(1, len(frames))]
        else:
            continue
        return {
            label: tuple(float(column[index]) for column in columns)
            for index, label in enumerate(prediction.labels)
        }
    return {}
