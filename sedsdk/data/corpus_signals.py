"""Building blocks of made sounds: noise, contours, envelopes, filters, decaying modes, rooms.

All signals are float64 [N] at an explicit rate in hertz, and every random choice comes from the
generator that is handed in. scipy is imported where it is used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sedsdk.errors import missing_dependency

Signal = NDArray[np.float64]
Random = np.random.Generator

CONTROL_RATE_HZ = 200.0
HIGHEST_PARTIAL = 0.45


def require_scipy() -> None:
    """Checks that scipy is there.

    Raises:
        MissingDependency: it is not.
    """
    try:
        import scipy.signal  # noqa: F401
    except ImportError as error:
        raise missing_dependency("scipy", "making the built-in corpus", "train") from error


def log_uniform(rng: Random, low: float, high: float) -> float:
    """Returns a number in [low, high] whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def near(rng: Random, value: float, ratio: float) -> float:
    """Returns `value` times a factor in [1 / ratio, ratio], uniform in the logarithm."""
    return value * log_uniform(rng, 1.0 / ratio, ratio)


def seconds_axis(n_samples: int, sample_rate: int) -> Signal:
    """Returns the time of each sample, in seconds."""
    return np.arange(n_samples) / sample_rate


def unit_rms(signal: Signal) -> Signal:
    """Scales a signal to an rms of 1; a silent one stays silent."""
    level = float(np.sqrt(np.mean(np.square(signal)))) if signal.size else 0.0
    return signal / level if level > 0 else signal


def unit_peak(signal: Signal) -> Signal:
    """Scales a signal to a peak of 1; a silent one stays silent."""
    peak = float(np.max(np.abs(signal))) if signal.size else 0.0
    return signal / peak if peak > 0 else signal


def white_noise(rng: Random, n_samples: int) -> Signal:
    """Returns Gaussian noise with an rms near 1."""
    return rng.standard_normal(n_samples, dtype=np.float32).astype(np.float64)


def coloured_noise(
    rng: Random, n_samples: int, sample_rate: int, slope_db: float, low_hz: float = 30.0
) -> Signal:
    """Returns Gaussian noise whose power falls by `slope_db` per octave, with an rms of 1.

    Args:
        rng: source of randomness.
        n_samples: length N.
        sample_rate: hertz.
        slope_db: 0 for white, -3 for pink, -6 for brown.
        low_hz: the spectrum is flat below it.
    """
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    size = next_fast_len(n_samples, real=True)
    frequencies = rfftfreq(size, 1.0 / sample_rate)
    gain = np.maximum(frequencies, low_hz) / low_hz
    spectrum = rfft(white_noise(rng, size)) * gain ** (slope_db / 20.0 / np.log10(2.0))
    return unit_rms(irfft(spectrum, size)[:n_samples])


def contour(rng: Random, n_samples: int, sample_rate: int, rate_hz: float) -> Signal:
    """Returns a smooth random curve in about [-1, 1] that turns about `rate_hz` times a second."""
    from scipy.interpolate import CubicSpline

    n_points = max(int(np.ceil(n_samples / sample_rate * rate_hz)), 1) + 3
    values = rng.uniform(-1.0, 1.0, n_points)
    n_control = max(int(n_samples / sample_rate * CONTROL_RATE_HZ), 2)
    positions = np.linspace(0.0, n_samples / sample_rate * rate_hz, n_control)
    curve = CubicSpline(np.arange(n_points) - 1.0, values)(positions)
    smooth: Signal = np.interp(
        np.linspace(0.0, 1.0, n_samples), np.linspace(0.0, 1.0, n_control), curve
    )
    return smooth


def through_points(times: list[float], values: list[float], n_samples: int) -> Signal:
    """Returns a smooth curve through points; times are fractions of the length, from 0 to 1."""
    from scipy.interpolate import PchipInterpolator

    curve: Signal = PchipInterpolator(times, values)(np.linspace(0.0, 1.0, n_samples))
    return curve


def edges(n_samples: int, sample_rate: int, attack: float, release: float) -> Signal:
    """Returns an envelope of 1 with cosine edges of `attack` and `release` seconds."""
    envelope = np.ones(n_samples)
    for seconds, rising in ((attack, True), (release, False)):
        length = min(int(seconds * sample_rate), n_samples)
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(length, 1))
        if rising:
            envelope[:length] *= ramp
        else:
            envelope[n_samples - length :] *= ramp[::-1]
    return envelope


def decay(n_samples: int, sample_rate: int, seconds: float) -> Signal:
    """Returns an exponential that falls by 60 dB in `seconds`."""
    return np.exp(-6.9078 * seconds_axis(n_samples, sample_rate) / seconds)


def band(
    signal: Signal,
    sample_rate: int,
    low_hz: float | None = None,
    high_hz: float | None = None,
    order: int = 2,
) -> Signal:
    """Filters with a Butterworth high-pass, low-pass or band-pass; edges are clipped to the band.

    Args:
        signal: [N].
        sample_rate: hertz.
        low_hz: lower edge; None for none.
        high_hz: upper edge; None, or one at or above 0.49 of the rate, for none.
        order: of each edge.
    """
    from scipy.signal import butter, sosfilt

    highest = 0.49 * sample_rate
    if high_hz is not None and high_hz < highest:
        signal = sosfilt(butter(order, high_hz, "lowpass", fs=sample_rate, output="sos"), signal)
    if low_hz is not None:
        edge = min(low_hz, 0.9 * highest)
        signal = sosfilt(butter(order, edge, "highpass", fs=sample_rate, output="sos"), signal)
    return signal


def resonate(signal: Signal, sample_rate: int, centre_hz: float, bandwidth_hz: float) -> Signal:
    """Filters with one resonance of gain 1 at its centre; a centre above the band gives zeros."""
    from scipy.signal import lfilter

    if centre_hz >= 0.49 * sample_rate:
        return np.zeros_like(signal)
    radius = np.exp(-np.pi * bandwidth_hz / sample_rate)
    angle = 2.0 * np.pi * centre_hz / sample_rate
    denominator = [1.0, -2.0 * radius * np.cos(angle), radius**2]
    response = np.polyval(denominator[::-1], np.exp(-1j * angle))
    filtered: Signal = lfilter([abs(response)], denominator, signal)
    return filtered


def modes(
    frequencies: NDArray[np.float64],
    seconds: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    phases: NDArray[np.float64],
    n_samples: int,
    sample_rate: int,
) -> Signal:
    """Returns a sum of decaying sines; each is computed only until it has fallen by 70 dB.

    Args:
        frequencies: hertz, [M]; those above 0.45 of the rate are left out.
        seconds: time in which each falls by 60 dB, [M].
        amplitudes: [M].
        phases: radians, [M].
        n_samples: length N.
        sample_rate: hertz.
    """
    total = np.zeros(n_samples)
    for frequency, fall, amplitude, phase in zip(
        frequencies, seconds, amplitudes, phases, strict=True
    ):
        if frequency > HIGHEST_PARTIAL * sample_rate:
            continue
        length = min(n_samples, int(fall * 70.0 / 60.0 * sample_rate) + 1)
        time = seconds_axis(length, sample_rate)
        total[:length] += (
            amplitude
            * np.exp(-6.9078 * time / fall)
            * np.sin(2.0 * np.pi * frequency * time + phase)
        )
    return total


def add_at(total: Signal, start: int, part: Signal) -> None:
    """Adds `part` into `total` from sample `start` on, in place; what lies outside is dropped."""
    first = max(start, 0)
    last = min(start + part.size, total.size)
    if last > first:
        total[first:last] += part[first - start : last - start]


def reverberate(
    rng: Random, signal: Signal, sample_rate: int, seconds: float, amount: float
) -> Signal:
    """Adds a room: decaying noise as impulse response, the length kept.

    Args:
        rng: the room's reflections.
        signal: [N].
        sample_rate: hertz.
        seconds: reverberation time (60 dB).
        amount: rms of the reverberation relative to the dry signal.
    """
    from scipy.signal import oaconvolve

    length = max(int(seconds * sample_rate), 1)
    response = white_noise(rng, length) * decay(length, sample_rate, seconds)
    response = band(response, sample_rate, low_hz=120.0, high_hz=6000.0, order=1)
    wet = oaconvolve(signal, response)[: signal.size]
    level = float(np.sqrt(np.mean(np.square(signal))))
    return signal + amount * level * unit_rms(wet)


def event_level(rng: Random, signal: Signal) -> NDArray[np.float32]:
    """Scales a finished sound to a random peak between 0.25 and 0.9 and rounds it to float32."""
    return (unit_peak(signal) * rng.uniform(0.25, 0.9)).astype(np.float32)


def scatter(
    rng: Random,
    n_samples: int,
    sample_rate: int,
    per_second: float,
    grains: list[Signal],
    spread_db: float,
    density: Signal | None = None,
) -> Signal:
    """Returns many copies of a few short sounds at random moments and levels.

    Args:
        rng: moments, levels and choices.
        n_samples: length N.
        sample_rate: hertz.
        per_second: how many on average.
        grains: the short sounds.
        spread_db: standard deviation of the level.
        density: relative density over time, [N], at least 0; None for constant.
    """
    from scipy.signal import oaconvolve

    total = np.zeros(n_samples)
    rate = np.full(n_samples, per_second / sample_rate / len(grains))
    if density is not None:
        rate *= density
    for grain in grains:
        train = np.zeros(n_samples)
        moments = np.flatnonzero(rng.random(n_samples, dtype=np.float32) < rate)
        signs = rng.choice([-1.0, 1.0], moments.size)
        train[moments] = signs * 10.0 ** (spread_db * rng.standard_normal(moments.size) / 20.0)
        total += oaconvolve(train, grain)[:n_samples]
    return total
