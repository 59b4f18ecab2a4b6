"""Rooms: the direct sound, some early reflections, and a tail that decays."""

from __future__ import annotations

import numpy as np

from kaldi_bridge.training.varying.filters import SAMPLE_RATE, Signal, decibels_to_gain

DECAY = 3.0 * np.log(10.0)
"""An amplitude falls by exp(-DECAY) = 60 dB in one reverberation time."""
EARLY_SHARE = (0.2, 0.6)
"""Share of the early reflections in the energy of all reflections."""
LAST_EARLY_SECONDS = 0.04
TAIL_LENGTH = 1.2
"""Of the tail, in reverberation times: to 72 dB below its beginning."""
DULL_HERTZ = (1500.0, 8000.0)
"""Where walls begin to take the treble: a reflected sound falls by 6 dB an octave above."""


def impulse_response(
    rt60: float, direct_to_reverberant_db: float, rng: np.random.Generator
) -> Signal:
    """Returns what a room makes of an impulse: float32 [N] at 16 kHz, the direct sound 1 at 0.

    The tail is noise under an exponential, as in Polack's model of a diffuse field; the early
    reflections are single, of either sign, and follow the same exponential.

    Args:
        rt60: seconds in which the reverberation falls by 60 dB.
        direct_to_reverberant_db: energy of the direct sound over that of everything behind it.
        rng: of the reflections.
    """
    n = max(int(TAIL_LENGTH * rt60 * SAMPLE_RATE), 64)
    time = np.arange(n) / SAMPLE_RATE
    envelope = np.exp(-DECAY / rt60 * time)
    gap = int(min(rng.uniform(0.001, 0.006), 0.1 * rt60) * SAMPLE_RATE) + 1
    tail = _dull_noise(n, rng) * envelope
    tail[:gap] = 0.0
    early = np.zeros(n)
    last = max(int(min(LAST_EARLY_SECONDS, 0.3 * rt60) * SAMPLE_RATE), gap + 8)
    places = rng.integers(gap, last, size=int(rng.integers(4, 13)))
    signs = rng.choice([-1.0, 1.0], len(places)) * rng.uniform(0.4, 1.0, len(places))
    np.add.at(early, places, signs * envelope[places])
    energy = decibels_to_gain(-2.0 * direct_to_reverberant_db)
    share = rng.uniform(*EARLY_SHARE)
    reflections = np.sqrt(1.0 - share) * _unit_energy(tail) + np.sqrt(share) * _unit_energy(early)
    response = np.sqrt(energy) * _unit_energy(reflections)
    response[0] = 1.0
    return np.asarray(response, np.float32)


def _dull_noise(n: int, rng: np.random.Generator) -> np.ndarray:
    corner = np.exp(rng.uniform(*np.log(DULL_HERTZ)))
    hertz = np.fft.rfftfreq(n, 1.0 / SAMPLE_RATE)
    spectrum = rng.standard_normal(len(hertz)) + 1j * rng.standard_normal(len(hertz))
    noise: np.ndarray = np.fft.irfft(spectrum / np.sqrt(1.0 + (hertz / corner) ** 2), n)
    return noise


def _unit_energy(signal: np.ndarray) -> np.ndarray:
    energy = float(np.sum(np.square(signal)))
    result: np.ndarray = signal / np.sqrt(energy) if energy > 0 else signal
    return result
