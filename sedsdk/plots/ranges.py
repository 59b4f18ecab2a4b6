"""Which frames each frame is made of: over a spectrogram, and as a curve of how far they reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sedsdk.plots.style import GRID_COLOUR, TEXT_COLOUR, class_colour
from sedsdk.types import FrameGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKED_FRAMES = 36
"""Frames whose ranges are marked over a picture, evenly spaced."""
MARK_ROWS = (0.2, 0.4, 0.6, 0.8)
"""Heights at which they lie in turn, as shares of the picture."""
MARK_HEIGHT = 0.07
MARK_COLOUR = "#D55E00"
MOST_STEPS = 2400

Span = tuple[float, float]


@dataclass(frozen=True)
class FrameRanges:
    """The neighbours that each frame is made of.

    Attributes:
        first: int [T], first frame of each frame's range, at most the frame itself.
        last: int [T], its last frame, inclusive, at least the frame itself.
        grid: where the frames lie in time.
    """

    first: npt.NDArray[np.integer]
    last: npt.NDArray[np.integer]
    grid: FrameGrid

    def within(self, span: Span) -> npt.NDArray[np.intp]:
        """Returns the frames whose centres lie in a span of seconds."""
        times = self.grid.times(len(self.first))
        return np.flatnonzero((times >= span[0]) & (times <= span[1]))


def mark_ranges(axes: Axes, ranges: FrameRanges, span: Span, height: float) -> None:
    """Draws the ranges of evenly spaced frames over a picture, as bars with a line at the frame.

    A bar goes from the begin of the range's first frame to the end of its last one.

    Args:
        axes: of the picture.
        ranges: of the whole recording.
        span: seconds that are drawn.
        height: upper end of the picture's vertical axis, which begins at 0.
    """
    from matplotlib.patheffects import withStroke

    frames = ranges.within(span)
    if not len(frames):
        return
    picked = np.unique(frames[np.linspace(0, len(frames) - 1, MARKED_FRAMES + 2).astype(int)[1:-1]])
    hop, times = ranges.grid.hop_seconds, ranges.grid.times(len(ranges.first))
    thickness = MARK_HEIGHT * height
    for row, share in enumerate(MARK_ROWS):
        chosen = picked[row :: len(MARK_ROWS)]
        bars = [
            (times[first] - hop / 2, (last - first + 1) * hop)
            for first, last in zip(ranges.first[chosen], ranges.last[chosen], strict=True)
        ]
        axes.broken_barh(
            bars, (share * height - thickness / 2, thickness), facecolor=MARK_COLOUR,
            edgecolor="white", lw=0.9, zorder=5,
        )  # fmt: skip
        axes.vlines(
            times[chosen], share * height - thickness, share * height + thickness, color="white",
            lw=1.3, zorder=6, path_effects=[withStroke(linewidth=2.6, foreground="black")],
        )  # fmt: skip


def draw_reach(axes: Axes, scale: Axes, ranges: FrameRanges, span: Span) -> None:
    """Draws how many frames a range begins before, and ends behind, its frame.

    Args:
        axes: whose vertical axis is in frames.
        scale: that shows the same in milliseconds, to the right.
        ranges: of the whole recording; long ones keep the widest of every few neighbours.
        span: seconds that are drawn.
    """
    frames = np.arange(len(ranges.first))
    later, earlier = ranges.last - frames, ranges.first - frames
    shown = ranges.within(span)
    step = max(1, -(-len(shown) // MOST_STEPS))
    starts = np.arange(0, len(shown), step)
    edges = ranges.grid.times(len(frames) + 1) - ranges.grid.hop_seconds / 2
    borders = edges[np.append(shown[starts], shown[-1:] + 1)]
    for values, widest, colour, name in (
        (later, np.maximum, class_colour(0), "later frames"),
        (earlier, np.minimum, class_colour(1), "earlier frames"),
    ):
        if len(shown):
            reach = widest.reduceat(values[shown], starts)
            axes.stairs(reach, borders, fill=True, color=colour, alpha=0.35, lw=0)
            axes.stairs(reach, borders, color=colour, lw=1.2, label=name, baseline=None)
    axes.axhline(0.0, color=TEXT_COLOUR, lw=0.8)
    top = 1.2 * max(1, int(later.max(initial=0)), int(-earlier.min(initial=0)))
    axes.set_ylim(-top, top)
    axes.yaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    axes.set_ylabel("reach (frames)", fontsize=10)
    axes.grid(color=GRID_COLOUR, lw=0.8)
    hop_ms = 1000.0 * ranges.grid.hop_seconds
    scale.set_ylim(-top * hop_ms, top * hop_ms)
    scale.set_ylabel("reach (ms)", fontsize=10)
    scale.yaxis.set_label_position("right")
    scale.yaxis.tick_right()
    scale.set_xticks([])
    scale.spines[["left", "bottom", "top"]].set_visible(False)
    scale.spines["right"].set_color("#888888")
    scale.tick_params(labelsize=9, color="#888888", labelcolor=TEXT_COLOUR)
    width = (ranges.last - ranges.first + 1)[shown]
    if len(width):
        axes.legend(loc="upper right", ncols=2, frameon=False, fontsize=9, borderaxespad=0.1)
        axes.annotate(
            f"mean width {width.mean():.1f} frames ({width.mean() * hop_ms:.0f} ms), "
            f"from {width.min()} to {width.max()}",
            (1.0, 1.0), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
            ha="right", fontsize=9, color=TEXT_COLOUR,
        )  # fmt: skip
