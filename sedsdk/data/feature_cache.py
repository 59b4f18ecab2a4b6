"""Arrays computed once from a recording, kept on disk and read memory-mapped."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np

from sedsdk.config import digest
from sedsdk.data.locks import exclusive
from sedsdk.errors import DataError

_log = logging.getLogger(__name__)


class Span(Protocol):
    """A recording, or a span of one: what a cached array belongs to."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def start(self) -> float | None:
        """Begin in seconds."""

    @property
    def end(self) -> float | None:
        """End in seconds, None for the end of the file."""


class FeatureCache:
    """Keeps one array per recording and configuration.

    The key is the file (path, size, time of change), the span and `config`; a changed file or
    option therefore computes again, and so does a damaged array. Files are written aside and
    renamed, so a killed run leaves none that is half written, and several processes may share a
    folder.

    Args:
        folder: where the arrays are kept; made if it is not there.
        config: JSON-like description of everything else that the array depends on.
        locks: folder of lock files. With it, a process that wants an array which another one is
            computing waits for it; without, both compute it and either's file stays.
    """

    def __init__(self, folder: str | Path, config: object, locks: Path | None = None) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._config = config
        self._locks = locks

    def get(self, span: Span, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the array of a recording, memory-mapped, computing it where it is not kept.

        Raises:
            DataError: the array cannot be written (disk full).
        """
        key = self._key(span)
        file = self.folder / f"{key}.npy"
        kept = _kept(file)
        if kept is not None:
            return kept
        with nullcontext() if self._locks is None else exclusive(self._locks / f"{key[:2]}.lock"):
            if self._locks is not None:
                kept = _kept(file)  # another process may have computed it meanwhile
            if kept is None:
                self._write(file, compute())
        return _mapped(file)

    def _key(self, span: Span) -> str:
        status = os.stat(span.path)
        where = [str(Path(span.path).resolve()), status.st_size, status.st_mtime_ns]
        return digest([*where, span.start, span.end, self._config])[:40]

    def _write(self, file: Path, values: np.ndarray) -> None:
        try:
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False) as part:
                try:
                    np.save(part, values, allow_pickle=False)
                    part.flush()
                except BaseException:
                    os.unlink(part.name)
                    raise
            os.replace(part.name, file)
        except OSError as error:
            raise DataError(
                f"{file} cannot be written: {error.strerror or error}. Make room on the disk, or "
                f"set training.cache to false."
            ) from error


def _kept(file: Path) -> np.ndarray | None:
    try:
        return _mapped(file)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError, BadZipFile):
        _log.warning("%s is damaged and computed again", file)
        return None


def _mapped(file: Path) -> np.ndarray:
    values: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    return values
