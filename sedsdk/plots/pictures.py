"""Values over time and feature as a picture, on the frames' own grid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sedsdk.plots.bands import BandAxis
from sedsdk.runtime.attention import AttentionMap
from sedsdk.types import ClipPrediction, FrameGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

MOST_COLUMNS = 2400

Values = npt.NDArray[np.floating]
Limits = tuple[float, float]


def value_limits(pictures: Iterable[Values], outside: float = 0.0) -> Limits:
    """Returns values that a colour scale may end at, apart from each other.

    Args:
        pictures: of any shapes; what is not finite is passed over.
        outside: percent of the values that may lie below the lower, and above the upper end.
    """
    finite = [values[np.isfinite(values)] for values in pictures]
    shown = [values for values in finite if values.size]
    low = min((float(np.percentile(values, outside)) for values in shown), default=0.0)
    high = max((float(np.percentile(values, 100 - outside)) for values in shown), default=1.0)
    return low, high if high > low else low + 1.0


def prediction_between(prediction: ClipPrediction, start: float, end: float) -> ClipPrediction:
    """Cuts the frames of a prediction to a span of seconds, so that thinning spares it."""
    cut = AttentionMap(prediction.frames, prediction.grid).between(start, end)
    return replace(prediction, frames=cut.values, grid=cut.grid, active=None)


def steps(values: Values, grid: FrameGrid, most: int = MOST_COLUMNS) -> tuple[Values, Values]:
    """Returns a curve as steps, for `Axes.stairs`: each frame lasts one hop.

    Args:
        values: [T]; beyond `most` frames, the highest of every few neighbours is kept.
        grid: of the frames.
        most: steps, at least 1.

    Returns:
        Heights [S] and, in seconds, the borders between them [S + 1].
    """
    joined = max(1, -(-len(values) // most))
    starts = np.arange(0, len(values), joined)
    heights = np.maximum.reduceat(values, starts) if len(values) else values
    borders = grid.first_seconds + grid.hop_seconds * (np.append(starts, len(values)) - 0.5)
    return heights, borders


def draw_values(
    axes: Axes, shown: AttentionMap, limits: Limits, colours: str = "viridis"
) -> AxesImage:
    """Draws values [T, F] with feature 0 at the bottom; each frame fills its span of one hop.

    Long pictures are thinned to the highest value within each of 2400 columns. The features lie
    from 0 to F on the vertical axis.
    """
    values, hop = shown.values, shown.grid.hop_seconds
    step = max(1, -(-len(values) // MOST_COLUMNS))
    columns = [values[first : first + step].max(0) for first in range(0, len(values), step)]
    begin = shown.grid.first_seconds - 0.5 * hop
    picture = np.array(columns).reshape(len(columns), values.shape[1])
    return axes.imshow(
        picture.T,
        origin="lower",
        aspect="auto",
        extent=(begin, begin + hop * step * max(1, len(columns)), 0.0, float(values.shape[1])),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
    )


def name_bands(axes: Axes, bands: BandAxis, size: int) -> None:
    """Labels a vertical axis from 0 to `size` as bands: their frequencies, if they are known."""
    shares, texts, name = bands.ticks()
    axes.set_yticks([share * size for share in shares], texts)
    axes.set_ylabel(name, fontsize=10)


def draw_bar(axes: Axes, image: AxesImage, name: str) -> None:
    """Fills axes with the colour bar of a picture; `name` says what its values are."""
    bar: Any = axes.figure.colorbar(image, cax=axes)
    bar.set_label(name, fontsize=10)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9)
