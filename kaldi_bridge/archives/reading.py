"""Archives (`.ark`) from beginning to end, and scripts (`.scp`) that point into them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from kaldi_bridge.archives.entries import Array, read_entry
from kaldi_bridge.archives.locations import Location, find, refuse_command
from kaldi_bridge.errors import KaldiFileError, NotSupported
from kaldi_bridge.opening import file_bytes
from kaldi_bridge.source import Precision, Source

MAX_KEY_BYTES = 4096

_KEY = re.compile(rb"\s*([^\s\0]{1,%d})([ \t\r\n])" % MAX_KEY_BYTES)


def read_archive(
    path: Path | str, *, text_precision: Precision = "float"
) -> Iterator[tuple[str, Array]]:
    """Reads an archive entry by entry: binary, text or mixed, packed with gzip or not.

    Large files are mapped, not loaded. What was read before a damaged entry has been given out.

    Args:
        path: the archive.
        text_precision: precision of text, which does not state its own.

    Returns:
        Pairs of key and array, in the order of the file: float32 or float64 [rows, columns] or
        [n], or int32 [n].

    Raises:
        MissingFile: no such file.
        NotSupported: a command, a pipe, standard input or a URL; at once.
        KaldiFileError: not an archive or damaged; names the entry and the byte or line.
    """
    refuse_command(str(path))
    source = Source.open(path)
    if source.binary:
        raise source.fail("one object without a key; read_matrix reads it.")
    return _entries(source, text_precision)


def read_scp(path: Path | str, *, text_precision: Precision = "float") -> Mapping[str, Array]:
    """Reads a script: lines of a key and a place such as `feats.ark:123` or `feats.ark:123[0:99]`.

    Args:
        path: the script.
        text_precision: precision of text archives.

    Returns:
        A mapping in the order of the file, whose arrays are read each time one is asked for. A
        relative path starts from the working directory as in Kaldi, or else from the folder of
        the script or one above it.

    Raises:
        MissingFile: no such script; when an array is asked for, no such archive.
        KaldiFileError: a line that is none, a key given twice, a command (which is never run), or
            a damaged archive; names line, or entry and byte.
    """
    refuse_command(str(path))
    return _Script(Path(path), text_precision)


class _Script(Mapping[str, Array]):
    def __init__(self, path: Path, text_precision: Precision) -> None:
        self._precision = text_precision
        folder = path.absolute().parent
        self._folders = [folder, *folder.parents]
        self._places: dict[str, Location] = {}
        for number, line in enumerate(bytes(file_bytes(path)).split(b"\n"), start=1):
            if line.strip():
                key, place = _script_line(path, f"line {number}", line)
                if key in self._places:
                    raise KaldiFileError(path, f"line {number}", f'the key "{key}" appears twice.')
                self._places[key] = place

    def __getitem__(self, key: str) -> Array:
        place = self._places[key]
        found = find(place.path, self._folders)
        return place.read(found, _name(found, key), self._precision)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _entries(source: Source, precision: Precision) -> Iterator[tuple[str, Array]]:
    path = source.name
    while not source.at_end:
        source.name = path
        key = _key(source)
        source.name = _name(path, key)
        source.start_object()
        yield key, read_entry(source, precision)


def _key(source: Source) -> str:
    found = _KEY.match(source.data, source.position)
    if found is None or found.group(1) == b"[":
        raise source.fail("expected a key and a blank: this is no archive, or it is damaged here.")
    try:
        key = found.group(1).decode("utf-8")
    except UnicodeDecodeError:
        raise source.fail("the key is not UTF-8: no archive, or damaged here.") from None
    # An entry without numbers may end with its key; the end of the line belongs to the entry.
    source.position = found.end() - (found.group(2) in b"\r\n")
    return key


def _script_line(path: Path, where: str, line: bytes) -> tuple[str, Location]:
    try:
        parts = line.decode("utf-8").strip().split(maxsplit=1)
        if len(parts) != 2:
            raise ValueError("expected a key, a blank and a place such as feats.ark:123.")
        return parts[0], Location.parse(parts[1])
    except UnicodeDecodeError:
        raise KaldiFileError(path, where, "not UTF-8: no script of archives.") from None
    except (ValueError, NotSupported) as problem:
        raise KaldiFileError(path, where, str(problem)) from None


def _name(path: Path | str, key: str) -> str:
    return f'{path}, entry "{key}"'
