"""Writes archives and the scripts that point into them; both appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.archives.entries import kaldiio_arrays
from kaldi_bridge.archives.locations import refuse_command
from kaldi_bridge.errors import ShapeError

AUTOMATIC = 1  # Kaldi's default: one byte a value and percentiles above 8 rows, else two bytes
_KEY = re.compile(r"(?!\[\Z)[^\s\0]+\Z")
_DIGITS = {np.dtype(np.float32): "%.9g", np.dtype(np.float64): "%.17g"}


def write_archive(
    path: Path | str,
    items: Mapping[str, NDArray[Any]] | Iterable[tuple[str, NDArray[Any]]],
    *,
    binary: bool = True,
    scp: Path | str | None = None,
    compress: bool = False,
) -> None:
    """Writes an archive, entry by entry: a generator's arrays are never all in memory.

    Args:
        path: the archive, which takes its name only when all is written.
        items: pairs of key and array: float32 or float64 [rows, columns] or [n], int32 [n].
        binary: or text, with as many digits as give the same number back.
        scp: also write a script `key path:offset` with `path` as given here.
        compress: store matrices in one or two bytes a value, as `copy-feats --compress=true`
            does: values move by up to a 255th of their range. Vectors stay as they are.

    Raises:
        ShapeError: a key with blanks or given twice, an array of another type or shape, NaN or
            infinite values in a matrix to be compressed, or compressed text.
        NotSupported: a path that Kaldi would take for a command.
        MissingLibrary: kaldiio is not installed.
        OSError: the folder or disk cannot be written to; what was there stays.
    """
    for target in (path, scp):
        if target is not None:
            refuse_command(str(target))
    if compress and not binary:
        raise ShapeError("compressed archives are binary: leave out compress or binary=False.")
    if scp is not None and Path(scp) == Path(path):
        raise ShapeError(f"{path}: the archive and its script need two names.")
    if Path(path).suffix == ".gz":
        raise ShapeError(f"{path}: packed archives are only read; write it plain and run gzip.")
    pairs = items.items() if isinstance(items, Mapping) else items
    offsets: dict[str, int] = {}
    with ExitStack() as stack:
        # Left in reverse order: the archive is there before the script that names it.
        script = stack.enter_context(_appearing(Path(scp))) if scp is not None else None
        archive = stack.enter_context(_appearing(Path(path)))
        for key, array in pairs:
            if not _KEY.match(key):
                raise ShapeError(f'the key "{key}" must be one word without blanks.')
            if key in offsets:
                raise ShapeError(f'the key "{key}" appears twice.')
            array = _checked(key, array, compress)
            archive.write(f"{key} ".encode())
            offsets[key] = archive.tell()
            if binary:
                packed = AUTOMATIC if compress and array.ndim == 2 and array.size else None
                kaldiio_arrays().write_array(archive, array, compression_method=packed)
            else:
                archive.writelines(_text(array))
        if script is not None:
            script.writelines(f"{key} {path}:{at}\n".encode() for key, at in offsets.items())


def _checked(key: str, array: NDArray[Any], compress: bool) -> NDArray[Any]:
    array = np.asarray(array)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.int32 and array.ndim == 1:
        return array
    if array.dtype not in _DIGITS or array.ndim not in (1, 2):
        raise ShapeError(
            f'"{key}" is {array.dtype} {list(array.shape)}; archives hold float32 and float64 '
            "matrices and vectors and int32 vectors: convert it with astype."
        )
    if array.ndim == 2 and not array.size:
        return np.zeros((0, 0), array.dtype)  # Kaldi knows one empty matrix only
    if compress and array.ndim == 2 and not np.isfinite(array).all():
        raise ShapeError(f'"{key}" holds NaN or infinite values, which cannot be compressed.')
    return np.ascontiguousarray(array)


def _text(array: NDArray[Any]) -> Iterator[bytes]:
    if array.dtype == np.int32:
        yield " ".join(map(str, array.tolist())).encode() + b"\n"
        return
    digits = _DIGITS[array.dtype]
    yield b" ["
    for row in array if array.ndim == 2 else array[None]:
        yield b"\n  " if array.ndim == 2 else b" "
        yield " ".join(digits % value for value in row.tolist()).encode()
    yield b" ]\n"


@contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file that takes the name `path` if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
