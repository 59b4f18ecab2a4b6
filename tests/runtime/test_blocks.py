"""Long recordings: what comes out block by block is what the whole recording gives."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_parts import MakePipeline

from sedsdk import ConfigError, part
from sedsdk.runtime.blocks import Track, plan_blocks
from sedsdk.runtime.detector import Detector

RATE = 8000


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    slow = np.abs(np.sin(np.arange(round(seconds * rate)) / rate * 1.7))
    return (0.5 * slow * generator.standard_normal(len(slow))).clip(-1, 1).astype(np.float32)


def whole(pipeline, samples, rate=RATE):
    return Detector(pipeline, block_seconds=1e4).predict(samples, rate)


def in_blocks(pipeline, samples, block, context, rate=RATE):
    return Detector(pipeline, block_seconds=block, context_seconds=context).predict(samples, rate)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n_samples=st.integers(1, 40_000),
    block=st.floats(0.1, 2.0),
    width=st.sampled_from([1, 3, 7]),
    join=st.integers(1, 4),
    hop=st.sampled_from([80, 81, 113, 80.5]),
)
def test_blocks_with_enough_context_give_the_whole_recordings_frames(
    make_pipeline: MakePipeline, n_samples: int, block: float, width: int, join: int, hop: float
) -> None:
    pipeline = make_pipeline(
        part("level", hop_samples=hop), part("smooth", frames=width, join=join)
    )
    samples = noise(n_samples / RATE)
    expected = whole(pipeline, samples)
    found = in_blocks(pipeline, samples, block, 0.3)
    assert found.frames.shape == expected.frames.shape
    np.testing.assert_allclose(found.frames, expected.frames, atol=1e-5)
    np.testing.assert_allclose(found.clip, expected.clip, atol=1e-5)


def test_a_convolutional_network_gives_the_same_frames_block_by_block(crnn_pipeline) -> None:
    pipeline, samples = crnn_pipeline(rnn_layers=0), noise(21.3)
    expected, found = whole(pipeline, samples), in_blocks(pipeline, samples, 3.0, 0.1)
    assert expected.frames.std(axis=0).min() > 1e-4
    np.testing.assert_allclose(found.frames, expected.frames, atol=1e-5)


def test_a_recurrent_network_comes_close_and_closer_with_more_context(crnn_pipeline) -> None:
    pipeline, samples = crnn_pipeline(rnn_layers=1), noise(21.3)
    expected = whole(pipeline, samples).frames
    error = [
        np.abs(in_blocks(pipeline, samples, 3.0, context).frames - expected).max()
        for context in (0.0, 0.05, 1.0)
    ]
    assert error[2] < 1e-5 < error[0]
    assert error[1] < error[0]


def test_two_streams_of_other_rates_and_hops_stay_in_step(make_pipeline: MakePipeline) -> None:
    streams = {
        "main": part("level", sample_rate=11_025, hop_samples=225, window_samples=441),
        "other": part("level", sample_rate=8000, hop_samples=240, window_samples=320),
    }
    pipeline = make_pipeline(streams, part("smooth", also="other", join=2))
    assert plan_blocks(pipeline, 8.0, 0.5).step == 12  # both hops, joined by two, meet every 6 s
    samples = noise(70.0, 22_050)
    expected = whole(pipeline, samples, 22_050)
    found = in_blocks(pipeline, samples, 8.0, 0.5, 22_050)
    assert len(expected.frames) > 1500
    np.testing.assert_allclose(found.frames, expected.frames, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 22_050])
def test_a_file_gives_what_its_samples_give(make_pipeline, tmp_path, rate) -> None:
    path, samples = tmp_path / "noise.wav", noise(33.7, rate)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    detector = Detector(make_pipeline(), block_seconds=3.0, context_seconds=0.3)
    expected = whole(make_pipeline(), samples, rate)
    found = detector.predict(path)
    assert found.frames.shape == expected.frames.shape
    np.testing.assert_allclose(found.frames, expected.frames, atol=1e-4)
    assert len(found.events) == len(expected.events) > 3
    for event, twin in zip(found.events, expected.events, strict=True):
        assert (event.onset, event.offset) == pytest.approx((twin.onset, twin.offset), abs=0.011)


def test_an_event_over_a_block_border_is_one_event(make_pipeline: MakePipeline) -> None:
    samples = np.zeros(RATE * 20, np.float32)
    samples[round(3.7 * RATE) : round(8.4 * RATE)] = 0.5
    (event,) = in_blocks(make_pipeline(), samples, 2.0, 0.1).events
    assert (event.onset, event.offset) == pytest.approx((3.7, 8.4), abs=0.011)


def test_the_plan_is_exact_for_a_hop_that_is_no_whole_number_of_milliseconds(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(
        part("level", sample_rate=44_100, hop_samples=1014), part("smooth", join=4)
    )
    plan = plan_blocks(pipeline, 60.0, 5.0)
    frame = Fraction(4 * 1014, 44_100)
    assert (plan.step / frame).denominator == 1
    assert (plan.context / frame).denominator == 1
    assert (plan.step * 44_100).denominator == 1
    assert 60 <= plan.step < 60 + frame
    assert 5 <= plan.context < 5 + frame


def test_hops_without_a_common_multiple_are_aligned_to_the_main_stream(
    make_pipeline: MakePipeline,
) -> None:
    streams = {
        "main": part("level", sample_rate=8000, hop_samples=80),
        "other": part("level", sample_rate=8111, hop_samples=83, window_samples=83),
    }
    pipeline = make_pipeline(streams, part("smooth", also="other"))
    assert plan_blocks(pipeline, 5.0, 0.0).step == 5
    samples = noise(23.0)
    expected, found = whole(pipeline, samples), in_blocks(pipeline, samples, 5.0, 0.5)
    assert found.frames.shape == expected.frames.shape


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"block_seconds": 0.0}, "block_seconds is 0.0"),
        ({"block_seconds": float("nan")}, "block_seconds is nan"),
        ({"context_seconds": -1.0}, "context_seconds is -1.0"),
    ],
)
def test_lengths_out_of_range_are_refused(make_pipeline, lengths, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Detector(make_pipeline(), **lengths)


@given(
    pieces=st.lists(st.integers(0, 30), max_size=12),
    cuts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=6),
)
def test_a_track_reads_what_slicing_the_whole_recording_gives(
    pieces: list[int], cuts: list[tuple[int, int]]
) -> None:
    everything = np.arange(sum(pieces), dtype=np.float32)
    track = Track(iter(np.split(everything, np.cumsum(pieces)[:-1]) if pieces else []), 10)
    start = 0
    for step, length in cuts:
        start += step
        stop = start + length
        assert track.ends_by(Fraction(stop, 10)) == (len(everything) <= stop)
        found = track.read(Fraction(start, 10), Fraction(stop, 10))
        np.testing.assert_array_equal(found, everything[start:stop])
    np.testing.assert_array_equal(track.read(Fraction(start, 10), None), everything[start:])
    assert track.seconds == len(everything) / 10
