"""The recipes hold the paper's numbers, and one for every compared method."""

from __future__ import annotations

import pytest

from sedsdk import Host, Pipeline
from sedsdk.training.recipe import load_recipe

pytest.importorskip("yaml", reason="recipes are YAML: pip install 'sedsdk[train]'")
HOST = Host(allow=["edc"])
RECIPES = sorted(HOST.recipes())
METHODS = 12
"""None, self-attention, mixup, feature weighting, EDC, and seven of SpecAugment's eight rows."""


def names(recipe) -> list[str]:
    return [ref.part for ref in recipe.pipeline.conditioners]


def test_every_method_is_there_for_both_data_sets_and_poolings():
    mine = [name for name in RECIPES if name.startswith("edc/")]
    assert len(mine) == 2 * 2 * METHODS + 1
    assert {name.removesuffix("-gap") for name in mine if name.endswith("-gap")} == {
        name for name in mine if not name.endswith("-gap") and name != "edc/small"
    }


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("edc/")])
def test_every_recipe_builds(name):
    recipe = load_recipe(name, HOST)
    pipeline = Pipeline(recipe.pipeline, HOST)
    assert len(pipeline.labels) == len(recipe.pipeline.labels)
    assert recipe.pipeline.head.options["pooling"] == ("average" if "-gap" in name else "max")


@pytest.mark.parametrize(
    ("name", "alpha", "labels", "seconds", "frames"),
    [("edc/dcase", 7, 10, 10, 500), ("edc/chime", 10, 7, 4, 200)],
)
def test_the_papers_numbers(name, alpha, labels, seconds, frames):
    recipe = load_recipe(name, HOST)
    (edc,) = recipe.pipeline.conditioners
    assert edc.options["alpha"] == alpha
    assert len(recipe.pipeline.labels) == labels
    frontend = Pipeline(recipe.pipeline, HOST).frontends["main"]
    assert frontend.frame_count(seconds * frontend.sample_rate) == frames
    assert frontend.spec.size == 64
    assert frontend.config.window == "hamming"
    assert (frontend.config.window_seconds, frontend.config.hop_seconds) == (0.04, 0.02)
    training = recipe.training
    assert (training.optimiser, training.learning_rate, training.schedule) == (
        "adam",
        0.001,
        "constant",
    )
    assert (training.batch_size, training.epochs) == (64, 500)
    assert (training.minimum_epochs, training.patience, training.score) == (50, 20, "clip_auc")


def test_what_the_methods_change():
    assert names(load_recipe("edc/dcase-none", HOST)) == []
    attention = load_recipe("edc/dcase-self-attention", HOST)
    assert names(attention) == []
    assert attention.pipeline.encoder.options["self_attention"] is True
    assert names(load_recipe("edc/dcase-mixup", HOST)) == ["mixup"]
    assert names(load_recipe("edc/chime-feature-weighting", HOST)) == ["feature_weighting"]


@pytest.mark.parametrize(
    ("method", "time", "frequency", "warp"),
    [
        ("time-mask", True, False, False),
        ("frequency-mask", False, True, False),
        ("time-warp", False, False, True),
        ("masks", True, True, False),
        ("time-mask-warp", True, False, True),
        ("frequency-mask-warp", False, True, True),
        ("spec-augment", True, True, True),
    ],
)
def test_the_rows_of_spec_augment(method, time, frequency, warp):
    (part,) = Pipeline(load_recipe(f"edc/dcase-{method}", HOST).pipeline, HOST).conditioners
    config = part.config
    found = (config.time_masks > 0, config.frequency_masks > 0, config.time_warp_frames > 0)
    assert found == (time, frequency, warp)
