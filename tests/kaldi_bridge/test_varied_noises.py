"""Made noises and events: spectra, levels, and when an event is heard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaldi_bridge.errors import KaldiError
from kaldi_bridge.training.speech import Utterance
from kaldi_bridge.training.varying.backgrounds import (
    BACKGROUNDS,
    MissingVoices,
    babble,
    background,
    coloured_noise,
    harmonics,
    rms,
)
from kaldi_bridge.training.varying.drawing import VaryingOptions
from kaldi_bridge.training.varying.events import EVENTS, audible, event
from kaldi_bridge.training.varying.noises import noise_clip

signal = pytest.importorskip("scipy.signal", reason="install scipy to run this: sedsdk[train]")


class TestBackgrounds:
    @pytest.mark.parametrize("kind", BACKGROUNDS)
    @pytest.mark.parametrize("n", [1, 7, 1600, 40000])
    def test_they_have_an_rms_of_one(self, kind, n):
        noise = background(kind, n, np.random.default_rng(n))
        assert noise.shape == (n,)
        assert noise.dtype == np.float32
        assert rms(noise) == pytest.approx(1.0, rel=1e-4)

    @pytest.mark.parametrize("slope", [0.0, -3.0, -6.0])
    def test_colours_fall_as_asked(self, slope):
        noise = coloured_noise(16000 * 30, np.random.default_rng(0), slope)
        hertz, power = signal.welch(noise, 16000, nperseg=2048)
        used = (hertz > 100) & (hertz < 7000)
        measured, _ = np.polyfit(np.log2(hertz[used]), 10 * np.log10(power[used]), 1)
        assert measured == pytest.approx(slope, abs=0.1)

    def test_hum_sits_on_harmonics_of_the_mains(self):
        hum = background("hum", 160000, np.random.default_rng(5))
        power = np.abs(np.fft.rfft(hum * np.hanning(160000))) ** 2  # 0.1 Hz a bin
        mains = 49 + 0.1 * np.argmax(power[490:610])
        near = sum(
            power[round(10 * k * mains) - 4 * k : round(10 * k * mains) + 4 * k + 1].sum()
            for k in range(1, 25)
        )
        assert near > 0.9 * power.sum()

    def test_harmonics_are_sines(self):
        phase, weights = np.linspace(0, 20, 500), np.array([1.0, -0.5, 0.25])
        plain = sum(w * np.sin((k + 1) * phase) for k, w in enumerate(weights))
        np.testing.assert_allclose(harmonics(phase, weights), plain, atol=1e-4)

    def test_an_unknown_one_is_refused_with_those_there_are(self):
        with pytest.raises(KaldiError, match="white, pink"):
            background("grey", 10, np.random.default_rng(0))


class TestBabble:
    def test_it_is_made_of_the_others(self):
        time = np.arange(16000) / 16000
        others = [np.sin(2 * np.pi * f * time).astype(np.float32) for f in (300, 500, 700)]
        noise = babble(others, 40000, np.random.default_rng(1))
        assert rms(noise) == pytest.approx(1.0, rel=1e-4)
        power = np.abs(np.fft.rfft(noise[:16000])) ** 2
        assert power[[300, 500, 700]].sum() > 0.98 * power.sum()

    def test_nobody_to_speak_is_refused(self):
        with pytest.raises(MissingVoices, match="others"):
            babble([np.zeros(100, np.float32)], 100, np.random.default_rng(0))


class TestEvents:
    @pytest.mark.parametrize("kind", EVENTS)
    def test_they_are_short_and_have_a_peak_of_one(self, kind):
        for seed in range(25):
            sound = event(kind, np.random.default_rng(seed))
            assert sound.dtype == np.float32
            assert np.isfinite(sound).all()
            assert np.abs(sound).max() == pytest.approx(1.0, rel=1e-5)
            assert 0.01 <= len(sound) / 16000 <= 1.6
            assert abs(sound[-1]) < 0.02
            np.testing.assert_array_equal(sound, event(kind, np.random.default_rng(seed)))

    def test_an_unknown_one_is_refused_with_those_there_are(self):
        with pytest.raises(KaldiError, match="click, bang"):
            event("laugh", np.random.default_rng(0))


class TestAudible:
    def burst(self, start: float, end: float, level: float) -> np.ndarray:
        track = np.zeros(32000, np.float32)
        rng = np.random.default_rng(0)
        part = slice(round(start * 16000), round(end * 16000))
        track[part] = level * rng.standard_normal(part.stop - part.start)
        return track

    def test_from_when_to_when(self):
        rest = 0.01 * np.random.default_rng(1).standard_normal(32000).astype(np.float32)
        ((start, end),) = audible(self.burst(0.5, 0.9, 0.1), rest)
        assert (start, end) == pytest.approx((0.5, 0.9), abs=0.011)

    @pytest.mark.parametrize(
        ("above_db", "heard"), [(10, True), (7.5, True), (4.5, False), (0, False)]
    )
    def test_six_decibels_decide(self, above_db, heard):
        rest = 0.1 * np.random.default_rng(1).standard_normal(32000).astype(np.float32)
        found = audible(self.burst(0.0, 2.0, 0.1 * 10 ** (above_db / 20)), rest)
        share = sum(end - start for start, end in found) / 2.0
        assert share > 0.9 if heard else share < 0.3

    def test_a_click_is_long_enough_for_a_frame(self):
        track = np.zeros(32000, np.float32)
        track[8000:8005] = 0.5
        ((start, end),) = audible(track, np.zeros(32000, np.float32))
        assert start <= 0.5 <= end
        assert end - start == pytest.approx(0.03)

    def test_what_is_near_is_joined(self):
        track = self.burst(0.5, 0.7, 0.1) + self.burst(0.75, 0.9, 0.1) + self.burst(1.1, 1.3, 0.1)
        found = audible(track, np.zeros(32000, np.float32))
        np.testing.assert_allclose(found, [(0.5, 0.9), (1.1, 1.3)], atol=0.011)

    def test_a_long_tail_is_not_the_event(self):
        time = np.arange(32000) / 16000
        track = (0.5 * 10 ** (-60 * time / 20)).astype(np.float32)  # 60 dB in a second
        ((start, end),) = audible(track, np.zeros(32000, np.float32))
        assert (start, end) == pytest.approx((0.0, 0.5), abs=0.011)

    def test_silence_is_not_heard(self):
        assert audible(np.zeros(500, np.float32), np.ones(500, np.float32)) == []


class TestNoiseClips:
    @settings(max_examples=40)
    @given(st.integers(0, 10**6))
    def test_nobody_speaks(self, seed):
        samples, phones = noise_clip(np.random.default_rng(seed))
        Utterance(samples, 16000, phones, "", "")  # contiguous from 0 to the end, float32
        assert {phone.phone for phone in phones} <= {"SIL", "SPN"}
        assert np.isfinite(samples).all()
        assert 0 < np.abs(samples).max() <= 1

    def test_same_seed_same_clip(self):
        for first, again in zip(*(noise_clip(np.random.default_rng(7)) for _ in "ab"), strict=True):
            np.testing.assert_array_equal(np.array(first, object), np.array(again, object))

    def test_noise_is_louder_than_silence(self):
        """In clips with both: the energy of what is called noise, by the labels alone."""
        louder = 0
        clips = [noise_clip(np.random.default_rng(seed)) for seed in range(60)]
        both = [clip for clip in clips if len({phone.phone for phone in clip[1]}) == 2]
        assert 35 <= len(both) <= 58
        for samples, phones in both:
            energy = {"SIL": [], "SPN": []}
            for phone in phones:
                part = samples[round(phone.start * 16000) : round(phone.end * 16000)]
                energy[phone.phone].append(part.astype(np.float64) ** 2)
            quiet, loud = (np.concatenate(energy[name]).mean() for name in ("SIL", "SPN"))
            louder += loud > 2 * quiet
        assert louder >= 0.9 * len(both)

    def test_babble_is_left_out_of_them(self):
        options = VaryingOptions(backgrounds=("babble",), noise_chance=1.0)
        samples, _ = noise_clip(np.random.default_rng(0), options)
        assert np.abs(samples).max() > 0
