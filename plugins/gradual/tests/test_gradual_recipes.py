"""Recipes and the rows of Table 1 hold the paper's numbers; the README's code runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kaldi_bridge.bundled
from sedsdk import Host, Pipeline
from sedsdk.runtime.bundle import load_bundle, save_bundle

pytest.importorskip("yaml", reason="recipes are YAML: pip install 'sedsdk[train]'")
pytest.importorskip(
    "made_tdnnf", reason="needs tests/kaldi_bridge/made_tdnnf.py of the suite's own sources"
)

from made_tdnnf import made_tdnnf

from kaldi_bridge.training.model.exporting import write_model_folder
from sedsdk.training.recipe import Recipe, load_recipe
from sedsdk.training.reproduction.data import DataChoice
from sedsdk.training.reproduction.plan import load_plan
from sedsdk.training.reproduction.runs import planned_rows

HOST = Host(allow=["gradual", "kaldi"])
NAMES = [name for name in HOST.recipes() if name.startswith("gradual/")]
EVENTS = ("babycry", "glassbreak", "gunshot")
ROWS = {
    "CRNN": "-crnn",
    "CRNN+TA": "-crnn-ta",
    "CRNN+TA+RA": "-cbrnn",
    "Finetuning Net": "-finetune",
    "Gradual Net": "",
}
PAPER = [f"gradual/{event}{method}" for event in EVENTS for method in ROWS.values()]
EMBEDDING = 8
ENCODERS = {"-crnn": 2_662_720, "-crnn-ta": 2_803_720, "-cbrnn": 2_822_952, "": 2_822_952}
"""Parameters by the layer table, see test_gradual_encoder.py."""
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small acoustic model with embeddings of 8 values."""
    folder = tmp_path_factory.mktemp("model")
    small = made_tdnnf(features=40, prefinal=EMBEDDING)
    classes = [f"P{number}" for number in range(7)]
    write_model_folder(small, folder, priors=np.full(7, 1 / 7), card="made", classes=classes)
    return folder


@pytest.fixture(autouse=True)
def _comes_with_the_package(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kaldi_bridge.bundled, "BUNDLED", model)


def built(name: str) -> Pipeline:
    return Pipeline(load_recipe(name, HOST).pipeline, HOST, seed=0).eval()


def parameters(pipeline: Pipeline) -> int:
    return sum(p.numel() for p in pipeline.parameters() if p.requires_grad)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(16000 * seconds)).astype(np.float32)


def test_every_row_is_there_for_every_event_and_small() -> None:
    assert set(NAMES) == {*PAPER, *(f"gradual/small{method}" for method in ROWS.values())}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_being_written_down(name: str) -> None:
    recipe = load_recipe(name, HOST)
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    completed = recipe.pipeline.completed(HOST)
    again = type(completed).model_validate_json(completed.model_dump_json())
    assert again == completed


@pytest.mark.parametrize("method", [*ENCODERS, "-finetune"])
def test_sizes_of_the_papers_detectors(method: str) -> None:
    """The head reads 2 · 32 values, the embedding, or both."""
    pipeline = built(f"gradual/gunshot{method}")
    heads = {"": 64 + EMBEDDING, "-finetune": EMBEDDING}
    assert pipeline.labels == ("gunshot",)
    assert parameters(pipeline) == ENCODERS.get(method, 0) + heads.get(method, 64) + 1


@pytest.mark.parametrize("scale", ["paper", "small"])
@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table_is_the_recipe_of_its_name(row: str, scale: str) -> None:
    kind = DataChoice("dataset" if scale == "paper" else "recordings", Path("folder"))
    (planned,) = [
        each
        for each in planned_rows(load_plan("gradual", HOST), scale, kind, [0], HOST)
        if each.row.name == row
    ]
    for model_name, run in planned.runs[0].items():
        name = "small" if scale == "small" else model_name
        named = load_recipe(f"gradual/{name}{ROWS[row]}", HOST)
        assert run.recipe.pipeline == named.pipeline
        assert run.recipe.training == named.training


def test_the_librispeech_model_is_looked_for_where_the_variable_says(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "0013_librispeech_v1/exp/chain_cleaned"
    place.mkdir(parents=True)
    (place / "tdnn_1d_sp").symlink_to(model)
    monkeypatch.setenv("SEDSDK_KALDI_MODELS", str(tmp_path))
    plan, data = load_plan("gradual", HOST), DataChoice("dataset", Path("set"))
    monkeypatch.setattr(kaldi_bridge.bundled, "BUNDLED", tmp_path)  # which has none
    found = {}
    for planned in planned_rows(plan, "librispeech", data, [0], HOST):
        for run in planned.all_runs:
            found[planned.row.name] = parameters(Pipeline(run.recipe.pipeline, HOST))
    assert found["Finetuning Net"] == EMBEDDING + 1
    assert found["Gradual Net"] == found["CRNN+TA+RA"] + EMBEDDING


def test_frontends() -> None:
    """Section 2.2: 600 frames of 200 values for 30 s; 300 frames of 100 ms come out."""
    pipeline = built("gradual/babycry")
    sound: Any = pipeline.frontends["main"]
    speech: Any = pipeline.frontends["asr"]
    config = sound.config
    assert (sound.sample_rate, config.window_samples, config.hop_samples) == (16000, 320, 160)
    assert (config.n_mels, config.normalise) == (40, "min_max")
    assert (sound.spec.size, sound.frame_count(30 * 16000)) == (200, 600)
    assert speech.frame_count(30 * 16000) == 300
    assert speech.config.node == "prefinal-l"
    assert not any(p.requires_grad for p in speech.parameters())
    (clip,) = pipeline.predict([noise(30)], 16000)
    assert clip.frames.shape == (300, 1)
    assert clip.grid.hop_seconds == pytest.approx(0.1)


@pytest.mark.parametrize("name", NAMES)
def test_decision(name: str) -> None:
    """Section 2.4: dynamic threshold, 300 ms, one continuous sequence, the longest."""
    recipe = load_recipe(name, HOST)
    parts = [ref.part for ref in recipe.pipeline.postprocessors]
    assert parts == ["dynamic_threshold", "median", "fill_gaps", "longest_run", "to_events"]
    pipeline = Pipeline(recipe.pipeline, HOST)
    median: Any = list(pipeline.postprocessors)[1]
    assert set(median.window(pipeline.encoder.spec.frames.grid).tolist()) == {3}
    assert recipe.training.fit_thresholds


@pytest.mark.parametrize("name", PAPER)
def test_training_and_data(name: str) -> None:
    """Sections 2.1 and 3: Adam at 1e-4, 100 epochs; 1500 mixtures, a tenth to validate."""
    recipe: Any = load_recipe(name, HOST)
    training, data = recipe.training, recipe.data
    assert (training.optimiser, training.learning_rate, training.epochs) == ("adam", 1e-4, 100)
    assert (training.schedule, training.step_epochs, training.step_factor) == ("step", 1, 0.99)
    assert (training.warmup_steps, training.weight_decay) == (0, 0)
    assert (training.keep, training.score) == ("best", "valid_loss")
    made, held_out = data.training_mixtures, data.validation.mixtures
    assert made.mixtures_per_class + held_out.mixtures_per_class == 1500
    assert held_out.mixtures_per_class == 150
    for mixtures in (made, held_out):
        assert (mixtures.event_presence_probability, mixtures.duration_seconds) == (0.5, 30)
        assert mixtures.event_to_background_ratios_db == (-6, 0, 6)
    assert data.split == "devtrain"
    assert data.test.part == "devtest"
    assert data.further_tests["evaluation"].part == "evaltest"


@pytest.mark.parametrize("method", ROWS.values())
def test_a_saved_small_detector_gives_the_same(method: str, tmp_path: Path) -> None:
    pipeline = built(f"gradual/small{method}")
    save_bundle(pipeline, tmp_path / "detector")
    loaded = load_bundle(tmp_path / "detector", HOST)
    (before,) = pipeline.predict([noise(2.0)], 16000)
    (after,) = loaded.predict([noise(2.0)], 16000)
    assert before.frames.shape == (20, 3)
    assert float(before.frames.std()) > 0
    torch.testing.assert_close(torch.from_numpy(after.frames), torch.from_numpy(before.frames))


def test_the_readme_composes_the_papers_network() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    made: Pipeline = names["pipeline"]
    wanted = load_recipe("gradual/babycry", HOST).pipeline
    assert made.config.completed(HOST).frontends == wanted.completed(HOST).frontends
    assert made.config.completed(HOST).postprocessors == wanted.completed(HOST).postprocessors
    assert parameters(made) == parameters(built("gradual/babycry"))


def test_the_readmes_sizes_are_those_of_the_detectors() -> None:
    for method, encoder in ENCODERS.items():
        size = f"{encoder + 65:,}".replace(",", " ")
        assert f"**{size}{' + D' if not method else ''}**" in README


def test_the_readme_names_every_row_and_setting() -> None:
    from sedsdk_gradual.phoneme_figure import PhonemeSettings

    assert all(f"`{method}`" in README for method in ROWS.values() if method)
    assert all(f"`{name}=" in README for name in PhonemeSettings.model_fields)
