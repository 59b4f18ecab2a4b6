from __future__ import annotations

import numpy as np
import pytest
import torch

from sedsdk import Host, Pipeline, compose, part
from sedsdk.builtin.identity import Identity
from sedsdk.stages import ConditionerConfig, StreamSpec
from sedsdk.testing import check_part
from sedsdk.testing.batches import stream_batch
from sedsdk.types import FrameGrid

HOST = Host(discover=False)
STREAMS = {"main": StreamSpec(16, FrameGrid(0.02)), "asr": StreamSpec(6, FrameGrid(0.03))}


def made(*conditioners: object) -> Pipeline:
    """Returns a small pipeline; its weights are the same whatever conditions its input."""
    return compose(
        ["a", "b"],
        part("log_mel", sample_rate=8000, n_mels=16, n_fft=512),
        part("crnn", channels=(8,), frequency_pooling=(4,), rnn_units=6),
        "frame_bce",
        conditioners,  # type: ignore[arg-type]
        host=HOST,
        seed=0,
    ).eval()


def losses(pipeline: Pipeline) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    batch = stream_batch(pipeline.streams, (30, 12, 1), 2, generator)
    with torch.no_grad():
        return pipeline.training_losses(batch.inputs, batch.targets, generator)


def test_nothing_changes() -> None:
    batch = stream_batch(STREAMS, (9, 4), 2, torch.Generator().manual_seed(0))
    part = Identity(ConditionerConfig(), STREAMS)
    inputs, targets = part(batch.inputs, batch.targets, torch.Generator())
    assert inputs is batch.inputs
    assert targets is batch.targets


def test_appending_trains_on_every_clip_twice() -> None:
    plain = losses(made())
    assert plain.shape == (3,)
    twice = losses(made(part("identity", mode="append")))
    torch.testing.assert_close(twice, torch.cat([plain, plain]), rtol=0, atol=1e-6)


def test_replacing_does_nothing() -> None:
    assert torch.equal(losses(made("identity")), losses(made()))


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_inference_is_that_of_a_pipeline_without_it(mode: str) -> None:
    noise = 0.1 * np.random.default_rng(0).normal(size=8000).astype(np.float32)
    (clip,) = made(part("identity", mode=mode, inference="average")).predict([noise], 8000)
    (plain,) = made().predict([noise], 8000)
    np.testing.assert_array_equal(clip.frames, plain.frames)
    np.testing.assert_array_equal(clip.clip, plain.clip)


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_conforms(mode: str) -> None:
    check_part("conditioner", "identity", {"mode": mode}, HOST)
