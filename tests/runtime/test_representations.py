"""Frames of an encoder or of a layer inside it, heard at once or block by block."""

from __future__ import annotations

from typing import Any

import map_parts
import numpy as np
import pytest
import torch

from sedsdk import Host, Pipeline, compose, hookimpl, part
from sedsdk.errors import AudioError, DataError
from sedsdk.runtime.attention import predict_with_attention
from sedsdk.runtime.detector import Detector
from sedsdk.runtime.representations import frame_representations

RATE = 8000


def make(encoder: Any) -> Pipeline:
    return compose(
        ["alarm", "bell"],
        part("log_mel", sample_rate=RATE, n_mels=16, n_fft=512, hop_seconds=0.02),
        encoder,
        "frame_bce",
        host=Host(plugins=[("maps", map_parts)], discover=False),
        seed=0,
    )


def attentive() -> Pipeline:
    return make(part("crnn", channels=[4], frequency_pooling=[4], rnn_units=3, self_attention=True))


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype("float32")


def features(pipeline: Pipeline, samples: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return pipeline.features(pipeline.batch([samples], RATE)).main.values[0].numpy()


def test_the_frames_are_what_the_encoder_gives() -> None:
    """The encoder "levels" passes its input through."""
    pipeline = make("levels")
    found = frame_representations(Detector(pipeline), noise(1.5), RATE)
    np.testing.assert_array_equal(found.values, features(pipeline, noise(1.5)))
    assert found.grid == pipeline.encoder.spec.frames.grid
    assert not pipeline.encoder._forward_hooks


def test_frames_of_blocks_join_to_those_of_the_whole() -> None:
    pipeline, done = make("levels"), []
    detector = Detector(pipeline, block_seconds=1.0, context_seconds=0.3)
    found = frame_representations(
        detector, noise(7.3), RATE, on_block=lambda count, total: done.append((count, total))
    )
    np.testing.assert_allclose(found.values, features(pipeline, noise(7.3)), atol=1e-5)
    assert done == [(count, 7) for count in range(1, 8)]


def test_a_layer_inside_is_reached_by_its_name() -> None:
    """Behind self-attention with weights W and values V stands W · V."""
    pipeline, values = attentive(), []
    detector = Detector(pipeline)
    hook = pipeline.encoder.attention.value.register_forward_hook(
        lambda module, inputs, output: values.append(output[0].numpy())
    )
    _, maps = predict_with_attention(detector, noise(1.0), RATE)
    hook.remove()
    found = frame_representations(detector, noise(1.0), RATE, layer="attention")
    assert found.values.shape == (51, 16)
    np.testing.assert_allclose(
        found.values, maps["self_attention"].values @ values[0], rtol=1e-4, atol=1e-6
    )
    assert not pipeline.encoder.attention._forward_hooks


def test_a_clip_shorter_than_a_frame_has_one() -> None:
    found = frame_representations(Detector(make("levels")), noise(0.005), RATE)
    assert found.values.shape == (1, 16)


def test_a_recurrent_layer_gives_its_first_output() -> None:
    found = frame_representations(Detector(attentive()), noise(1.0), RATE, "recurrent.gru")
    assert found.values.shape == (51, 6)


def test_a_layer_without_a_value_per_frame_is_refused() -> None:
    detector = Detector(attentive())
    with pytest.raises(DataError, match=r'layer "blocks.0.conv" gives \(1, 4, 51, 16\)'):
        frame_representations(detector, noise(1.0), RATE, "blocks.0.conv")
    assert not detector.pipeline.encoder._forward_hooks
    assert not detector.pipeline.encoder.blocks[0].conv._forward_hooks


def test_an_unknown_layer_is_compared_with_those_there_are() -> None:
    with pytest.raises(DataError, match=r'no layer "atention". Did you mean "attention"'):
        frame_representations(Detector(attentive()), noise(1.0), RATE, "atention")


def test_no_observer_is_told() -> None:
    told: list[str] = []

    class Observer:
        SEDSDK_API = (1, 1)

        @hookimpl
        def sedsdk_events_detected(self, recording, events):
            told.append(recording)

    pipeline = compose(
        ["alarm"],
        part("log_mel", sample_rate=RATE, n_mels=16, n_fft=512),
        part("crnn", channels=[4], frequency_pooling=[16], rnn_units=4),
        "frame_bce",
        postprocessors=[part("threshold", value=0.0), "to_events"],
        host=Host(plugins=[("observer", Observer())], discover=False),
        seed=0,
    )
    detector = Detector(pipeline)
    frame_representations(detector, noise(1.0), RATE)
    assert told == []
    detector.predict(noise(1.0), RATE)
    assert told == ["array"]


def test_samples_without_their_rate_are_refused() -> None:
    with pytest.raises(AudioError, match="without their sample rate"):
        frame_representations(Detector(make("levels")), noise(1.0))
