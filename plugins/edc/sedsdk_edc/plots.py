"""What EDC makes of a recording, beside self-attention, and how far each frame looks.

The pictures are those of Figures 4 and 5 of the paper, for any recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sedsdk import ClipPrediction, DataError, Event, FrameGrid
from sedsdk.plots.bands import BandAxis
from sedsdk.plots.pictures import (
    draw_bar,
    draw_values,
    name_bands,
    prediction_between,
    value_limits,
)
from sedsdk.plots.ranges import FrameRanges, Span, draw_reach, mark_ranges
from sedsdk.plots.style import (
    GRID_COLOUR,
    TEXT_COLOUR,
    class_colour,
    hide_time_labels,
    new_axes,
    new_figure,
    save,
    set_title,
)
from sedsdk.plots.tracks import draw_boxes, shown_classes, thinned
from sedsdk.runtime.attention import AttentionMap
from sedsdk_edc.arrays import condition, effective_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_HEIGHT = 1.9
REACH_HEIGHT = 1.5
OUTSIDE_PERCENT = 0.5
"""Of the values that may lie beyond each end of a colour scale."""
BAR_ROW = 0.09
"""Height of a row of reference bars, in units of probability."""
MOST_LETTERS = 75
"""Of class names and their colour keys that have room beside a panel's title."""
LETTERS_OF_A_KEY = 6

Values = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Conditioning:
    """A clip before and after EDC.

    Attributes:
        log_mel: float [T, F], the clip scaled to [0, 1], as Equation 1 wants it.
        conditioned: float [T, F] in [0, 1].
        first: int [T], first frame of each frame's effective range.
        last: int [T], its last frame, inclusive.
        grid: where the frames lie in time.
        alpha: α, in frames.
        bands: what the features are.
    """

    log_mel: Values
    conditioned: Values
    first: npt.NDArray[np.integer]
    last: npt.NDArray[np.integer]
    grid: FrameGrid
    alpha: float
    bands: BandAxis

    @classmethod
    def of(
        cls, log_mel: Values, grid: FrameGrid, alpha: float, bands: BandAxis | None = None
    ) -> Conditioning:
        """Conditions one clip.

        Args:
            log_mel: float [T, F], in any unit, finite; at least one frame.
            grid: of its frames.
            alpha: α, in frames, above 0.
            bands: what the features are; None: bands of unknown frequency.

        Raises:
            ValueError: as `sedsdk_edc.condition`.
            DataError: there is no frame.
        """
        if len(log_mel) == 0:
            raise DataError("EDC needs at least one frame; the recording has none.")
        low, high = float(log_mel.min()), float(log_mel.max())
        first, last = effective_range(log_mel, alpha)
        return cls(
            (log_mel - low) / ((high - low) or 1.0),
            condition(log_mel, alpha),
            first,
            last,
            grid,
            alpha,
            bands or BandAxis(log_mel.shape[1]),
        )

    @property
    def ranges(self) -> FrameRanges:
        """The frames that each one is made of."""
        return FrameRanges(self.first, self.last, self.grid)

    @property
    def seconds(self) -> Span:
        """When the first frame begins, at least 0, and the last one ends."""
        frames = len(self.log_mel)
        return self.grid.start(0), self.grid.start(frames)


def plot_edc(
    clip: Conditioning,
    prediction: ClipPrediction | None = None,
    bottleneck: AttentionMap | None = None,
    reference: Sequence[Event] | None = None,
    title: str = "",
    path: str | Path | None = None,
    *,
    span: Span | None = None,
) -> Figure:
    """Draws a clip before and after EDC, the range of each frame, and what models make of it.

    From above: the log-mel spectrogram; the bottleneck features of a model with self-attention; the
    features after EDC, on the colour scale of the log-mel ones; the ranges of evenly spaced frames
    over the spectrogram; how far every frame's range reaches before and behind it; the frame
    probabilities. What is not given is left out; of more than eight classes those with events are
    shown first, then those with the highest peaks.

    Args:
        clip: the whole clip, as `Conditioning.of` gives it.
        prediction: of a model trained with EDC, for the whole clip.
        bottleneck: values behind the self-attention layer of another model, of the whole clip.
        reference: true events: boxes in the pictures, bars below the probabilities.
        title: written above.
        path: file to write (.png, .svg, .pdf); None only builds the figure.
        span: part of the clip that is drawn, in seconds; None for all of it.

    Raises:
        DataError: the span holds no frame, or the path's ending is unknown.
        MissingDependency: matplotlib is not installed.
    """
    span = _within(span or clip.seconds, clip.seconds)
    rows = shown_classes(prediction, reference) if prediction else []
    pictures = 3 if bottleneck is None else 4
    heights = [PICTURE_HEIGHT] * pictures + [REACH_HEIGHT] + [PICTURE_HEIGHT] * bool(rows)
    figure = new_figure(1.0 + sum(heights) + 0.25 * len(heights))
    cells = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(60, 1))
    panels: list[Axes] = []

    def panel(name: str) -> Axes:
        axes = new_axes(figure, cells[len(panels), 0], panels[0] if panels else None)
        letter = chr(ord("a") + len(panels))
        axes.set_title(f"({letter}) {name}", loc="left", fontsize=11, fontweight="bold", pad=3)
        panels.append(axes)
        return axes

    def bar_cell() -> Axes:
        return figure.add_subplot(cells[len(panels) - 1, 1])

    before = AttentionMap(clip.log_mel, clip.grid).between(*span)
    after = AttentionMap(clip.conditioned, clip.grid).between(*span)
    limits = value_limits([before.values], OUTSIDE_PERCENT)
    size = clip.log_mel.shape[1]

    axes = panel("log-mel spectrogram, scaled to [0, 1]")
    axes.set_xlim(*span)
    draw_bar(bar_cell(), draw_values(axes, before, limits, "magma"), "level (scaled)")
    name_bands(axes, clip.bands, size)
    if bottleneck is not None:
        axes = panel("bottleneck features behind self-attention")
        shown = bottleneck.between(*span)
        ends = value_limits([shown.values], OUTSIDE_PERCENT)
        draw_bar(bar_cell(), draw_values(axes, shown, ends), "activation")
        axes.set_ylabel("feature (index)", fontsize=10)
    axes = panel(f"after EDC, α = {clip.alpha:g} frames")
    draw_bar(bar_cell(), draw_values(axes, after, limits, "magma"), "level (scaled)")
    name_bands(axes, clip.bands, size)
    for boxed in panels:
        known = reference or ()
        labels = prediction.labels if prediction else [event.label for event in known]
        draw_boxes(boxed, known, labels, named=boxed is panels[0])
    axes = panel("effective range of evenly spaced frames (line: the frame)")
    draw_values(axes, before, limits, "gray")
    name_bands(axes, clip.bands, size)
    mark_ranges(axes, clip.ranges, span, size)
    axes = panel("effective range of every frame")
    draw_reach(axes, bar_cell(), clip.ranges, span)
    if prediction is not None:
        name = "frame probability of each class" + (" (bars: reference)" if reference else "")
        _draw_probabilities(panel(name), prediction_between(prediction, *span), rows, reference)
    hide_time_labels(panels)
    set_title(figure, title, left_out=len(prediction.labels) - len(rows) if prediction else 0)
    return save(figure, path)


def _within(span: Span, whole: Span) -> Span:
    start, end = max(span[0], whole[0]), min(span[1], whole[1])
    if not end > start:
        raise DataError(
            f"nothing lies between {span[0]:g} and {span[1]:g} s: the recording has frames from "
            f"{max(0.0, whole[0]):.2f} to {whole[1]:.2f} s."
        )
    return start, end


def _draw_probabilities(
    axes: Axes, shown: ClipPrediction, rows: Sequence[str], reference: Sequence[Event] | None
) -> None:
    """Draws a curve per class and, below 0, a row of bars for each class with true events."""
    bottom = 0.0
    for row, label in enumerate(rows):
        index, values = thinned(shown.frames[:, shown.labels.index(label)])
        times = shown.grid.first_seconds + index * shown.grid.hop_seconds
        axes.plot(times, values, color=class_colour(row), lw=1.5, label=label)
        bars = [
            (event.onset, event.offset - event.onset)
            for event in reference or ()
            if event.label == label
        ]
        if bars:
            bottom -= BAR_ROW
            axes.broken_barh(bars, (bottom, 0.7 * BAR_ROW), color=class_colour(row), lw=0)
    axes.axhline(0.0, color=TEXT_COLOUR, lw=0.8)
    axes.set_ylim(bottom - 0.02, 1.02)
    axes.set_yticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
    axes.set_ylabel("probability", fontsize=10)
    axes.grid(axis="x", color=GRID_COLOUR, lw=0.8)
    above = sum(len(label) + LETTERS_OF_A_KEY for label in rows) <= MOST_LETTERS
    axes.legend(
        loc="lower right" if above else "upper right", bbox_to_anchor=(1.0, 1.0),
        ncols=len(rows) if above else 2, frameon=not above, fontsize=9, borderaxespad=0.1,
    )  # fmt: skip
