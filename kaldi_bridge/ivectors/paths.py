"""Where the files of an i-vector extractor are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kaldi_bridge.conf import Conf
from kaldi_bridge.errors import MissingFile
from kaldi_bridge.rerooting import found_again


def find_named(conf: Conf, key: str, folders: Sequence[Path] = ()) -> Path:
    """Returns the file that an option of a conf file names, wherever the folder tree has moved.

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
    found, looked_at = found_again(named, conf.file, folders)
    if found is not None:
        return found
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
