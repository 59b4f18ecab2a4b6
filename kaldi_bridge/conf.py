"""Kaldi's conf files: lines of `--key=value`, as every Kaldi program reads behind `--config`.

`read_conf` gives a dictionary of strings that remembers the file and the line of each key; its
getters turn one string into a value, or say which line is wrong and what would be right.
Source: ParseOptions of util/parse-options.cc, Kaldi 5.5.
"""

from __future__ import annotations

import difflib
import math
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from kaldi_bridge.errors import KaldiFileError, MissingFile

MAX_CONF_BYTES = 1 << 20
INT32_LIMIT = 2**31

_KEY = re.compile(r"[a-z][a-z0-9.-]*\Z")
_INTEGER = re.compile(r"[+-]?[0-9]{1,12}\Z")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?\Z", re.IGNORECASE)
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


class Conf(dict[str, str]):
    """The options of one conf file: key (lower case, with dashes) → value as written.

    Attributes:
        file: the file, or a name for messages.
        lines: line of each key, from 1.
    """

    def __init__(
        self, file: Path | str, values: Mapping[str, str], lines: Mapping[str, int] | None = None
    ) -> None:
        """Args:
        file: the file, or a name for messages.
        values: key → value.
        lines: key → line, where known.
        """
        super().__init__(values)
        self.file = file
        self.lines = dict(lines or {})

    def fail(self, key: str, problem: str) -> KaldiFileError:
        """Returns the error for what is wrong with `key`, to be raised.

        Args:
            key: option, whether the file has it or not.
            problem: what is wrong and what is allowed, ending in a full stop.
        """
        shown = f"--{key}={self[key]}" if key in self else f"--{key}"
        return KaldiFileError(self.file, f"line {self.lines.get(key, 1)}", f"{shown}: {problem}")

    def boolean(self, key: str, default: bool) -> bool:
        """Returns true or false; a bare `--key` is true."""
        if key not in self:
            return default
        value = _BOOLEANS.get(self[key].lower())
        if value is None:
            raise self.fail(key, "must be true or false.")
        return value

    def integer(
        self, key: str, default: int, *, least: int = -INT32_LIMIT, most: int = INT32_LIMIT - 1
    ) -> int:
        """Returns a whole number from `least` to `most`."""
        if key not in self:
            return default
        if not _INTEGER.match(self[key]) or not least <= int(self[key]) <= most:
            raise self.fail(key, f"must be a whole number{_between(least, most)}.")
        return int(self[key])

    def real(
        self, key: str, default: float, *, least: float = -math.inf, most: float = math.inf
    ) -> float:
        """Returns a finite number from `least` to `most`."""
        if key not in self:
            return default
        value = float(self[key]) if _REAL.match(self[key]) else math.nan
        if not math.isfinite(value) or not least <= value <= most:
            raise self.fail(key, f"must be a finite number{_between(least, most)}.")
        return value

    def word(self, key: str, default: str, allowed: Iterable[str]) -> str:
        """Returns one of the `allowed` words."""
        value = self.get(key, default)
        if value not in (allowed := list(allowed)):
            raise self.fail(key, f"must be one of {', '.join(allowed)}.")
        return value

    def path(self, key: str) -> Path | None:
        """Returns a path as written, without looking for it; None if the file lacks the key.

        Raises:
            KaldiFileError: empty, standard input, or a command, which is never run.
        """
        if key not in self:
            return None
        value = self[key]
        if not value or value == "-" or "|" in value:
            raise self.fail(key, "must be the path of a file; commands and pipes are not run.")
        return Path(value)

    def refuse_unknown(
        self, known: Iterable[str], refused: Mapping[str, str] | None = None
    ) -> None:
        """Raises for the first key that a reader does not know.

        Args:
            known: keys that are understood.
            refused: keys that are understood and not supported → why and what to do instead.
        """
        known, refused = set(known), refused or {}
        for key in self:
            if key in refused:
                raise self.fail(key, refused[key])
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                guess = f"Did you mean --{close[0]}? " if close else ""
                options = ", ".join(f"--{name}" for name in sorted(known))
                raise self.fail(key, f"unknown option. {guess}Known: {options}.")


def read_conf(path: Path | str) -> Conf:
    """Reads a conf file.

    Keys are lower-cased and underscores become dashes, a later line wins over an earlier one, `#`
    begins a comment and `--flag` alone means true, all as in Kaldi. Beyond Kaldi, values may be
    quoted and one line may hold several options, as `splice_opts` does.

    Args:
        path: the file.

    Returns:
        A dictionary key → value with typed getters.

    Raises:
        MissingFile: there is no such file.
        KaldiFileError: the file is no conf file, or a line is not `--key=value`.
    """
    path = Path(path)
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        for option in _options(path, number, line):
            key, equals, value = option.removeprefix("--").partition("=")
            key = key.strip().lower().replace("_", "-")
            if not _KEY.match(key):
                raise _bad_line(path, number, line)
            values[key] = value.strip() if equals else "true"
            lines[key] = number
    return Conf(path, values, lines)


def _text(path: Path) -> str:
    if not path.exists():
        raise MissingFile(f"{path}: no such conf file.")
    if not path.is_file():
        raise KaldiFileError(path, "line 1", "a folder or device, not a conf file.")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONF_BYTES + 1)
    except OSError as problem:
        raise KaldiFileError(path, "line 1", f"cannot be read: {problem.strerror}.") from None
    if len(raw) > MAX_CONF_BYTES or b"\0" in raw:
        raise KaldiFileError(path, "line 1", "not a conf file of --key=value lines.")
    return raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _options(path: Path, number: int, line: str) -> list[str]:
    """Cuts one line into its `--key=value` pieces, without comments and quotes."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.escape = ""
    options: list[str] = []
    try:
        for word in lexer:
            if word.startswith("--"):
                options.append(word)
            elif options:  # blanks around "=" or within a value
                options[-1] += f" {word}"
            else:
                raise _bad_line(path, number, line)
    except ValueError:
        raise KaldiFileError(path, f"line {number}", "a quotation mark is not closed.") from None
    return options


def _bad_line(path: Path, number: int, line: str) -> KaldiFileError:
    shown = line.strip().encode("ascii", "backslashreplace").decode()[:60]
    problem = (
        f'expected --key=value, got "{shown}". (Settings of shell scripts lack the dashes: '
        "they belong in another file.)"
    )
    return KaldiFileError(path, f"line {number}", problem)


def _between(least: float, most: float) -> str:
    low, high = least > -INT32_LIMIT, most < INT32_LIMIT - 1
    if low and high:
        return f" from {least:g} to {most:g}"
    return f", {least:g} or more" if low else f", {most:g} or less" if high else ""
