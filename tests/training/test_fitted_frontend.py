from __future__ import annotations

import fitted_frontend
import numpy as np
import pytest
import soundfile
import torch
from fitted_frontend import HOP, Centred
from safetensors.torch import load_file
from tone_recipes import PIPELINE, recipe_values

from sedsdk.config import read_model
from sedsdk.host import Host
from sedsdk.training import Recipe, train
from sedsdk.training import run as run_module


@pytest.fixture
def recipe(tones):
    values = recipe_values(tones)
    streams = {**PIPELINE["frontends"], "level": {"part": "centred"}}
    values["pipeline"] = {**PIPELINE, "frontends": streams}
    return read_model(Recipe, values, "recipe")


def test_is_fitted_once_before_any_clip_is_scored(recipe, tones, tmp_path, monkeypatch):
    host = Host(plugins=[fitted_frontend], discover=False)
    seen = []
    original = run_module.validation_scorer

    def look(pipeline, clips):
        seen.append(clips[0][0]["level"].values)
        return original(pipeline, clips)

    monkeypatch.setattr(run_module, "validation_scorer", look)
    monkeypatch.setattr(Centred, "fits", 0)
    result = train(recipe, tmp_path, host=host, device="cpu")

    levels = []
    for clip in tones.manifest.clips:
        samples, _ = soundfile.read(clip.path)
        levels.append(np.abs(samples.reshape(-1, HOP)).mean(1))
    mean = np.concatenate(levels).mean()
    kept = load_file(result.bundle / "model.safetensors")["frontends.level.mean"]
    assert float(kept) == pytest.approx(mean, rel=1e-4)
    assert torch.isfinite(seen[0]).all()
    assert float(seen[0].mean()) == pytest.approx(0, abs=1e-4)

    (tmp_path / "result.json").unlink()
    train(recipe, tmp_path, host=host, device="cpu")
    assert Centred.fits == 1
