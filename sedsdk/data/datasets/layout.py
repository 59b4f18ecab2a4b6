"""Where the files of a data set lie, in the layouts that downloads and archives leave."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sedsdk.errors import DataError


def dataset_folder(folder: str | Path) -> Path:
    """Returns the folder as a path.

    Raises:
        DataError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Give the folder that the data set was unpacked in.")
    return root


def base_folders(root: Path, places: Sequence[str]) -> list[Path]:
    """Returns the folders at these places that are there, each once.

    Args:
        root: folder of the data set.
        places: paths below it; "" is itself, and a leading "*" stands for each of its subfolders.
    """
    with os.scandir(root) as entries:  # a folder with millions of files has few subfolders
        subfolders = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    found: dict[Path, None] = {}
    for place in places:
        first, _, rest = place.partition("/")
        starts = subfolders if first == "*" else [root / first]
        found.update(dict.fromkeys(start / rest for start in starts))
    return [base for base in found if base.is_dir()]


def find_file(root: Path, what: str, places: Sequence[str], names: Sequence[str]) -> Path:
    """Returns the first file that is there, trying every name in a place before the next place.

    Args:
        root: folder of the data set.
        what: it is, as in "list of testing".
        places: as in `base_folders`.
        names: of the file, in a place.

    Raises:
        DataError: it is in none of the places.
    """
    for base in base_folders(root, places):
        for name in names:
            if (base / name).is_file():
                return base / name
    where = ", ".join(place or "itself" for place in places)
    raise DataError(
        f"{root} holds no {what}: looked for {' or '.join(names)} in {where}. Give the folder "
        f"that the data set was unpacked in, with its lists."
    )


def existing_folders(bases: Iterable[Path], names: Sequence[str]) -> Iterator[Path]:
    """Yields the folders of these names that are there, in the order of names, then bases."""
    bases = list(bases)
    yield from (base / name for name in names for base in bases if (base / name).is_dir())
