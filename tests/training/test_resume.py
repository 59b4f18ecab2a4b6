"""A killed run goes on: SIGKILL in another process, then the same call here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tone_recipes import recipe_values

from sedsdk.training import load_recipe, train
from sedsdk.training.brain import read_curves

TRAIN_AND_DIE = """
import os, signal, sys
from pathlib import Path
from sedsdk.host import Host
from sedsdk.training import load_recipe, train
from sedsdk.training import brain, checkpoints

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(brain.DetectorBrain):
    def fit_batch(self, batch):
        if where == "mid-epoch" and (self._epoch, self.step) == (2, 3):
            die()
        return super().fit_batch(batch)

    def on_stage_end(self, stage, loss, epoch=None):
        super().on_stage_end(stage, loss, epoch)
        if where == "before the checkpoint" and stage.name == "VALID" and epoch == 2:
            die()

def dying_save(part):
    saved.append(part)
    if where == "half a checkpoint" and len(saved) == 5:
        next(part.path.glob("model*")).write_bytes(b"half")
        die()
    return made_whole(part)

recipe, folder, where = sys.argv[1:]
saved, made_whole = [], checkpoints._made_whole
checkpoints._made_whole = dying_save
brain.DetectorBrain = Dying
host = Host(discover=False)
train(load_recipe(recipe, host), folder, host=host, device="cpu")
"""


@pytest.fixture(scope="module")
def recipe_file(tones, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("resume") / "recipe.yaml"
    values = recipe_values(
        tones, epochs=3, batch_size=3, optimiser="adamw", checkpoint_minutes=1e-9
    )
    values["pipeline"] = {
        **values["pipeline"],
        "encoder": {**values["pipeline"]["encoder"], "dropout": 0.2},
        "conditioners": [{"part": "mixup"}],
    }
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def uninterrupted(recipe_file, host, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return train(load_recipe(recipe_file, host), folder, host=host, device="cpu")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL needs a POSIX system")
@pytest.mark.parametrize("where", ["mid-epoch", "before the checkpoint", "half a checkpoint"])
def test_a_killed_run_ends_like_one_that_was_not(recipe_file, uninterrupted, host, tmp_path, where):
    killed = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_DIE, recipe_file, tmp_path, where],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "detector").exists()

    result = train(load_recipe(recipe_file, host), tmp_path, host=host, device="cpu")
    rows = read_curves(tmp_path / "curves.csv")
    expected = read_curves(uninterrupted.folder / "curves.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row, other in zip(rows, expected, strict=True):
        assert 0 < row.pop("seconds") < 600
        del other["seconds"]
        assert row == pytest.approx(other, rel=1e-5, nan_ok=True)
    assert result.best == pytest.approx(uninterrupted.best)
    weights, others = (load_file(r.bundle / "model.safetensors") for r in (result, uninterrupted))
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], rtol=1e-5, atol=1e-6)
    left = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert left
    assert all(name.startswith("CKPT+") for name in left)


def test_the_seconds_of_an_epoch_count_both_sides_of_a_break(
    recipe_file, host, tmp_path, monkeypatch
):
    """A clock that only the steps move: each takes 10 s, whoever makes it."""
    from sedsdk.training import epoch_clock
    from sedsdk.training.brain import DetectorBrain

    now = [0.0]
    monkeypatch.setattr(epoch_clock, "time", SimpleNamespace(monotonic=lambda: now[0]))
    original = DetectorBrain.fit_batch
    broken = []

    def timed(self, batch):
        if (self._epoch, self.step) == (2, 3) and not broken:
            broken.append(True)
            now[0] += 7.0  # lost with the step that is not finished
            raise KeyboardInterrupt
        now[0] += 10.0
        return original(self, batch)

    monkeypatch.setattr(DetectorBrain, "fit_batch", timed)
    recipe = load_recipe(recipe_file, host)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, host=host, device="cpu")
    now[0] += 1000.0
    train(recipe, tmp_path, host=host, device="cpu")
    assert [row["seconds"] for row in read_curves(tmp_path / "curves.csv")] == [40.0] * 3
    assert json.loads((tmp_path / "result.json").read_text())["seconds"] == 120.0


def test_a_resumed_run_does_not_repeat_steps(recipe_file, host, tmp_path, monkeypatch):
    from sedsdk.training.brain import DetectorBrain

    original = DetectorBrain.fit_batch
    done = []

    def counted(self, batch):
        if len(done) == 6:
            done.append("stopped")
            raise KeyboardInterrupt
        loss = original(self, batch)
        done.append((self._epoch, self.step))
        return loss

    monkeypatch.setattr(DetectorBrain, "fit_batch", counted)
    recipe = load_recipe(recipe_file, host)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, host=host, device="cpu")
    train(recipe, tmp_path, host=host, device="cpu")
    done.remove("stopped")
    assert done == [(epoch, step) for epoch in (1, 2, 3) for step in (1, 2, 3, 4)]
