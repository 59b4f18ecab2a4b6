"""Short sounds that nobody says: made clicks, bangs, whistles, breaths. float32 [N] at 16 kHz."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import KaldiError
from kaldi_bridge.training.varying.backgrounds import band_noise, coloured_noise, contour, harmonics
from kaldi_bridge.training.varying.filters import SAMPLE_RATE, Signal

Random = np.random.Generator
Curve = NDArray[np.float64]

FRAME = 160
"""Samples of a frame in which an event is compared with the rest: 10 ms."""
ABOVE_REST_DB = 6.0
BELOW_PEAK_DB = 30.0
JOINED_SECONDS = 0.06
SHORTEST_SECONDS = 0.03
EDGE_SECONDS = 0.002
HIGHEST_HERTZ = 7000.0


def event(kind: str, rng: Random) -> Signal:
    """Returns a sound of one of EVENTS, with a peak of 1; from 10 ms to 1.6 s long.

    Raises:
        KaldiError: no such kind.
    """
    if kind not in _MAKERS:
        raise KaldiError(f'no event "{kind}": choose one of {", ".join(EVENTS)}.')
    sound = np.asarray(_MAKERS[kind](rng), np.float32)
    edge = int(EDGE_SECONDS * SAMPLE_RATE)
    sound[-edge:] *= np.linspace(1.0, 0.0, edge, dtype=np.float32)
    return np.asarray(sound / np.abs(sound).max(), np.float32)


def audible(happening: Signal, rest: Signal) -> list[tuple[float, float]]:
    """Returns from when to when, in seconds, something is clearly heard above the rest.

    That is where its energy over 10 ms is ABOVE_REST_DB over that of the rest, and no more than
    BELOW_PEAK_DB below its own loudest 10 ms. Gaps of up to JOINED_SECONDS are closed, and each
    stretch is made SHORTEST_SECONDS long at least.

    Args:
        happening: [N] the events alone.
        rest: [N] everything else.
    """
    loud, other = _frame_energies(happening), _frame_energies(rest)
    if not loud.max(initial=0.0) > 0:
        return []
    heard = (loud > other * 10.0 ** (ABOVE_REST_DB / 10.0)) & (
        loud > loud.max() * 10.0 ** (-BELOW_PEAK_DB / 10.0)
    )
    edges = np.flatnonzero(np.diff(heard.astype(np.int8), prepend=0, append=0))
    second = FRAME / SAMPLE_RATE
    stretches: list[tuple[float, float]] = []
    for start, end in (edges.reshape(-1, 2) * second).tolist():
        widen = max(SHORTEST_SECONDS - (end - start), 0.0) / 2.0
        start, end = max(start - widen, 0.0), min(end + widen, len(rest) / SAMPLE_RATE)
        if stretches and start - stretches[-1][1] <= JOINED_SECONDS:
            start = stretches.pop()[0]
        stretches.append((start, end))
    return stretches


def _frame_energies(signal: Signal) -> Curve:
    whole = np.zeros(-(-len(signal) // FRAME) * FRAME, np.float32)
    whole[: len(signal)] = signal
    energies: Curve = np.square(whole.reshape(-1, FRAME)).sum(axis=1, dtype=np.float64)
    return energies


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _samples(seconds: float) -> int:
    return max(int(seconds * SAMPLE_RATE), FRAME)


def _decay(n: int, seconds: float) -> Curve:
    """Falls by 60 dB in so many seconds."""
    fall: Curve = np.exp(-6.9078 / (seconds * SAMPLE_RATE) * np.arange(n))
    return fall


def _hill(n: int, rise: float) -> Curve:
    """Rises over that share of the length and falls over the rest, both as a sine."""
    top = max(int(rise * n), 1)
    up, down = np.arange(top) / top, np.arange(n - top) / max(n - top, 1)
    return np.concatenate([np.sin(np.pi / 2 * up), np.cos(np.pi / 2 * down)])


def _ring(n: int, hertz: Curve, seconds: Curve, weights: Curve) -> Curve:
    """Sum of decaying partials, each [K]."""
    time = np.arange(n) / SAMPLE_RATE
    angles = 2.0 * np.pi * hertz[:, None] * time
    partials = np.sin(angles) * np.exp(-6.9078 * time / seconds[:, None])
    total: Curve = weights @ partials
    return total


def _click(rng: Random) -> Curve:
    n, count = _samples(rng.uniform(0.01, 0.03)), int(rng.integers(1, 4))
    hertz = np.exp(rng.uniform(np.log(400.0), np.log(6000.0), count))
    return _ring(n, hertz, rng.uniform(0.002, 0.02, count), rng.uniform(0.3, 1.0, count))


def _bang(rng: Random) -> Curve:
    seconds = _log_uniform(rng, 0.08, 0.8)
    n = _samples(seconds)
    body = _ring(n, rng.uniform(50.0, 250.0, 2), np.full(2, seconds), rng.uniform(0.0, 1.0, 2))
    noise = coloured_noise(n, rng, -rng.uniform(0.0, 6.0))
    blast: Curve = noise / np.abs(noise).max() * _decay(n, seconds)
    return blast + 0.5 * body


def _glass(rng: Random) -> Curve:
    n, shards = _samples(rng.uniform(0.2, 0.9)), int(rng.integers(2, 9))
    total = 0.3 * band_noise(n, rng, 2000.0, 7000.0).astype(np.float64) * _decay(n, 0.08)
    total /= np.abs(total).max()
    for _ in range(shards):
        start = int(rng.beta(1.0, 3.0) * 0.8 * n)
        hertz = rng.uniform(1200.0, HIGHEST_HERTZ, 6)
        ring = _ring(n - start, hertz, rng.uniform(0.03, 0.5, 6), rng.uniform(0.1, 1.0, 6))
        total[start:] += ring * rng.uniform(0.1, 0.7)
    return total


def _tone(rng: Random) -> Curve:
    n, hertz = _samples(_log_uniform(rng, 0.05, 1.2)), _log_uniform(rng, 250.0, 4000.0)
    weights = rng.uniform(0.0, 1.0, int(rng.integers(1, 1 + max(int(6000.0 / hertz), 1))))
    weights[0] = 1.0
    tone = harmonics(2.0 * np.pi * hertz / SAMPLE_RATE * np.arange(n), weights) * _hill(n, 0.03)
    pulses = np.sin(2.0 * np.pi * rng.uniform(2.0, 12.0) / SAMPLE_RATE * np.arange(n))
    beeps: Curve = tone * (pulses > -0.3) if rng.random() < 0.4 else tone
    return beeps


def _sweep(rng: Random) -> Curve:
    n = _samples(_log_uniform(rng, 0.1, 1.2))
    start, end = np.exp(rng.uniform(np.log(200.0), np.log(HIGHEST_HERTZ), 2))
    hertz = start * (end / start) ** np.linspace(0.0, 1.0, n)
    sweep: Curve = np.sin(2.0 * np.pi * np.cumsum(hertz) / SAMPLE_RATE) * _hill(n, 0.1)
    return sweep


def _glide(n: int, rng: Random, middle: float, semitones: float) -> Curve:
    """A phase [N] whose pitch wanders by so many semitones either way, with vibrato."""
    vibrato = np.sin(2.0 * np.pi * rng.uniform(4.0, 9.0) / SAMPLE_RATE * np.arange(n))
    bend = semitones * contour(n, rng, 4.0) + rng.uniform(0.0, 0.6) * vibrato
    phase: Curve = np.cumsum(2.0 * np.pi * middle / SAMPLE_RATE * 2.0 ** (bend / 12.0))
    return phase


def _cry(rng: Random) -> Curve:
    n, pitch = _samples(rng.uniform(0.12, 1.4)), _log_uniform(rng, 200.0, 700.0)
    overtones = pitch * 2.0 ** (4.0 / 12.0) * np.arange(1, int(HIGHEST_HERTZ / pitch / 1.3) + 1)
    peaks = rng.uniform([600.0, 1500.0, 3000.0], [1500.0, 3000.0, 5500.0])
    weights = np.exp(-np.square((overtones[:, None] - peaks) / 500.0)).sum(axis=1) + 0.05
    voice = harmonics(_glide(n, rng, pitch, 4.0), weights)
    hoarse = rng.uniform(0.0, 0.3) * coloured_noise(n, rng, -3.0) * np.abs(voice).max()
    cry: Curve = (voice + hoarse) * _hill(n, rng.uniform(0.1, 0.5))
    return cry


def _whistle(rng: Random) -> Curve:
    n, pitch = _samples(rng.uniform(0.1, 1.2)), _log_uniform(rng, 700.0, 4500.0)
    whistle: Curve = np.sin(_glide(n, rng, pitch, 3.0)) * _hill(n, rng.uniform(0.05, 0.5))
    return whistle


def _rattle(rng: Random) -> Curve:
    n, strokes = _samples(rng.uniform(0.2, 1.5)), int(rng.integers(4, 25))
    stroke = _ring(
        800, rng.uniform(300.0, 6500.0, 4), rng.uniform(0.01, 0.05, 4), rng.uniform(0.2, 1.0, 4)
    )
    total = np.zeros(n + 800)
    even = np.linspace(0.0, 0.95, strokes) + rng.uniform(-0.3, 0.3, strokes) / strokes
    for place in (np.clip(even, 0.0, 1.0) * n).astype(int):
        total[place : place + 800] += stroke * rng.uniform(0.2, 1.0)
    return total


def _hiss(rng: Random) -> Curve:
    n, low = _samples(_log_uniform(rng, 0.05, 1.0)), _log_uniform(rng, 800.0, 4000.0)
    noise = band_noise(n, rng, low, min(low * rng.uniform(1.5, 4.0), 7500.0))
    hiss: Curve = noise * _hill(n, rng.uniform(0.02, 0.6))
    return hiss


def _breath(rng: Random) -> Curve:
    n = _samples(rng.uniform(0.2, 0.7))
    air = band_noise(n, rng, rng.uniform(300.0, 800.0), rng.uniform(1500.0, 4000.0))
    breath: Curve = air * _hill(n, rng.uniform(0.3, 0.7)) ** 2
    return breath


_MAKERS: dict[str, Callable[[Random], Curve]] = {
    **{"click": _click, "bang": _bang, "glass": _glass, "tone": _tone, "sweep": _sweep},
    **{"cry": _cry, "whistle": _whistle, "rattle": _rattle, "hiss": _hiss, "breath": _breath},
}

EVENTS: tuple[str, ...] = tuple(_MAKERS)
