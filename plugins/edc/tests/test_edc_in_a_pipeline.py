"""Conditioner `edc` in a pipeline: what is trained on, what is fed at inference, what is saved."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sedsdk_edc
import torch
from edc_twin import made_clip, plain_edc
from sedsdk_edc.conditioner import Edc, EdcConfig

from sedsdk import (
    ConfigError,
    Features,
    FrameGrid,
    Inputs,
    Pipeline,
    StreamSpec,
    Targets,
    compose,
    part,
)
from sedsdk.runtime.bundle import load_bundle, save_bundle

BANDS = 16
GRID = FrameGrid(0.02)
LENGTHS = (60, 41, 7)


def pipeline(*conditioners: Any) -> Pipeline:
    """Returns a small tagger; its weights are the same whatever conditions its input."""
    made = compose(
        ["a", "b"],
        part("log_mel", sample_rate=8000, n_mels=BANDS, n_fft=512),
        part("crnn", channels=(8,), frequency_pooling=(4,), rnn_units=6),
        part("clip_bce", pooling="max"),
        list(conditioners),
        seed=0,
    )
    return made.eval()


def batch(grid: FrameGrid = GRID) -> tuple[Inputs, Targets]:
    values = torch.zeros(len(LENGTHS), max(LENGTHS), BANDS)
    for index, length in enumerate(LENGTHS):
        values[index, :length] = torch.from_numpy(made_clip(index, length, BANDS))
    features = Features(values, torch.tensor(LENGTHS), grid)
    clip = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    known = torch.ones_like(clip, dtype=torch.bool)
    frames = torch.zeros(len(LENGTHS), max(LENGTHS), 2)
    nothing = torch.zeros_like(frames, dtype=torch.bool)
    return Inputs({"main": features}), Targets(clip, known, frames, nothing, grid)


def losses(made: Pipeline) -> torch.Tensor:
    inputs, targets = batch(made.streams["main"].grid)
    with torch.no_grad():
        return made.training_losses(inputs, targets, torch.Generator())


def clip_probabilities(made: Pipeline) -> torch.Tensor:
    with torch.no_grad():
        return made(batch(made.streams["main"].grid)[0]).clip


class TestConditioner:
    def test_it_is_the_function(self) -> None:
        inputs, targets = batch()
        streams = {"main": StreamSpec(BANDS, GRID)}
        changed, moved = Edc(EdcConfig(alpha=3.0), streams)(inputs, targets, torch.Generator())
        assert moved is targets
        assert changed.main.grid == inputs.main.grid
        assert torch.equal(changed.main.lengths, inputs.main.lengths)
        expected = sedsdk_edc.condition(inputs.main.values, 3.0, inputs.main.lengths)
        assert torch.equal(changed.main.values, expected)
        for row, length in zip(changed.main.values.numpy(), LENGTHS, strict=True):
            clip = inputs.main.values[LENGTHS.index(length), :length].numpy()
            twin = plain_edc(clip, 3.0)
            np.testing.assert_allclose(row[:length][twin.clear], twin.output[twin.clear], atol=2e-7)

    def test_only_the_named_streams_change(self) -> None:
        inputs, _ = batch()
        inputs = inputs.with_stream("asr", replace(inputs.main, values=2 * inputs.main.values))
        streams = {name: StreamSpec(BANDS, GRID) for name in inputs}
        made = Edc(EdcConfig(streams=("asr",)), streams)
        changed, moved = made(inputs, None, torch.Generator())
        assert moved is None
        assert changed["main"] is inputs["main"]
        assert not torch.equal(changed["asr"].values, inputs["asr"].values)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_a_spoilt_clip_spoils_no_other(self, value: float) -> None:
        inputs, _ = batch()
        values = inputs.main.values.clone()
        values[1, 5, 3] = value
        spoilt = Inputs({"main": replace(inputs.main, values=values)})
        made = Edc(EdcConfig(), {"main": StreamSpec(BANDS, GRID)})
        got = made(spoilt, None, torch.Generator())[0].main.values
        want = made(inputs, None, torch.Generator())[0].main.values
        assert bool(got[1, : LENGTHS[1]].isnan().all())
        for clip in (0, 2):
            assert torch.equal(got[clip], want[clip])

    @pytest.mark.parametrize("alpha", [0.0, -7.0, float("inf"), float("nan")])
    def test_alpha_is_checked(self, alpha: float) -> None:
        with pytest.raises(ConfigError, match="alpha"):
            pipeline(part("edc", alpha=alpha))

    @pytest.mark.parametrize(
        ("stream", "size", "message"),
        [
            ("asr", 64, r'edc: streams names "asr", the pipeline has: main\.'),
            ("main", 2049, r"has 2049 features per frame, EDC takes up to 1300\. Give its front"),
        ],
    )
    def test_streams_are_checked(self, stream: str, size: int, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            Edc(EdcConfig(streams=(stream,)), {"main": StreamSpec(size, GRID)})


class TestModes:
    def test_replacing_trains_on_the_conditioned_clips(self) -> None:
        made = losses(pipeline("edc"))
        assert made.shape == (3,)
        assert not torch.allclose(made, losses(pipeline()))

    def test_appending_trains_on_both(self) -> None:
        made = losses(pipeline(part("edc", mode="append")))
        expected = torch.cat([losses(pipeline()), losses(pipeline("edc"))])
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("inference", ["conditioned", "original", "average"])
    def test_inference(self, inference: str) -> None:
        original, conditioned = clip_probabilities(pipeline()), clip_probabilities(pipeline("edc"))
        assert not torch.allclose(original, conditioned, atol=1e-3)
        expected = {
            "conditioned": conditioned,
            "original": original,
            "average": (original + conditioned) / 2,
        }[inference]
        made = pipeline(part("edc", mode="append", inference=inference))
        torch.testing.assert_close(clip_probabilities(made), expected, rtol=0, atol=1e-6)

    def test_weights_behind_it_learn(self) -> None:
        made = pipeline(part("edc", mode="append")).train()
        inputs, targets = batch(made.streams["main"].grid)
        values = inputs.main.values.clone().requires_grad_()
        inputs = Inputs({"main": replace(inputs.main, values=values)})
        made.training_losses(inputs, targets, torch.Generator()).mean().backward()
        for name, parameter in made.named_parameters():
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name


@pytest.mark.parametrize(
    "conditioner",
    [
        part("edc", alpha=2.5),
        part("edc", mode="append", inference="average"),
        part("feature_weighting", scales=(1, 7), hidden=5),
        part("identity", mode="append"),
    ],
    ids=lambda ref: ref.part,
)
def test_a_saved_detector_is_the_same(conditioner: Any, tmp_path: Path) -> None:
    made = pipeline(conditioner)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    save_bundle(made, tmp_path / "model")
    again = load_bundle(tmp_path / "model").eval()
    (mine,), (other,) = again.conditioners, made.conditioners
    assert type(mine) is type(other)
    assert mine.config == other.config
    assert torch.equal(clip_probabilities(again), clip_probabilities(made))


def test_the_readme_runs() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    arrays, composed = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(arrays, names)
    conditioned, log_mel = names["conditioned"], names["log_mel"]
    assert conditioned.shape == log_mel.shape
    twin = plain_edc(log_mel[1, :200], 7.0)
    np.testing.assert_allclose(conditioned[1, :200][twin.clear], twin.output[twin.clear], atol=2e-7)
    np.testing.assert_array_equal(names["first"][1, :200][twin.clear], twin.first[twin.clear])
    exec(composed, names)
    noise = 0.1 * np.random.default_rng(0).normal(size=44100).astype(np.float32)
    (clip,) = names["pipeline"].predict([noise], 44100)
    assert clip.clip.shape == (2,)
