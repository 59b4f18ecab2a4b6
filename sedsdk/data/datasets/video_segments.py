"""Clips cut from YouTube videos, and the names that lists and downloaders give their files."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"Y?(?P<video>[\w-]{11})_(?P<start>\d+(?:\.\d+)?)_(?P<end>\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class VideoSegment:
    """A span of a video.

    Attributes:
        video: YouTube's id, 11 characters.
        start: in seconds from the start of the video.
        end: its end, in seconds.
    """

    video: str
    start: float
    end: float

    @property
    def length(self) -> float:
        """In seconds."""
        return round(self.end - self.start, 3)

    @property
    def stems(self) -> tuple[str, ...]:
        """Names without suffix that its audio may have, the most precise first.

        `Y` before the id is what the DCASE scripts write, since a name may not begin with a dash;
        times are in seconds or in milliseconds; the id alone stands for its one segment in
        AudioSet.
        """
        exact = f"{self.start:.3f}_{self.end:.3f}"
        short = f"{self.start:g}_{self.end:g}"
        milliseconds = f"{self.start * 1000:.0f}_{self.end * 1000:.0f}"
        begin = f"{self.start * 1000:.0f}"
        times = (f"_{exact}", f"_{short}", f"_{milliseconds}", f"_{begin}", f"_{self.start:g}", "")
        return tuple(f"{y}{self.video}{time}" for time in times for y in ("Y", ""))


def video_segment(stem: str) -> VideoSegment | None:
    """Reads a name as in "Y-BJNMHMZDcU_50.000_60.000", with or without the `Y`; None for others."""
    match = _NAME.fullmatch(stem)
    if match is None or float(match["end"]) <= float(match["start"]):
        return None
    return VideoSegment(match["video"], float(match["start"]), float(match["end"]))
