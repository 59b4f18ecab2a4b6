"""Writes small data sets of the form in which the published ones come."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedsdk.host import Host

RATE = 8000


def read(name: str, folder: Path, part: str):
    """Reads through the hook, as a recipe does."""
    return Host(discover=False).load_dataset(name)(folder, part)


def write_audio(path: Path, seconds: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, round(seconds * RATE))
    soundfile.write(path, noise, RATE)
    return path


def write_lines(path: Path, *lines: str, end: str = "\n", encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode(encoding))
    return path


def add_lines(path: Path, *lines: str) -> None:
    path.write_text(path.read_text() + "".join(f"{line}\n" for line in lines))


def kinds(manifest) -> dict[str, int]:
    """How many problems there are of each kind."""
    return dict(Counter(problem.kind for problem in manifest.problems))


def is_held_out(group: str) -> bool:
    """The rule of the documentation, without its code: first 16 hex digits below a tenth."""
    return int(hashlib.sha256(group.encode()).hexdigest()[:16], 16) / 16**16 < 0.1


def videos(count: int, held_out: bool, prefix: str = "video") -> list[str]:
    """Ids of 11 characters, all on one side of the division of a training part."""
    found = (f"{prefix}{i:0{11 - len(prefix)}d}" for i in range(10_000))
    return [video for video in found if is_held_out(video) == held_out][:count]


def problem_of(manifest, kind: str) -> str:
    """The text of the only problem of a kind."""
    texts = [problem.text for problem in manifest.problems if problem.kind == kind]
    if len(texts) != 1:
        pytest.fail(f"{kind}: {texts}")
    return texts[0]
