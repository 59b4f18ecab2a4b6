"""Where an encoder and a head look: their attention maps between what goes in and what comes out.

The picture is that of Figure 4 of Zhang et al. 2019 (MTFA), for any recording and any maps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sedsdk.errors import DataError
from sedsdk.plots.bands import BandAxis
from sedsdk.plots.pictures import (
    draw_bar,
    draw_values,
    name_bands,
    prediction_between,
    value_limits,
)
from sedsdk.plots.spectrogram import draw_spectrogram, log_mel_spectrogram
from sedsdk.plots.style import class_colour, hide_time_labels, new_axes, new_figure, save, set_title
from sedsdk.plots.tracks import (
    Thresholds,
    draw_boxes,
    draw_class_panels,
    draw_events,
    shown_classes,
    thinned,
    track_heights,
)
from sedsdk.runtime.attention import HEAD_PREFIX, AttentionMap
from sedsdk.types import ClipPrediction, Event

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MOST_MAPS = 8
MOST_NAMES = 8
"""Features whose names have room beside a map."""
SPECTROGRAM_HEIGHT = 3.0
MAP_HEIGHT = 1.45
CURVE_HEIGHT = 1.1


def plot_attention(
    samples: npt.ArrayLike,
    sample_rate: float,
    attention: Mapping[str, AttentionMap],
    prediction: ClipPrediction | None = None,
    reference: Sequence[Event] | None = None,
    title: str = "",
    path: str | Path | None = None,
    *,
    thresholds: Thresholds | None = None,
    bands: BandAxis | None = None,
    start_seconds: float = 0.0,
) -> Figure:
    """Draws a recording's spectrogram, attention maps, probabilities and events on one time axis.

    A map of one feature is a curve, another a picture with feature 0 at the bottom. Maps whose
    names differ in a number at the end, as in "mask 1" and "mask 1/2", are of one kind: they stand
    together and share a colour scale, from their lowest to their highest value in the picture. The
    reference events are boxes through all pictures: green, or pink where the detector has no such
    class. Long recordings are thinned to the highest value within each dot.

    Args:
        samples: [N] in [-1, 1], one channel: the part of the recording to draw.
        sample_rate: hertz.
        attention: name → map of the whole recording; any range.
        prediction: of the whole recording; None leaves out probabilities and events.
        reference: true events; None if they are not known (an empty sequence says: there are none).
        title: written above.
        path: file to write (.png, .svg, .pdf); None only builds the figure.
        thresholds: per class, in [0, 1], where known; see `decision_thresholds`.
        bands: what the features of an encoder's map are, if their number divides that of the bands.
        start_seconds: where the samples begin in the recording.

    Raises:
        DataError: there is no map, there are more than eight, or one has other axes.
        AudioError: the samples cannot be drawn.
        MissingDependency: matplotlib is not installed.
    """
    _check(attention)
    spectrogram = replace(log_mel_spectrogram(samples, sample_rate), first_seconds=start_seconds)
    span = (start_seconds, start_seconds + spectrogram.seconds)
    kinds = _by_kind(attention)
    rows = shown_classes(prediction, reference) if prediction else []
    order = [name for names in kinds for name in names]
    sizes = [attention[name].values.shape[1] for name in order]
    heights = [SPECTROGRAM_HEIGHT, *(CURVE_HEIGHT if size == 1 else MAP_HEIGHT for size in sizes)]
    heights += track_heights(len(rows)) if prediction else []
    figure = new_figure(1.0 + sum(heights))
    cells = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(60, 1))

    panels = [new_axes(figure, cells[0, 0])]
    draw_spectrogram(panels[0], figure.add_subplot(cells[0, 1]), spectrogram)
    panels[0].set_xlim(*span)
    pictures = [panels[0]]
    for names in kinds:
        first = len(panels)
        shown = {name: attention[name].between(*span) for name in names}
        limits = value_limits(map_.values for map_ in shown.values())
        for name in names:
            panel = new_axes(figure, cells[len(panels), 0], panels[0])
            panel.set_title(name, loc="left", fontsize=11, fontweight="bold", pad=3)
            panels.append(panel)
            if attention[name].values.shape[1] == 1:
                _draw_curve(panel, shown[name], class_colour(len(panels) - 2))
            else:
                image = draw_values(panel, shown[name], limits)
                _name_features(
                    panel, image, attention[name], None if name.startswith(HEAD_PREFIX) else bands
                )
                pictures.append(panel)
        if pictures[-1] is panels[-1]:
            draw_bar(figure.add_subplot(cells[first : len(panels), 1]), image, "weight")
    if prediction is not None:
        first = len(panels)
        classes = [cells[first + row, 0] for row in range(len(rows))]
        near = [event for event in prediction.events or () if _touches(event, span)]
        panels += draw_class_panels(
            figure, classes, panels[0], prediction_between(prediction, *span), rows, reference,
            thresholds, caption="output: {}",
        )  # fmt: skip
        panels.append(new_axes(figure, cells[len(heights) - 1, 0], panels[0]))
        draw_events(panels[-1], rows, near, reference, "boxes and grey spans above")
    known = reference or ()
    targets = prediction.labels if prediction else [event.label for event in known]
    for panel in pictures:
        draw_boxes(panel, known, targets, named=panel is panels[0])
    hide_time_labels(panels)
    set_title(figure, title, left_out=len(prediction.labels) - len(rows) if prediction else 0)
    return save(figure, path)


def map_kind(name: str) -> str:
    """Returns a map's name without the number or fraction at its end: what its scales share."""
    return re.sub(r"[\s_-]*\d[\d./]*$", "", name) or name


def _check(attention: Mapping[str, AttentionMap]) -> None:
    if not 1 <= len(attention) <= MOST_MAPS:
        raise DataError(
            f"a picture holds 1 to {MOST_MAPS} attention maps, got {len(attention)}: "
            f"{', '.join(attention) or 'none'}. Choose some by name."
        )
    for name, map_ in attention.items():
        if map_.values.ndim != 2 or map_.values.shape[1] == 0:
            raise DataError(
                f'attention map "{name}" has shape {map_.values.shape}; expected [T, F], one clip '
                "at a time."
            )


def _by_kind(attention: Mapping[str, AttentionMap]) -> list[list[str]]:
    """Returns the names in groups that share a colour scale; curves stand apart from pictures."""
    kinds: dict[tuple[str, bool], list[str]] = {}
    for name, map_ in attention.items():
        kinds.setdefault((map_kind(name), map_.values.shape[1] == 1), []).append(name)
    return list(kinds.values())


def _touches(event: Event, span: tuple[float, float]) -> bool:
    return event.offset >= span[0] and event.onset <= span[1]


def _draw_curve(axes: Axes, shown: AttentionMap, colour: str) -> None:
    index, values = thinned(shown.values[:, 0])
    times = shown.grid.first_seconds + index * shown.grid.hop_seconds
    axes.fill_between(times, values, color=colour, alpha=0.25, lw=0)
    axes.plot(times, values, color=colour, lw=1.3)
    axes.set_ylim(min(0.0, float(values.min(initial=0.0))), None)
    axes.set_ylabel("weight", fontsize=10)


def _name_features(
    axes: Axes, image: AxesImage, whole: AttentionMap, bands: BandAxis | None
) -> None:
    """Labels the features: by their names, as bands, as the times of [T, T] weights, or by number.

    A map that can be both bands and times gets numbers.
    """
    frames, size = whole.values.shape
    left, right, _, _ = image.get_extent()
    square, banded = frames == size, bands is not None and bands.fits(size)
    if whole.features and size <= MOST_NAMES:
        axes.set_yticks(np.arange(size) + 0.5, list(whole.features))
    elif banded and not square and bands is not None:
        name_bands(axes, bands, size)
    elif square and not banded:
        low = whole.grid.first_seconds - 0.5 * whole.grid.hop_seconds
        image.set_extent((left, right, low, low + size * whole.grid.hop_seconds))
        axes.set_ylabel("looks at (s)", fontsize=10)
    else:
        image.set_extent((left, right, -0.5, size - 0.5))
        axes.set_ylabel("feature (index)", fontsize=10)
