"""Every recipe loads, builds and survives being saved; those of the paper hold its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sedsdk_mtfa
import torch
from sedsdk_mtfa.encoder import Mtfa

from sedsdk.host import default_host
from sedsdk.pipeline import Pipeline
from sedsdk.runtime.bundle import load_bundle, save_bundle

pytest.importorskip("yaml", reason="recipes are YAML: pip install 'sedsdk[train]'")

from sedsdk.training.recipe import Recipe, load_recipe

NAMES = [spec.name for spec in sedsdk_mtfa.sedsdk_recipes()]
EVENTS = ("babycry", "glassbreak", "gunshot")
DROPOUT = {"babycry": 0.3, "glassbreak": 0.3, "gunshot": 0.4}
THRESHOLD = {"babycry": 0.4, "glassbreak": 0.2, "gunshot": 0.4}
PAPER = [*(f"mtfa/{event}" for event in EVENTS), "mtfa/three-events"]


def fitted(recipe: Recipe) -> Pipeline:
    """The recipe's pipeline in evaluation mode, its frontend fitted on noise."""
    pipeline = Pipeline(recipe.pipeline, seed=0).eval()
    frontend: Any = pipeline.frontends["main"]
    rate = frontend.sample_rate
    frontend.fit([(noise(rate), torch.tensor([rate]))])
    return pipeline


def noise(samples: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, samples))).float()


def predicted(pipeline: Pipeline) -> torch.Tensor:
    """Frame probabilities of a quarter of a second."""
    (rate,) = pipeline.sample_rates
    (clip,) = pipeline.predict([noise(rate // 4)[0].numpy()], rate)
    return torch.from_numpy(clip.frames)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_being_written_down(name: str) -> None:
    recipe = load_recipe(name)
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    completed = recipe.pipeline.completed(default_host())
    again = type(completed).model_validate_json(completed.model_dump_json())
    assert again == completed
    assert again.completed(default_host()) == completed
    assert completed.encoder.part == "mtfa/mtfa"


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_detector_gives_the_same(name: str, tmp_path: Path) -> None:
    pipeline = fitted(load_recipe(name))
    save_bundle(pipeline, tmp_path / "detector")
    loaded = load_bundle(tmp_path / "detector")
    before, after = predicted(pipeline), predicted(loaded)
    assert before.shape[1] == len(pipeline.labels)
    assert float(before.std()) > 0
    torch.testing.assert_close(after, before)


def test_the_papers_recipes_are_all_there() -> None:
    assert set(PAPER) < set(NAMES)
    assert {name.split("/")[0] for name in NAMES} == {"mtfa"}


@pytest.mark.parametrize("name", PAPER)
class TestThePapersNumbers:
    def test_frontend(self, name: str) -> None:
        """Section 2.1: 40 ms windows every 20 ms, 128 bands; 30 s become 1501 × 128."""
        frontend: Any = Pipeline(load_recipe(name).pipeline).frontends["main"]
        assert frontend.sample_rate == 44100
        assert frontend.config.window_samples == 1764
        assert frontend.config.hop_samples == 882
        assert frontend.frame_count(30 * 44100) == 1501
        assert frontend.spec.size == 128

    def test_model(self, name: str) -> None:
        """Section 3.2: C = U = 64; dropout 0.3 for babycry and glassbreak, 0.4 for gunshot."""
        recipe = load_recipe(name)
        encoder: Any = Pipeline(recipe.pipeline).encoder
        assert isinstance(encoder, Mtfa)
        assert encoder.config.mask == "hourglass"
        assert encoder.config.dropout == DROPOUT.get(name.removeprefix("mtfa/"), 0.3)
        assert sum(p.numel() for p in encoder.parameters()) == 967_168

    def test_decision(self, name: str) -> None:
        """Section 3.2: thresholds, then a median filter of 540 ms, which is 27 frames."""
        recipe = load_recipe(name)
        pipeline = Pipeline(recipe.pipeline)
        threshold, median, _ = (part for part in pipeline.postprocessors)
        grid = pipeline.encoder.spec.frames.grid
        assert [ref.part for ref in recipe.pipeline.postprocessors] == [
            "threshold",
            "median",
            "to_events",
        ]
        labels = EVENTS if name == "mtfa/three-events" else (name.removeprefix("mtfa/"),)
        assert pipeline.labels == labels
        chosen: Any = threshold
        filtered: Any = median
        assert chosen.thresholds.tolist() == [THRESHOLD[label] for label in labels]
        assert set(filtered.window(grid).tolist()) == {27}
        assert not recipe.training.fit_thresholds

    def test_training(self, name: str) -> None:
        """Section 3.2: Adam at 1e-3, chunks of 256 frames shifted by 128, patience 10."""
        training: Any = load_recipe(name).training
        shift = training.chunk_seconds - training.chunk_overlap_seconds
        assert training.chunk_seconds / 0.02 == pytest.approx(256)
        assert shift / 0.02 == pytest.approx(128)
        assert (training.optimiser, training.learning_rate) == ("adam", 1e-3)
        assert (training.schedule, training.warmup_steps, training.weight_decay) == (
            "constant",
            0,
            0,
        )
        assert (training.score, training.keep, training.patience) == ("valid_loss", "best", 10)
        assert training.epochs > 40

    def test_data(self, name: str) -> None:
        """Section 3.1: 5000 training mixtures per event, 500 to test on, −6, 0 and 6 dB."""
        data: Any = load_recipe(name).data
        made = data.training_mixtures
        assert (made.mixtures_per_class, made.event_presence_probability) == (5000, 0.99)
        assert made.event_to_background_ratios_db == (-6, 0, 6)
        assert data.split == "devtrain"
        assert (data.test.part, data.test.mixtures.mixtures_per_class) == ("devtest", 500)
        assert data.further_tests["evaluation"].part == "evaltest"
        assert data.validation.part is data.validation.split is None
