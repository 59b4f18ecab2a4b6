from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sedsdk.data.mixture_recipes import MixtureRecipe, PlacedSound
from sedsdk.data.mixture_render import AudioCache, loop, render
from sedsdk.data.sources import Source
from sedsdk.errors import AudioError, DataError

RATE = 8000
FIXTURE_IN_GIVEN = [HealthCheck.function_scoped_fixture]


def square(seconds: float, amplitude: float, rate: int = RATE) -> NDArray[np.float64]:
    """Alternating signs: its rms is the amplitude over any span."""
    return amplitude * (1.0 - 2.0 * (np.arange(round(seconds * rate)) % 2))


def write(path: Path, samples: NDArray[np.float64], rate: int = RATE) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


@pytest.fixture
def background(tmp_path: Path) -> Source:
    return Source(write(tmp_path / "background.wav", square(4.0, 0.25)), "street", 0.0, 4.0)


@pytest.fixture
def event(tmp_path: Path) -> Source:
    return Source(write(tmp_path / "event.wav", np.full(RATE // 2, 0.125)), "bang", 0.0, 0.5)


def mixture(background: Source, *events: PlacedSound, seconds: float = 4.0) -> MixtureRecipe:
    return MixtureRecipe("m.wav", background, 0.0, events, duration_seconds=seconds)


@given(ratio=st.floats(-30, 20), onset=st.floats(0, 3.4))
@settings(max_examples=30, deadline=None, suppress_health_check=FIXTURE_IN_GIVEN)
def test_event_has_the_asked_level_and_place(
    background: Source, event: Source, ratio: float, onset: float
) -> None:
    samples = render(mixture(background, PlacedSound(event, onset, ratio)), AudioCache(RATE))
    # rms of the background is 0.25, so a constant event of this rms is this constant.
    constant = 0.2 * 0.25 * 10.0 ** (ratio / 20.0)
    expected = 0.2 * square(4.0, 0.25)
    begin = int(onset * RATE)
    expected[begin : begin + RATE // 2] += constant
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, expected, atol=1e-6)


def test_level_counts_the_background_under_the_event_only(tmp_path: Path, event: Source) -> None:
    samples = np.concatenate([square(2.0, 0.01), square(2.0, 0.5)])
    background = Source(write(tmp_path / "step.wav", samples), "step", 0.0, 4.0)
    quiet, loud = (
        render(mixture(background, PlacedSound(event, onset, 0.0)), AudioCache(RATE))
        for onset in (1.0, 3.0)
    )
    assert quiet[RATE : RATE + RATE // 2].max() == pytest.approx(0.2 * 0.02, rel=1e-5)
    assert loud[3 * RATE : 3 * RATE + RATE // 2].max() == pytest.approx(0.2 * 1.0, rel=1e-5)


def test_only_what_reaches_full_scale_is_divided_by_its_peak(
    background: Source, event: Source
) -> None:
    recipe = mixture(background, PlacedSound(event, 1.0, 40.0))
    samples = render(recipe, AudioCache(RATE))
    raw = 0.2 * square(4.0, 0.25)
    raw[RATE : RATE + RATE // 2] += 0.2 * 0.25 * 100.0
    assert np.abs(samples).max() == 1.0
    np.testing.assert_allclose(samples, raw / raw.max(), atol=1e-6)
    below = 20.0 * math.log10(0.94 / 0.05)
    samples = render(mixture(background, PlacedSound(event, 1.0, below)), AudioCache(RATE))
    assert samples.max() == pytest.approx(0.99, abs=1e-6)


def test_event_reaching_over_the_end_is_cut(background: Source, event: Source) -> None:
    samples = render(mixture(background, PlacedSound(event, 3.75, 0.0)), AudioCache(RATE))
    assert len(samples) == 4 * RATE
    assert samples[-1] == pytest.approx(0.2 * (0.25 - 0.25), abs=1e-6)
    with pytest.raises(DataError, match="before the end"):
        render(mixture(background, PlacedSound(event, 4.0, 0.0)), AudioCache(RATE))


def test_silence_below_does_not_swallow_the_event_and_a_silent_event_is_refused(
    tmp_path: Path, background: Source, event: Source
) -> None:
    silent = Source(write(tmp_path / "silent.wav", np.zeros(4 * RATE)), "none", 0.0, 4.0)
    samples = render(mixture(silent, PlacedSound(event, 1.0, 0.0)), AudioCache(RATE))
    assert samples[RATE] > 0
    with pytest.raises(DataError, match=r"silent\.wav.*silent"):
        render(mixture(background, PlacedSound(silent, 0.0, 0.0)), AudioCache(RATE))


def test_long_background_is_read_from_its_offset(tmp_path: Path) -> None:
    ramp = np.linspace(-0.9, 0.9, 200 * RATE)
    path = write(tmp_path / "long.wav", ramp)
    for source in (Source(path, "r", 0.0, 100.0), Source(path, "r", 0.0, 200.0)):
        recipe = MixtureRecipe("m.wav", source, 50.5, duration_seconds=3.0)
        first = round(50.5 * RATE)
        np.testing.assert_allclose(
            render(recipe, AudioCache(RATE)), 0.2 * ramp[first : first + 3 * RATE], atol=1e-6
        )


@given(
    length=st.integers(20, 60),
    crossfade_share=st.floats(0, 0.5),
    offset=st.integers(0, 200),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_loop_equals_copies_laid_over_each_other(
    length: int, crossfade_share: float, offset: int, seed: int
) -> None:
    crossfade = int(crossfade_share * length)
    samples = np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)
    plain = np.zeros(offset + 200 + 3 * length)
    for copy, start in enumerate(range(0, offset + 200 + length, length - crossfade)):
        for i, value in enumerate(samples):
            gain = 1.0
            if i < crossfade and copy > 0:
                gain = math.sin(0.5 * math.pi * (i + 0.5) / crossfade)
            elif i >= length - crossfade:
                gain = math.cos(0.5 * math.pi * (i - length + crossfade + 0.5) / crossfade)
            plain[start + i] += gain * value
    looped = loop(samples, 150, offset, crossfade)
    np.testing.assert_allclose(looped, plain[offset : offset + 150], atol=1e-5)


def test_short_background_is_looped_at_an_even_level(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
    source = Source(write(tmp_path / "noise.wav", noise), "noise", 0.0, 2.0)
    recipe = MixtureRecipe("m.wav", source, 0.7, duration_seconds=9.0)
    samples = render(recipe, AudioCache(RATE))
    assert len(samples) == 9 * RATE
    levels = np.sqrt(np.mean(np.square(samples.reshape(-1, RATE // 4)), axis=1))
    np.testing.assert_allclose(levels, 0.02, rtol=0.15)


@pytest.mark.parametrize("rate", [48000, 22050, 11025])
def test_a_span_equals_that_of_the_whole_file_resampled(tmp_path: Path, rate: int) -> None:
    samples = 0.3 * np.random.default_rng(1).standard_normal(rate * 7)
    path = write(tmp_path / "a.wav", samples, rate)
    whole = soxr.resample(samples.astype(np.float32), rate, 44100, quality="HQ")
    span = AudioCache(44100).span(Source(path, "x", 2.3, 4.1))
    np.testing.assert_allclose(span, whole[int(2.3 * 44100) : int(4.1 * 44100)], atol=2e-6)


def test_cache_stays_within_its_bound_and_keeps_what_is_used(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.wav", square(1.0, 0.1)) for i in range(5)]
    cache = AudioCache(RATE, max_bytes=3 * 4 * RATE)
    for path in (*paths, *paths):
        cache.span(Source(path, "x", 0.0, 1.0))
        assert cache.n_bytes <= cache.max_bytes
    paths[4].unlink()
    assert len(cache.span(Source(paths[4], "x", 0.0, 1.0))) == RATE
    paths[0].unlink()
    with pytest.raises(AudioError, match=r"0\.wav"):
        cache.span(Source(paths[0], "x", 0.0, 1.0))
