"""Made rooms against Schroeder's integration, and the filters against scipy's and NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaldi_bridge.training.varying.filters import (
    EQUALISER_HERTZ,
    FILTER_LENGTH,
    FILTER_ORIGIN,
    SAMPLE_RATE,
    convolved,
    fast_length,
    magnitude,
    microphone,
)
from kaldi_bridge.training.varying.rooms import impulse_response

signal = pytest.importorskip("scipy.signal", reason="install scipy to run this: sedsdk[train]")


def schroeder_rt60(reflections: np.ndarray) -> float:
    """Twice the time from −5 to −35 dB of the energy that is still to come (ISO 3382, T30)."""
    to_come = np.cumsum(np.square(reflections[::-1].astype(np.float64)))[::-1]
    level = 10 * np.log10(to_come / to_come[0] + 1e-30)
    span = np.flatnonzero((level <= -5) & (level >= -35))
    slope, _ = np.polyfit(span / SAMPLE_RATE, level[span], 1)
    return -60 / slope


class TestRooms:
    @pytest.mark.parametrize("rt60", [0.05, 0.1, 0.2, 0.4, 0.8])
    @pytest.mark.parametrize("seed", range(5))
    def test_the_tail_falls_by_60_db_in_the_time_asked(self, rt60, seed):
        response = impulse_response(rt60, 5.0, np.random.default_rng(seed))
        assert schroeder_rt60(response[1:]) == pytest.approx(rt60, rel=0.15)

    @pytest.mark.parametrize("ratio", [-2.0, 0.0, 10.0, 20.0])
    def test_direct_over_reverberant_energy_is_as_asked(self, ratio):
        response = impulse_response(0.3, ratio, np.random.default_rng(1)).astype(np.float64)
        measured = 10 * np.log10(response[0] ** 2 / np.sum(response[1:] ** 2))
        assert measured == pytest.approx(ratio, abs=0.01)

    def test_the_direct_sound_comes_first_and_alone(self):
        for seed in range(20):
            response = impulse_response(0.5, 0.0, np.random.default_rng(seed))
            assert response[0] == 1.0
            assert not response[1:16].any()  # the first reflection travels 30 cm more at least

    def test_same_seed_same_room(self):
        first, again, other = (
            impulse_response(0.2, 3.0, np.random.default_rng(seed)) for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


class TestFilters:
    @given(st.integers(1, 400), st.integers(1, 90), st.data())
    def test_fast_convolution_is_convolution(self, n, k, data):
        origin = data.draw(st.integers(0, k - 1))
        rng = np.random.default_rng(n * 100 + k)
        x, h = rng.standard_normal((2, n)), rng.standard_normal(k)
        fast = convolved(x.astype(np.float32), h.astype(np.float32), origin)
        plain = [np.convolve(row, h)[origin : origin + n] for row in x]
        np.testing.assert_allclose(fast, plain, atol=1e-4)

    @given(st.integers(1, 10**7))
    def test_fast_lengths_are_near_and_even(self, least):
        length = fast_length(least)
        assert least <= length <= max(1.26 * least, 16)
        assert length % 2 == 0

    @pytest.mark.parametrize("band", [(300.0, 3400.0), (50.0, None), (None, 5500.0)])
    def test_edges_are_butterworth(self, band):
        hertz = np.array([60.0, 150.0, 300.0, 1000.0, 3000.0, 3400.0, 4000.0, 5500.0, 6500.0])
        expected = np.ones(len(hertz))
        for edge, order, kind in ((band[0], 2, "high"), (band[1], 12, "low")):
            if edge:
                b, a = signal.butter(order, 2 * np.pi * edge, kind, analog=True)
                expected *= np.abs(signal.freqs(b, a, 2 * np.pi * hertz)[1])
        np.testing.assert_allclose(magnitude(hertz, band=band), expected, rtol=1e-6)
        _, response = signal.freqz(microphone(band), worN=hertz, fs=SAMPLE_RATE)
        np.testing.assert_allclose(np.abs(response), expected, atol=0.01)

    def test_tilt_and_equaliser_are_in_decibels(self):
        points = (1.0, -2.0, 3.0, 0.0, -4.0, 5.0, 2.0, -6.0)
        gain = magnitude(np.array(EQUALISER_HERTZ), tilt_db=2.0, equaliser_db=points)
        expected = [
            2.0 * octave + point for octave, point in zip(range(-4, 4), points, strict=True)
        ]
        np.testing.assert_allclose(20 * np.log10(gain), expected, atol=1e-9)

    def test_a_microphone_delays_nothing(self):
        response = microphone((100.0, 3800.0), 1.5, (3.0, -3.0) * 4)
        assert len(response) == FILTER_LENGTH
        np.testing.assert_allclose(response, response[::-1], atol=1e-7)
        assert np.argmax(response) == FILTER_ORIGIN

    def test_a_flat_microphone_changes_nothing(self):
        x = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
        np.testing.assert_allclose(convolved(x, microphone(), FILTER_ORIGIN), x, atol=1e-5)
