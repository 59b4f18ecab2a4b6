"""Cross-fitting: thresholds from unheard recordings, a detector that heard them all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sedsdk.audio import write_audio
from sedsdk.data.sources import read_sources
from sedsdk.errors import ConfigError
from sedsdk.training.cross_fit import fold_runs
from sedsdk.training.recipe import load_recipe
from sedsdk.training.run import train

RATE = 8000
FOLDS = 2
PER_CLASS = 2


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Two kinds of tones in four groups each, and four backgrounds."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    rows = ["file,split,label,group"]
    for label, hertz in (("low", 400), ("high", 2000)):
        for group in range(4):
            time = np.arange(RATE // 2) / RATE
            name = f"events/{label}/{group}.wav"
            tone = 0.3 * np.sin(2 * np.pi * hertz * (1 + 0.05 * group) * time)
            write_audio(folder / name, tone.astype(np.float32), RATE)
            rows.append(f"{name},train,{label},{label}-{group}")
    for group in range(4):
        name = f"backgrounds/{group}.wav"
        noise = 0.01 * rng.normal(size=RATE * 2)
        write_audio(folder / name, noise.astype(np.float32), RATE)
        rows.append(f"{name},train,room,room-{group}")
    (folder / "origin.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def values(recordings) -> dict:
    mixtures = {
        "mixtures_per_class": PER_CLASS,
        "duration_seconds": 2.0,
        "sample_rate": RATE,
        "subset": "validation",
    }
    return {
        "pipeline": {
            "labels": ["low", "high"],
            "frontends": {
                "main": {"part": "log_mel", "sample_rate": RATE, "n_mels": 8, "normalise": "band"}
            },
            "encoder": {
                "part": "crnn",
                "channels": [4],
                "frequency_pooling": [4],
                "rnn_units": 4,
            },
            "head": "frame_bce",
            "postprocessors": ["tag_threshold", "hysteresis", "to_events"],
        },
        "data": {
            "kind": "recordings",
            "folder": str(recordings),
            "mixing": {"clip_seconds": 1.0},
            "validation": {"mixtures": mixtures, "folds": FOLDS, "cross_fit": True},
        },
        "training": {"epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "keep": "last"},
    }


def test_folds_are_heard_by_no_model_that_judges_them(values, write_recipe, tmp_path, recordings):
    recipe = load_recipe(write_recipe(values))
    result = train(recipe, tmp_path / "run", device="cpu", progress=False)

    runs = fold_runs(recipe, result.folder)
    assert [run.folder.name for run in runs] == ["0", "1"]
    sources = read_sources(recordings, ["low", "high"]).split("train")
    judged = []
    for run, (heard, held_out) in zip(runs, sources.folds(FOLDS), strict=True):
        lines = (run.folder / "data/validation/meta/mixture_recipes_validation.jsonl").read_text()
        assert not any(event.path.name in _events(lines, event.label) for event in heard.events)
        assert _events(lines, "low")
        assert _events(lines, "high")
        judged.append({event.group for event in held_out.events})
    assert judged[0].isdisjoint(judged[1])
    assert len(judged[0] | judged[1]) == 8

    fitted = json.loads((result.folder / "thresholds.json").read_text())
    assert fitted["parameters"]["n_clips"] == FOLDS * 2 * PER_CLASS
    assert fitted["tags"]["n_clips"] == FOLDS * 2 * PER_CLASS
    config = json.loads((result.bundle / "config.json").read_text())
    assert config["pipeline"]["postprocessors"][0]["threshold"] == fitted["tags"]["thresholds"]

    folds = [json.loads((run.folder / "result.json").read_text())["best"] for run in runs]
    for name in ("valid_loss", "frame_average_precision"):
        assert result.best[name] == pytest.approx(np.mean([fold[name] for fold in folds]))

    again = train(recipe, result.folder, device="cpu", progress=False)
    assert again.best == result.best


def _events(lines: str, label: str) -> set[str]:
    """Names of the event files of one label in a list of recipes."""
    found = set()
    for line in lines.splitlines():
        for event in json.loads(line)["events"]:
            if event["label"] == label:
                found.add(Path(event["path"]).name)
    return found


def test_an_epoch_cannot_be_picked_on_heard_recordings(values, write_recipe):
    values["training"]["keep"] = "best"
    with pytest.raises(ConfigError, match=r"set training\.keep to last"):
        load_recipe(write_recipe(values))


def test_a_recipe_without_it_has_no_fold_runs(values, write_recipe, tmp_path):
    values["data"]["validation"]["cross_fit"] = False
    assert fold_runs(load_recipe(write_recipe(values)), tmp_path) == []
