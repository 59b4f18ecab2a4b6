"""A golden folder: its arrays, its lists, and what COMMANDS.txt and MANIFEST.md say of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.archives import read_archive, read_scp
from kaldi_bridge.errors import KaldiError, MissingFile
from kaldi_bridge.golden.rows import Arrays

ARRAYS = (".ark", ".npz")
KNOWN_NAMES = re.compile(
    r"(COMMANDS\.txt|[A-Z_]+\.md|SHA256SUMS|spk2utt.*|.*\.(wav|scp|conf|xconfig|config)"
    r"|info.*\.txt|tree|topo|splice_opts|global_cmvn\.stats)"
)
"""Files that are no golden numbers themselves: what was computed from, and what describes it."""


@dataclass(frozen=True)
class Command:
    """A line of COMMANDS.txt.

    Attributes:
        program: first Kaldi program on the line that computes.
        text: the whole line.
    """

    program: str
    text: str

    def option(self, name: str) -> str | None:
        """Returns the value of `--name=value`; None if it is not there."""
        match = re.search(rf"--{re.escape(name)}=(\S+)", self.text)
        return match[1] if match else None

    def number(self, name: str, default: int) -> int:
        """Returns the value of `--name=value` as a whole number."""
        match = re.search(rf"--{re.escape(name)}=(\d+)(?:\s|$)", self.text)
        return int(match[1]) if match else default


@dataclass(eq=False)
class Golden:
    """A golden folder.

    Attributes:
        root: the folder.
        understood: files that a check has been made for.
    """

    root: Path
    understood: set[Path] = field(default_factory=set)

    def arrays_in(self, pattern: str) -> list[Path]:
        """Returns what holds golden arrays: archives, and .npz without an archive beside them."""
        found = [path for path in sorted(self.root.glob(pattern)) if path.suffix in ARRAYS]
        archives = {path for path in found if path.suffix == ".ark"}
        return [path for path in found if path in archives or path.with_suffix(".ark") not in found]

    def claim(self, path: Path) -> Path:
        """Notes that a check is made for a file and for its other forms; returns the file."""
        self.understood |= {path, *(path.with_suffix(suffix) for suffix in ARRAYS)}
        return path

    def not_understood(self) -> list[Path]:
        """Returns the files that no check was made for, though they may hold golden numbers."""
        files = (path for path in sorted(self.root.rglob("*")) if path.is_file())
        return [p for p in files if p not in self.understood and not KNOWN_NAMES.fullmatch(p.name)]

    def reference(self, path: Path) -> dict[str, NDArray[Any]]:
        """Reads golden arrays; where the same stand in .ark and .npz, both must agree.

        Raises:
            KaldiError: they do not.
        """
        if path.suffix == ".npz":
            return _npz(path)
        arrays = dict(read_archive(path))
        twin = path.with_suffix(".npz")
        if twin.is_file():
            other = _npz(twin)
            same = arrays.keys() == other.keys() and all(
                np.array_equal(arrays[key], other[key]) for key in arrays
            )
            if not same:
                raise KaldiError(f"{path.name} and {twin.name} hold different numbers.")
        return arrays

    def table(self, specifier: str) -> Arrays:
        """Reads `scp:file` or `ark:file`, or a bare path, from the folder on."""
        kind, _, name = specifier.rpartition(":")
        path = self.root / name
        return (
            read_scp(path) if "scp" in kind or path.suffix == ".scp" else dict(read_archive(path))
        )

    def lists(self, path: Path) -> list[tuple[str, list[str]]]:
        """Reads lines of a name and what belongs to it, such as wav.scp and spk2utt.

        Raises:
            MissingFile: no such file.
        """
        if not path.is_file():
            raise MissingFile(f"{path}: not there.")
        words = [
            line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        ]
        return [(line[0], line[1:]) for line in words if line]

    def nearest(self, name: str, beside: Path) -> Path:
        """Returns a file beside another, or else in the root."""
        own = beside.parent / name
        return own if own.is_file() else self.root / name

    def command_for(self, path: Path) -> Command | None:
        """Returns the line of COMMANDS.txt that wrote an archive."""
        return self._commands.get(str(path.relative_to(self.root).with_suffix(".ark")))

    @cached_property
    def _commands(self) -> dict[str, Command]:
        path = self.root / "COMMANDS.txt"
        found: dict[str, Command] = {}
        for line in (
            path.read_text(encoding="utf-8", errors="replace").splitlines()
            if path.is_file()
            else []
        ):
            programs = re.findall(
                r"(nnet3-compute|ivector-extract-online2|compute-(?:mfcc|fbank)-feats"
                r"|apply-cmvn-online)\s",
                line,
            )
            written = re.search(r"\sark(?:,scp)?:([^\s,]+)(?:,\S+)?\s*$", line)
            if programs and written:
                found[written[1]] = Command(programs[0], line)
        return found

    @cached_property
    def feature_commands(self) -> dict[str, str]:
        """What MANIFEST.md says of each set in feats/: `- name: (backtick)command(backtick)`."""
        path = self.root / "MANIFEST.md"
        found: dict[str, str] = {}
        before = ""
        for line in (
            path.read_text(encoding="utf-8", errors="replace").splitlines()
            if path.is_file()
            else []
        ):
            match = re.match(r"- (\w+): `([^`]*)`", line)
            if match is None:
                continue
            text = match[2]
            if text.startswith("same"):
                text = f"{before} {text}"
            else:
                before = text
            found[match[1]] = text
        return found


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}
