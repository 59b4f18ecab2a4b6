"""Filters without delay: microphones, bands, and fast convolution. All at 16 kHz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]

SAMPLE_RATE = 16000
"""Hertz of every signal behind the synthesiser."""
EQUALISER_HERTZ = (62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
"""Where the points of an equaliser lie; straight lines in decibels per octave join them."""
FILTER_LENGTH = 2047
FILTER_ORIGIN = FILTER_LENGTH // 2
LOW_ORDER, HIGH_ORDER = 2, 12
"""Orders of the Butterworth magnitudes of the two edges of a band: 12 and 72 dB an octave."""
_EIGHTHS = (5, 6, 7, 8)


def magnitude(
    hertz: NDArray[np.floating],
    *,
    band: tuple[float | None, float | None] = (None, None),
    tilt_db: float = 0.0,
    equaliser_db: tuple[float, ...] = (),
) -> NDArray[np.float64]:
    """Returns the gain of a microphone and its band at each frequency.

    Args:
        hertz: [M] frequencies.
        band: where low and high cut have fallen by 3 dB, in hertz; None for no such edge.
        tilt_db: decibels per octave, around 1 kHz; no more below 62.5 Hz.
        equaliser_db: gains at EQUALISER_HERTZ; () for none.
    """
    octaves = np.log2(np.maximum(hertz, EQUALISER_HERTZ[0]) / 1000.0)
    decibels = tilt_db * octaves
    if equaliser_db:
        decibels += np.interp(octaves, np.log2(np.array(EQUALISER_HERTZ) / 1000.0), equaliser_db)
    gain: NDArray[np.float64] = 10.0 ** (decibels / 20.0)
    low, high = band
    if low:
        ratio = np.asarray(hertz, np.float64) / low
        gain *= ratio**LOW_ORDER / np.sqrt(1.0 + ratio ** (2 * LOW_ORDER))
    if high:
        gain /= np.sqrt(1.0 + (np.asarray(hertz, np.float64) / high) ** (2 * HIGH_ORDER))
    return gain


def microphone(
    band: tuple[float | None, float | None] = (None, None),
    tilt_db: float = 0.0,
    equaliser_db: tuple[float, ...] = (),
) -> Signal:
    """Returns the impulse response [FILTER_LENGTH] of a microphone, its origin at FILTER_ORIGIN.

    It is symmetric about its origin, so nothing moves in time. For the arguments see `magnitude`.
    """
    size = FILTER_LENGTH + 1
    hertz = np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE)
    gain = magnitude(hertz, band=band, tilt_db=tilt_db, equaliser_db=equaliser_db)
    response = np.roll(np.fft.irfft(gain, size), FILTER_ORIGIN)[:FILTER_LENGTH]
    return np.asarray(response * np.hanning(FILTER_LENGTH + 2)[1:-1], np.float32)


def convolved(signals: Signal, kernel: Signal, origin: int = 0) -> Signal:
    """Returns signals [..., N] filtered by a kernel [K] whose time zero is at index `origin`.

    As long as the signals: what rings before the beginning or behind the end is cut off.
    """
    n = signals.shape[-1]
    size = fast_length(n + len(kernel) - 1)
    spectrum = np.fft.rfft(signals, size) * np.fft.rfft(kernel, size)
    return np.asarray(np.fft.irfft(spectrum, size)[..., origin : origin + n], np.float32)


def fast_length(least: int) -> int:
    """Returns an even length at or above `least` that a Fourier transform is fast for."""
    doublings = (max(least, 16) - 1).bit_length() - 3  # eighths of a power of two
    return next(part << doublings for part in _EIGHTHS if part << doublings >= least)


def rms(signal: Signal) -> float:
    """Returns the root of the mean square; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(signal, dtype=np.float64)))) if signal.size else 0.0


def decibels_to_gain(decibels: float) -> float:
    """Returns the factor of amplitude of so many decibels."""
    return float(10.0 ** (decibels / 20.0))
