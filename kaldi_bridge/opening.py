"""A file's bytes: regular files only, mapped where large, unpacked where gzip packed them."""

from __future__ import annotations

import mmap
import stat
import zlib
from pathlib import Path

from kaldi_bridge.errors import KaldiFileError, MissingFile

GZIP_MAGIC = b"\x1f\x8b"
GZIP_RATIO = 64  # a text model shrinks threefold; far more is a file made to fill the memory
GZIP_FLOOR_BYTES = 1 << 20
MAP_FROM_BYTES = 1 << 20  # larger files are mapped, smaller ones read


def file_bytes(path: Path) -> bytes | mmap.mmap:
    """Returns what a file holds, unpacked if it is a gzip file.

    Raises:
        MissingFile: no such file.
        KaldiFileError: not a regular file, unreadable, or damaged gzip.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise KaldiFileError(path, "byte 0", "not a regular file.")
        with path.open("rb") as file:
            if file.peek(2)[:2] == GZIP_MAGIC:
                return _unpacked(path, file.read())
            if status.st_size >= MAP_FROM_BYTES:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return file.read()
    except FileNotFoundError:
        raise MissingFile(f"{path}: no such file.") from None
    except OSError as problem:
        raise KaldiFileError(path, "byte 0", f"cannot be read: {problem.strerror}.") from None


def _unpacked(path: Path, packed: bytes) -> bytes:
    """Returns what a gzip file holds, all its members.

    Raises:
        KaldiFileError: damaged, cut off, or unpacking to far more than a model would.
    """
    limit = max(GZIP_FLOOR_BYTES, GZIP_RATIO * len(packed))
    parts = bytearray()
    rest = packed
    while rest:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            parts += unpacker.decompress(rest, limit + 1 - len(parts))
        except zlib.error:
            at = len(packed) - len(rest)
            raise KaldiFileError(path, f"byte {at}", "damaged gzip data from here.") from None
        if len(parts) > limit:
            problem = f"unpacks to more than {GZIP_RATIO} times its size; unpack it with gunzip."
            raise KaldiFileError(path, f"byte {len(packed)}", problem)
        if not unpacker.eof:
            raise KaldiFileError(path, f"byte {len(packed)}", "the gzip data is cut off.")
        rest = unpacker.unused_data
    return bytes(parts)
