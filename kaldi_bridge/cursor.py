"""A position in bytes that nobody vouches for, and the words and numbers that follow it.

Each call reads one primitive and moves on; one that finds something else raises `KaldiFileError`
with the file, the byte (binary) or line (text) and the component being read. Source:
base/io-funcs of Kaldi 5.5.
"""

from __future__ import annotations

import mmap
import re
import struct
from pathlib import Path
from typing import Literal

import numpy as np

from kaldi_bridge.errors import KaldiFileError

Precision = Literal["float", "double"]

BINARY_MARK = b"\0B"
BLOCK_BYTES = 1 << 16  # text is looked at in blocks of this size
TOKEN_BYTES = 200

INTEGER = re.compile(rb"[+-]?\d{1,12}\Z")
_TOKEN = re.compile(rb"\s*([^\s\0]{1,%d})(?=\s|$)" % TOKEN_BYTES)
_SPACE = re.compile(rb"\s*")
_LINE = re.compile(rb"[^\n]*")


class Cursor:
    """One stream of Kaldi data and a position in it.

    Attributes:
        name: file or stream, for messages.
        binary: whether the present object is binary; found from its first two bytes.
        position: bytes from the beginning of `data` (unpacked, for a gzip file).
        component: name of the component being read, for messages; set by the reader.
    """

    def __init__(self, data: bytes | memoryview | mmap.mmap, name: Path | str) -> None:
        """Args:
        data: the whole stream.
        name: what messages call it.
        """
        self.data = memoryview(data).cast("B")
        self.name = name
        self.position = 0
        self.component = ""
        self.binary = False
        self.start_object()

    def seek(self, offset: int) -> None:
        """Goes to the byte where an object starts and finds out whether it is binary.

        Raises:
            KaldiFileError: `offset` is not inside the stream.
        """
        if not 0 <= offset <= len(self.data):
            raise self.fail(f"the object should start at byte {offset}, outside the file.")
        self.position = offset
        self.start_object()

    def start_object(self) -> bool:
        r"""Looks for the mark `\0B` here, steps over it if there, and sets and returns `binary`."""
        self.binary = bytes(self.data[self.position : self.position + 2]) == BINARY_MARK
        if self.binary:
            self.position += 2
        return self.binary

    @property
    def where(self) -> str:
        """The position for people: "byte 12" (from 0), or "line 3" (from 1) in text."""
        if self.binary:
            return f"byte {self.position}"
        begin, lines = 0, 1
        while begin < self.position:
            end = min(begin + BLOCK_BYTES, self.position)
            lines += bytes(self.data[begin:end]).count(b"\n")
            begin = end
        return f"line {lines}"

    @property
    def left(self) -> int:
        """Bytes from the position to the end."""
        return len(self.data) - self.position

    @property
    def at_end(self) -> bool:
        """Whether nothing but white space is left."""
        return self._skip_space() == len(self.data)

    def fail(self, problem: str) -> KaldiFileError:
        """Returns the error for something wrong at this position, to be raised.

        Args:
            problem: what is wrong and what was expected, ending in a full stop.
        """
        return KaldiFileError(self.name, self.where, problem, self.component)

    def peek(self) -> str:
        """Returns the next token without moving; "" at the end or where no token can start."""
        found = _TOKEN.match(self.data, self.position)
        if found is None:
            return ""
        return found.group(1).decode("ascii", "replace")

    def token(self) -> str:
        """Reads a word of ASCII without white space, and the white space character behind it."""
        found = _TOKEN.match(self.data, self.position)
        if found is None:
            raise self.fail(f"expected a word, got {self._glimpse()}.")
        word = found.group(1)
        if not word.isascii():
            raise self.fail(f"expected a word of ASCII, got {self._glimpse()}.")
        self.position = min(found.end() + 1, len(self.data))
        return word.decode("ascii")

    def expect(self, *tokens: str) -> str:
        """Reads a token that must be one of `tokens`, and returns it."""
        found = self.peek()
        if found not in tokens:
            wanted = " or ".join(tokens)
            raise self.fail(f"expected {wanted}, got {self._glimpse()}.")
        return self.token()

    def line(self) -> str:
        r"""Reads to the end of the line, whatever the mode; returns it without `\n` or `\r`."""
        found = _LINE.match(self.data, self.position)
        assert found is not None
        text = found.group()
        if not text.isascii():
            raise self.fail("a line of text holds bytes that are not ASCII.")
        self.position = min(found.end() + 1, len(self.data))
        return text.decode("ascii").rstrip("\r")

    def integer(self) -> int:
        """Reads an integer of 32 bits."""
        if self.binary:
            size = self._byte("an integer")
            if size not in (4, 0xFC):  # 0xFC is -4: unsigned
                raise self.fail(f"expected an integer of 4 bytes, got size byte {size}.")
            return int(self._unpack("<xi" if size == 4 else "<xI", "an integer")[0])
        word = self._text_word("an integer")
        if not INTEGER.match(word) or not -(2**31) <= int(word) < 2**32:
            raise self.fail(f"expected an integer of 32 bits, got {self._glimpse()}.")
        self._step_over_word()
        return int(word)

    def peek_integer(self) -> int:
        """Returns the next integer without moving."""
        start = self.position
        value = self.integer()
        self.position = start
        return value

    def count(self, of_what: str, bytes_each: int) -> int:
        """Reads a count of things that take at least `bytes_each` bytes each from here on."""
        start = self.position
        number = self.integer()
        if number < 0 or number * bytes_each > self.left:
            left = self.left
            self.position = start
            raise self.fail(f"{number} {of_what} announced, but only {left} bytes are left.")
        return number

    def real(self) -> float:
        """Reads a real number, of either size."""
        return self.sized_real()[0]

    def sized_real(self, text_precision: Precision = "float") -> tuple[float, Precision]:
        """Reads a real number and how it is stored.

        Args:
            text_precision: the answer for text, which does not say; "float" is rounded to float32.
        """
        if self.binary:
            size = self._byte("a real number")
            if size not in (4, 8):
                raise self.fail(f"expected a real number of 4 or 8 bytes, got size byte {size}.")
            value = self._unpack("<xf" if size == 4 else "<xd", "a real number")[0]
            return float(value), "float" if size == 4 else "double"
        word = self._text_word("a real number")
        try:
            value = as_float(word)
        except ValueError:
            raise self.fail(f"expected a real number, got {self._glimpse()}.") from None
        self._step_over_word()
        return (to_float32(value) if text_precision == "float" else value), text_precision

    def boolean(self) -> bool:
        """Reads T or F."""
        if self.binary:
            letter = bytes(self.data[self.position : self.position + 1])
        else:
            letter = self._text_word("T or F")
        if letter not in (b"T", b"F"):
            raise self.fail(f"expected T or F, got {self._glimpse()}.")
        if self.binary:
            self.position += 1
        else:
            self._step_over_word()
        return letter == b"T"

    def _glimpse(self) -> str:
        """The next few bytes, quoted, for a message."""
        begin = self._skip_space()
        found = bytes(self.data[begin : begin + 24])
        if not found:
            return "the end of the file"
        word = found.split()[0] if found.split() else found
        shown = word.decode("ascii", "backslashreplace")
        return '"' + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown) + '"'

    def _skip_space(self) -> int:
        found = _SPACE.match(self.data, self.position)
        assert found is not None
        return found.end()

    def _byte(self, what: str) -> int:
        if not self.left:
            raise self.fail(f"expected {what}, got the end of the file.")
        return self.data[self.position]

    def _unpack(self, form: str, what: str) -> tuple[float, ...]:
        size = struct.calcsize(form)
        if size > self.left:
            raise self.fail(f"the file ends inside {what}.")
        values = struct.unpack_from(form, self.data, self.position)
        self.position += size
        return values

    def _text_word(self, what: str) -> bytes:
        found = _TOKEN.match(self.data, self.position)
        if found is None:
            raise self.fail(f"expected {what}, got {self._glimpse()}.")
        return found.group(1)

    def _step_over_word(self) -> None:
        found = _TOKEN.match(self.data, self.position)
        assert found is not None
        self.position = min(found.end() + 1, len(self.data))


def to_float32(value: float) -> float:
    """Returns the float32 nearest to `value`, as a Python float; infinite where it is too large."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def as_float(word: bytes) -> float:
    """Returns the number that a word is.

    Raises:
        ValueError: it is none.
    """
    if b"_" in word:  # Python's digits in groups: not Kaldi's
        raise ValueError
    return float(word)


def is_real(word: bytes) -> bool:
    """Returns whether a word is a real number, as Kaldi spells them."""
    try:
        as_float(word)
    except ValueError:
        return False
    return True
