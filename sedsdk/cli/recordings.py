"""Which recordings a command line names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sedsdk.errors import DataError

RECORDINGS_VARIABLE = "SEDSDK_RECORDINGS"
RECORDINGS_BESIDE = Path("..") / "shared" / "real"


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
    from sedsdk.audio import AUDIO_SUFFIXES

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


def recordings_folder(given: Path | None) -> Path | None:
    """Returns the folder of real recordings: given, from the environment, or beside the checkout.

    Raises:
        DataError: a folder was named, and there are no recordings in it.
    """
    variable = os.environ.get(RECORDINGS_VARIABLE)
    named = given or (Path(variable) if variable else None)
    if named is not None:
        if not (named / "events").is_dir():
            raise DataError(
                f"{named} holds no recordings: expected events/<label>/* and backgrounds/*."
            )
        return named.resolve()
    checkout = Path(__file__).resolve().parents[2]
    for root in (Path.cwd(), checkout):
        if (root / RECORDINGS_BESIDE / "events").is_dir():
            return (root / RECORDINGS_BESIDE).resolve()
    return None
