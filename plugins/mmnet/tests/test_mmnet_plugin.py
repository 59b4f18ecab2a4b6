"""The plugin from outside: its README, saved detectors, attention in pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sedsdk import Pipeline, PipelineConfig, compose, part
from sedsdk.runtime.attention import predict_with_attention
from sedsdk.runtime.bundle import load_bundle, save_bundle
from sedsdk.runtime.detector import Detector, load

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LABELS = ["car", "siren", "train"]
HEADS = ("macro", "macro_micro", "macro_micro_ms", "wlat", "slat", "plat", "att", "spda")
NOISE = np.random.default_rng(0).normal(size=8000).astype(np.float32) * 0.1


def pipeline(head: str, **options: Any) -> Pipeline:
    return compose(
        LABELS,
        part("log_mel", sample_rate=8000, n_mels=8, n_fft=512, hop_seconds=0.01),
        part("mmnet_resnet", channels=(4, 6, 6, 6), pyramid=head == "macro_micro_ms"),
        part(head, units=8, **options),
        postprocessors=["threshold", "to_events"],
        seed=3,
    )


@torch.no_grad()
def settled(made: Pipeline) -> Pipeline:
    """Lets the running statistics find the size of the features, so that no sigmoid saturates."""
    made.train()
    inputs = made.features(made.batch([NOISE[:6000], NOISE, NOISE[::-1].copy()], 8000))
    for _ in range(40):
        made(inputs)
    return made.eval()


def test_the_readme_composes_the_papers_network() -> None:
    """10 s give 896 frames of 128 bands, and these 56 segments."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    made: Pipeline = names["pipeline"]
    assert made.frontends["main"].frame_count(441_000) == 896
    (clip,) = made.predict([np.tile(NOISE, 56)[:441_000]], 44100)
    assert clip.frames.shape == (56, 2)


def test_the_readme_names_every_head() -> None:
    assert all(f"`{head}`" in README for head in HEADS)


@pytest.mark.parametrize("head", HEADS)
def test_a_saved_detector_gives_the_same_and_keeps_its_class_weights(
    head: str, tmp_path: Path
) -> None:
    made = settled(pipeline(head))
    made.head.fit(torch.tensor([0.5, 0.1, 0.02]))
    save_bundle(made, tmp_path / "model")
    again = load_bundle(tmp_path / "model")
    assert not again.head.needs_fit
    assert torch.equal(again.head.class_weight, made.head.class_weight)
    before, after = (
        Detector(made).predict(NOISE, 8000),
        load(tmp_path / "model").predict(NOISE, 8000),
    )
    np.testing.assert_allclose(after.clip, before.clip, atol=1e-6)
    np.testing.assert_allclose(after.frames, before.frames, atol=1e-6)
    assert before.frames.std(axis=0).min() > 1e-4


def test_a_pipelines_config_survives_json() -> None:
    made = pipeline("macro_micro", mixing="logits", micro_scale="mean", clip_loss="macro")
    text = made.config.model_dump_json()
    again = Pipeline(PipelineConfig.model_validate_json(text), seed=3)
    assert again.head.config == made.head.config
    assert again.encoder.config == made.encoder.config


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        ("macro", {}),
        ("att", {"head attention": 1}),
        ("spda", {"head attention": 1, "head part_attention": 8}),
        ("macro_micro", {"head attention": 1}),
        ("macro_micro_ms", {"head attention": 1}),
    ],
)
def test_attention_is_found_by_the_pictures_on_the_segments_grid(
    head: str, shown: dict[str, int]
) -> None:
    """One second has 101 centred frames, and these 6 segments."""
    prediction, maps = predict_with_attention(Detector(pipeline(head)), NOISE, 8000)
    assert {name: found.values.shape[1] for name, found in maps.items()} == shown
    for found in maps.values():
        assert found.grid == prediction.grid
        assert len(found.values) == len(prediction.frames) == 6
        np.testing.assert_allclose(found.values.sum(axis=0), 1.0, atol=1e-5)
