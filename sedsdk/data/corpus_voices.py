"""Voices of the built-in corpus: harmonics through formants, and talk without words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sedsdk.data.corpus_signals import (
    CONTROL_RATE_HZ,
    HIGHEST_PARTIAL,
    Random,
    Signal,
    band,
    contour,
    resonate,
    unit_rms,
    white_noise,
)


def formant_gain(
    frequencies: NDArray[np.float64], formants: list[tuple[float, float]], tilt_db: float
) -> NDArray[np.float64]:
    """Returns the magnitude of a cascade of resonances with a falling source spectrum.

    Args:
        frequencies: hertz, any shape.
        formants: (centre, bandwidth) of each resonance, hertz; each has a gain of 1 at 0 Hz.
        tilt_db: what the source loses per octave above 200 Hz (negative).
    """
    gain: NDArray[np.float64] = (np.maximum(frequencies, 200.0) / 200.0) ** (
        tilt_db / 20.0 / np.log10(2.0)
    )
    for centre, bandwidth in formants:
        ratio = frequencies / centre
        gain = gain / np.sqrt(np.square(1.0 - ratio**2) + np.square(ratio * bandwidth / centre))
        # The resonance's roll-off is given back above it: higher formants stand for the rest.
        gain = gain * np.sqrt(1.0 + ratio**4)
    return gain


def voiced(
    rng: Random,
    f0: Signal,
    sample_rate: int,
    formants: list[tuple[float, float]],
    tilt_db: float,
    breathiness: float = 0.0,
) -> Signal:
    """Returns a voice: harmonics of a moving pitch through formants, with an rms of 1.

    Harmonics are added one by one up to 0.45 of the rate, so none folds back; each follows the
    formants as the pitch moves. Breath is noise through the same formants, pulsed with the pitch.

    Args:
        rng: phases and breath.
        f0: pitch in hertz, [N].
        sample_rate: hertz.
        formants: (centre, bandwidth) pairs, hertz.
        tilt_db: source spectrum, dB per octave.
        breathiness: rms of the breath relative to the harmonics.
    """
    n_samples = f0.size
    phase = 2.0 * np.pi * np.cumsum(f0) / sample_rate
    grid = np.linspace(0.0, sample_rate / 2.0, 2048)
    table = formant_gain(grid, formants, tilt_db)
    table[grid > HIGHEST_PARTIAL * sample_rate] = 0.0
    n_harmonics = max(int(HIGHEST_PARTIAL * sample_rate / max(float(f0.min()), 20.0)), 1)
    step = max(int(sample_rate / CONTROL_RATE_HZ), 1)
    control = np.arange(0, n_samples + step, step)
    pitch = f0[np.minimum(control, n_samples - 1)]
    samples = np.arange(n_samples)

    # Powers of one complex rotation give all harmonics without a sine each.
    rotation = np.exp(1j * phase).astype(np.complex64)
    power = np.ones(n_samples, dtype=np.complex64)
    total = np.zeros(n_samples)
    for harmonic in range(1, n_harmonics + 1):
        power *= rotation
        gains = np.interp(harmonic * pitch, grid, table, right=0.0)
        if not gains.any():
            break
        offset = np.complex64(np.exp(1j * rng.uniform(0.0, 0.6)))
        total += np.interp(samples, control, gains) * (power * offset).imag
    total = unit_rms(total)
    if breathiness > 0:
        total = total + breathiness * _breath(rng, phase, sample_rate, formants)
    return total


def _breath(
    rng: Random, phase: Signal, sample_rate: int, formants: list[tuple[float, float]]
) -> Signal:
    noise = white_noise(rng, phase.size) * (0.6 + 0.4 * np.cos(phase))
    shaped = np.sum(
        [resonate(noise, sample_rate, centre, 3.0 * width) for centre, width in formants], axis=0
    )
    return unit_rms(shaped + 0.1 * band(noise, sample_rate, low_hz=3000.0))


def talker(
    rng: Random,
    n_samples: int,
    sample_rate: int,
    pitch_hz: float,
    vowels: list[list[tuple[float, float]]],
    syllables_per_second: float,
) -> Signal:
    """Returns speech-like sound without words: syllables of gliding vowels and short hisses.

    Args:
        rng: melody, rhythm and order of vowels.
        n_samples: length N.
        sample_rate: hertz.
        pitch_hz: middle of the melody.
        vowels: formants (centre, bandwidth) of each vowel, hertz.
        syllables_per_second: rate of the rhythm.

    Returns:
        [N] with an rms of 1.
    """
    melody = 3.0 * contour(rng, n_samples, sample_rate, 1.5)
    f0 = pitch_hz * 2.0 ** ((melody + 0.3 * contour(rng, n_samples, sample_rate, 20.0)) / 12.0)
    cycle = np.cumsum(f0) / sample_rate + rng.uniform()
    cycle -= np.floor(cycle)
    # A parabola per period: its harmonics fall by 12 dB per octave, so little folds back.
    glottal = 6.0 * cycle * (1.0 - cycle) - 1.0
    source = np.diff(glottal, prepend=glottal[0]) + 2e-4 * white_noise(rng, n_samples)
    weights = [
        np.exp(2.5 * contour(rng, n_samples, sample_rate, 0.8 * syllables_per_second))
        for _ in vowels
    ]
    total_weight = np.sum(weights, axis=0)
    speech = np.zeros(n_samples)
    for weight, formants in zip(weights, vowels, strict=True):
        shaped = np.zeros(n_samples)
        for index, (centre, width) in enumerate(formants):
            shaped += 0.5**index * resonate(source, sample_rate, centre, width)
        speech += weight / total_weight * shaped
    speech = unit_rms(speech)
    rhythm = contour(rng, n_samples, sample_rate, 2.0 * syllables_per_second)
    loudness = np.clip(rhythm + 0.25, 0.0, 1.0) ** 0.8
    hiss = band(white_noise(rng, n_samples), sample_rate, low_hz=3500.0, high_hz=9000.0)
    hissing = np.clip(contour(rng, n_samples, sample_rate, 2.5 * syllables_per_second) - 0.45, 0, 1)
    return unit_rms(speech * loudness + 0.8 * unit_rms(hiss) * hissing)


def draw_vowels(rng: Random, count: int, scale: float) -> list[list[tuple[float, float]]]:
    """Returns formants (centre, bandwidth) of random vowels, in hertz.

    Args:
        rng: source of randomness.
        count: how many vowels.
        scale: factor on the centres: 1 for a man, about 1.2 for a child.
    """
    return [
        [
            (scale * rng.uniform(300.0, 800.0), 90.0),
            (scale * rng.uniform(900.0, 2200.0), 120.0),
            (scale * rng.uniform(2400.0, 3000.0), 180.0),
            (scale * rng.uniform(3300.0, 4200.0), 300.0),
        ]
        for _ in range(count)
    ]
