"""Attention maps of a whole recording, heard at once or block by block."""

from __future__ import annotations

from typing import Any

import map_parts
import numpy as np
import pytest

from sedsdk import Host, Pipeline, compose, part
from sedsdk.errors import DataError
from sedsdk.runtime.attention import AttentionMap, predict_with_attention
from sedsdk.runtime.detector import Detector
from sedsdk.types import FrameGrid

RATE = 8000
SCALES = {"mask 1": 1, "mask 1/2": 2, "mask 1/4": 4, "mask 1/8": 8}


def make(encoder: Any, head: Any = "frame_bce") -> Pipeline:
    return compose(
        ["alarm", "bell"],
        part("log_mel", sample_rate=RATE, n_mels=16, n_fft=512, hop_seconds=0.02),
        encoder,
        head,
        postprocessors=["threshold", "to_events"],
        host=Host(plugins=[("maps", map_parts)], discover=False),
        seed=0,
    )


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype("float32")


def test_a_detector_gives_its_prediction_and_every_map_on_its_own_grid() -> None:
    detector = Detector(make("levels"))
    prediction, maps = predict_with_attention(detector, noise(2.0), RATE)
    np.testing.assert_array_equal(prediction.frames, detector.predict(noise(2.0), RATE).frames)
    assert list(maps) == list(SCALES)
    grid = detector.grid
    for name, scale in SCALES.items():
        assert maps[name].values.shape == (-(-101 // scale), 16 // scale)
        assert maps[name].grid == grid.reduced(scale)
    assert not detector.pipeline.encoder._forward_hooks
    assert not detector.pipeline.head._forward_hooks


def test_maps_of_blocks_join_to_those_of_the_whole() -> None:
    """Blocks of 1.6 s (rounded up to frames) hold whole frames of every map, as contexts do."""
    pipeline, samples = make(part("levels", curve=True)), noise(7.3)
    _, whole = predict_with_attention(Detector(pipeline), samples, RATE)
    detector = Detector(pipeline, block_seconds=1.599, context_seconds=0.479)
    done: list[tuple[int, int]] = []
    _, joined = predict_with_attention(
        detector, samples, RATE, lambda count, total: done.append((count, total))
    )
    assert list(joined) == [*SCALES, "level"]
    for name, map_ in joined.items():
        assert map_.grid == whole[name].grid
        np.testing.assert_allclose(map_.values, whole[name].values, atol=1e-5)
    assert done == [(count, 5) for count in range(1, 6)]


@pytest.mark.parametrize("seconds", [0.013, 0.9, 2.9, 4.41, 6.97])
def test_a_click_stays_in_its_place_where_blocks_cut_a_maps_frames(seconds: float) -> None:
    samples = np.zeros(round(7.3 * RATE), dtype="float32")
    samples[round(seconds * RATE)] = 1.0
    detector = Detector(make("levels"), block_seconds=1.0, context_seconds=0.3)
    _, maps = predict_with_attention(detector, samples, RATE)
    for name, map_ in maps.items():
        heard = map_.grid.times(len(map_.values))[map_.values.mean(1).argmax()]
        assert abs(heard - seconds) <= map_.grid.hop_seconds + 0.02, name
        assert abs(len(map_.values) * map_.grid.hop_seconds - 7.3) <= 1.5 * map_.grid.hop_seconds


def test_a_heads_weights_are_named_after_its_classes() -> None:
    detector = Detector(make("levels", part("clip_bce", pooling="attention")))
    prediction, maps = predict_with_attention(detector, noise(1.0), RATE)
    weights = maps["head attention"]
    assert weights.features == ("alarm", "bell")
    assert weights.values.shape == prediction.frames.shape
    np.testing.assert_allclose(weights.values.sum(0), 1.0, rtol=1e-5)


def test_weights_between_frames_cannot_be_joined() -> None:
    crnn = part("crnn", channels=[4], frequency_pooling=[16], rnn_units=4, self_attention=True)
    detector = Detector(make(crnn), block_seconds=1.0, context_seconds=0.3)
    _, maps = predict_with_attention(detector, noise(1.9), RATE)
    assert maps["self_attention"].values.shape == (96, 96)
    with pytest.raises(DataError, match=r"recording of over 2 s is heard in blocks"):
        predict_with_attention(detector, noise(5.0), RATE)
    assert not detector.pipeline.encoder._forward_hooks


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [(0.0, 9.0, range(10)), (0.2, 0.4, (2, 3)), (0.25, 0.31, (2, 3)), (2.0, 3.0, ())],
)
def test_a_stretch_keeps_the_frames_that_lie_in_it(start: float, end: float, kept: Any) -> None:
    """Frame i stands for 0.1 · i to 0.1 · (i + 1) seconds."""
    whole = AttentionMap(np.arange(10.0)[:, None], FrameGrid(0.1, 0.05))
    part_of_it = whole.between(start, end)
    assert part_of_it.values[:, 0].tolist() == list(kept)
    times = part_of_it.grid.times(len(part_of_it.values))
    np.testing.assert_allclose(times, [0.05 + 0.1 * i for i in kept])
