"""What can go wrong, in the words of somebody who can act on it. Needs nothing of sedsdk."""

from __future__ import annotations

from pathlib import Path


class KaldiError(Exception):
    """Base of every error that this package raises on purpose."""


class KaldiFileError(KaldiError):
    """A file that cannot be read: damaged, cut off, of another kind, or with impossible numbers.

    Attributes:
        path: the file, or the name of the stream.
        where: "byte 1234" or "line 56".
        component: component that was being read, if any.
    """

    def __init__(self, path: Path | str, where: str, problem: str, component: str = "") -> None:
        """Args:
        path: file or name of the stream.
        where: "byte 1234" or "line 56".
        problem: what is wrong and what was expected, ending in a full stop.
        component: name of the component that was being read.
        """
        self.path = path
        self.where = where
        self.component = component
        inside = f' in component "{component}"' if component else ""
        super().__init__(f"{path}, {where}{inside}: {problem}")


class NotSupported(KaldiError):
    """The file is sound but needs something that this package does not compute."""


class MissingFile(KaldiError):
    """A file of a model directory is not there; the message says where it was looked for."""


class ShapeError(KaldiError):
    """Arrays that do not fit together: features, i-vectors, lengths or options."""


class MissingLibrary(KaldiError):
    """A library that only this task needs is not installed; the message has the command."""
