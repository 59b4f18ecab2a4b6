"""Codecs there and back: what libsndfile offers, in time with the original."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from kaldi_bridge.training.varying import codecs
from kaldi_bridge.training.varying.codecs import CODECS, Codec, MissingCodec, available, round_trip

signal = pytest.importorskip("scipy.signal", reason="install scipy to run this: sedsdk[train]")

RATES = (8000, 11025, 12000, 16000)
ALL = [(name, rate) for rate in RATES for name in available(rate)]


def speech_like(n: int, seed: int = 3) -> np.ndarray:
    """Noise with a falling spectrum and syllables."""
    rng = np.random.default_rng(seed)
    x = signal.lfilter([1.0], [1.0, -0.9], rng.standard_normal(n))
    x *= 0.2 + np.abs(np.sin(np.arange(n) / 1500))
    return (0.3 * x / np.abs(x).max()).astype(np.float32)


def lateness(late: np.ndarray, original: np.ndarray) -> int:
    likeness = signal.correlate(late, original, method="fft")
    lags = signal.correlation_lags(len(late), len(original))
    return int(lags[np.argmax(likeness)])


@pytest.fixture
def fresh_trials():
    codecs._delay.cache_clear()
    yield
    codecs._delay.cache_clear()


def test_the_codecs_of_any_libsndfile_are_there():
    assert {"ulaw", "alaw", "gsm", "g721", "ima_adpcm", "ms_adpcm"} <= set(available(8000))
    assert "gsm" not in available(16000)


@pytest.mark.parametrize(("name", "rate"), ALL)
def test_nothing_is_late_and_something_is_lost(name, rate):
    x = speech_like(3 * rate + 77)
    y = round_trip(x, rate, name)
    assert y.shape == x.shape
    assert y.dtype == np.float32
    assert abs(lateness(y, x)) <= rate // 1000
    assert 0.75 < np.corrcoef(x, y)[0, 1] < 0.999999


@pytest.mark.parametrize(("name", "rate"), ALL)
@pytest.mark.parametrize("n", [0, 1, 100, 1600])
def test_short_ones_keep_their_length(name, rate, n):
    y = round_trip(speech_like(1600)[:n], rate, name)
    assert len(y) == n
    assert np.isfinite(y).all()


@pytest.mark.parametrize("level", [0.02, 0.05, 0.1])
def test_mu_law_has_the_noise_of_mu_law(level):
    """Smith's formula for 8 bits and a Gaussian: nearly the same noise at any level."""
    x = (level * np.random.default_rng(0).standard_normal(80000)).astype(np.float32)
    error = round_trip(x, 8000, "ulaw") - x
    linear_part = 1 / (255 * level)
    spread = 1 + linear_part**2 + 2 * np.sqrt(2 / np.pi) * linear_part
    expected = 10 * np.log10(3 * 256**2 / np.log(256) ** 2 / spread)
    assert 10 * np.log10(np.mean(x**2) / np.mean(error**2)) == pytest.approx(expected, abs=1.0)


@pytest.mark.skipif("MP3" not in soundfile.available_formats(), reason="needs libsndfile 1.1")
def test_a_late_codec_is_moved_back(monkeypatch, fresh_trials):
    """MP3 at a low constant rate has no room for the tag that says how much to skip."""
    options = {"compression_level": 0.9, "bitrate_mode": "CONSTANT"}
    monkeypatch.setitem(CODECS, "late", Codec("MP3", "MPEG_LAYER_III", (16000,), options))
    x = speech_like(50000)
    raw = codecs._decoded(x, 16000, CODECS["late"])
    assert lateness(raw, x) == 1105  # LAME's 576 and the decoder's 529 samples
    assert lateness(round_trip(x, 16000, "late"), x) == 0
    for n in (800, 4000, 20000):
        assert lateness(round_trip(x[:n], 16000, "late"), x[:n]) == 0


def test_what_libsndfile_lacks_is_left_out_and_refused(monkeypatch, fresh_trials):
    formats = {key: name for key, name in soundfile.available_formats().items() if key != "MP3"}
    monkeypatch.setattr(soundfile, "available_formats", lambda: formats)
    assert "mp3" not in available(16000)
    assert "ima_adpcm" in available(16000)
    with pytest.raises(MissingCodec, match=r"mp3.*16000 Hz.*ima_adpcm.*newer soundfile"):
        round_trip(speech_like(1000), 16000, "mp3")


def test_an_unknown_codec_is_refused_with_those_there_are():
    with pytest.raises(MissingCodec, match="gsm, g721"):
        round_trip(speech_like(1000), 8000, "atrac")
