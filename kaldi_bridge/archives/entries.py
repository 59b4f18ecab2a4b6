"""One array as Kaldi's tables hold it: matrices, vectors, compressed matrices, integers.

`Source` reads the plain kinds. Compressed matrices are decoded by kaldiio, which sees only bytes
whose sizes were checked: it never sees a file, since it would run the commands and unpickle the
objects found there. Source: matrix/compressed-matrix.cc and util/kaldi-holder-inl.h of Kaldi 5.5.
"""

from __future__ import annotations

import importlib
import io
import math
import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import MissingLibrary
from kaldi_bridge.source import BINARY_MARK, Precision, Source

Array = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int32]

INT32_MARK = 4  # the size byte before every integer
_HEADER = struct.Struct("<ffii")  # least value, range, rows, columns
_INTEGERS = np.dtype([("size", "i1"), ("value", "<i4")])
_BRACKET = re.compile(rb"[ \t]*\[([ \t\r]*\n)?")
_EMPTY = re.compile(rb"[ \t]*\[\s*\]")
_WHOLE = re.compile(r"[+-]?[0-9]{1,10}\Z")


def read_entry(source: Source, text_precision: Precision = "float") -> Array:
    """Reads the array at the position of `source`, whose `start_object` has been called.

    Args:
        source: stream.
        text_precision: precision of numbers with a fraction in text, which does not state it.

    Returns:
        Matrix [rows, columns] or vector [n], float32 or float64 as stored; int32 [n] for integers.
        An empty list in text, which may be either, is a matrix [0, 0].

    Raises:
        KaldiFileError: another kind of object, or sizes that the stream does not hold.
        MissingLibrary: a compressed matrix, and kaldiio is not installed.
    """
    if not source.binary:
        return _text_entry(source, text_precision)
    if source.left and source.data[source.position] == INT32_MARK:
        return _int32_vector(source)
    kind = source.peek()
    if kind in ("FM", "DM"):
        return source.matrix()
    if kind in ("FV", "DV"):
        return source.vector()
    if kind in ("CM", "CM2", "CM3"):
        return _compressed(source, kind)
    raise source.fail(
        f'an object of kind "{kind[:20]}"; matrices (FM, DM), vectors (FV, DV), compressed '
        "matrices (CM, CM2, CM3) and lists of integers are read."
    )


def _text_entry(source: Source, precision: Precision) -> Array:
    bracket = _BRACKET.match(source.data, source.position)
    if bracket is None:
        return _bare_numbers(source, precision)
    if bracket.group(1) is not None or _EMPTY.match(source.data, source.position):
        return source.matrix(precision)
    return source.vector(precision)


def _bare_numbers(source: Source, precision: Precision) -> Array:
    """The numbers on the rest of the line: how integers are written as text."""
    start = source.position
    words = source.line().split()
    if bytes(source.data[source.position - 1 : source.position]) != b"\n":
        source.position = start
        raise source.fail("the file ends within a line of numbers.")
    if all(_WHOLE.match(word) for word in words):
        whole = [int(word) for word in words]
        if all(-(2**31) <= value < 2**31 for value in whole):
            return np.array(whole, np.int32)
    try:
        if any("_" in word for word in words):
            raise ValueError
        values = [float(word) for word in words]
    except ValueError:
        source.position = start
        raise source.fail('expected numbers, or "[" and numbers.') from None
    kind = np.float32 if precision == "float" else np.float64
    with np.errstate(over="ignore"):
        return np.array(values, kind)


def _int32_vector(source: Source) -> NDArray[np.int32]:
    """Integers of a table: a count, then each value behind its own size byte."""
    start = source.position
    count = source.count("integers", _INTEGERS.itemsize)
    values = np.frombuffer(source.data, _INTEGERS, count, source.position) if count else None
    if values is None:
        return np.zeros(0, np.int32)
    if (values["size"] != INT32_MARK).any():
        source.position = start
        raise source.fail("a list of integers with one that is not of 4 bytes.")
    source.position += values.nbytes
    return values["value"].astype(np.int32)


def _compressed(source: Source, kind: str) -> NDArray[np.float32]:
    source.token()
    start = source.position
    if source.left < _HEADER.size:
        raise source.fail("the file ends inside the header of a compressed matrix.")
    least, extent, rows, columns = _HEADER.unpack_from(source.data, source.position)
    per_column, per_value = {"CM": (8, 1), "CM2": (0, 2), "CM3": (0, 1)}[kind]
    size = columns * per_column + rows * columns * per_value
    shown = f"a compressed matrix of {rows} x {columns} values"
    if min(rows, columns) < 0 or (rows == 0) != (columns == 0):
        raise source.fail(f"{shown}: no possible size.")
    if size > source.left - _HEADER.size:
        left = source.left - _HEADER.size
        raise source.fail(f"{shown} takes {size} bytes, but only {left} are left.")
    if not math.isfinite(least) or not math.isfinite(extent):
        raise source.fail(f"{shown} from {least} over a range of {extent}.")
    source.position += _HEADER.size + size
    if not size:
        return np.zeros((0, 0), np.float32)
    mark = BINARY_MARK + f"{kind} ".encode()
    packed = io.BytesIO(mark + bytes(source.data[start : source.position]))
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = kaldiio_arrays().read_matrix_or_vector(packed)
    return np.ascontiguousarray(matrix, np.float32)


def kaldiio_arrays() -> Any:
    """Returns the module of kaldiio that packs and unpacks arrays.

    Raises:
        MissingLibrary: kaldiio is not installed.
    """
    try:
        return importlib.import_module("kaldiio.matio")
    except ImportError:
        raise MissingLibrary(
            'compressed matrices and writing need kaldiio: pip install "sedsdk[kaldi]"'
        ) from None
