"""Files of embeddings: npz per recording, one npz of many, a Kaldi archive. Whole or not at all."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.archives import write_archive
from kaldi_bridge.sink import opened_atomically
from sedsdk.errors import DataError

ROWS_NAME = "embedding"
TIMES_NAME = "times"
SOURCE_NAME = "made_from"
ARCHIVE_NAME = "embeddings.ark"


@dataclass(frozen=True)
class Embedded:
    """What became of one recording.

    Attributes:
        key: its name in files of many.
        rows: float32 [T, D]; may lie in a file.
        times: float64 [T], the centre of each row in seconds.
        made_from: JSON-like: digests of model and audio, options.
    """

    key: str
    rows: NDArray[np.float32]
    times: NDArray[np.float64]
    made_from: dict[str, object]


class NpzFolder:
    """One npz per recording: `embedding` [T, D], `times` [T], and `made_from` as JSON.

    Args:
        folder: made when the first is written.
        overwrite: replace files that something else has written.
    """

    def __init__(self, folder: Path, overwrite: bool) -> None:
        self.folder = folder
        self._overwrite = overwrite

    def holds(self, key: str, made_from: dict[str, object]) -> bool:
        """Returns whether the recording's file is there and made from the same."""
        found = self._found(key)
        return found is not None and found == _as_json(made_from)

    def is_there(self, key: str) -> bool:
        """Returns whether there is a file that may be the recording's, or be replaced by it.

        Raises:
            DataError: something else is there that may not be replaced.
        """
        path = self.path_of(key)
        if path.exists() and not self._overwrite and self._found(key) is None:
            raise DataError(
                f"{path} is there and holds no embedding that this command wrote. Move it, or give "
                "--overwrite."
            )
        return path.exists()

    def path_of(self, key: str) -> Path:
        """Returns the file of a recording."""
        return self.folder / f"{key}.npz"

    def write(self, items: Iterable[Embedded]) -> None:
        """Writes the files, one after the other."""
        for item in items:
            with _new_npz(self.path_of(item.key)) as npz:
                _add(npz, ROWS_NAME, item.rows)
                _add(npz, TIMES_NAME, item.times)
                _add(npz, SOURCE_NAME, np.array(_as_json(item.made_from)))

    def _found(self, key: str) -> str | None:
        try:
            with np.load(self.path_of(key), allow_pickle=False) as npz:
                return str(npz[SOURCE_NAME])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def write_npz(path: Path, items: Iterable[Embedded]) -> None:
    """Writes one npz: rows [T, D] under each key, their times [T] under `times/KEY`."""
    with _new_npz(path) as npz:
        for item in items:
            _add(npz, item.key, item.rows)
            _add(npz, f"{TIMES_NAME}/{item.key}", item.times)


def write_ark(path: Path, items: Iterable[Embedded]) -> None:
    """Writes a Kaldi archive of matrices, and the script beside it."""
    write_archive(path, ((item.key, item.rows) for item in items), scp=script_of(path))


def script_of(archive: Path) -> Path:
    """Returns where the script of an archive is written."""
    return archive.with_suffix(".scp")


def recording_keys(paths: Iterable[Path]) -> dict[str, Path]:
    """Names recordings by their files' names, each another: the folder's name helps where needed.

    Blanks become `_`, as Kaldi's keys have none. A file that is given twice counts once.

    Returns:
        Key → file, in the order given.
    """
    files = list(dict.fromkeys(paths))
    names = [_names(path) for path in files]
    level = [0] * len(files)
    while True:
        keys = [each[at] for each, at in zip(names, level, strict=True)]
        counts = Counter(keys)
        longer = [
            i for i, key in enumerate(keys) if counts[key] > 1 and level[i] < len(names[i]) - 1
        ]
        if not longer:
            break
        for i in longer:
            level[i] += 1
    recordings: dict[str, Path] = {}
    for key, path in zip(keys, files, strict=True):
        candidates = chain([key], (f"{key}-{number}" for number in count(2)))
        recordings[next(name for name in candidates if name not in recordings)] = path
    return recordings


def _names(path: Path) -> list[str]:
    """The file's name, then with its folders in front, at last with its ending."""
    parts = [*path.absolute().parts[1:-1], path.stem]
    joined = ["-".join(parts[-length:]) for length in range(1, len(parts) + 1)]
    return ["_".join(name.split()) or "_" for name in (*joined, f"{joined[-1]}{path.suffix}")]


def _as_json(made_from: dict[str, object]) -> str:
    return json.dumps(made_from, sort_keys=True)


def _add(npz: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    """Adds an array piece by piece: it is never copied as a whole."""
    with npz.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


@contextmanager
def _new_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened_atomically(path) as file, zipfile.ZipFile(file, "w") as npz:
        yield npz
