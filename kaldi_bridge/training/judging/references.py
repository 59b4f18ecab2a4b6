"""Real speech with what was said: spoken digits, and sentences with phones.

The folder is laid out as `transcripts.csv` in it says (columns file, split, text, notes):

    fsdd/DIGIT_SPEAKER_NUMBER.flac          one spoken digit each
    arctic/NAME.flac, NAME.phones.csv       phones with times: start_s, end_s, phone, by tabs
    praatio/NAME.flac, NAME_phones.TextGrid phones with times, a tier "phone"
    speechbrain_samples/NAME.flac           phones without times, in the column notes

Recordings of other parts, without phones, are passed over.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from kaldi_bridge.errors import KaldiError, KaldiFileError
from kaldi_bridge.training.inventory import NOISE, SILENCE, UnknownPhone, fold
from kaldi_bridge.training.speech import TimedPhone

TRANSCRIPTS = "transcripts.csv"
SENTENCES = ("arctic", "praatio", "speechbrain_samples")
CLUSTERS = {"PT": ("P", "T")}
"""Labels that stand for two phones, with one time for both."""

_NAME_OF_DIGIT = re.compile(r"(\d)_([^_]+)_(\d+)\.\w+")
_NUMBER = r"\s*=\s*(-?[\d.]+(?:[eE][-+]?\d+)?)"
_INTERVAL = re.compile(rf'xmin{_NUMBER}\s*xmax{_NUMBER}\s*text\s*=\s*"((?:[^"]|"")*)"')
_TIER = re.compile(r'class\s*=\s*"(\w+)"\s*name\s*=\s*"([^"]*)"')


class MissingSpeech(KaldiError):
    """The folder of real speech is not there."""


@dataclass(frozen=True)
class Digit:
    """A spoken digit.

    Attributes:
        path: of the recording.
        part: "train" or "dev".
        digit: 0 to 9.
        speaker: name.
    """

    path: Path
    part: str
    digit: int
    speaker: str


@dataclass(frozen=True)
class Sentence:
    """A sentence with its phones.

    Attributes:
        path: of the recording.
        part: "train" or "dev".
        source: folder that it comes from.
        phones: names of PHONES, without silence, noise and closures.
        timed: names of CLASSES with times; empty where there are none. A time without a label that
            a frame could be compared with, such as a closure's or a cluster's, is left out.
    """

    path: Path
    part: str
    source: str
    phones: tuple[str, ...]
    timed: tuple[TimedPhone, ...] = ()


@dataclass(frozen=True)
class References:
    """All that real speech is judged by.

    Attributes:
        digits: spoken digits.
        sentences: sentences with phones.
    """

    digits: tuple[Digit, ...]
    sentences: tuple[Sentence, ...]


def read_references(folder: Path | str) -> References:
    """Reads what is said in the recordings of a folder; the sound itself is not read.

    Args:
        folder: with `transcripts.csv`.

    Raises:
        MissingSpeech: no such folder, or one without `transcripts.csv`.
        KaldiFileError: a table or label file that cannot be read; says where.
    """
    folder = Path(folder)
    table = folder / TRANSCRIPTS
    if not table.is_file():
        raise MissingSpeech(
            f"{folder}: no {TRANSCRIPTS} here. Give the folder of real speech that holds it, with "
            f"the parts fsdd, {', '.join(SENTENCES)} beside it."
        )
    digits, sentences = [], []
    for place, row in _rows(table):
        path = folder / Path(row["file"]).parent.name / Path(row["file"]).name
        source = path.parent.name
        if source == "fsdd":
            named = _NAME_OF_DIGIT.fullmatch(path.name)
            if not named:
                raise KaldiFileError(table, place, f'"{path.name}" is not DIGIT_SPEAKER_NUMBER.')
            digits.append(Digit(path, row["split"], int(named[1]), named[2]))
        elif source in SENTENCES:
            sentences.append(_sentence(path, source, row, table, place))
    if not digits and not sentences:
        raise KaldiFileError(
            table, "line 1", f"lists nothing of fsdd, {', '.join(SENTENCES)}: nothing to judge by."
        )
    return References(tuple(digits), tuple(sentences))


def read_speech(path: Path) -> tuple[NDArray[np.float32], int]:
    """Reads a recording: samples float32 [N], the mean of its channels, and the sample rate.

    Raises:
        MissingSpeech: no such file.
        KaldiFileError: not audio.
    """
    if not path.is_file():
        raise MissingSpeech(f"{path}: no such recording, but {TRANSCRIPTS} lists it.")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as problem:
        raise KaldiFileError(path, "byte 0", f"cannot be read as audio: {problem}") from None
    return np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32)), int(rate)


def _rows(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    with open(table, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"file", "split", "notes"} - set(reader.fieldnames or ())
        if missing:
            raise KaldiFileError(table, "line 1", f"has no column {', '.join(sorted(missing))}.")
        for row in reader:
            yield f"line {reader.line_num}", {key: value or "" for key, value in row.items()}


def _sentence(path: Path, source: str, row: dict[str, str], table: Path, place: str) -> Sentence:
    if source == "speechbrain_samples":
        labels = row["notes"].rpartition(":")[2].split()
        if not labels:
            raise KaldiFileError(table, place, "the notes hold no phones after a colon.")
        return Sentence(path, row["split"], source, spoken(labels, table, place))
    if source == "arctic":
        labels_path = path.with_suffix(".phones.csv")
        intervals = _read_table(labels_path)
    else:
        labels_path = path.with_name(f"{path.stem}_phones.TextGrid")
        intervals = read_text_grid(labels_path, "phone")
    labels = [label for _, _, label in intervals]
    phones = spoken(labels, labels_path, "line 1")
    return Sentence(path, row["split"], source, phones, _timed(intervals))


def spoken(labels: list[str], path: Path, place: str) -> tuple[str, ...]:
    """Returns the phones of labels: folded, clusters in parts, no silence, noise or closures.

    Raises:
        KaldiFileError: a label of no inventory.
    """
    try:
        parts = [fold(part) for label in labels for part in CLUSTERS.get(label.upper(), (label,))]
    except UnknownPhone as problem:
        raise KaldiFileError(path, place, str(problem)) from None
    return tuple(phone for phone in parts if phone is not None and phone not in (SILENCE, NOISE))


def _timed(intervals: list[tuple[float, float, str]]) -> tuple[TimedPhone, ...]:
    timed = []
    for start, end, label in intervals:
        phone = None if label.upper() in CLUSTERS else fold(label)
        if phone is not None:
            timed.append(TimedPhone(phone, start, end))
    return tuple(timed)


def _read_table(path: Path) -> list[tuple[float, float, str]]:
    """Reads rows of start, end, phone, by tabs, below a header."""
    intervals = []
    for number, line in enumerate(_text(path).splitlines()[1:], start=2):
        fields = line.split("\t")
        try:
            start, end, label = float(fields[0]), float(fields[1]), fields[2].strip()
        except (ValueError, IndexError):
            wrong = f'expected start, end and phone by tabs, got "{line[:60]}".'
            raise KaldiFileError(path, f"line {number}", wrong) from None
        intervals.append((start, end, label))
    return intervals


def read_text_grid(path: Path, tier: str) -> list[tuple[float, float, str]]:
    """Reads an interval tier of a TextGrid, Praat's long text form.

    Args:
        path: UTF-8 file.
        tier: name of the tier.

    Returns:
        Start, end (seconds) and text of its intervals.

    Raises:
        MissingSpeech: no such file.
        KaldiFileError: no such tier, or one without intervals.
    """
    text = _text(path)
    heads = list(_TIER.finditer(text))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        if head[1] != "IntervalTier" or head[2] != tier:
            continue
        body = text[head.end() : following.start() if following else len(text)]
        found = [(float(a), float(b), t.replace('""', '"')) for a, b, t in _INTERVAL.findall(body)]
        if found:
            return found
    names = ", ".join(head[2] for head in heads) or "none"
    raise KaldiFileError(
        path, "line 1", f'no intervals in a tier "{tier}" (tiers: {names}): save it in long form.'
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingSpeech(f"{path}: no such label file, but {TRANSCRIPTS} needs it.") from None
    except UnicodeDecodeError:
        raise KaldiFileError(path, "line 1", "is not UTF-8 text.") from None
