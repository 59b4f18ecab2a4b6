"""Toy detectors: the probability of a frame is a logistic function of its level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import toy_parts
from toy_parts import LOUD, SLOPE, MakePipeline

from sedsdk import Host, Pipeline, compose, part
from sedsdk.runtime.detector import Detector


@pytest.fixture
def host() -> Host:
    return Host(plugins=[toy_parts], discover=False)


@pytest.fixture
def make_pipeline(host: Host) -> MakePipeline:
    def make(
        frontend: Any = "level",
        encoder: Any = "smooth",
        postprocessors: Any = ("threshold", "to_events"),
        labels: Any = ("loud",),
    ) -> Pipeline:
        pipeline = compose(
            labels, frontend, encoder, "frame_bce", postprocessors=postprocessors, host=host, seed=1
        )
        with torch.no_grad():
            layer = pipeline.head.output[0]
            layer.weight.fill_(SLOPE / layer.weight.shape[1])
            layer.bias.fill_(-SLOPE * LOUD)
        return pipeline

    return make


@pytest.fixture
def crnn_pipeline(host: Host) -> Callable[..., Pipeline]:
    """A random convolutional network over the level, at ten milliseconds a frame."""

    def make(**options: Any) -> Pipeline:
        encoder = part("crnn", channels=(4, 4), frequency_pooling=(1, 1), rnn_units=4, **options)
        return compose(("a", "b"), "level", encoder, "frame_bce", host=host, seed=3).eval()

    return make


@pytest.fixture
def detector(make_pipeline: MakePipeline) -> Detector:
    return Detector(make_pipeline())
