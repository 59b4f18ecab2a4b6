"""What the entries of every manifest format share: times, ids, file names, errors with a place."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from sedsdk.data.manifest import Clip
from sedsdk.errors import DataError


def seconds(text: str, what: str, place: str) -> float:
    """Returns a time in seconds.

    Raises:
        DataError: the text is no finite number; the message begins with `place`.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f'{place}: {what} "{text}" is no number. Write seconds, as in 1.25.')
    return value


def default_id(filename: str, start: str, end: str) -> str:
    """Returns the id of a clip that states none: its file name, with the span if there is one."""
    return f"{filename}@{start or 0}-{end or 'end'}" if start or end else filename


def relative_filename(clip: Clip, root: Path) -> str:
    """Returns a clip's file name from `root`, or the absolute one if it lies elsewhere."""
    path = Path(os.path.abspath(clip.path))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def clip_at(place: str, clip_id: str, path: Path, **known: Any) -> Clip:
    """Builds a clip; what is wrong with it is raised with `place` in front.

    Raises:
        DataError: as `Clip`.
    """
    try:
        return Clip(clip_id, path, **known)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
