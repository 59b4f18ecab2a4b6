"""A folder belongs to the options that it was begun with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaldi_bridge.errors import KaldiError

OPTIONS = "options.json"


class ClaimedFolder(KaldiError):
    """A folder that was begun with other options."""


def claim(folder: Path, options: Mapping[str, Any], what: str) -> None:
    """Makes a folder and writes the options down, or compares them with those that are there.

    Args:
        folder: of a corpus or a run.
        options: all that decides what will be in it.
        what: the word for it in the message.

    Raises:
        ClaimedFolder: the folder was begun with others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, text = folder / OPTIONS, json.dumps(options, indent=1)
    if not path.is_file():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise ClaimedFolder(
            f"{folder} holds a {what} of other options ({OPTIONS} there). Choose another folder, "
            "or repeat the command that began it."
        )
