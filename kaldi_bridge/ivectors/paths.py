"""Finds files that a conf file names by paths of the machine where it was written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kaldi_bridge.conf import Conf
from kaldi_bridge.errors import MissingFile

PARENTS = 5  # folders above the conf file's own in which the path may start


def find_named(conf: Conf, key: str, folders: Sequence[Path] = ()) -> Path:
    """Returns the file that an option of a conf file names, wherever the folder tree has moved.

    Looked at, in this order: the path as it stands; from the conf file's folder and those above
    it, the path and its ends of two parts and more; its last part in the conf file's folder and in
    `folders`.

    Args:
        conf: the conf file.
        key: its option.
        folders: further folders that may hold the file itself, such as an extractor's.

    Raises:
        MissingFile: not given, or nowhere; the message has every place.
        KaldiFileError: a pipe or standard input.
    """
    named = conf.path(key)
    if named is None:
        raise MissingFile(f"{conf.file}: --{key} is not set, so there is nothing to read it from.")
    looked_at: list[Path] = []
    for place in _places(named, Path(conf.file), folders):
        if place in looked_at:
            continue
        if os.path.isfile(place):
            return place
        looked_at.append(place)
    listed = "".join(f"\n  {place}" for place in looked_at)
    raise MissingFile(
        f"{conf.file}: --{key}={named} is not there. Put {named.name} beside the conf file, or "
        f"write its path there. Looked at:{listed}"
    )


def find_in_folder(folder: Path, key: str, names: Sequence[str]) -> Path:
    """Returns the file of one of these names in a folder.

    Raises:
        MissingFile: none is there.
    """
    for name in names:
        if os.path.isfile(folder / name):
            return folder / name
    present = ", ".join(sorted(entry.name for entry in folder.iterdir())[:20]) or "nothing"
    raise MissingFile(
        f"{folder}: no {' or '.join(names)} (--{key}) in this extractor's folder; it has {present}."
    )


def _places(named: Path, conf_path: Path, folders: Sequence[Path]) -> Iterator[Path]:
    yield named
    home = conf_path.resolve().parent
    above = [home, *home.parents][: PARENTS + 1]
    parts = [part for part in named.parts if part != named.anchor]
    for start in range(max(1, len(parts) - 1)):
        for folder in above:
            yield folder.joinpath(*parts[start:])
    for folder in (home, *folders):
        yield folder / named.name
