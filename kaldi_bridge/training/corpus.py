"""The training set: readings of made text, varied, as shards of features and labels on disk.

Everything follows from the options and the number of a shard (and from the codecs that libsndfile
offers), so shards can be made in any order, by any number of processes, and again after a stop.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.features import FeatureOptions, compute_features
from kaldi_bridge.training.claims import claim
from kaldi_bridge.training.shards import HEARD, UNHEARD, CorpusError, part_of, shard_path
from kaldi_bridge.training.speech import TimedPhone, frame_labels
from kaldi_bridge.training.synthesis.speaking import speak
from kaldi_bridge.training.synthesis.voices import ODD_VOICES, VOICES, Voice
from kaldi_bridge.training.text.sentences import sentences
from kaldi_bridge.training.varying.noises import noise_clip
from kaldi_bridge.training.varying.varying import (
    VaryingOptions,
    apply,
    draw_variation,
    synthesiser_settings,
)

Clip = tuple[NDArray[np.float32], tuple[TimedPhone, ...]]
ACCENT_WEIGHTS = (
    ("en-us", 0.4),
    ("en-us-nyc", 0.1),
    ("en-gb", 0.15),
    ("en-gb-x-rp", 0.15),
    ("en-gb-scotland", 0.1),
    ("en-029", 0.05),
    ("en-gb-x-gbclan", 0.05),
)
"""The West Midlands are left out: their "five" has the vowel of "boy"."""
MILDER = VaryingOptions(
    speed=(0.75, 1.4),
    room_chance=0.35,
    rt60=(0.05, 0.6),
    noise_chance=0.6,
    snr_db=(5.0, 50.0),
    codec_chance=0.2,
)
"""Less of what hides phones than `VaryingOptions` has by itself."""


@dataclass(frozen=True)
class CorpusOptions:
    """What the training set is.

    Attributes:
        hours: of sound, all copies together.
        seed: of everything.
        shard_minutes: of sound in a shard.
        copies: variations of a reading; each has a speed, voice tract, room and channel of its own.
        flite: share of the readings that flite does; espeak-ng does the others.
        accents: of espeak-ng, with a weight each; its variants are as likely as each other.
        odd: share of espeak-ng's readings in whispered, creaking and other odd voices.
        noise: share of clips without speech.
        numbers: share of the sentences that are spoken numbers.
        validation_minutes: of sound for validation in voices that training hears, and as much again
            in voices that it never does.
        unheard: those voices.
        high_freq: upper edge of the highest mel band, in hertz.
        varying: how readings are varied.
    """

    hours: float = 18.0
    seed: int = 0
    shard_minutes: float = 10.0
    copies: int = 2
    flite: float = 0.55
    odd: float = 0.03
    noise: float = 0.04
    numbers: float = 0.22
    validation_minutes: float = 20.0
    accents: tuple[tuple[str, float], ...] = ACCENT_WEIGHTS
    unheard: tuple[str, ...] = ("espeak/en-us+f4", "espeak/en-gb+m4")
    high_freq: float = 7600.0
    varying: VaryingOptions = field(default_factory=lambda: MILDER)

    def feature_options(self) -> FeatureOptions:
        """Returns the settings of conf/mfcc_hires.conf with this upper edge."""
        return FeatureOptions(
            kind="mfcc",
            num_mel_bins=40,
            num_ceps=40,
            low_freq=20,
            high_freq=self.high_freq,
            use_energy=False,
            dither=0.0,
        )

    def shards(self) -> list[int]:
        """Returns the numbers of all shards, those for validation last."""
        training = int(np.ceil(self.hours * 60 / self.shard_minutes))
        validation = int(np.ceil(self.validation_minutes / self.shard_minutes))
        parts = [(0, training), (HEARD, validation), (UNHEARD, validation)]
        return [first + i for first, count in parts for i in range(count)]


def make_corpus(
    options: CorpusOptions,
    folder: Path,
    jobs: int = 1,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Makes the shards that are not there yet.

    Args:
        options: of the corpus.
        folder: where `shard-NUMBER.npz` go.
        jobs: processes.
        report: told how many of how many shards are there.

    Raises:
        ClaimedFolder: the folder holds a corpus of other options.
        MissingProgram: flite or espeak-ng is not installed.
    """
    # the hours only decide how many shards there are
    claim(folder, {**asdict(options), "hours": None}, "corpus")
    wanted = options.shards()
    missing = [number for number in wanted if not shard_path(folder, number).is_file()]
    done = len(wanted) - len(missing)
    report(done, len(wanted))
    if not missing:
        return
    # a fresh process for each shard: what espeak-ng says depends on what it said before
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, _end_with_parent, maxtasksperchild=1) as pool:
        make = partial(make_shard, options, folder=folder)
        for _ in pool.imap_unordered(make, missing):
            done += 1
            report(done, len(wanted))


def _end_with_parent() -> None:
    """Lets a worker end where its parent was killed; it would wait for work for ever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make_shard(options: CorpusOptions, number: int, folder: Path) -> None:
    """Makes one shard and writes it at once, or not at all."""
    features: list[NDArray[np.float16]] = []
    labels: list[NDArray[np.uint8]] = []
    frames = 0
    feature_options = options.feature_options()
    for samples, phones in shard_clips(options, number):
        rows = compute_features(samples, feature_options)
        if not len(rows):
            continue
        features.append(rows.astype(np.float16))
        labels.append(frame_labels(phones, len(rows)))
        frames += len(rows)
        if frames >= options.shard_minutes * 6000:
            break
    path = shard_path(folder, number)
    part = path.with_suffix(f".{os.getpid()}.part")
    with open(part, "wb") as file:
        np.savez(
            file,
            features=np.concatenate(features),
            labels=np.concatenate(labels),
            lengths=np.array([len(each) for each in labels], np.int32),
        )
    os.replace(part, path)


def shard_clips(options: CorpusOptions, number: int) -> Iterator[Clip]:
    """Yields the clips of a shard, without end: samples at 16 kHz and their phones."""
    rng = np.random.default_rng([options.seed, number])
    text = sentences(int(rng.integers(2**31)), numbers=options.numbers)
    voices = _Voices(options, part_of(number) == "unheard")
    while True:
        if rng.random() < options.noise:
            yield noise_clip(rng, options.varying)
            continue
        sentence, voice = next(text), voices.draw(rng)
        for _ in range(options.copies):
            variation = draw_variation(rng, options.varying)
            reading = speak(sentence, voice, synthesiser_settings(variation))
            yield apply(reading, variation, rng)


class _Voices:
    """Draws voices: those that training may hear, or those that it may not."""

    def __init__(self, options: CorpusOptions, only_unheard: bool) -> None:
        self._options = options
        unheard = set(options.unheard)
        unknown = unheard - {str(voice) for voice in VOICES}
        if unknown:
            raise CorpusError(
                f"unheard: no voice {sorted(unknown)[0]}. Voices: {', '.join(map(str, VOICES))}."
            )
        self._only = [voice for voice in VOICES if str(voice) in unheard] if only_unheard else []
        heard = [voice for voice in VOICES if str(voice) not in unheard]
        self._flite = [voice for voice in heard if voice.engine == "flite"]
        self._espeak = {
            accent: [voice for voice in heard if (voice.engine, voice.name) == ("espeak", accent)]
            for accent, _ in options.accents
        }
        self._accents = [accent for accent, _ in options.accents]
        weights = np.array([weight for _, weight in options.accents])
        self._weights = weights / weights.sum()
        silent = [accent for accent, voices in self._espeak.items() if not voices]
        if silent:
            raise CorpusError(f"accents: no voice speaks {silent[0]}; leave it out.")

    def draw(self, rng: np.random.Generator) -> Voice:
        if self._only:
            return _one(self._only, rng)
        if rng.random() < self._options.flite:
            return _one(self._flite, rng)
        if rng.random() < self._options.odd:
            return _one(ODD_VOICES, rng)
        accent = self._accents[int(rng.choice(len(self._accents), p=self._weights))]
        return _one(self._espeak[accent], rng)


def _one(voices: Sequence[Voice], rng: np.random.Generator) -> Voice:
    return voices[int(rng.integers(len(voices)))]
