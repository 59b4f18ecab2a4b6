"""Only the sound's own path learns: no weight of the recogniser moves, no gradient reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sedsdk_gradual
import torch
from pydantic import Field
from torch import Tensor, nn

from kaldi_bridge import plugin as kaldi
from sedsdk import (
    Features,
    FrameGrid,
    Frontend,
    Host,
    Inputs,
    PartConfig,
    PartSpec,
    Pipeline,
    StreamSpec,
    Targets,
    compose,
    hookimpl,
    part,
)

RATE = 8000
SMALL: dict[str, Any] = {"channels": 4, "spectral_window": 20, "temporal_units": 6, "rnn_units": 4}
SOUND = part(
    "log_mel",
    sample_rate=RATE,
    window_seconds=0.02,
    hop_seconds=0.01,
    drop_last=True,
    n_mels=6,
    normalise="min_max",
    average_frames=5,
    context_frames=2,
)


class RecogniserConfig(PartConfig):
    """Options of `Recogniser`."""

    frozen: bool = Field(True, description="give embeddings without a gradient")


class Recogniser(Frontend):
    """A linear layer on 30 ms of samples: an acoustic model with weights of its own."""

    Config = RecogniserConfig
    config: RecogniserConfig

    def __init__(self, config: RecogniserConfig) -> None:
        super().__init__(config)
        self.sample_rate = RATE
        self.hop = round(0.03 * RATE)
        self.spec = StreamSpec(5, FrameGrid(0.03, 0.015))
        self.layer = nn.Linear(self.hop, 5).requires_grad_(not config.frozen)

    def frame_count(self, n_samples: int) -> int:
        return max(1, n_samples // self.hop)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        counts = (lengths // self.hop).clamp(min=1)
        windows = waveforms[:, : int(counts.max()) * self.hop].unflatten(1, (-1, self.hop))
        with torch.set_grad_enabled(not self.config.frozen and torch.is_grad_enabled()):
            return Features(self.layer(windows), counts, self.spec.grid).zero_padded()


class StandIn:
    """A plugin that offers the recogniser."""

    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_frontends(self) -> Iterator[PartSpec]:
        yield PartSpec("recogniser", f"{__name__}:Recogniser", "a stand-in", "")


def pipeline_with(speech: Any, encoder: str = "gradual", **options: Any) -> Pipeline:

    host = Host([StandIn(), ("gradual", sedsdk_gradual), ("kaldi", kaldi)], discover=False)
    return compose(
        ["babycry", "gunshot"],
        {"main": SOUND, "asr": speech},
        part(encoder, **options),
        "frame_bce",
        host=host,
        seed=0,
    )


def sounds(*seconds: float) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.uniform(-0.5, 0.5, round(each * RATE)).astype(np.float32) for each in seconds]


def targets_of(inputs: Inputs) -> Targets:
    """Alternating labels, all known."""
    main = inputs.main
    batch, n_frames, _ = main.values.shape
    frames = (torch.arange(n_frames) // 7 % 2).float().view(1, -1, 1).expand(batch, -1, 2).clone()
    known = main.mask().unsqueeze(2).expand(-1, -1, 2).clone()
    return Targets(frames.amax(1), torch.ones(batch, 2).bool(), frames, known, main.grid)


def train(pipeline: Pipeline, steps: int = 2) -> Inputs:
    """Takes steps of Adam on every weight, frozen or not; returns the last streams."""
    pipeline.train()
    optimiser = torch.optim.Adam(pipeline.parameters(), lr=0.01)
    audio = pipeline.batch(sounds(2.0, 1.2, 1.7), RATE)
    for _ in range(steps):
        inputs = pipeline.features(audio)
        loss = pipeline.training_losses(inputs, targets_of(inputs), torch.Generator()).mean()
        assert bool(loss.isfinite())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return inputs


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    now = module.state_dict()
    return {name for name, value in before.items() if not torch.equal(now[name], value)}


def learning(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("asr_norm", [True, False])
def test_a_frozen_recogniser_stays_and_all_the_rest_learns(asr_norm: bool) -> None:
    pipeline = pipeline_with(part("recogniser"), asr_norm=asr_norm, **SMALL)
    speech: Any = pipeline.frontends["asr"]
    frozen, encoder, head = (copied(each) for each in (speech, pipeline.encoder, pipeline.head))
    inputs = train(pipeline)
    assert not inputs["asr"].values.requires_grad
    assert all(parameter.grad is None for parameter in speech.parameters())
    assert not moved(speech, frozen)
    assert moved(pipeline.encoder, encoder) >= learning(pipeline.encoder)
    assert moved(pipeline.head, head) == learning(pipeline.head)


def test_the_encoder_has_no_say_in_it() -> None:
    """A recogniser that asks for a gradient gets one; nothing in the encoder cuts it."""
    pipeline = pipeline_with(part("recogniser", frozen=False), **SMALL)
    speech: Any = pipeline.frontends["asr"]
    before = copied(speech)
    assert train(pipeline)["asr"].values.requires_grad
    assert moved(speech, before) == {"layer.weight", "layer.bias"}


def test_the_embeddings_come_before_the_last_dense_layer() -> None:
    """Its weights for them learn; the sound's path gives the same hidden frames without them."""
    pipeline = pipeline_with(part("recogniser"), **SMALL).eval()
    output: Any = pipeline.head.output[-1]
    assert output.weight.shape == (2, 2 * 4 + 5)
    inputs = pipeline.features(pipeline.batch(sounds(2.0), RATE))
    silent = inputs["asr"]
    silent = Features(torch.zeros_like(silent.values), silent.lengths, silent.grid)
    with torch.no_grad():
        heard = pipeline.encoder(inputs).frames.values
        deaf = pipeline.encoder(inputs.with_stream("asr", silent)).frames.values
    assert torch.equal(heard[..., :8], deaf[..., :8])
    assert not torch.equal(heard[..., 8:], deaf[..., 8:])


@pytest.mark.parametrize(
    ("encoder", "options"),
    [("gradual", SMALL), ("asr_finetune", {}), ("asr_finetune", {"asr_norm": False})],
)
def test_a_kaldi_model_stays_as_it_is(
    encoder: str, options: dict[str, Any], tmp_path: Path
) -> None:
    recipe = pytest.importorskip(
        "made_recipe", reason="the small Kaldi models lie in tests/kaldi_bridge of the repository"
    )
    model = recipe.make_recipe(tmp_path)
    pipeline = pipeline_with(part("tdnnf_embedding", model=str(model)), encoder, **options)
    speech: Any = pipeline.frontends["asr"]
    assert not list(speech.parameters())
    network = speech.acoustic_model
    before = copied(network)
    assert before
    head = copied(pipeline.head)
    inputs = train(pipeline)
    assert not inputs["asr"].values.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not moved(network, before)
    assert not network.training
    assert moved(pipeline.head, head) == learning(pipeline.head)
    frames = pipeline.encoder.spec.frames
    assert frames.grid.hop_seconds == pytest.approx(0.1)
    assert frames.size == recipe.NODE_DIM + (8 if encoder == "gradual" else 0)


def test_the_kaldi_stream_alone_may_be_the_main_one(tmp_path: Path) -> None:
    """The fine-tuning network with one frontend, pooled to 100 ms by itself."""
    recipe = pytest.importorskip(
        "made_recipe", reason="the small Kaldi models lie in tests/kaldi_bridge of the repository"
    )
    frontend = part("tdnnf_embedding", model=str(recipe.make_recipe(tmp_path)), hop_seconds=0.1)
    pipeline = compose(["babycry", "gunshot"], frontend, "asr_finetune", "frame_bce", seed=0)
    inputs = train(pipeline)
    assert inputs.main.lengths.tolist() == [20, 12, 17]
    prediction = pipeline.eval()(inputs)
    assert prediction.frames.shape == (3, 20, 2)
    assert prediction.lengths.tolist() == [20, 12, 17]
