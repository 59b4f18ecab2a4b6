"""Utterances with something to measure, for the tests of variations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.training.speech import TimedPhone, Utterance

RATE = 16000
PULSE_HERTZ = 1500.0
PULSE_SECONDS = 0.0004


def reading(
    samples: NDArray[np.floating], names: Sequence[str], edges: Sequence[float], rate: int = RATE
) -> Utterance:
    """An utterance with phones between edges in seconds; the last one is the end."""
    ends = [*edges[1:-1], len(samples) / rate]
    phones = tuple(map(TimedPhone, names, edges[:-1], ends))
    return Utterance(samples.astype(np.float32), rate, phones, "flite/slt", "")


def pulse(rate: int = RATE, seconds: float = 1.2, boundary: float = 0.6) -> Utterance:
    """A short pulse in silence, where AH ends and T begins."""
    time = np.arange(int(seconds * rate)) / rate - boundary
    samples = 0.8 * np.cos(2 * np.pi * PULSE_HERTZ * time)
    samples *= np.exp(-0.5 * np.square(time / PULSE_SECONDS))
    edges = [0.0, boundary - 0.3, boundary, boundary + 0.3, seconds]
    return reading(samples, ["SIL", "AH", "T", "SIL"], edges, rate)


def tone(hertz: float, seconds: float, rate: int = RATE, peak: float = 0.5) -> Utterance:
    """A sine called AH from beginning to end."""
    time = np.arange(int(seconds * rate)) / rate
    return reading(peak * np.sin(2 * np.pi * hertz * time), ["AH"], [0.0, seconds], rate)


def noise(seconds: float, seed: int = 0, rate: int = RATE) -> Utterance:
    """White noise: silence, three phones, silence, three phones, silence."""
    samples = 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))
    edges = (np.arange(10) * seconds / 9).tolist()
    names = ["SIL", "AH", "T", "IY", "SIL", "S", "EH", "N", "SIL"]
    silent = np.isin(np.minimum(np.arange(len(samples)) * 9 // len(samples), 8), [0, 4, 8])
    return reading(np.where(silent, 0.0, samples), names, edges, rate)


def onset(samples: NDArray[np.floating], rate: int = RATE) -> float:
    """When a sound first reaches 0.4 of its peak, in seconds."""
    return float(np.argmax(np.abs(samples) >= 0.4 * np.abs(samples).max()) / rate)


def decibels(ratio_of_powers: float) -> float:
    return 10.0 * float(np.log10(ratio_of_powers))
