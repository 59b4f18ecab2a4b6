"""Varied readings measured: labels in step, levels, bands, noises as asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from varied_readings import RATE, decibels, noise, onset, pulse, reading, tone

from kaldi_bridge.training.speech import Utterance
from kaldi_bridge.training.varying.backgrounds import BACKGROUNDS, MissingVoices
from kaldi_bridge.training.varying.codecs import available
from kaldi_bridge.training.varying.varying import Variation, apply, draw_variation

signal = pytest.importorskip("scipy.signal", reason="install scipy to run this: sedsdk[train]")

PLAIN = Variation()
RATES = (8000, 11025, 12000, 16000)
WITHIN = 0.005


def varied(utterance: Utterance, seed: int = 0, **changes):
    return apply(utterance, replace(PLAIN, **changes), np.random.default_rng(seed))


def assert_in_step(utterance: Utterance, seed: int = 0, **changes) -> None:
    samples, phones = varied(utterance, seed, **changes)
    (start,) = (phone.start for phone in phones if phone.phone == "T")
    assert onset(samples) == pytest.approx(start, abs=WITHIN)


class TestLabelsFollowTheSound:
    @pytest.mark.parametrize("rate", [8000, 16000, 22050])
    @pytest.mark.parametrize("formant", [0.8, 0.93, 1.0, 1.07, 1.25])
    def test_resampling(self, rate, formant):
        assert_in_step(pulse(rate), formant=formant)

    @pytest.mark.parametrize("seconds", [20.0])
    def test_over_a_long_time(self, seconds):
        assert_in_step(pulse(22050, seconds, boundary=19.4), formant=1.1234)

    @pytest.mark.parametrize(
        ("codec", "rate"), [(name, rate) for rate in RATES for name in (None, *available(rate))]
    )
    def test_codecs(self, codec, rate):
        assert_in_step(pulse(), codec=codec, channel_rate=rate)

    @pytest.mark.parametrize("quality", ["QQ", "LQ", "HQ", "VHQ"])
    def test_resamplers(self, quality):
        assert_in_step(pulse(), channel_rate=8000, resampler=quality)

    @pytest.mark.parametrize("rt60", [0.05, 0.2, 0.8])
    @pytest.mark.parametrize("ratio", [-2.0, 5.0, 20.0])
    @pytest.mark.parametrize("seed", range(3))
    def test_rooms(self, rt60, ratio, seed):
        assert_in_step(pulse(), seed, room=(rt60, ratio))

    @pytest.mark.parametrize("band", [(300.0, 3400.0), (50.0, 2800.0), (None, 5500.0)])
    def test_microphones(self, band):
        equaliser = (5.0, -5.0, 4.0, 0.0, -3.0, 6.0, -6.0, 2.0)
        assert_in_step(pulse(), band=band, tilt_db=-2.5, equaliser_db=equaliser)

    @pytest.mark.parametrize("margins", [(0.0, 0.0), (-0.02, -0.02), (0.5, 1.0), (0.1, None)])
    def test_margins(self, margins):
        assert_in_step(pulse(22050), margins=margins, formant=0.9)

    @pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.99])
    def test_grown_pauses(self, where):
        assert_in_step(pulse(), events=(("breath", where, -30.0), ("click", 1 - where, -30.0)))

    @settings(max_examples=60)
    @given(st.integers(0, 10**6))
    def test_whatever_is_drawn(self, seed):
        """All at once, but for what would hide the pulse itself."""
        rng = np.random.default_rng(seed)
        drawn = draw_variation(rng)
        drawn = replace(drawn, noise=None, gain_db=-3.0, overlaid=(), drive=0.0, clipping_db=0.0)
        drawn = replace(drawn, events=tuple((kind, at, -40.0) for kind, at, _ in drawn.events))
        if drawn.codec == "nms_adpcm_16":  # two bits: a reflection may outgrow the pulse
            drawn = replace(drawn, codec=None)
        samples, phones = apply(pulse(22050), drawn, rng)
        (start,) = (phone.start for phone in phones if phone.phone == "T")
        assert onset(samples) == pytest.approx(start, abs=WITHIN)

    @given(st.floats(0.8, 1.25))
    @settings(max_examples=20)
    def test_phones_keep_their_proportions(self, formant):
        original = noise(0.9, rate=22050)
        _, phones = varied(original, formant=formant)
        for before, after in zip(original.phones, phones, strict=True):
            assert after.phone == before.phone
            assert after.start == pytest.approx(before.start / formant, abs=1 / RATE)


class TestFormants:
    @pytest.mark.parametrize("formant", [0.8, 1.25])
    def test_all_frequencies_rise_by_the_factor(self, formant):
        samples, _ = varied(tone(1000.0, 2.0, 22050), formant=formant)
        power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        assert np.argmax(power) * RATE / len(samples) == pytest.approx(1000 * formant, abs=1.0)
        assert len(samples) == pytest.approx(2.0 * RATE / formant, abs=1)


class TestLevels:
    @pytest.mark.parametrize("gain_db", [-40.0, -12.0, -1.0])
    def test_the_peak_is_as_asked(self, gain_db):
        samples, _ = varied(noise(1.0), gain_db=gain_db)
        assert decibels(np.abs(samples).max() ** 2) == pytest.approx(gain_db, abs=0.01)

    def test_clipping_cuts_the_peaks(self):
        samples, _ = varied(tone(200.0, 1.0), clipping_db=6.0, gain_db=-2.0)
        flat = np.mean(np.abs(samples) > 0.999 * np.abs(samples).max())
        # a sine of amplitude 10^(6/20) is above 1 for 1 − 2/π asin(10^(−6/20)) of the time
        assert flat == pytest.approx(1 - 2 / np.pi * np.arcsin(10**-0.3), abs=0.02)

    def test_saturation_adds_odd_harmonics_as_tanh_does(self):
        samples, _ = varied(tone(500.0, 1.0), drive=2.0)
        found = np.abs(np.fft.rfft(samples))[[500, 1000, 1500]]
        phase = 2 * np.pi * np.arange(4096) / 4096
        third = np.mean(np.tanh(2 * np.sin(phase)) * np.sin(3 * phase))
        first = np.mean(np.tanh(2 * np.sin(phase)) * np.sin(phase))
        assert found[2] / found[0] == pytest.approx(abs(third / first), rel=0.02)
        assert found[1] < 0.001 * found[0]

    def test_sixteen_bits_are_steps(self):
        samples, _ = varied(noise(0.5), sixteen_bits=True, gain_db=-30.0)
        np.testing.assert_array_equal(samples * 32768, np.round(samples * 32768))

    def test_polarity_turns_the_wave(self):
        up, down = (varied(noise(0.5), polarity=sign)[0] for sign in (1, -1))
        np.testing.assert_allclose(up, -down, atol=1e-6)


class TestBands:
    def spectrum(self, **changes):
        white = 0.1 * np.random.default_rng(0).standard_normal(RATE * 20)
        samples, _ = varied(reading(white, ["AH"], [0.0, 20.0]), **changes)
        return signal.welch(samples, RATE, nperseg=4096, window="blackmanharris")

    def between(self, hertz, power, low, high) -> float:
        return float(power[(hertz >= low) & (hertz < high)].mean())

    @pytest.mark.parametrize(("rate", "quality", "least"), [(8000, "HQ", 80), (11025, "VHQ", 80)])
    def test_nothing_is_left_above_half_the_channels_rate(self, rate, quality, least):
        hertz, power = self.spectrum(channel_rate=rate, resampler=quality)
        kept = self.between(hertz, power, 500, 0.42 * rate)
        gone = self.between(hertz, power, 0.51 * rate + 100, 8000)
        assert decibels(kept / gone) > least

    def test_a_poor_resampler_leaves_images(self):
        hertz, power = self.spectrum(channel_rate=8000, resampler="QQ")
        images = self.between(hertz, power, 4500, 6000) / self.between(hertz, power, 500, 3300)
        assert -60 < decibels(images) < -10

    def test_the_telephones_band(self):
        hertz, power = self.spectrum(channel_rate=8000, band=(300.0, 3400.0))
        middle = self.between(hertz, power, 900, 2000)
        assert decibels(self.between(hertz, power, 295, 305) / middle) == pytest.approx(-3, abs=1)
        # 12 dB an octave: 1 / (1 + 4^4) two octaves below
        assert decibels(self.between(hertz, power, 73, 77) / middle) == pytest.approx(-24.1, abs=1)
        assert decibels(self.between(hertz, power, 4200, 8000) / middle) < -60

    def test_other_cutoffs(self):
        hertz, power = self.spectrum(band=(None, 5500.0))
        middle = self.between(hertz, power, 900, 2000)
        assert decibels(self.between(hertz, power, 5470, 5530) / middle) == pytest.approx(-3, abs=1)
        assert decibels(self.between(hertz, power, 7700, 7900) / middle) < -30

    def test_tilt_is_in_decibels_an_octave(self):
        hertz, power = self.spectrum(tilt_db=-2.0)
        used = (hertz > 200) & (hertz < 7000)
        slope, _ = np.polyfit(np.log2(hertz[used]), 10 * np.log10(power[used]), 1)
        assert slope == pytest.approx(-2.0, abs=0.1)


class TestNoise:
    def measured(self, samples, hertz=1000.0) -> float:
        """A sine over all else, by projection."""
        time = np.arange(len(samples)) / RATE
        basis = np.stack(
            [np.sin(2 * np.pi * hertz * time), np.cos(2 * np.pi * hertz * time)], axis=1
        )
        part, _, _, _ = np.linalg.lstsq(basis, samples, rcond=None)
        sine = basis @ part
        return decibels(np.mean(sine**2) / np.mean((samples - sine) ** 2))

    @pytest.mark.parametrize("kind", BACKGROUNDS)
    @pytest.mark.parametrize("snr_db", [0.0, 15.0, 40.0])
    def test_the_ratio_is_as_asked(self, kind, snr_db):
        """The tone lies above the hum's last harmonic."""
        samples, _ = varied(tone(3000.0, 6.0), noise=(kind, snr_db))
        assert self.measured(samples, 3000.0) == pytest.approx(snr_db, abs=0.5)

    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("band", [(None, None), (300.0, 3400.0)])
    def test_it_is_that_in_the_channels_band(self, rate, band):
        samples, _ = varied(tone(1000.0, 6.0), noise=("white", 10.0), channel_rate=rate, band=band)
        assert self.measured(samples) == pytest.approx(10.0, abs=0.5)

    def test_silence_does_not_count_as_speech(self):
        sine = tone(1000.0, 3.0).samples
        padded = np.concatenate([sine, np.zeros(3 * len(sine), np.float32)])
        samples, _ = varied(reading(padded, ["AH", "SIL"], [0.0, 3.0, 12.0]), noise=("white", 12.0))
        behind = samples[3 * RATE + 2000 :]
        ratio = np.mean(samples[: 3 * RATE] ** 2) / np.mean(behind**2)
        assert decibels(ratio - 1) == pytest.approx(12.0, abs=0.5)

    def test_babble_is_others(self):
        other = tone(700.0, 1.0).samples
        drawn = replace(PLAIN, noise=("babble", 10.0))
        samples, _ = apply(tone(1000.0, 3.0), drawn, np.random.default_rng(0), [other])
        assert self.measured(samples) == pytest.approx(10.0, abs=0.5)
        with pytest.raises(MissingVoices):
            varied(tone(1000.0, 1.0), noise=("babble", 10.0))


class TestMadeSounds:
    def test_a_sound_in_a_pause_is_noise_where_it_is_heard(self):
        speech = noise(1.8)
        samples, phones = varied(speech, events=(("hiss", 0.45, 0.0),), noise=("white", 30.0))
        names = [phone.phone for phone in phones]
        assert names == ["SIL", "AH", "T", "IY", "SIL", "SPN", "SIL", "S", "EH", "N", "SIL"]
        spn = phones[5]
        frames = np.square(samples[: len(samples) // 160 * 160]).reshape(-1, 160).mean(axis=1)
        inside = frames[int(spn.start * 100) + 1 : int(spn.end * 100) - 1]
        beside = frames[int(phones[4].start * 100) + 2 : int(phones[4].end * 100) - 6]
        assert np.median(inside) > 4 * np.median(beside)

    def test_speech_stays_speech_under_a_sound(self):
        speech = noise(1.8)
        _, without = varied(speech)
        _, phones = varied(speech, overlaid=(("cry", 0.3, 0.0),))
        spoken = [phone for phone in phones if phone.phone not in ("SIL", "SPN")]
        assert spoken == [phone for phone in without if phone.phone != "SIL"]

    def test_what_noise_covers_is_not_called_noise(self):
        _, phones = varied(noise(1.8), events=(("breath", 0.45, -30.0),), noise=("white", 0.0))
        assert "SPN" not in {phone.phone for phone in phones}

    def test_what_the_channel_takes_away_is_not_called_noise(self):
        """A whistle that is heard at 16 kHz and not below 300 Hz."""
        event = (("whistle", 0.45, 0.0),)
        for high, expected in ((None, True), (250.0, False)):
            _, phones = varied(noise(1.8), events=event, band=(None, high), noise=("white", 10.0))
            assert ("SPN" in {phone.phone for phone in phones}) is expected


class TestAnything:
    @settings(max_examples=120)
    @given(
        st.integers(0, 10**6),
        st.sampled_from([8000, 16000, 22050]),
        st.sampled_from([0.1, 0.35, 1.0]),
        st.booleans(),
    )
    def test_the_result_is_a_sound_utterance(self, seed, rate, seconds, silent):
        original = noise(seconds, seed, rate)
        if silent:
            original = replace(original, samples=np.zeros_like(original.samples))
        rng = np.random.default_rng(seed)
        samples, phones = apply(original, draw_variation(rng), rng)
        Utterance(samples, RATE, phones, "", "")  # contiguous from 0 to the end, float32
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1.0
        silences = ("SIL", "SPN")
        spoken = [phone.phone for phone in phones if phone.phone not in silences]
        assert spoken == [phone.phone for phone in original.phones if phone.phone != "SIL"]

    def test_silence_stays_silence(self):
        silent = reading(np.zeros(8000), ["SIL"], [0.0, 0.5])
        samples, phones = varied(silent, room=(0.3, 5.0), drive=1.0, clipping_db=3.0)
        assert not samples.any()
        assert [phone.phone for phone in phones] == ["SIL"]
        hissing, phones = varied(silent, noise=("pink", 20.0))
        assert np.abs(hissing).max() > 0.5
        assert [phone.phone for phone in phones] == ["SIL"]

    def test_everything_follows_from_the_seed(self):
        for seed in range(40):
            first, again = (
                apply(noise(0.5), draw_variation(rng), rng)
                for rng in (np.random.default_rng(seed), np.random.default_rng(seed))
            )
            np.testing.assert_array_equal(first[0], again[0])
            assert first[1] == again[1]

    def test_no_variation_changes_nothing(self):
        original = noise(1.0)
        samples, phones = varied(original)
        gain = 10 ** (-1 / 20) / np.abs(original.samples).max()
        np.testing.assert_allclose(samples, gain * original.samples, atol=1e-5)
        assert [(p.phone, p.end) for p in phones] == [
            (p.phone, pytest.approx(p.end, abs=1 / RATE)) for p in original.phones
        ]

    def test_the_original_stays_as_it_is(self):
        original = noise(0.5)
        kept = original.samples.copy()
        for seed in range(20):
            rng = np.random.default_rng(seed)
            apply(original, draw_variation(rng), rng)
        np.testing.assert_array_equal(original.samples, kept)
