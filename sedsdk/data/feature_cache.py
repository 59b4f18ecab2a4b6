"""Arrays computed once from a recording, kept on disk and read memory-mapped."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np

from sedsdk.config import digest

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
    """

    def __init__(self, folder: str | Path, config: object) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._config = config

    def get(self, span: Span, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the array of a recording, memory-mapped, computing it where it is not kept."""
        file = self.folder / f"{self._key(span)}.npy"
        try:
            return _mapped(file)
        except FileNotFoundError:
            pass
        except (ValueError, EOFError, BadZipFile):
            _log.warning("%s is damaged and computed again", file)
        self._write(file, compute())
        return _mapped(file)

    def _key(self, span: Span) -> str:
        status = os.stat(span.path)
        where = [str(Path(span.path).resolve()), status.st_size, status.st_mtime_ns]
        return digest([*where, span.start, span.end, self._config])[:40]

    def _write(self, file: Path, values: np.ndarray) -> None:
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False) as part:
            try:
                np.save(part, values, allow_pickle=False)
            except BaseException:
                os.unlink(part.name)
                raise
        os.replace(part.name, file)


def _mapped(file: Path) -> np.ndarray:
    values: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    return values
