"""`torchrun` with two processes on one machine: the model of one process, written once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tone_recipes import recipe_values

from sedsdk.training import load_recipe, train
from sedsdk.training.brain import read_curves

COMMAND_LINE = "import sys; from sedsdk.cli import main; sys.exit(main())"


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="needs a torch build with gloo"
)
def test_two_processes_train_the_model_of_one(tones, host, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_values(tones)), encoding="utf-8")
    alone = train(load_recipe(path, host), tmp_path / "alone", host=host, device="cpu")

    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    program = ["--no-python", sys.executable, "-c", COMMAND_LINE]
    arguments = ["train", path, "--out", tmp_path / "both", "--device", "cpu", "--json"]
    both = subprocess.run(
        [sys.executable, *launch, *program, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "SEDSDK_PLUGINS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout)["folder"] == str(tmp_path / "both"), "printed by one process"
    assert "destroy_process_group" not in both.stderr
    assert "Traceback" not in both.stderr

    weights = load_file(tmp_path / "both" / "detector" / "model.safetensors")
    for name, value in load_file(alone.bundle / "model.safetensors").items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-4)
    rows, expected = (read_curves(tmp_path / run / "curves.csv") for run in ("both", "alone"))
    assert [row["epoch"] for row in rows] == [1, 2]
    for row, other in zip(rows, expected, strict=True):
        del row["seconds"], other["seconds"]
        assert row == pytest.approx(other, abs=1e-3)
