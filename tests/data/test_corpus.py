from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sedsdk.data.corpus import (
    BACKGROUNDS,
    DISTRACTORS,
    EVENTS,
    SIZES,
    SPLITS,
    corpus_sounds,
    make_corpus,
)
from sedsdk.data.sources import read_sources
from sedsdk.errors import DataError

pytest.importorskip("scipy", reason="needs the extra sedsdk[train]")

RATE = 16000
SECONDS = {"babycry": (1.0, 4.0), "glassbreak": (0.35, 1.5), "gunshot": (0.3, 1.3)}


def generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(list(key))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def power(
    samples: NDArray[np.float32], rate: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spectrum = np.square(np.abs(np.fft.rfft(samples.astype(np.float64))))
    return np.fft.rfftfreq(samples.size, 1 / rate), spectrum


@pytest.mark.parametrize("name", [*EVENTS, *DISTRACTORS])
def test_a_sound_is_its_seed(name: str) -> None:
    make = {**EVENTS, **DISTRACTORS}[name]
    first = make(generator(1), RATE, generator(2))
    again = make(generator(1), RATE, generator(2))
    other = make(generator(3), RATE, generator(2))
    assert first.dtype == np.float32
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert make(generator(1), RATE, generator(4)).tobytes() != first.tobytes()
    assert make(generator(5), RATE, None).size > 0
    for sound in (first, other):
        assert np.isfinite(sound).all()
        assert 0.25 <= np.abs(sound).max() <= 0.9 + 1e-6
        assert sound.size >= 0.2 * RATE


@pytest.mark.parametrize("name", list(BACKGROUNDS))
def test_a_background_has_its_length_and_a_plain_level(name: str) -> None:
    make = BACKGROUNDS[name]
    sound = make(generator(1), RATE, generator(2), 4.0)
    assert sound.size == 4 * RATE
    assert sound.tobytes() == make(generator(1), RATE, generator(2), 4.0).tobytes()
    assert sound.tobytes() != make(generator(3), RATE, generator(2), 4.0).tobytes()
    level = 20 * np.log10(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    assert -45 <= level <= -25


@pytest.mark.parametrize("name", list(EVENTS))
def test_events_last_as_long_as_stated(name: str) -> None:
    low, high = SECONDS[name]
    for seed in range(6):
        seconds = EVENTS[name](generator(seed), RATE, None).size / RATE
        assert low - 0.05 <= seconds <= high + 0.05


def test_cries_are_voiced_at_a_babys_pitch_with_pauses_of_breath() -> None:
    for seed in range(4):
        cry = EVENTS["babycry"](generator(seed), RATE, generator(seed, 1)).astype(np.float64)
        loudest = max(
            range(0, cry.size - 1024, 256), key=lambda i: float(np.sum(cry[i : i + 1024] ** 2))
        )
        window = cry[loudest : loudest + 1024] * np.hanning(1024)
        correlation = np.fft.irfft(np.abs(np.fft.rfft(window, 4096)) ** 2)[:1024]
        lags = slice(RATE // 950, RATE // 170)
        assert correlation[lags].max() > 0.3 * correlation[0]


def test_breaking_glass_is_bright_and_a_shot_is_sudden_and_low() -> None:
    for seed in range(4):
        glass = EVENTS["glassbreak"](generator(seed), 44100, generator(seed, 1))
        frequencies, energy = power(glass[int(0.05 * 44100) :], 44100)
        assert energy[frequencies > 1500].sum() > 0.5 * energy.sum()
        shot = EVENTS["gunshot"](generator(seed), 44100, generator(seed, 1))
        assert np.argmax(np.abs(shot)) < 0.08 * 44100
        frequencies, energy = power(shot, 44100)
        assert energy[frequencies < 2000].sum() > 0.5 * energy.sum()


@pytest.mark.parametrize("size", list(SIZES))
def test_splits_share_no_group(size: str) -> None:
    sounds = corpus_sounds(size)
    splits: dict[str, set[str]] = {}
    for sound in sounds:
        splits.setdefault(sound.group_name, set()).add(sound.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len({sound.file for sound in sounds}) == len(sounds)
    for kind, labels in (
        ("events", EVENTS),
        ("backgrounds", BACKGROUNDS),
        ("events_other", DISTRACTORS),
    ):
        for label in labels:
            found = {s.split for s in sounds if (s.kind, s.label) == (kind, label)}
            assert found == set(SPLITS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "one"
    calls: list[tuple[int, int]] = []
    make_corpus(folder, 3, "tiny", 8000, progress=lambda *counts: calls.append(counts))
    assert calls[0][0] == 0
    assert calls[-1] == (len(corpus_sounds("tiny")),) * 2
    return folder


def test_a_corpus_reads_like_recordings(corpus: Path) -> None:
    sources = read_sources(corpus)
    assert sources.labels == ("babycry", "glassbreak", "gunshot")
    assert sources.splits == tuple(sorted(SPLITS))
    assert sources.problems == ()
    groups = [set(sources.split(split).groups()) for split in SPLITS]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert {source.label for source in sources.backgrounds} == set(BACKGROUNDS)
    with (corpus / "origin.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            info = soundfile.info(corpus / row["file"])
            assert info.samplerate == int(row["sr"]) == 8000
            assert info.duration == pytest.approx(float(row["duration_s"]), abs=1e-3)


def test_two_workers_make_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    assert make_corpus(tmp_path / "two", 3, "tiny", 8000, workers=2) != read_sources(corpus)
    assert contents(tmp_path / "two") == contents(corpus)


def test_what_is_missing_is_made_again(corpus: Path) -> None:
    before = contents(corpus)
    first, second = sorted((corpus / "events/gunshot").iterdir())[:2]
    first.unlink()
    second.write_bytes(b"")
    (corpus / "origin.csv").unlink()
    make_corpus(corpus, 3, "tiny", 8000)
    assert contents(corpus) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda folder: make_corpus(folder, 4, "tiny", 8000),
        lambda folder: make_corpus(folder, 3, "tiny", 16000),
        lambda folder: make_corpus(folder.parent, 3, "tiny", 8000),
        lambda folder: make_corpus(folder, 3, "tniy", 8000),
        lambda folder: make_corpus(folder, -1, "tiny", 8000),
    ],
)
def test_a_folder_in_use_and_wrong_values_are_refused(
    corpus: Path, call: Callable[[Path], object]
) -> None:
    before = contents(corpus)
    with pytest.raises(DataError):
        call(corpus)
    assert contents(corpus) == before
