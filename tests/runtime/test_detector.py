"""A detector in an application: files and arrays in, events and probabilities out."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import toy_parts
from toy_parts import LOUD, SLOPE, MakePipeline

import sedsdk
from sedsdk import AudioError, ConfigError, Event, Host
from sedsdk.hooks import hookimpl
from sedsdk.runtime.detector import ARRAY_NAME, Detector

RATE = 8000


def burst(onset: float, offset: float, seconds: float, level: float = 0.5) -> np.ndarray:
    """Silence with a stretch of constant level."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    samples[round(onset * RATE) : round(offset * RATE)] = level
    return samples


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "burst.wav"
    soundfile.write(path, burst(0.5, 1.2, 2.0), RATE, subtype="FLOAT")
    return path


def test_events_of_a_file_and_of_its_samples_are_the_same(detector, recording) -> None:
    (event,) = detector(recording)
    assert event.label == "loud"
    assert (event.onset, event.offset) == pytest.approx((0.5, 1.2), abs=1e-9)
    assert event.score == pytest.approx(1 / (1 + np.exp(-SLOPE * (0.5 - LOUD))), abs=1e-6)
    assert detector(str(recording)) == [event]
    assert detector(burst(0.5, 1.2, 2.0), RATE) == [event]
    assert detector((burst(0.5, 1.2, 2.0) * 2**15).astype(np.int16), RATE) == [event]
    assert detector(np.stack([burst(0.5, 1.2, 2.0)] * 2, axis=1), RATE) == [event]


def test_tags_are_the_largest_frame_probability_of_this_head(detector, recording) -> None:
    tags = detector.tags(recording)
    assert list(tags) == ["loud"]
    assert tags["loud"] == pytest.approx(1 / (1 + np.exp(-SLOPE * (0.5 - LOUD))), abs=1e-6)


def test_frames_have_the_times_of_their_centres(detector, recording) -> None:
    scores = detector.frames(recording)
    assert scores.labels == ("loud",)
    assert scores.probabilities.shape == (200, 1)
    assert scores.probabilities.dtype == np.float32
    np.testing.assert_allclose(scores.times, 0.005 + 0.01 * np.arange(200), atol=1e-12)
    loud = scores.times[scores.probabilities[:, 0] > 0.5]
    assert (loud[0], loud[-1]) == pytest.approx((0.505, 1.195))
    assert scores.grid == detector.grid


def test_predict_gives_everything_at_once(detector, recording) -> None:
    prediction = detector.predict(recording)
    assert list(prediction.events) == detector(recording)
    assert prediction.active.sum() == 70
    np.testing.assert_array_equal(prediction.frames, detector.frames(recording).probabilities)


def test_what_it_expects_can_be_asked_for(detector) -> None:
    assert detector.labels == ("loud",)
    assert detector.sample_rates == (8000,)
    assert detector.grid == sedsdk.FrameGrid(0.01, 0.005)
    assert detector.config.head.part == "frame_bce"
    assert detector.shortest_clip_seconds == 0.01


def test_audio_of_another_rate_is_resampled(detector) -> None:
    times = np.arange(2 * 44_100) / 44_100
    tone = (0.9 * np.sin(2 * np.pi * 440 * times) * (times >= 1.0)).astype(np.float32)
    (event,) = detector(tone, 44_100)
    assert (event.onset, event.offset) == pytest.approx((1.0, 2.0), abs=0.011)


def test_shorter_than_the_shortest_clip_is_padded_and_reported_within_its_length(
    make_pipeline: MakePipeline,
) -> None:
    detector = Detector(make_pipeline(), shortest_clip_seconds=0.5)
    scores = detector.frames(np.full(1000, 0.5, np.float32), RATE)
    assert len(scores.times) == 13  # frames that begin before 0.125 s
    (event,) = detector(np.full(1000, 0.5, np.float32), RATE)
    assert (event.onset, event.offset) == (0.0, 0.125)


def test_one_sample_works(detector) -> None:
    assert detector(np.zeros(1, np.float32), RATE) == []
    assert len(detector.frames(np.zeros(1, np.float32), RATE).times) == 1


def test_silence_gives_finite_scores_and_no_events(detector) -> None:
    silence = np.zeros(RATE, np.float32)
    assert detector(silence, RATE) == []
    assert np.isfinite(detector.frames(silence, RATE).probabilities).all()
    assert detector.tags(silence, RATE)["loud"] < 1e-6


def test_samples_need_a_rate_and_a_file_has_its_own(detector, recording) -> None:
    with pytest.raises(AudioError, match=r"sample_rate=44100"):
        detector(np.zeros(100, np.float32))
    with pytest.raises(AudioError, match="states its own sample rate"):
        detector(recording, 8000)


def test_a_pipeline_without_events_says_so_and_still_tags(make_pipeline: MakePipeline) -> None:
    detector = Detector(make_pipeline(postprocessors=()))
    silence = np.zeros(RATE, np.float32)
    with pytest.raises(ConfigError, match="to_events"):
        detector(silence, RATE)
    assert detector.predict(silence, RATE).events is None
    assert set(detector.tags(silence, RATE)) == {"loud"}


def test_a_bad_recording_among_many_is_reported_and_the_rest_done(
    detector, recording, tmp_path
) -> None:
    reported: list[tuple[str, Exception]] = []
    missing = tmp_path / "missing.wav"
    found = list(
        detector.detect_many(
            [recording, missing, recording], lambda *report: reported.append(report)
        )
    )
    assert [detection.path for detection in found] == [str(recording), str(missing), str(recording)]
    assert [len(detection.events) for detection in found] == [1, 0, 1]
    assert isinstance(found[1].error, AudioError)
    assert found[0].error is None
    assert reported == [(str(missing), found[1].error)]


def test_many_recordings_stop_at_a_pipeline_that_makes_no_events(make_pipeline, recording) -> None:
    with pytest.raises(ConfigError, match="to_events"):
        list(Detector(make_pipeline(postprocessors=())).detect_many([recording]))


class Observer:
    SEDSDK_API = (1, 1)

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[Event, ...]]] = []

    @hookimpl
    def sedsdk_events_detected(self, recording, events) -> None:
        self.seen.append((recording, tuple(events)))


@hookimpl
def sedsdk_events_detected(recording: str) -> None:
    raise RuntimeError(f"no room for {recording}")


def test_observers_hear_once_per_recording_and_a_failing_one_disturbs_nothing(
    make_pipeline: MakePipeline, recording: Path, caplog: pytest.LogCaptureFixture
) -> None:
    observer = Observer()
    failing = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_events_detected=sedsdk_events_detected)
    host = Host(plugins=[toy_parts, ("failing", failing), ("good", observer)], discover=False)
    pipeline = make_pipeline()
    pipeline.host = host
    detector = Detector(pipeline)
    with caplog.at_level(logging.WARNING):
        events = detector(recording)
        detector(np.zeros(100, np.float32), RATE)
        detector.tags(recording)
        detector.frames(recording)
    assert observer.seen == [(str(recording), tuple(events)), (ARRAY_NAME, ())]
    assert sum("plugin failing" in record.message for record in caplog.records) == 2


def test_threads_may_share_a_detector(make_pipeline: MakePipeline) -> None:
    detector = Detector(make_pipeline(), block_seconds=0.5, context_seconds=0.1)
    clips = [burst(0.1 * index, 0.1 * index + 0.4, 3.0) for index in range(1, 13)]
    alone = [detector(clip, RATE) for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda clip: detector(clip, RATE), clips))
    assert together == alone
    assert len({events[0].onset for events in alone}) == len(clips)


def test_samples_that_belong_to_the_caller_stay_as_they_are(detector) -> None:
    samples = burst(0.2, 0.4, 1.0)
    samples.flags.writeable = False
    before = samples.copy()
    detector.predict(samples, RATE)
    np.testing.assert_array_equal(samples, before)
