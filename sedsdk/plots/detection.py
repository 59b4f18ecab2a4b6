"""One recording on one time axis: spectrogram, probabilities, reference and found events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy.typing as npt

from sedsdk.contract import PostProcessor
from sedsdk.plots.spectrogram import draw_spectrogram, log_mel_spectrogram
from sedsdk.plots.style import hide_time_labels, new_axes, new_figure, save, set_title
from sedsdk.plots.tracks import (
    Thresholds,
    draw_class_panels,
    draw_events,
    shown_classes,
    track_heights,
)
from sedsdk.types import ClipPrediction, Event

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    heights = [3.2, *track_heights(len(rows))]
    figure = new_figure(1.1 + sum(heights))
    cells = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(60, 1))
    spectrogram = log_mel_spectrogram(samples, sample_rate)
    panels = [new_axes(figure, cells[0, 0])]
    draw_spectrogram(panels[0], figure.add_subplot(cells[0, 1]), spectrogram)
    classes = [cells[1 + row, 0] for row in range(len(rows))]
    panels += draw_class_panels(figure, classes, panels[0], prediction, rows, reference, thresholds)
    panels.append(new_axes(figure, cells[len(heights) - 1, 0], panels[0]))
    draw_events(panels[-1], rows, prediction.events or (), reference)
    panels[0].set_xlim(0.0, spectrogram.seconds)
    hide_time_labels(panels)
    set_title(figure, title, left_out=len(prediction.labels) - len(rows))
    return save(figure, path)


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
