"""Mel scales and filters, against librosa and closed forms."""

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sedsdk.audio import hz_to_mel, mel_filters, mel_to_hz
from sedsdk.errors import ConfigError

SCALES = ("htk", "slaney")


@pytest.mark.parametrize("scale", SCALES)
def test_scales_agree_with_librosa(scale):
    hertz = np.concatenate((np.linspace(0, 1000, 301), np.geomspace(1000, 96000, 300)))
    expected = librosa.hz_to_mel(hertz, htk=scale == "htk")
    np.testing.assert_allclose(hz_to_mel(hertz, scale), expected, rtol=1e-12)
    np.testing.assert_allclose(mel_to_hz(expected, scale), hertz, rtol=1e-10, atol=1e-9)


def test_scales_at_known_points():
    assert hz_to_mel(700.0, "htk") == pytest.approx(2595 * np.log10(2))
    assert hz_to_mel(1000.0, "slaney") == pytest.approx(15.0)
    assert hz_to_mel(6400.0, "slaney") == pytest.approx(15.0 + 27.0)


@given(st.floats(0, 1e5), st.sampled_from(SCALES))
def test_scales_are_inverse_to_each_other(hertz, scale):
    assert mel_to_hz(hz_to_mel(hertz, scale), scale) == pytest.approx(hertz, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("area_norm", [False, True])
@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels", "f_min", "f_max"),
    [
        (44100, 2048, 40, 0.0, None),
        (44100, 2048, 128, 50.0, 16000.0),
        (16000, 512, 64, 20.0, 7600.0),
        (8000, 1023, 30, 0.0, None),
    ],
)
def test_filters_agree_with_librosa(rate, n_fft, n_mels, f_min, f_max, scale, area_norm):
    expected = librosa.filters.mel(
        sr=rate,
        n_fft=n_fft,
        n_mels=n_mels,
        fmin=f_min,
        fmax=f_max,
        htk=scale == "htk",
        norm="slaney" if area_norm else None,
        dtype=np.float64,
    )
    filters = mel_filters(rate, n_fft, n_mels, f_min, f_max, scale, area_norm)
    assert filters.dtype == np.float64
    np.testing.assert_allclose(filters, expected, atol=1e-9)


@pytest.mark.parametrize("scale", SCALES)
def test_inner_filters_of_equal_peak_sum_to_one(scale):
    total = mel_filters(44100, 4096, 40, 0.0, None, scale).sum(axis=0)
    hertz = np.arange(2049) * 44100 / 4096
    mels = hz_to_mel([0.0, 22050.0], scale)
    first, last = mel_to_hz(np.linspace(*mels, 42), scale)[[1, -2]]
    np.testing.assert_allclose(total[(hertz >= first) & (hertz <= last)], 1.0, atol=1e-9)


def test_empty_band_is_refused_and_the_suggested_fft_size_works():
    with pytest.raises(ConfigError, match=r"mel bands hold no FFT bin.*n_fft of 2048"):
        mel_filters(44100, 1024, 128)
    assert mel_filters(44100, 2048, 128).any(axis=1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((16000, 512, 40, 0.0, 9000.0), "half the sample rate"),
        ((16000, 512, 40, 5000.0, 4000.0), "f_min < f_max"),
        ((16000, 512, 40, -1.0), "0 <= f_min"),
        ((16000, 512, 0), "n_mels of at least 1"),
        ((0, 512, 40), "sample_rate above 0"),
        ((16000, 512, 40, 0.0, None, "slany"), 'Did you mean "slaney"'),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        mel_filters(*arguments)
