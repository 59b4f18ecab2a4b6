"""Which recordings a command line names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sedsdk.errors import DataError


def audio_files(given: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Finds the audio files among files and folders; folders are searched to any depth.

    Args:
        given: files, which are taken whatever their ending, and folders.

    Returns:
        Files in the order given, those of a folder sorted; and one line per path that does not
        exist or folder that holds no audio.

    Raises:
        DataError: no file is left.
    """
    from sedsdk.data.sources import AUDIO_SUFFIXES

    files: list[Path] = []
    problems: list[str] = []
    for path in given:
        if path.is_dir():
            inside = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".")
            )
            files += inside
            if not inside:
                problems.append(f"{path}: no audio file in this folder")
        elif path.exists():
            files.append(path)
        else:
            problems.append(f"{path}: no such file or folder")
    if not files:
        raise DataError("; ".join(problems) or "no recording was named.")
    return files, problems
