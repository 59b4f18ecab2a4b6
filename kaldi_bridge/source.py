"""Kaldi's arrays, binary and text, read from bytes that nobody vouches for.

`Source` gives one primitive per call (token, integer, vector, ...); the words and single numbers
are in `Cursor`. No size taken from a file is believed before it has been compared with the bytes
that are left. Source: base/io-funcs and matrix/ of Kaldi 5.5.
"""

from __future__ import annotations

import math
import mmap
import re
from array import array
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.cursor import (
    BINARY_MARK,
    BLOCK_BYTES,
    INTEGER,
    Cursor,
    Precision,
    is_real,
    to_float32,
)
from kaldi_bridge.opening import file_bytes

__all__ = ["BINARY_MARK", "Precision", "Reals", "Source", "to_float32"]

Reals = NDArray[np.float32] | NDArray[np.float64]

RELEASE_BYTES = 1 << 20

_WORD = re.compile(rb"\S+")
_NEWLINE = re.compile(rb"\n")
_ONE_SPACE = re.compile(rb"\s")
_CLOSING = re.compile(rb"[\]<]")
_BETWEEN_INTEGERS = re.compile(rb"\s+")
_BETWEEN_PAIRS = re.compile(rb"[\s,]+")
_DONTNEED: int | None = getattr(mmap, "MADV_DONTNEED", None)  # where the system has it


class Source(Cursor):
    """One stream of Kaldi data: words, numbers and arrays, one after the other."""

    def __init__(self, data: bytes | memoryview | mmap.mmap, name: Path | str) -> None:
        """Args:
        data: the whole stream.
        name: what messages call it.
        """
        super().__init__(data, name)
        self._mapped = data if isinstance(data, mmap.mmap) else None

    @classmethod
    def open(cls, path: Path | str, offset: int = 0) -> Source:
        """Opens a regular file; one packed with gzip is unpacked in memory.

        Args:
            path: file.
            offset: byte at which the object starts, as in an scp line `file.ark:123`.

        Raises:
            MissingFile: no such file.
            KaldiFileError: not a regular file, unreadable, damaged gzip, or an offset outside.
        """
        path = Path(path)
        source = cls(file_bytes(path), path)
        if offset:
            source.seek(offset)
        return source

    def integer_table(self, rows: int, columns: int) -> NDArray[np.int32]:
        """Reads rows x columns single integers, int32 [rows, columns]."""
        if not self.binary:
            values = [self.integer() for _ in range(rows * columns)]
            if any(value >= 2**31 for value in values):
                raise self.fail("expected signed integers of 32 bits.")
            return np.array(values, np.int32).reshape(rows, columns)
        record = np.dtype([("size", "u1"), ("value", "<i4")])
        if rows * columns * record.itemsize > self.left:
            raise self.fail(f"{rows * columns} integers, but only {self.left} bytes are left.")
        table = np.frombuffer(self.data, record, rows * columns, self.position)
        wrong = np.flatnonzero(table["size"] != 4)
        if wrong.size:
            self.position += int(wrong[0]) * record.itemsize
            raise self.fail(f"expected an integer of 4 bytes, got {self._glimpse()}.")
        self.position += table.nbytes
        return table["value"].astype(np.int32).reshape(rows, columns)

    def integers(self) -> NDArray[np.int32]:
        """Reads a vector of integers, int32 [n]."""
        if self.binary:
            return self._raw_integers(1)
        return self._text_integers(_BETWEEN_INTEGERS)

    def pairs(self) -> NDArray[np.int32]:
        """Reads a vector of pairs of integers, int32 [n, 2]."""
        if self.binary:
            return self._raw_integers(2).reshape(-1, 2)
        flat = self._text_integers(_BETWEEN_PAIRS)
        if flat.size % 2:
            raise self.fail("a list of pairs has a number without partner.")
        return flat.reshape(-1, 2)

    def vector(self, text_precision: Precision = "float") -> Reals:
        """Reads a vector [n]: float32 or float64, as stored (as asked for, in text)."""
        if self.binary:
            return self._raw_reals("V", 1)
        return self._text_reals(text_precision, "vector")[0]

    def matrix(self, text_precision: Precision = "float") -> Reals:
        """Reads a matrix [rows, columns], as `vector` does."""
        if self.binary:
            return self._raw_reals("M", 2)
        flat, lengths = self._text_reals(text_precision, "matrix")
        if len(lengths) == 0:
            return flat.reshape(0, 0)
        return flat.reshape(len(lengths), -1)

    def packed(self, text_precision: Precision = "float") -> Reals:
        """Reads a packed symmetric matrix and returns it in full [n, n]."""
        if self.binary:
            values = self._raw_reals("P", 1)
        else:
            values = self._text_reals(text_precision, "packed")[0]
        n = int(((8 * values.size + 1) ** 0.5 - 1) / 2 + 0.5)
        if n * (n + 1) // 2 != values.size:
            raise self.fail(f"a packed matrix cannot have {values.size} values.")
        full = np.zeros((n, n), values.dtype)
        rows, columns = np.tril_indices(n)
        full[rows, columns] = values
        full[columns, rows] = values
        return full

    def _raw_integers(self, width: int) -> NDArray[np.int32]:
        size = self._byte("a list of integers")
        if size != 4:
            raise self.fail(f"expected integers of 4 bytes, got size byte {size}.")
        start = self.position
        count = int(self._unpack("<xi", "the length of a list")[0])
        if count < 0 or count * width * 4 > self.left:
            left = self.left
            self.position = start
            raise self.fail(f"a list of {count} entries, but only {left} bytes are left.")
        return self._take("<i4", count * width).astype(np.int32)

    def _raw_reals(self, letter: str, dimensions: int) -> Reals:
        start = self.position
        size = 4 if self.expect(f"F{letter}", f"D{letter}")[0] == "F" else 8
        sizes = [self.integer() for _ in range(dimensions)]
        values = sizes[0] * (sizes[0] + 1) // 2 if letter == "P" else math.prod(sizes)
        shown, left = " x ".join(map(str, sizes)), self.left
        if min(sizes) < 0 or (values == 0 and any(sizes)):
            self.position = start
            raise self.fail(f"an array of impossible size {shown}.")
        if values * size > left:
            self.position = start
            raise self.fail(f"an array of size {shown}, but only {left} bytes are left.")
        taken = self._take("<f4" if size == 4 else "<f8", values)
        aligned: Reals = taken.astype(np.float32 if size == 4 else np.float64)
        self._release(taken.nbytes)
        return aligned if letter == "P" else aligned.reshape(sizes)

    def _take(self, form: str, count: int) -> NDArray[np.generic]:
        taken = np.frombuffer(self.data, np.dtype(form), count, self.position) if count else None
        if taken is None:
            return np.zeros(0, np.dtype(form))
        self.position += taken.nbytes
        return taken

    def _release(self, read_bytes: int) -> None:
        """Gives the memory of a mapped file back, up to the position, after a large read."""
        if self._mapped is not None and read_bytes >= RELEASE_BYTES and _DONTNEED is not None:
            whole_pages = self.position // mmap.PAGESIZE * mmap.PAGESIZE
            self._mapped.madvise(_DONTNEED, 0, whole_pages)

    def _brackets(self) -> tuple[int, int]:
        """Returns begin and end of what stands between the next "[" and its "]"."""
        begin = self._skip_space()
        if bytes(self.data[begin : begin + 1]) != b"[":
            raise self.fail(f'expected "[", got {self._glimpse()}.')
        found = _CLOSING.search(self.data, begin + 1)
        if found is None or found.group() != b"]":
            raise self.fail('a list without its closing "]".')
        return begin + 1, found.start()

    def _text_integers(self, separator: re.Pattern[bytes]) -> NDArray[np.int32]:
        begin, end = self._brackets()
        values = array("i")
        for start, stop in _blocks(self.data, begin, end):
            words = filter(None, separator.split(bytes(self.data[start:stop])))
            for word in words:
                if not INTEGER.match(word) or not -(2**31) <= int(word) < 2**31:
                    self.position = start
                    shown = word[:20].decode("ascii", "backslashreplace")
                    raise self.fail(f'expected integers of 32 bits, got "{shown}".')
                values.append(int(word))
        self.position = min(end + 1, len(self.data))
        return np.frombuffer(values, np.int32) if values else np.zeros(0, np.int32)

    def _text_reals(
        self, precision: Precision, shape: Literal["vector", "matrix", "packed"]
    ) -> tuple[Reals, array[int]]:
        """Returns the numbers between brackets and, for a matrix, the length of each row."""
        begin, end = self._brackets()
        values = array("f" if precision == "float" else "d")
        lengths = array("l")
        while begin < end:
            newline = _NEWLINE.search(self.data, begin, end) if shape == "matrix" else None
            line_end = end if newline is None else newline.start()
            before = len(values)
            self._extend(values, begin, line_end)
            if shape == "matrix" and len(values) > before:
                lengths.append(len(values) - before)
                if lengths[-1] != lengths[0]:
                    self.position = begin
                    raise self.fail(f"a row of {lengths[-1]} numbers among rows of {lengths[0]}.")
            begin = line_end + 1
        self.position = min(end + 1, len(self.data))
        kind = np.float32 if precision == "float" else np.float64
        flat: Reals = np.frombuffer(values, kind) if values else np.zeros(0, kind)
        return flat, lengths

    def _extend(self, values: array[float], begin: int, end: int) -> None:
        for start, stop in _blocks(self.data, begin, end):
            block = bytes(self.data[start:stop])
            try:
                if b"_" in block:
                    raise ValueError
                values.extend(map(float, block.split()))
            except ValueError:
                bad = next(found for found in _WORD.finditer(block) if not is_real(found.group()))
                self.position = start + bad.start()
                raise self.fail(f"expected numbers, got {self._glimpse()}.") from None


def _blocks(data: memoryview, begin: int, end: int) -> list[tuple[int, int]]:
    """Cuts [begin, end) into pieces of BLOCK_BYTES or a little more, at white space."""
    pieces = []
    while begin < end:
        stop = min(begin + BLOCK_BYTES, end)
        if stop < end:
            found = _ONE_SPACE.search(data, stop, end)
            stop = end if found is None else found.end()
        pieces.append((begin, stop))
        begin = stop
    return pieces
