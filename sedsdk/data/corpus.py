"""The built-in corpus: events, distractors and backgrounds made from a seed, on disk or in memory.

On disk it looks like a folder of recordings (`sedsdk.data.read_sources`):

    events/{babycry,glassbreak,gunshot}/*.flac     isolated targets
    events_other/<class>/*.flac                    sounds that are no target
    backgrounds/*.flac                             ambience
    origin.csv                                     file, split, label, group, sr, duration_s
    corpus.json                                    what it was made with

Sounds come in groups (one baby, one pane, one gun, one place) and every group is in one split.
"""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sedsdk.audio import audio_info, write_audio
from sedsdk.data.corpus_backgrounds import BACKGROUNDS
from sedsdk.data.corpus_distractors import DISTRACTORS, SoundMaker
from sedsdk.data.corpus_events import babycry, glassbreak, gunshot
from sedsdk.data.corpus_signals import require_scipy
from sedsdk.data.source_set import ORIGIN_FILE, SourceSet
from sedsdk.data.sources import read_sources
from sedsdk.data.workers import remove_leftovers, work_through
from sedsdk.errors import AudioError, DataError, did_you_mean
from sedsdk.files import write_atomically

Kind = Literal["events", "events_other", "backgrounds"]

CORPUS_VERSION = 1
MARKER_FILE = "corpus.json"
SPLITS = ("train", "validation", "test")
EVENTS: Mapping[str, SoundMaker] = {
    "babycry": babycry,
    "glassbreak": glassbreak,
    "gunshot": gunshot,
}


@dataclass(frozen=True)
class CorpusSize:
    """How much is made. Counts of groups are per class and in the order of `SPLITS`.

    Attributes:
        event_groups: babies, panes or guns.
        events_per_group: sounds of each.
        distractor_groups: per distractor class.
        distractors_per_group: sounds of each.
        places: per kind of background.
        backgrounds_per_place: recordings at each.
        background_seconds: length of a background.
    """

    event_groups: tuple[int, int, int]
    events_per_group: int
    distractor_groups: tuple[int, int, int]
    distractors_per_group: int
    places: tuple[int, int, int]
    backgrounds_per_place: int
    background_seconds: float


SIZES: Mapping[str, CorpusSize] = {
    "tiny": CorpusSize((2, 1, 1), 1, (1, 1, 1), 1, (1, 1, 1), 1, 4.0),
    "demo": CorpusSize((14, 5, 6), 3, (3, 1, 2), 2, (2, 1, 1), 1, 30.0),
    "small": CorpusSize((40, 12, 16), 3, (8, 3, 4), 3, (6, 2, 3), 1, 30.0),
    "full": CorpusSize((120, 30, 40), 4, (24, 8, 10), 4, (20, 6, 8), 2, 30.0),
}


@dataclass(frozen=True)
class CorpusSound:
    """One sound of the corpus, before it is made.

    Attributes:
        kind: folder of the corpus.
        label: class, or kind of background.
        split: one of `SPLITS`.
        group: number of the group within label and split.
        take: number of the sound within its group.
        seconds: length of a background; 0 where the sound has its own.
    """

    kind: Kind
    label: str
    split: str
    group: int
    take: int
    seconds: float = 0.0

    @property
    def group_name(self) -> str:
        """Name of the group, unique in the corpus."""
        return f"{self.label}-{self.split}-{self.group:03d}"

    @property
    def file(self) -> str:
        """Path from the corpus' folder."""
        name = f"{self.group_name}-{self.take:02d}.flac"
        return (
            f"{self.kind}/{name}"
            if self.kind == "backgrounds"
            else f"{self.kind}/{self.label}/{name}"
        )

    def make(self, seed: int, sample_rate: int) -> NDArray[np.float32]:
        """Returns the sound: float32 [N]; equal arguments give equal samples.

        Raises:
            MissingDependency: scipy is not installed.
        """
        require_scipy()
        key = [seed, zlib.crc32(f"{self.kind}/{self.group_name}".encode())]
        group = np.random.default_rng([*key, 0])
        rng = np.random.default_rng([*key, self.take + 1])
        if self.kind == "backgrounds":
            return BACKGROUNDS[self.label](rng, sample_rate, group, self.seconds)
        makers = EVENTS if self.kind == "events" else DISTRACTORS
        return makers[self.label](rng, sample_rate, group)


def corpus_sounds(size: str = "demo") -> tuple[CorpusSound, ...]:
    """Returns every sound of a corpus of that size, in a fixed order.

    Raises:
        DataError: no such size.
    """
    if size not in SIZES:
        raise DataError(
            f'no corpus size "{size}".{did_you_mean(size, SIZES)} Use {", ".join(SIZES)}.'
        )
    wanted = SIZES[size]
    return (
        *_sounds(
            "backgrounds",
            BACKGROUNDS,
            wanted.places,
            wanted.backgrounds_per_place,
            wanted.background_seconds,
        ),
        *_sounds("events", EVENTS, wanted.event_groups, wanted.events_per_group),
        *_sounds(
            "events_other", DISTRACTORS, wanted.distractor_groups, wanted.distractors_per_group
        ),
    )


def _sounds(
    kind: Kind,
    labels: Mapping[str, object],
    groups: tuple[int, int, int],
    takes: int,
    seconds: float = 0.0,
) -> Iterator[CorpusSound]:
    for label in labels:
        for split, n_groups in zip(SPLITS, groups, strict=True):
            for group in range(n_groups):
                for take in range(takes):
                    yield CorpusSound(kind, label, split, group, take, seconds)


def make_corpus(
    folder: str | Path,
    seed: int = 0,
    size: str = "demo",
    sample_rate: int = 44100,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SourceSet:
    """Makes the corpus in a folder, or finishes or reads one made there with the same arguments.

    Files appear whole; after an interruption the same call makes what is missing. The same seed
    gives the same bytes with any number of workers.

    Args:
        folder: made if missing.
        seed: at least 0; every parameter of every sound comes from it.
        size: "tiny" (for tests), "demo", "small" or "full".
        sample_rate: hertz, at least 8000.
        workers: processes.
        progress: called with (sounds done, sounds in all).

    Returns:
        Its sources, with the splits "train", "validation" and "test", disjoint by groups.

    Raises:
        DataError: no such size; the folder holds something else, or a corpus made otherwise; a
            value out of range.
        MissingDependency: scipy is not installed.
    """
    require_scipy()
    if sample_rate < 8000 or seed < 0:
        raise DataError(
            f"a corpus needs sample_rate of at least 8000 and a seed of at least 0; "
            f"got {sample_rate} and {seed}."
        )
    root = Path(folder)
    sounds = corpus_sounds(size)
    settings = {
        "version": CORPUS_VERSION,
        "seed": seed,
        "size": size,
        "sample_rate": sample_rate,
        "counts": asdict(SIZES[size]),
    }
    _claim(root, settings)
    missing = [sound for sound in sounds if not _is_whole(root / sound.file, sample_rate)]
    remove_leftovers(root / sound.file for sound in missing)
    done = len(sounds) - len(missing)
    if progress:
        progress(done, len(sounds))
    make = partial(_make_file, root, seed, sample_rate)
    for count, _ in enumerate(work_through(make, missing, workers), start=1):
        if progress:
            progress(done + count, len(sounds))
    if missing or not (root / ORIGIN_FILE).is_file():
        _write_origin(root, sounds, sample_rate)
    return read_sources(root)


def _claim(root: Path, settings: dict[str, object]) -> None:
    """Notes what the folder is for; refuses one that is in use for something else."""
    marker = root / MARKER_FILE
    try:
        if marker.is_file():
            found = json.loads(marker.read_text(encoding="utf-8"))
            if found == json.loads(json.dumps(settings)):
                return
            raise DataError(
                f"{root} holds a corpus made with other settings ({marker}). "
                f"Choose another folder, or remove this one."
            )
        if root.is_dir() and any(root.iterdir()):
            raise DataError(
                f"{root} is not empty and holds no built-in corpus. Choose another folder."
            )
        write_atomically(marker, (json.dumps(settings, indent=1) + "\n").encode())
    except json.JSONDecodeError as error:
        raise DataError(f"{marker} is damaged. Remove it and run again.") from error
    except OSError as error:
        raise DataError(f"{root} cannot be used: {error.strerror or error}.") from error


def _is_whole(path: Path, sample_rate: int) -> bool:
    try:
        return audio_info(path).sample_rate == sample_rate
    except AudioError:
        return False


def _make_file(root: Path, seed: int, sample_rate: int, sound: CorpusSound) -> None:
    write_audio(root / sound.file, sound.make(seed, sample_rate), sample_rate, "PCM_16")


def _write_origin(root: Path, sounds: tuple[CorpusSound, ...], sample_rate: int) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "split", "label", "group", "sr", "duration_s"])
    for sound in sorted(sounds, key=lambda sound: sound.file):
        duration = audio_info(root / sound.file).duration
        table.writerow(
            [sound.file, sound.split, sound.label, sound.group_name, sample_rate, f"{duration:.3f}"]
        )
    write_atomically(root / ORIGIN_FILE, text.getvalue().encode())
