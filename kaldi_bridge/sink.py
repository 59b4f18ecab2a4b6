"""Kaldi's low-level formats, binary and text, written: the twin of `Source`.

Text has Kaldi's seven digits, or as many more as it takes to read the same number back.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import KaldiFileError
from kaldi_bridge.source import BINARY_MARK, Precision, Reals

BLOCK_NUMBERS = 1 << 14  # numbers turned into text at a time


class Sink:
    """Writes one primitive per call, binary or text.

    Attributes:
        binary: which of the two.
    """

    def __init__(self, file: BinaryIO, binary: bool) -> None:
        """Args:
        file: open for writing bytes.
        binary: whether to write the mark of a binary object first, and then binary.
        """
        self.binary = binary
        self._file = file
        if binary:
            file.write(BINARY_MARK)

    def text(self, text: str) -> None:
        """Writes characters as they are, in either mode."""
        self._file.write(text.encode("ascii"))

    def new_line(self) -> None:
        """Ends a line of text; nothing in binary."""
        if not self.binary:
            self._file.write(b"\n")

    def token(self, token: str) -> None:
        """Writes a word and a blank."""
        self.text(f"{token} ")

    def integer(self, value: int) -> None:
        """Writes an integer of 32 bits."""
        if self.binary:
            signed = value < 2**31
            size = b"\x04" if signed else b"\xfc"  # -4: unsigned
            self._file.write(size + struct.pack("<i" if signed else "<I", value))
        else:
            self.text(f"{value} ")

    def real(self, value: float, precision: Precision = "float") -> None:
        """Writes a real number of either size."""
        if self.binary:
            form = "<bf" if precision == "float" else "<bd"
            self._file.write(struct.pack(form, struct.calcsize(form) - 1, value))
        else:
            kind = np.float32 if precision == "float" else np.float64
            self.text(f"{_digits(np.array([value], kind))[0]} ")

    def boolean(self, value: bool) -> None:
        """Writes T or F."""
        self.text(("T" if value else "F") + ("" if self.binary else " "))

    def integers(self, values: Sequence[int] | NDArray[np.int32]) -> None:
        """Writes a vector of integers [n]."""
        array = np.asarray(values, "<i4")
        if self.binary:
            self._file.write(b"\x04" + struct.pack("<i", len(array)) + array.tobytes())
        else:
            self.text("[ " + "".join(f"{value} " for value in array.tolist()) + "]\n")

    def pairs(self, values: NDArray[np.int32]) -> None:
        """Writes a vector of pairs of integers [n, 2]."""
        array = np.asarray(values, "<i4")
        if self.binary:
            self._file.write(b"\x04" + struct.pack("<i", len(array)) + array.tobytes())
        else:
            self.text("[ " + "".join(f"{a},{b} " for a, b in array.tolist()) + "]\n")

    def vector(self, values: Reals) -> None:
        """Writes a vector [n], float32 or float64."""
        if self.binary:
            self._array("V", values, values.shape)
            return
        self.text(" [ ")
        self._row(values)
        self.text("]\n")

    def matrix(self, values: Reals) -> None:
        """Writes a matrix [rows, columns], float32 or float64."""
        if self.binary:
            self._array("M", values, values.shape)
            return
        self.text(" [" if values.size else " [ ")
        for row in values:
            self.text("\n  ")
            self._row(row)
        self.text("]\n")

    def packed(self, values: Reals) -> None:
        """Writes a symmetric matrix [n, n] by its lower triangle."""
        rows, columns = np.tril_indices(len(values))
        if self.binary:
            self._array("P", values[rows, columns], values.shape[:1])
            return
        self.text("[\n")
        for n, row in enumerate(values, start=1):
            self._row(row[:n])
            self.text("]\n" if n == len(values) else "\n")

    def _array(self, letter: str, values: Reals, sizes: tuple[int, ...]) -> None:
        self.token(("F" if values.dtype == np.float32 else "D") + letter)
        for size in sizes:
            self.integer(size)
        self._file.write(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())

    def _row(self, values: Reals) -> None:
        for start in range(0, len(values), BLOCK_NUMBERS):
            self.text(" ".join([*_digits(values[start : start + BLOCK_NUMBERS]), ""]))


def _digits(values: Reals) -> list[str]:
    """Returns each number with 7 digits, or as many more as it takes to read it back."""
    found = [f"{value:.7g}" for value in values.tolist()]
    for digits in (8, 9) if values.dtype == np.float32 else (9, 12, 15, 16, 17):
        wrong = np.flatnonzero(np.array(found, np.float64).astype(values.dtype) != values)
        for index in wrong.tolist():
            found[index] = f"{float(values[index]):.{digits}g}"
    return found


@contextlib.contextmanager
def opened_atomically(path: Path | str) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of `path` only when all of it has been written.

    Args:
        path: file; packed with gzip if its name ends in `.gz`.

    Raises:
        KaldiFileError: the place cannot be written to.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        try:
            with beside.open("xb") as file:
                if path.suffix == ".gz":
                    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                        yield packed  # type: ignore[misc]  # a GzipFile is a BinaryIO but in name
                else:
                    yield file
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as problem:
        raise KaldiFileError(path, "byte 0", f"cannot be written: {problem.strerror}.") from None
