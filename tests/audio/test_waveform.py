"""Arrays that applications hand in, mono, resampling."""

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given
from hypothesis import strategies as st

from sedsdk.audio import check_waveform, resample, to_mono
from sedsdk.errors import AudioError


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([0, 16384, -32768], np.int16), [0, 0.5, -1]),
        (np.array([0, 16384, -32768], ">i2"), [0, 0.5, -1]),
        (np.array([0, 2**30, -(2**31)], np.int32), [0, 0.5, -1]),
        (np.array([0.25, -0.5], np.float64), [0.25, -0.5]),
        (np.array([0.25, -0.5], np.float16), [0.25, -0.5]),
        (np.array([[0.5, 0.0], [1.0, -1.0], [0.0, 0.5]]), [0.25, 0, 0.25]),
        (np.array([[0.5], [0.25]]), [0.5, 0.25]),
        ([0.5, 0.25], [0.5, 0.25]),
        (torch.tensor([0.5, 0.25]), [0.5, 0.25]),
        (np.zeros(5), [0] * 5),
        (np.array([0.5]), [0.5]),
    ],
)
def test_every_legal_array_becomes_float32_mono(array, expected):
    mono = check_waveform(array, 16000)
    assert mono.dtype == np.float32
    assert mono.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(mono, np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(0), "no samples"),
        (np.zeros((0, 2)), "no samples"),
        (np.zeros((2, 100)), r"looks like \[channels, N\].*array\.T"),
        (np.zeros((1, 100)), r"looks like \[channels, N\]"),
        (np.zeros((3, 4, 5)), "one clip at a time"),
        (np.array(0.5), "one clip at a time"),
        (np.zeros((1000, 513)), "not features"),
        (np.zeros(5, np.int64), "samples are int64"),
        (np.zeros(5, np.uint8), "samples are uint8"),
        (np.zeros(5, bool), "samples are bool"),
        (np.zeros(5, complex), "samples are complex128"),
        (["a"], "samples are"),
        ([[0.5], [0.5, 0.25]], "NumPy cannot take it"),
        (torch.zeros(3, requires_grad=True), r"tensor\.detach"),
        (np.array([0, 0, np.nan]), r"sample 2 \(at 0\.002 s\) is NaN"),
        (np.array([0, -np.inf, 0]), "sample 1 .* is infinite"),
        (np.array([0.0, 12000.0]), "unscaled integers"),
    ],
)
def test_every_illegal_array_gets_one_clear_error(array, message):
    with pytest.raises(AudioError, match=f"mic: .*{message}"):
        check_waveform(array, 1000, "mic")


@pytest.mark.parametrize("rate", [0, -1, np.nan, np.inf, None, "16000", True])
def test_a_rate_that_is_no_positive_number_is_refused(rate):
    with pytest.raises(AudioError, match="sample rate is"):
        check_waveform(np.zeros(5), rate)


def test_mono_is_the_mean_of_the_channels():
    generator = np.random.default_rng(0)
    channels = generator.standard_normal((100, 8)).astype(np.float32)
    np.testing.assert_allclose(to_mono(channels), channels.astype(np.float64).mean(1), atol=1e-6)


def test_float32_mono_is_not_copied():
    samples = np.zeros(10, np.float32)
    assert np.shares_memory(to_mono(samples), samples)
    assert np.shares_memory(resample(samples, 8000, 8000), samples)


@given(
    st.integers(1, 5000),
    st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 192000]),
    st.sampled_from([8000, 16000, 44100]),
)
def test_resampling_gives_the_rounded_length_and_never_nothing(n_samples, from_rate, to_rate):
    resampled = resample(np.full(n_samples, 0.1, np.float32), from_rate, to_rate)
    assert resampled.dtype == np.float32
    assert len(resampled) >= 1
    assert abs(len(resampled) - max(1, n_samples * to_rate / from_rate)) <= 0.5


def test_resampling_keeps_a_tone():
    time = np.arange(44100) / 44100
    resampled = resample(np.sin(2 * np.pi * 1000 * time), 44100, 16000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    np.testing.assert_allclose(resampled[500:-500], expected[500:-500], atol=1e-4)


def test_resampling_equals_soxr():
    samples = np.random.default_rng(1).standard_normal(4000).astype(np.float32) / 4
    np.testing.assert_array_equal(
        resample(samples, 44100, 16000), soxr.resample(samples, 44100, 16000)
    )
