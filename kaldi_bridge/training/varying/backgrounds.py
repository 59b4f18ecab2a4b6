"""What goes on behind speech: made noises that last. float32 [N] at 16 kHz with an rms of 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import KaldiError
from kaldi_bridge.training.varying.filters import SAMPLE_RATE, Signal, convolved, fast_length, rms

Random = np.random.Generator

BABBLE = "babble"
"""The one background that is made of something: of other people's speech."""
LOWEST_HERTZ = 30.0
"""Coloured noise is flat below."""
MAINS_HERTZ = (50.0, 60.0)
MAINS_HARMONICS = 24
TALKERS = (3, 9)
"""Voices in a babble, from and below."""


class MissingVoices(KaldiError):
    """Babble was asked for and there is nobody to speak it."""


def background(kind: str, n: int, rng: Random) -> Signal:
    """Returns noise [n] of one of BACKGROUNDS, with an rms of 1.

    Raises:
        KaldiError: no such kind.
    """
    if kind not in _MAKERS:
        raise KaldiError(f'no background "{kind}": choose one of {", ".join(BACKGROUNDS)}.')
    return _unit_rms(_MAKERS[kind](n, rng)) if n else np.zeros(0, np.float32)


def babble(others: Sequence[Signal], n: int, rng: Random) -> Signal:
    """Returns several voices at once [n], with an rms of 1.

    Args:
        others: utterances at 16 kHz; each voice goes through one of them in circles.
        n: samples.
        rng: who speaks, how loud, from where on, and forwards or backwards.

    Raises:
        MissingVoices: `others` is empty or silent.
    """
    audible = [other for other in others if rms(other) > 0]
    if not audible:
        raise MissingVoices(
            'a background of "babble" needs other utterances: hand some over as `others`, or leave '
            "babble out of VaryingOptions.backgrounds."
        )
    total = np.zeros(n, np.float32)
    for _ in range(int(rng.integers(*TALKERS))):
        voice = audible[int(rng.integers(len(audible)))]
        turned = np.roll(voice, int(rng.integers(len(voice))))
        gain = 10.0 ** rng.uniform(-0.5, 0.0) / rms(voice)
        total += np.float32(gain) * np.resize(turned[:: int(rng.choice([-1, 1]))], n)
    return _unit_rms(total)


def contour(n: int, rng: Random, turns_a_second: float) -> Signal:
    """Returns a random curve [n] in [−1, 1] of straight lines, with so many corners a second."""
    corners = int(n / SAMPLE_RATE * turns_a_second) + 3
    first = rng.uniform()
    positions = first + np.arange(n) * (turns_a_second / SAMPLE_RATE)
    heights = rng.uniform(-1.0, 1.0, corners)
    return np.asarray(np.interp(positions, np.arange(corners), heights), np.float32)


def shaped_noise(
    n: int, rng: Random, gain: Callable[[NDArray[np.floating]], NDArray[np.floating]]
) -> Signal:
    """Returns Gaussian noise [n] whose amplitude at each frequency in hertz follows `gain`."""
    size = fast_length(n)
    hertz = np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE)
    parts = rng.standard_normal((2, len(hertz)), dtype=np.float32)
    spectrum = (parts[0] + np.complex64(1j) * parts[1]) * np.asarray(gain(hertz), np.float32)
    return np.asarray(np.fft.irfft(spectrum, size)[:n], np.float32)


def coloured_noise(n: int, rng: Random, decibels_an_octave: float) -> Signal:
    """Returns noise [n] whose power falls or rises so steeply: −3 is pink, −6 brown."""
    power = decibels_an_octave / (20.0 * np.log10(2.0))
    return shaped_noise(n, rng, lambda f: np.asarray(np.maximum(f / LOWEST_HERTZ, 1.0) ** power))


def band_noise(n: int, rng: Random, low: float, high: float) -> Signal:
    """Returns noise [n] between two frequencies in hertz, with slopes of 24 dB an octave."""

    def gain(hertz: NDArray[np.floating]) -> NDArray[np.floating]:
        below = (np.maximum(hertz, 1.0) / low) ** -4.0
        result: NDArray[np.floating] = 1.0 / ((1.0 + below) * (1.0 + (hertz / high) ** 4.0))
        return result

    return shaped_noise(n, rng, gain)


def harmonics(phase: NDArray[np.floating], weights: NDArray[np.floating]) -> Signal:
    """Returns Σ weights[k] sin((k + 1) phase) by Horner's rule, for phases [N] in radians."""
    turn = np.exp(1j * phase).astype(np.complex64)
    total = np.zeros(len(turn), np.complex64)
    for weight in weights[::-1]:
        total = (total + np.complex64(weight)) * turn
    return np.asarray(total.imag, np.float32)


def _hum(n: int, rng: Random) -> Signal:
    mains = rng.choice(MAINS_HERTZ) * rng.uniform(0.99, 1.01)
    orders = np.arange(1, MAINS_HARMONICS + 1)
    weights = rng.uniform(0.1, 1.0, MAINS_HARMONICS) * orders ** -rng.uniform(0.3, 1.5)
    time = np.arange(n) / SAMPLE_RATE
    tones = harmonics(2.0 * np.pi * mains * time, weights)
    hiss = _unit_rms(coloured_noise(n, rng, -3.0))
    return np.asarray(_unit_rms(tones) + 10.0 ** rng.uniform(-1.5, -0.5) * hiss, np.float32)


def _hiss(n: int, rng: Random) -> Signal:
    low = np.exp(rng.uniform(np.log(500.0), np.log(4000.0)))
    return band_noise(n, rng, low, min(low * rng.uniform(1.5, 6.0), 7800.0))


def _fan(n: int, rng: Random) -> Signal:
    air = _unit_rms(coloured_noise(n, rng, -rng.uniform(3.0, 7.0)))
    blades = rng.uniform(20.0, 250.0) * 2.0 * np.pi / SAMPLE_RATE
    wobble = np.cumsum(1.0 + 0.01 * contour(n, rng, 2.0), dtype=np.float64)
    whirr = harmonics(blades * wobble, np.exp(-0.4 * np.arange(10)) * rng.uniform(0.2, 1.0, 10))
    return np.asarray(air + 10.0 ** rng.uniform(-1.0, 0.0) * _unit_rms(whirr), np.float32)


def _swell(n: int, rng: Random) -> Signal:
    depth = rng.uniform(6.0, 20.0)
    rise = contour(n, rng, rng.uniform(0.2, 1.5))
    gusts = coloured_noise(n, rng, -rng.uniform(2.0, 6.0)) * 10.0 ** (depth / 40.0 * rise)
    return np.asarray(gusts, np.float32)


def _crackle(n: int, rng: Random) -> Signal:
    """Rain, vinyl, distant dishes: many small impulses over a soft floor."""
    impulses = np.zeros(n, np.float32)
    count = 1 + rng.poisson(rng.uniform(5.0, 200.0) * n / SAMPLE_RATE)
    impulses[rng.integers(n, size=count)] = rng.standard_normal(count) ** 3
    ring = rng.standard_normal(160) * np.exp(-np.arange(160) / rng.uniform(4.0, 40.0))
    drops = convolved(impulses, ring.astype(np.float32))
    floor = _unit_rms(coloured_noise(n, rng, -4.0))
    return np.asarray(_unit_rms(drops) + 0.3 * floor, np.float32)


def _unit_rms(signal: Signal) -> Signal:
    level = rms(signal)
    return np.asarray(signal / level, np.float32) if level > 0 else signal


_MAKERS: dict[str, Callable[[int, Random], Signal]] = {
    "white": lambda n, rng: coloured_noise(n, rng, 0.0),
    "pink": lambda n, rng: coloured_noise(n, rng, -rng.uniform(2.0, 4.0)),
    "brown": lambda n, rng: coloured_noise(n, rng, -rng.uniform(5.0, 8.0)),
    "hum": _hum,
    "hiss": _hiss,
    "fan": _fan,
    "swell": _swell,
    "crackle": _crackle,
}

BACKGROUNDS: tuple[str, ...] = tuple(_MAKERS)
