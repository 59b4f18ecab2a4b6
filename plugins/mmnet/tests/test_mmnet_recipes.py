"""The recipes hold the paper's numbers, and one for every method of Table 1."""

from __future__ import annotations

import pytest

from sedsdk import Host, Pipeline
from sedsdk.training.recipe import load_recipe

pytest.importorskip("yaml", reason="recipes are YAML: pip install 'sedsdk[train]'")
HOST = Host(allow=["mmnet"])
OWN = [name for name in HOST.recipes() if name.startswith("mmnet/")]
DCASE17 = [name for name in OWN if name.startswith("mmnet/dcase17")]
PARAMETERS = {
    "mmnet/dcase17": 4.16e6,
    "mmnet/dcase17-att": 4.14e6,
    "mmnet/dcase17-convnet": 1.54e6,
    "mmnet/dcase17-plat": 3.72e6,
    "mmnet/dcase17-resnet-max": 3.70e6,
    "mmnet/dcase17-resnet-mean": 3.70e6,
    "mmnet/dcase17-slat": 3.70e6,
    "mmnet/dcase17-spda": 6.84e6,
    "mmnet/dcase17-wlat": 3.70e6,
}
"""As Table 1 prints them."""


def test_every_method_is_there():
    assert set(DCASE17) == {*PARAMETERS, "mmnet/dcase17-ms"}
    on_audioset = {name.replace("audioset", "dcase17") for name in OWN if "audioset" in name}
    assert on_audioset == set(DCASE17)


@pytest.mark.parametrize("name", [*DCASE17, "mmnet/small"])
def test_every_recipe_builds_in_the_papers_size(name):
    recipe = load_recipe(name, HOST)
    pipeline = Pipeline(recipe.pipeline, HOST)
    if name in PARAMETERS:
        count = sum(p.numel() for p in pipeline.parameters() if p.requires_grad)
        assert count == pytest.approx(PARAMETERS[name], rel=0.03)


def test_the_papers_numbers():
    recipe = load_recipe("mmnet/dcase17", HOST)
    assert len(recipe.pipeline.labels) == 17
    pipeline = Pipeline(recipe.pipeline, HOST)
    frontend = pipeline.frontends["main"]
    config = frontend.config
    assert (frontend.sample_rate, config.window_samples, config.hop_samples) == (44100, 2048, 492)
    assert frontend.frame_count(441000) == 896
    assert (config.n_mels, config.f_min, config.f_max) == (128, 0, None)
    assert (config.compression, config.log_factor, config.normalise) == ("log1p", 10000, "band")
    seconds = pipeline.encoder.spec.frames.grid.hop_seconds
    assert seconds == pytest.approx(0.18, abs=0.005)
    training = recipe.training
    assert (training.optimiser, training.learning_rate, training.momentum) == ("sgd", 0.1, 0.9)
    assert (training.schedule, training.step_epochs, training.step_factor) == ("step", 30, 0.1)
    assert (training.epochs, training.batch_size, training.weight_decay) == (100, 64, 1e-4)
    assert pipeline.head.config.beta == 0.3
    assert pipeline.head.config.micro_weight == 1
    assert pipeline.head.config.macro_share == 0.5
