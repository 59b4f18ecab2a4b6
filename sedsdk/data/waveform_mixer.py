"""Renders plans of mixtures on waveforms, for frontends whose features do not add."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sedsdk.audio import read_audio, resample
from sedsdk.data.energy_mixer import LOST_BAND_GAIN, LOWEST_POWER
from sedsdk.data.mixture_plans import NO_LABEL, UNUSED, MixturePlans
from sedsdk.data.source_set import Source
from sedsdk.types import Features, Targets

KEPT_SOURCES = 512
REVERBERATION_SEED = 20170731
MEL_CORNER_HERTZ = 700.0


class WaveformMixer:
    """The slow, obvious twin of `EnergyMixer`: the same plans, sample by sample.

    Speed changes resample a sound, which moves its pitch too; shifts over frequency are left out.

    Args:
        sources: recordings, in the plans' order.
        n_classes: C.
        clip_seconds: length of a clip.
        sample_rate: hertz at which sounds are mixed; the highest that a frontend asks for.
    """

    def __init__(
        self, sources: Sequence[Source], n_classes: int, clip_seconds: float, sample_rate: int
    ) -> None:
        self._sources = list(sources)
        self._n_classes = n_classes
        self._n_samples = round(clip_seconds * sample_rate)
        self._rate = sample_rate
        self._read = lru_cache(maxsize=KEPT_SOURCES)(self._read_source)

    def render(
        self, plans: MixturePlans, sample_rates: Sequence[int]
    ) -> tuple[dict[int, tuple[Tensor, Tensor]], Callable[[Features], Targets]]:
        """Renders a batch.

        Returns:
            For each sample rate waveforms [B, N] and lengths [B]; and a function that gives the
            targets on the grid of the features made of them.
        """
        rendered = [self._render_one(plans, clip) for clip in range(len(plans))]
        audio = {}
        for rate in sample_rates:
            clips = [
                torch.from_numpy(resample(samples, self._rate, rate)) for samples, _ in rendered
            ]
            audio[rate] = (torch.stack(clips).float(), torch.full((len(clips),), len(clips[0])))
        spans = [events for _, events in rendered]
        return audio, lambda features: self._targets(spans, features)

    def _render_one(
        self, plans: MixturePlans, clip: int
    ) -> tuple[np.ndarray, list[tuple[int, float, float]]]:
        n = self._n_samples
        behind = np.zeros(n)
        swell_db = np.interp(
            np.linspace(0, 1, n), np.linspace(0, 1, plans.swell_db.shape[1]), plans.swell_db[clip]
        )
        for slot in range(plans.noise_slot):
            if plans.source[clip, slot] != UNUSED:
                sound = self._looped(plans, clip, slot)
                behind += sound * 10 ** ((plans.level_db[clip, slot] + swell_db) / 20)
        mixture = behind.copy()
        if plans.source[clip, plans.noise_slot] != UNUSED:
            start = np.float64(plans.start[clip, plans.noise_slot])
            noise = np.random.default_rng(int(start.view(np.uint64))).normal(size=n)
            noise = self._equalised(noise, plans.equaliser_db[clip, plans.noise_slot])
            mixture += noise * 10 ** (plans.level_db[clip, plans.noise_slot] / 20)
        events: list[tuple[int, float, float]] = []
        for slot in range(plans.noise_slot + 1, plans.source.shape[1]):
            if plans.source[clip, slot] == UNUSED:
                continue
            sound, first = self._placed(plans, clip, slot)
            last = min(first + len(sound), n)
            sound = sound[: last - first]
            own = max(float(np.mean(sound**2)), LOWEST_POWER)
            under = max(float(np.mean(behind[first:last] ** 2)), LOWEST_POWER)
            gain = np.sqrt(under / own) * 10 ** (plans.level_db[clip, slot] / 20)
            with_tail = self._reverberated(sound * gain, plans, clip, slot)[: n - first]
            mixture[first : first + len(with_tail)] += with_tail
            if plans.label[clip, slot] != NO_LABEL:
                label = int(plans.label[clip, slot])
                events.append((label, first / self._rate, last / self._rate))
        mixture = self._equalised(mixture, plans.channel_db[clip], float(plans.cut[clip]))
        return (mixture * 10 ** (plans.gain_db[clip] / 20)).astype(np.float32), events

    def _looped(self, plans: MixturePlans, clip: int, slot: int) -> np.ndarray:
        samples = self._read(int(plans.source[clip, slot]))
        period = max(2 * (len(samples) - 1), 1)
        index = (np.arange(self._n_samples) + round(plans.start[clip, slot] * self._rate)) % period
        index = np.where(index >= len(samples), period - index, index)
        return self._equalised(samples[index], plans.equaliser_db[clip, slot])

    def _placed(self, plans: MixturePlans, clip: int, slot: int) -> tuple[np.ndarray, int]:
        samples = self._read(int(plans.source[clip, slot]))
        samples = samples[min(round(plans.start[clip, slot] * self._rate), len(samples) - 1) :]
        heard = max(1, round(len(samples) / plans.rate[clip, slot]))
        position = np.arange(heard) * plans.rate[clip, slot]
        sound = np.interp(position, np.arange(len(samples)), samples)
        first = min(round(plans.onset[clip, slot] * self._rate), self._n_samples - 1)
        return self._equalised(sound, plans.equaliser_db[clip, slot]), first

    def _reverberated(
        self, sound: np.ndarray, plans: MixturePlans, clip: int, slot: int
    ) -> np.ndarray:
        level_db = plans.reverberation_db[clip, slot]
        if np.isneginf(level_db):
            return sound
        seconds = plans.reverberation_seconds[clip, slot]
        n_tail = round(seconds * self._rate)
        rng = np.random.default_rng([REVERBERATION_SEED, slot])
        tail = rng.normal(size=n_tail) * 10 ** (-3 * np.arange(n_tail) / n_tail)
        tail *= 10 ** (level_db / 20) / np.sqrt(np.sum(tail**2))
        response = np.concatenate([[1.0], tail])
        size = 1 << (len(sound) + len(response) - 1).bit_length()
        spectrum = np.fft.rfft(sound, size) * np.fft.rfft(response, size)
        return np.fft.irfft(spectrum, size)[: len(sound) + len(response) - 1]

    def _read_source(self, index: int) -> np.ndarray:
        source = self._sources[index]
        return read_audio(source.path, self._rate, source.start, source.end)[0]

    def _targets(
        self, spans: Sequence[Sequence[tuple[int, float, float]]], features: Features
    ) -> Targets:
        batch, n_frames = features.values.shape[:2]
        frames = torch.zeros(batch, n_frames, self._n_classes)
        for row, events in enumerate(spans):
            for label, onset, offset in events:
                first, last = features.grid.span(onset, offset, n_frames)
                frames[row, first:last, label] = 1.0
        known = features.mask().cpu().unsqueeze(2).expand(-1, -1, self._n_classes)
        return Targets(frames.amax(1), known.any(1), frames, known, features.grid)

    def _equalised(
        self, samples: np.ndarray, points_db: np.ndarray, cut: float = 1.0
    ) -> np.ndarray:
        """Filters with a curve over the mel axis, in dB at equally spaced points from 0 to f/2."""
        if cut >= 1 and not points_db.any():
            return samples
        spectrum = np.fft.rfft(samples)
        mel = np.log1p(np.fft.rfftfreq(len(samples), 1 / self._rate) / MEL_CORNER_HERTZ)
        share = mel / np.log1p(self._rate / 2 / MEL_CORNER_HERTZ)
        gain = 10 ** (np.interp(share, np.linspace(0, 1, len(points_db)), points_db) / 20)
        if cut < 1:
            gain[share > cut] *= np.sqrt(LOST_BAND_GAIN)
        filtered: np.ndarray = np.fft.irfft(spectrum * gain, len(samples))
        return filtered
