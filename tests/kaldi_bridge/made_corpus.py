"""A training set that is easy to learn, and a synthesiser that needs no program."""

from __future__ import annotations

import numpy as np

from kaldi_bridge.training.inventory import CLASSES, PHONES, SILENCE
from kaldi_bridge.training.shards import Corpus
from kaldi_bridge.training.speech import TimedPhone, Utterance

RATE = 16000


def learnable_corpus(clips: int = 40, seed: int = 0) -> Corpus:
    """Makes clips in which a phone shows as a value of its own in one of the 40 features."""
    rng = np.random.default_rng(seed)
    features, labels = [], []
    for _ in range(clips):
        runs = rng.integers(0, len(CLASSES), rng.integers(2, 12))
        classes = np.repeat(runs, rng.integers(5, 30, len(runs)))
        rows = rng.normal(0, 0.3, (len(classes), 40))
        rows[np.arange(len(classes)), classes % 40] += 3 + (classes // 40)
        features.append(rows.astype(np.float16))
        labels.append(classes.astype(np.uint8))
    ends = np.cumsum([len(each) for each in labels])
    return Corpus(np.concatenate(features), np.concatenate(labels), ends)


def spoken_tones(text: str, voice: object, settings: object) -> Utterance:
    """Stands in for a synthesiser: a tone for each letter, 80 ms long, and silence around."""
    names = [PHONES[ord(letter) % len(PHONES)] for letter in text if letter.isalpha()] or ["AA"]
    time = np.arange(int(0.08 * RATE)) / RATE
    sounds = [0.5 * np.sin(2 * np.pi * (200 + 80 * PHONES.index(name)) * time) for name in names]
    pause = np.zeros(int(0.1 * RATE))
    samples = np.concatenate([pause, *sounds, pause]).astype(np.float32)
    ends = 0.1 + 0.08 * np.arange(len(names) + 1)
    phones = [TimedPhone(SILENCE, 0.0, 0.1)]
    for name, start, end in zip(names, ends[:-1], ends[1:], strict=True):
        phones.append(TimedPhone(name, start, end))
    phones.append(TimedPhone(SILENCE, ends[-1], len(samples) / RATE))
    return Utterance(samples, RATE, tuple(phones), str(voice), text)
