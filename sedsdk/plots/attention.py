"""Where an encoder or a head looks: its attention maps under the spectrogram."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sedsdk.errors import DataError
from sedsdk.plots.detection import thinned
from sedsdk.plots.spectrogram import draw_spectrogram, log_mel_spectrogram
from sedsdk.plots.style import class_colour, hide_time_labels, new_axes, new_figure, save, set_title
from sedsdk.types import FrameGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_MAPS = 8
MOST_COLUMNS = 2400


def plot_attention(
    samples: npt.ArrayLike,
    sample_rate: float,
    attention: Mapping[str, npt.NDArray[np.floating]],
    grid: FrameGrid | Mapping[str, FrameGrid],
    title: str = "",
    path: str | Path | None = None,
) -> Figure:
    """Draws attention maps under the recording's spectrogram, on one time axis.

    Args:
        samples: [N] in [-1, 1], one channel.
        sample_rate: hertz.
        attention: name → weights [T] (a curve) or [T, F] (a picture, feature 0 at the bottom), of
            this clip alone, without padding; any range.
        grid: where the frames lie: one for all maps, or one per name.
        title: written above.
        path: file to write (.png, .svg, .pdf); None only builds the figure.

    Raises:
        DataError: there is no map, there are more than eight, or one has other axes.
        AudioError: the samples cannot be drawn.
        MissingDependency: matplotlib is not installed.
    """
    if not 1 <= len(attention) <= MOST_MAPS:
        raise DataError(
            f"a picture holds 1 to {MOST_MAPS} attention maps, got {len(attention)}: "
            f"{', '.join(attention) or 'none'}. Choose some by name."
        )
    if wrong := [name for name, weights in attention.items() if weights.ndim not in (1, 2)]:
        raise DataError(
            f'attention map "{wrong[0]}" has shape {attention[wrong[0]].shape}; '
            "expected [T] or [T, F], one clip at a time."
        )
    heights = [2.8, *(1.2 if weights.ndim == 1 else 2.0 for weights in attention.values())]
    figure = new_figure(1.0 + sum(heights))
    cells = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(60, 1))
    spectrogram = log_mel_spectrogram(samples, sample_rate)
    panels = [new_axes(figure, cells[0, 0])]
    draw_spectrogram(panels[0], figure.add_subplot(cells[0, 1]), spectrogram)
    for row, (name, weights) in enumerate(attention.items(), 1):
        panel = new_axes(figure, cells[row, 0], panels[0])
        frames = grid[name] if isinstance(grid, Mapping) else grid
        if weights.ndim == 1:
            _draw_curve(panel, weights, frames, class_colour(row - 1))
        else:
            _draw_map(panel, figure.add_subplot(cells[row, 1]), weights, frames)
        panel.set_title(name, loc="left", fontsize=11, fontweight="bold", pad=3)
        panels.append(panel)
    panels[0].set_xlim(0.0, spectrogram.seconds)
    hide_time_labels(panels)
    set_title(figure, title)
    return save(figure, path)


def _draw_curve(
    axes: Axes, weights: npt.NDArray[np.floating], grid: FrameGrid, colour: str
) -> None:
    index, values = thinned(weights)
    times = grid.first_seconds + index * grid.hop_seconds
    axes.fill_between(times, values, color=colour, alpha=0.25, lw=0)
    axes.plot(times, values, color=colour, lw=1.3)
    axes.set_ylim(min(0.0, float(values.min(initial=0.0))), None)
    axes.set_ylabel("weight", fontsize=10)


def _draw_map(
    axes: Axes, colour_axes: Axes, weights: npt.NDArray[np.floating], grid: FrameGrid
) -> None:
    step = -(-len(weights) // MOST_COLUMNS)
    shown = np.array(
        [weights[first : first + step].max(0) for first in range(0, len(weights), step)]
    )
    begin = grid.first_seconds - 0.5 * grid.hop_seconds
    end = begin + grid.hop_seconds * step * len(shown)
    image = axes.imshow(
        shown.T,
        origin="lower",
        aspect="auto",
        extent=(begin, end, -0.5, weights.shape[1] - 0.5),
        cmap="viridis",
        interpolation="nearest",
    )
    axes.set_ylabel("feature (index)", fontsize=10)
    bar: Any = axes.figure.colorbar(image, cax=colour_axes)
    bar.set_label("weight", fontsize=10)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9)
