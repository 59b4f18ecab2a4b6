"""Where an array is: `file`, `file.ark:123`, `file.ark:123[0:99]`; never a command."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kaldi_bridge.archives.entries import Array, read_entry
from kaldi_bridge.errors import KaldiFileError, MissingFile, NotSupported
from kaldi_bridge.source import Precision, Source

ROWS_BEYOND = 3  # Kaldi lets a range of rows end this many rows late: segments are rounded

_RANGED = re.compile(r"(.+)\[([^\[\]]*)\]\Z", re.DOTALL)
_OFFSET = re.compile(r"(.+):([0-9]{1,18})\Z", re.DOTALL)
_SPAN = re.compile(r"([0-9]{1,9}):([0-9]{1,9})\Z")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def refuse_command(text: str) -> None:
    """Raises for what Kaldi would run, read from standard input or what is no file at all.

    Raises:
        NotSupported: a pipe, `-`, a URL, or nothing.
    """
    if not text or text == "-" or "|" in text or "\0" in text or _URL.match(text):
        shown = text.encode("unicode_escape", "backslashreplace").decode("ascii")[:60]
        raise NotSupported(
            f'"{shown}" is not a file: commands, pipes, standard input and URLs are not opened. '
            "Run the command yourself and give the file that it writes."
        )


@dataclass(frozen=True)
class Location:
    """An array in a file.

    Attributes:
        path: file, as written.
        offset: byte at which the array starts; None for a file that holds nothing else.
        rows: first and last row, or None for all.
        columns: first and last column, or None for all.
    """

    path: str
    offset: int | None = None
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> Location:
        """Reads what stands behind the key of an scp line.

        Raises:
            NotSupported: a command, a pipe, standard input or a URL.
            ValueError: a range that is none; the message says how one is written.
        """
        refuse_command(text)
        spans: list[tuple[int, int] | None] = [None, None]
        ranged = _RANGED.match(text)
        if ranged is not None:
            text = ranged.group(1)
            parts = ranged.group(2).split(",")
            if len(parts) > len(spans):
                raise ValueError(f'the range "[{ranged.group(2)}]" has more than two parts.')
            spans[: len(parts)] = [_span(part) for part in parts]
        found = _OFFSET.match(text)
        if found is None:
            return cls(text, None, *spans)
        return cls(found.group(1), int(found.group(2)), *spans)

    def read(self, path: Path, name: str, text_precision: Precision = "float") -> Array:
        """Reads the array.

        Args:
            path: the file, once found.
            name: what messages call it.
            text_precision: see `read_entry`.
        """
        source = Source.open(path)
        source.name = name
        if self.offset is not None:
            source.seek(self.offset)
        elif not source.binary and source.peek()[:1] != "[":
            raise source.fail(
                "expected a single matrix or vector; an archive of several is for read_archive."
            )
        array = read_entry(source, text_precision)
        if self.offset is None and not source.at_end:
            raise source.fail("something follows the matrix or vector; it should stand alone.")
        try:
            return self._cut(array)
        except ValueError as problem:
            raise source.fail(str(problem)) from None

    def _cut(self, array: Array) -> Array:
        kept = [slice(None)] * array.ndim
        for axis, span in enumerate([self.rows, self.columns]):
            if span is None:
                continue
            if axis >= array.ndim:
                raise ValueError("a range of columns, but the array is a vector.")
            (first, last), size = span, array.shape[axis]
            late = ROWS_BEYOND if array.ndim == 2 and axis == 0 else 0
            if first >= size or last >= size + late:
                raise ValueError(f"the range {first}:{last} leaves an array of {size}.")
            kept[axis] = slice(first, last + 1)
        cut: Array = array[tuple(kept)]
        return cut


def find(path: str, folders: list[Path]) -> Path:
    """Looks for a path as Kaldi does (from the working directory), then from other folders.

    Args:
        path: as written.
        folders: where else a relative path may start.

    Raises:
        MissingFile: nowhere; says where it was looked for.
    """
    places = [Path(path)]
    if not places[0].is_absolute():
        places += [folder / path for folder in folders]
    for place in places:
        if _exists(place):
            return place
    looked = ", ".join(str(folder) for folder in ["the working directory", *folders][: len(places)])
    where = f"looked from {looked}" if len(places) > 1 else "an absolute path"
    raise MissingFile(f"{path}: no such file ({where}).")


def read_matrix(path: Path | str, *, text_precision: Precision = "float") -> Array:
    """Reads a single matrix or vector, binary, compressed or text, packed with gzip or not.

    Args:
        path: a file, or a place in an archive as an scp file writes it: `feats.ark:123`.
        text_precision: precision of text, which does not state its own.

    Returns:
        float32 or float64 [rows, columns] or [n]; int32 [n] for integers in a binary file.

    Raises:
        MissingFile: no such file.
        NotSupported: a command, a pipe, standard input or a URL.
        KaldiFileError: not such an object, or damaged; names the byte or line.
    """
    if isinstance(path, Path) or _exists(Path(path)):
        refuse_command(str(path))
        return Location(str(path)).read(Path(path), str(path), text_precision)
    try:
        location = Location.parse(path)
    except ValueError as problem:
        raise KaldiFileError(path, "byte 0", str(problem)) from None
    return location.read(find(location.path, []), location.path, text_precision)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, or one that no file can have
        return False


def _span(part: str) -> tuple[int, int] | None:
    """Reads `3:9`, both ends included; nothing and `:` stand for everything."""
    if part in ("", ":"):
        return None
    found = _SPAN.match(part)
    if found is None or int(found.group(1)) > int(found.group(2)):
        raise ValueError(f'the range "{part[:40]}" should look like 0:99, both ends included.')
    return int(found.group(1)), int(found.group(2))
