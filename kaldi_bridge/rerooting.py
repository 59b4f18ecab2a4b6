"""Finds the files that a conf names, although the folder tree may have moved since.

Recipes write the absolute paths of the machine they run on into conf files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

LEVELS_ABOVE = 5
"""Folders above the conf's own in which a path that it names may start."""


def found_again(
    named: Path, conf: Path | str, folders: Sequence[Path] = ()
) -> tuple[Path | None, list[Path]]:
    """Finds a file that a conf names.

    Looked at, in this order: the path as it stands, which is what Kaldi would open; from the conf's
    folder and those above it, the path and its ends of two parts and more, longest first; its last
    part in the conf's folder, in the one above, and in `folders`.

    Args:
        named: path in the conf.
        conf: the conf file.
        folders: further folders that may hold the file itself, such as an extractor's.

    Returns:
        The file, or None; and the places that were looked at without finding it.
    """
    looked_at: dict[Path, None] = {}
    for place in _places(named, Path(conf), folders):
        if place in looked_at:
            continue
        if os.path.isfile(place):
            return place, list(looked_at)
        looked_at[place] = None
    return None, list(looked_at)


def _places(named: Path, conf: Path, folders: Sequence[Path]) -> Iterator[Path]:
    yield named
    homes = dict.fromkeys((conf.absolute().parent, conf.resolve().parent))  # confs may be links
    above = [folder for home in homes for folder in (home, *home.parents[:LEVELS_ABOVE])]
    parts = [part for part in named.parts if part != named.anchor]
    for start in range(max(1, len(parts) - 1)):
        for folder in above:
            yield folder.joinpath(*parts[start:])
    for folder in (*homes, *(home.parent for home in homes), *folders):
        yield folder / named.name
