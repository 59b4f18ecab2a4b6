"""Damages models in every way that files get damaged, and reads them.

    python -m kaldi_bridge.fuzz MODEL [MODEL ...] --cases 10000 --seed 0

Each case must end in a model or in one `KaldiError` that names the file, within bounded time and
memory; anything else is listed and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import random
import re
import struct
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kaldi_bridge.errors import KaldiError, KaldiFileError, NotSupported, ShapeError
from kaldi_bridge.nnet3.describe import table
from kaldi_bridge.nnet3.reading import Model, model_from
from kaldi_bridge.opening import file_bytes
from kaldi_bridge.source import Source

SPARE_BYTES = 1 << 20  # of memory, however small the file
TIMES_FILE = 6  # memory that reading may take, as a multiple of the file's size
LONGEST_SECONDS = 5.0

NUMBERS = (2**31 - 1, -1, -(2**31), 0, 1, 2**30, 2**24, 65536, 3)
FLOATS = (float("nan"), float("inf"), -float("inf"), 3.4e38, 1e-45)

_TOKEN = re.compile(rb"</?[A-Za-z0-9]+> ")
_SIZED = re.compile(rb"(?:[FD][VMP] |> )\x04(?=....)", re.DOTALL)
_ARRAY = re.compile(rb"[FD][VM] \x04(....)", re.DOTALL)
_NUMBER = re.compile(rb"(?<=[ =,])-?\d[-+0-9.e]*")
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9.\-]+")


def truncated(data: bytes, random: random.Random) -> bytes:
    """Cut off at any byte."""
    return data[: random.randrange(len(data))]


def byte_changed(data: bytes, random: random.Random) -> bytes:
    """One byte another."""
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ random.randrange(1, 256)]) + data[at + 1 :]


def bytes_changed(data: bytes, random: random.Random) -> bytes:
    """Up to 16 bytes others."""
    for _ in range(random.randrange(2, 17)):
        data = byte_changed(data, random)
    return data


def span_deleted(data: bytes, random: random.Random) -> bytes:
    """Up to 64 bytes gone."""
    at = random.randrange(len(data))
    return data[:at] + data[at + random.randrange(1, 65) :]


def span_repeated(data: bytes, random: random.Random) -> bytes:
    """Up to 64 bytes there twice."""
    at = random.randrange(len(data))
    end = at + random.randrange(1, 65)
    return data[:end] + data[at:end] + data[end:]


def size_changed(data: bytes, random: random.Random) -> bytes:
    """A size or integer set to something large, negative or zero; in text, any number."""
    number = random.choice(NUMBERS)
    places = [found.end() for found in _SIZED.finditer(data)]
    if not places:
        return _number_changed(data, random, str(number).encode())
    at = random.choice(places)
    return data[:at] + struct.pack("<i", number) + data[at + 4 :]


def weight_changed(data: bytes, random: random.Random) -> bytes:
    """A weight that is not a number, or infinite, or out of range."""
    value = random.choice(FLOATS)
    arrays = list(_ARRAY.finditer(data))
    if not arrays:
        return _number_changed(data, random, str(value).encode())
    at = random.choice(arrays).end() + 4 * random.randrange(2, 12)
    return data[:at] + struct.pack("<f", value) + data[at + 4 :]


def tokens_swapped(data: bytes, random: random.Random) -> bytes:
    """Two tokens in each other's place."""
    tokens = list(_TOKEN.finditer(data))
    if len(tokens) < 2:
        return byte_changed(data, random)
    first, second = sorted(random.sample(tokens, 2), key=lambda found: found.start())
    middle = data[first.end() : second.start()]
    return data[: first.start()] + second[0] + middle + first[0] + data[second.end() :]


def token_deleted(data: bytes, random: random.Random) -> bytes:
    """A token gone."""
    tokens = list(_TOKEN.finditer(data))
    if not tokens:
        return byte_changed(data, random)
    chosen = random.choice(tokens)
    return data[: chosen.start()] + data[chosen.end() :]


def line_deleted(data: bytes, random: random.Random) -> bytes:
    """A line gone."""
    lines = data.split(b"\n")
    del lines[random.randrange(len(lines))]
    return b"\n".join(lines)


def line_repeated(data: bytes, random: random.Random) -> bytes:
    """A line there twice."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    return b"\n".join([*lines[: at + 1], *lines[at:]])


def lines_swapped(data: bytes, random: random.Random) -> bytes:
    """Two lines in each other's place."""
    lines = data.split(b"\n")
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def word_changed(data: bytes, random: random.Random) -> bytes:
    """A word of the head replaced by another: nodes, descriptors, keys."""
    end = data.find(b"<NumComponents>")
    words = list(_WORD.finditer(data, 0, end if end > 0 else len(data)))
    if not words:
        return byte_changed(data, random)
    chosen, other = random.choice(words), random.choice(words)
    return data[: chosen.start()] + other[0] + data[chosen.end() :]


def head_number_changed(data: bytes, random: random.Random) -> bytes:
    """A number of the head set to another: dimensions, offsets, moduli."""
    end = max(data.find(b"<NumComponents>"), 1)
    number = str(random.choice(NUMBERS)).encode()
    return _number_changed(data[:end], random, number) + data[end:]


def nested(data: bytes, random: random.Random) -> bytes:
    """A descriptor nested a thousand times and more."""
    depth = random.randrange(1, 5000)
    return data.replace(b"input=", b"input=" + b"Sum(" * depth, 1)


def _number_changed(data: bytes, random: random.Random, number: bytes) -> bytes:
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return byte_changed(data, random) if data else data
    chosen = random.choice(numbers)
    return data[: chosen.start()] + number + data[chosen.end() :]


Mutation = Callable[[bytes, random.Random], bytes]
MUTATIONS: tuple[Mutation, ...] = (
    truncated,
    byte_changed,
    bytes_changed,
    span_deleted,
    span_repeated,
    size_changed,
    weight_changed,
    tokens_swapped,
    token_deleted,
    line_deleted,
    line_repeated,
    lines_swapped,
    word_changed,
    head_number_changed,
    nested,
)


@dataclass
class Outcome:
    """What came of one case.

    Attributes:
        kind: class of the error, or "Model".
        wrong: what it did that it must not do; "" for nothing.
        seconds: that it took.
        memory: bytes beyond the file's own; 0 if not measured.
    """

    kind: str
    wrong: str
    seconds: float
    memory: int


@dataclass
class Report:
    """What came of all cases so far: counts, the worst, and what must not have happened."""

    cases: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    worst_seconds: float = 0.0
    slowest: str = ""
    worst_memory: int = 0
    greediest_bytes: int = 0  # size of the file that took it

    def add(self, outcome: Outcome, name: str, size: int) -> None:
        """Counts one case of a file of `size` bytes."""
        self.cases += 1
        self.kinds[outcome.kind] += 1
        if outcome.seconds > self.worst_seconds:
            self.worst_seconds, self.slowest = outcome.seconds, name
        if outcome.memory > self.worst_memory:
            self.worst_memory, self.greediest_bytes = outcome.memory, size
        if outcome.wrong:
            self.wrong.append(f"{name}: {outcome.wrong}")


def try_reading(data: bytes, name: str, measure_memory: bool = True) -> Outcome:
    """Reads and describes what may be a model, and judges how that went.

    Args:
        data: the file.
        name: what it is called; must be in every error.
        measure_memory: whether to count allocations, which takes its time.
    """
    if measure_memory:
        tracemalloc.start()
    start = time.perf_counter()
    kind, wrong = "Model", ""
    model = None
    try:
        model = model_from(Source(data, name))
        _describe(model)
    except (KaldiFileError, NotSupported, ShapeError) as problem:
        kind = type(problem).__name__
        if model is None and not _says_where(problem, name):
            wrong = f"an error without file or place: {problem}"
    except Exception as problem:  # what must not happen is what is looked for
        kind, wrong = type(problem).__name__, f"{type(problem).__name__}: {problem}"
    seconds = time.perf_counter() - start
    memory = 0
    if measure_memory:
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if memory > TIMES_FILE * len(data) + SPARE_BYTES:
        wrong = wrong or f"{memory} bytes of memory for a file of {len(data)}"
    if seconds > LONGEST_SECONDS:
        wrong = wrong or f"{seconds:.1f} seconds"
    return Outcome(kind, wrong, seconds, memory)


def _says_where(problem: KaldiError, name: str) -> bool:
    return name in str(problem) and re.search(r"\b(byte|line) \d+\b", str(problem)) is not None


def _describe(model: Model) -> None:
    table(model.network, model.transitions)
    if model.transitions is not None:
        model.transitions.pdf_to_phone()


def fuzz(files: Sequence[Path], cases: int, seed: int) -> Report:
    """Reads `cases` damaged copies of files, taking turns; the same for the same seed."""
    report = Report()
    whole = [bytes(file_bytes(path)) for path in files]
    for case in range(cases):
        data = whole[case % len(whole)]
        chance = random.Random(f"{seed}/{case}")
        mutation = MUTATIONS[case // len(whole) % len(MUTATIONS)]
        damaged = mutation(data, chance)
        name = f"{files[case % len(whole)].name}/{mutation.__name__}/{case}"
        report.add(try_reading(damaged, name), name, len(damaged))
        if sys.stderr.isatty() and case % 50 == 0:
            print(f"\r{case} of {cases}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m kaldi_bridge.fuzz", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        report = fuzz(options.models, options.cases, options.seed)
    except KaldiError as problem:
        print(problem, file=sys.stderr)
        return 2
    print(f"cases               {report.cases}")
    for kind, count in report.kinds.most_common():
        print(f"  {kind:<17} {count}")
    print(f"worst time          {report.worst_seconds:.3f} s ({report.slowest})")
    size = f"for a file of {report.greediest_bytes / 2**20:.2f} MiB"
    print(f"worst extra memory  {report.worst_memory / 2**20:.2f} MiB {size}")
    print(f"must not happen     {len(report.wrong)}")
    for line in report.wrong[:20]:
        print(f"  {line}")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
