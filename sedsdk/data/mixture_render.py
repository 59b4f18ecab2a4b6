"""Makes recipes of mixtures sound: mixture = level · (background + factor · event + …).

factor = 10^(ratio_db / 20) · rms(background under the event) / rms(event), both full-band rms
without weighting (DCASE 2017 Task 2). There is no fade at an event's borders.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sedsdk.audio import read_audio
from sedsdk.data.mixture_recipes import MixtureRecipe, PlacedSound
from sedsdk.data.source_set import Source
from sedsdk.errors import DataError

Waveform = NDArray[np.float32]

CROSSFADE_SECONDS = 0.5
LONGEST_CROSSFADE_SHARE = 0.25
SILENCE_RMS = 1e-5
WHOLE_SPAN_SECONDS = 120.0
RESAMPLER_MARGIN_SECONDS = 1


class AudioCache:
    """Decoded and resampled audio, the least recently used dropped first.

    Args:
        sample_rate: hertz of what it gives.
        max_bytes: bound on what it keeps; a single longer recording is read and not kept.
    """

    def __init__(self, sample_rate: int, max_bytes: int = 256 * 2**20) -> None:
        self.sample_rate = sample_rate
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._kept: OrderedDict[tuple[Path, int, int | None], Waveform] = OrderedDict()

    def span(self, source: Source) -> Waveform:
        """Returns a source: samples int(start · rate) to int(end · rate) of the resampled file.

        Only the needed part is decoded, with a margin in whole seconds, which lie on samples at
        any rate: the result is that of resampling the whole file first.

        Raises:
            AudioError: the file cannot be read.
        """
        first = max(math.floor(source.start) - RESAMPLER_MARGIN_SECONDS, 0)
        last = None if source.end is None else math.ceil(source.end) + RESAMPLER_MARGIN_SECONDS
        samples = self._read(source.path, first, last)
        begin = int(source.start * self.sample_rate) - first * self.sample_rate
        if source.end is None:
            return samples[begin:]
        return samples[begin : int(source.end * self.sample_rate) - first * self.sample_rate]

    def _read(self, path: Path, first: int, last: int | None) -> Waveform:
        key = (path, first, last)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        samples, _ = read_audio(path, self.sample_rate, float(first), last)
        samples.setflags(write=False)
        if samples.nbytes <= self.max_bytes:
            self._kept[key] = samples
            self.n_bytes += samples.nbytes
            while self.n_bytes > self.max_bytes:
                _, dropped = self._kept.popitem(last=False)
                self.n_bytes -= dropped.nbytes
        return samples


def loop(samples: Waveform, n_samples: int, offset: int, crossfade: int) -> Waveform:
    """Returns `n_samples` of an endless repetition of a recording, beginning at `offset`.

    Its end runs into its beginning with an equal-power cross-fade.

    Args:
        samples: float32 [N].
        n_samples: length wanted.
        offset: sample of the repetition to begin at, at least 0.
        crossfade: samples that overlap, at least 0 and at most N / 2.

    Returns:
        A new float32 array [n_samples].
    """
    period = len(samples) - crossfade
    body = samples[:period].copy()
    if crossfade:
        angle = (np.arange(crossfade, dtype=np.float32) + 0.5) * np.float32(0.5 * np.pi / crossfade)
        body[:crossfade] = samples[:crossfade] * np.sin(angle) + samples[period:] * np.cos(angle)
    repeats = -(-(offset + n_samples) // period)
    endless = np.tile(body, repeats)
    endless[:crossfade] = samples[:crossfade]
    repeated: Waveform = endless[offset : offset + n_samples]
    return repeated


def render(recipe: MixtureRecipe, cache: AudioCache) -> Waveform:
    """Returns a mixture.

    Args:
        recipe: what to mix.
        cache: where sources come from; states the sample rate.

    Returns:
        float32 [N]; divided by its peak if that reaches 1.

    Raises:
        AudioError: a source cannot be read.
        DataError: a sound is silent (its level cannot be set) or begins after the mixture's end.
    """
    background = _background(recipe, cache)
    mixture: Waveform = background.copy()
    for sound in (*recipe.events, *recipe.distractors):
        begin, samples = _scaled(sound, background, cache)
        mixture[begin : begin + len(samples)] += samples
    mixture *= np.float32(recipe.level)
    peak = float(np.abs(mixture).max())
    if peak >= 1.0:
        mixture /= np.float32(peak)
    return mixture


def rms(samples: Waveform) -> float:
    """Returns the root mean square, summed in double precision; 0 for no samples."""
    if samples.size == 0:
        return 0.0
    return math.sqrt(float(np.mean(np.square(samples, dtype=np.float64))))


def _background(recipe: MixtureRecipe, cache: AudioCache) -> Waveform:
    source, rate = recipe.background, cache.sample_rate
    if recipe.duration_seconds is None:
        return cache.span(source)
    n_samples = round(recipe.duration_seconds * rate)
    if source.end is not None and source.end - source.start > WHOLE_SPAN_SECONDS:
        start = source.start + recipe.background_offset
        end = min(start + recipe.duration_seconds + RESAMPLER_MARGIN_SECONDS, source.end)
        part = cache.span(Source(source.path, source.label, start, end))[:n_samples]
        if len(part) == n_samples:
            return part
    whole = cache.span(source)
    offset = int(recipe.background_offset * rate)
    if len(whole) - offset >= n_samples:
        return whole[offset : offset + n_samples]
    crossfade = min(int(CROSSFADE_SECONDS * rate), int(LONGEST_CROSSFADE_SHARE * len(whole)))
    return loop(whole, n_samples, offset, crossfade)


def _scaled(sound: PlacedSound, background: Waveform, cache: AudioCache) -> tuple[int, Waveform]:
    """Returns the sample at which a sound begins, and the sound at its level."""
    begin = int(sound.onset * cache.sample_rate)
    samples = cache.span(sound.source)
    level = rms(samples)
    if level == 0.0:
        raise DataError(
            f"{sound.source.path}: silent from {sound.source.start:g} s on, so its level cannot be "
            f"set. Remove it, or correct its span."
        )
    samples = samples[: max(len(background) - begin, 0)]
    if len(samples) == 0:
        raise DataError(
            f"{sound.source.path}: placed at {sound.onset:g} s in a mixture of "
            f"{len(background) / cache.sample_rate:g} s. Place it before the end."
        )
    under = max(rms(background[begin : begin + len(samples)]), SILENCE_RMS)
    factor = 10.0 ** (sound.ratio_db / 20.0) * under / level
    return begin, samples * np.float32(factor)
