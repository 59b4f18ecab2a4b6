"""Audio files below folders, found by name without suffix."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sedsdk.audio import AUDIO_SUFFIXES


def audio_stem(name: str) -> str:
    """Returns a file name without its audio suffix; a dot elsewhere in it ("…_30.000") stays."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in AUDIO_SUFFIXES else name


class AudioFiles:
    """The audio files below some folders.

    The suffix is left open, as people convert what they download. Where two files have one name,
    the first counts: folders in the order given, then subfolders and suffixes by alphabet.

    Args:
        folders: searched with all their subfolders.

    Attributes:
        folders: those.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(folders)
        self._paths: dict[str, str] = {}
        for folder in self.folders:
            for path in _files_below(folder):
                self._paths.setdefault(audio_stem(os.path.basename(path)), path)

    def find(self, stems: Iterable[str]) -> Path | None:
        """Returns the file that has the first of these names that is there; None without one."""
        for stem in stems:
            if stem in self._paths:
                return Path(self._paths[stem])
        return None


def _files_below(folder: Path) -> Iterator[str]:
    seen: set[str] = set()
    for place, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link back up
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES:
                yield os.path.join(place, name)
