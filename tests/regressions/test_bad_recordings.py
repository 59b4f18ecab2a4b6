"""Recordings that break detectors in the field: each works, or gives one clear AudioError."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedsdk import AudioError, Detector, Host, compose, part

RATE = 16_000


@pytest.fixture(scope="module")
def detector() -> Detector:
    pipeline = compose(
        ["a", "b"],
        part("log_mel", sample_rate=RATE, n_mels=16),
        part("crnn", channels=(4, 4), frequency_pooling=(4, 4), rnn_units=4),
        "frame_bce",
        postprocessors=[part("threshold", value=0.9), "to_events"],
        host=Host(discover=False),
        seed=0,
    )
    return Detector(pipeline, block_seconds=2.0, context_seconds=0.5)


def noise(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    generator = np.random.default_rng(0)
    return 0.1 * generator.standard_normal((round(seconds * rate), channels)).astype(np.float32)


def refusal(detector: Detector, path: Path) -> str:
    with pytest.raises(AudioError) as error:
        detector(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_an_empty_file(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    assert "is empty" in refusal(detector, path)


def test_a_header_without_samples(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "header.wav"
    soundfile.write(path, np.zeros(0, np.float32), RATE)
    assert "no samples" in refusal(detector, path)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file(detector: Detector, tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, noise(6.0), RATE)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "truncated" in refusal(detector, path)


def test_text_named_wav(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("Monday: buy a microphone.\n" * 50)
    assert "is no audio" in refusal(detector, path)


def test_a_missing_file_and_a_folder(detector: Detector, tmp_path: Path) -> None:
    assert "does not exist" in refusal(detector, tmp_path / "gone.wav")
    assert "is a folder" in refusal(detector, tmp_path)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite")])
@pytest.mark.parametrize("seconds", [1.0, 9.0])
def test_samples_that_are_not_finite(
    detector: Detector, tmp_path: Path, value: float, word: str, seconds: float
) -> None:
    samples = noise(seconds)
    samples[-100] = value
    path = tmp_path / "overflow.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    assert word in refusal(detector, path)
    with pytest.raises(AudioError, match=word):
        detector(samples, RATE)


def test_arrays_that_are_no_recording(detector: Detector) -> None:
    for array, rate in (
        (np.zeros(0, np.float32), RATE),
        (np.zeros((2, 3, 4), np.float32), RATE),
        (np.zeros((2, 9000), np.float32), RATE),
        (np.zeros(9000, np.float32), 0),
        (np.zeros(9000, np.float32), float("nan")),
        (np.array(["a", "b"]), RATE),
    ):
        with pytest.raises(AudioError):
            detector(array, rate)


def is_sound(detector: Detector, path: Path, seconds: float) -> bool:
    """True if scores are probabilities and about one frame is given per hop."""
    scores = detector.frames(path)
    frames = seconds / scores.grid.hop_seconds
    return bool(
        np.isfinite(scores.probabilities).all()
        and (scores.probabilities >= 0).all()
        and (scores.probabilities <= 1).all()
        and frames - 3 <= len(scores.times) <= frames + 3
    )


def test_one_sample(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "click.wav"
    soundfile.write(path, np.full(1, 0.5, np.float32), RATE)
    assert detector(path) == []
    assert is_sound(detector, path, 0.0)


def test_one_sample_at_a_far_higher_rate(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "click.wav"
    soundfile.write(path, np.full(1, 0.5, np.float32), 192_000)
    assert detector(path) == []


def test_silence(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros(10 * RATE, np.float32), RATE)
    assert detector(path) == []
    assert is_sound(detector, path, 10.0)


def test_eight_channels_are_their_mean(detector: Detector, tmp_path: Path) -> None:
    path, mono = tmp_path / "array.wav", tmp_path / "mono.wav"
    samples = noise(3.0, channels=8)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    soundfile.write(mono, samples.mean(axis=1), RATE, subtype="FLOAT")
    found, expected = detector.frames(path), detector.frames(mono)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_192_kilohertz(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "bats.wav"
    soundfile.write(path, noise(7.0, 192_000), 192_000, subtype="PCM_24")
    assert is_sound(detector, path, 7.0)


def test_the_good_ones_among_the_bad_are_searched(detector: Detector, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    soundfile.write(good, noise(1.0), RATE)
    bad.write_text("no sound")
    found = list(detector.detect_many([bad, good, tmp_path / "gone.wav", good]))
    assert [type(detection.error) for detection in found] == [
        AudioError,
        type(None),
        AudioError,
        type(None),
    ]
