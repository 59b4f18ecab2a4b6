"""The acoustic model inside the package: found, opened, told about when it is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_models import as_bytes
from made_recipe import sound
from made_tdnnf import made_tdnnf

import kaldi_bridge
from kaldi_bridge import AcousticModel, MissingFile, bundled, bundled_model
from kaldi_bridge.nnet3.reading import read_model
from kaldi_bridge.phones import PhoneMap
from kaldi_bridge.training.inventory import CLASSES
from kaldi_bridge.training.model.exporting import write_model_folder

REPOSITORY = Path(__file__).parents[2]
MOST_BYTES = 8_000_000

is_trained = pytest.mark.skipif(
    not (bundled.BUNDLED / "final.mdl").is_file(),
    reason="no bundled model: `python -m kaldi_bridge.training` makes it",
)


def write_small_model(folder):
    module = made_tdnnf(features=40, classes=41)
    write_model_folder(module, folder, priors=np.full(41, 1 / 41), card="# A card\n")


def test_a_missing_model_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path)
    for ask in (bundled_model, AcousticModel.bundled):
        with pytest.raises(MissingFile, match=r"`python -m kaldi_bridge\.training`"):
            ask()


def test_the_model_is_opened_like_any_other(tmp_path, monkeypatch):
    write_small_model(tmp_path)
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path)
    assert bundled_model() == tmp_path
    model, other = AcousticModel.bundled(), AcousticModel.load(tmp_path)
    assert not model.training
    assert torch.equal(model.embed(sound(0.5)), other.embed(sound(0.5)))


def test_name_is_public():
    assert "bundled_model" in kaldi_bridge.__all__
    assert Path(kaldi_bridge.__file__).parent / "bundled" == bundled.BUNDLED


def test_an_installed_package_has_the_model(tmp_path):
    """What setuptools would install, in a folder of its own: found there, and without torch."""
    pytest.importorskip("setuptools")
    tree, installed = tmp_path / "tree", tmp_path / "installed"
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "kaldi_bridge", tree / "kaldi_bridge", ignore=skipped)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, tree)
    write_small_model(tree / "kaldi_bridge" / "bundled")
    build = ["-c", "import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib"]
    subprocess.run(
        [sys.executable, *build, str(installed)], cwd=tree, check=True, capture_output=True
    )
    shutil.rmtree(tree)
    program = (
        "import sys, kaldi_bridge, kaldi_bridge.directory as d\n"
        "files = d.find_model(kaldi_bridge.bundled_model())\n"
        "assert 'torch' not in sys.modules\n"
        "print(files.model, files.phones, files.feature_conf, files.frame_subsampling_factor)"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    folder = installed / "kaldi_bridge" / "bundled"
    names = ("final.mdl", "phones.txt", "conf/mfcc_hires.conf")
    assert ran.stdout.split() == [*(str(folder / name) for name in names), "3"]
    assert (folder / "README.md").read_text() == "# A card\n"


@is_trained
class TestTheModelItself:
    def test_is_small_and_complete(self):
        files = [path for path in bundled.BUNDLED.rglob("*") if path.is_file()]
        kept = [path for path in files if "__pycache__" not in path.parts]
        assert sum(path.stat().st_size for path in kept) < MOST_BYTES
        assert (bundled.BUNDLED / "README.md").stat().st_size > 500

    def test_comes_back_byte_for_byte(self):
        path = bundled.BUNDLED / "final.mdl"
        assert as_bytes(read_model(path), binary=True) == path.read_bytes()

    def test_gives_log_posteriors_of_the_classes(self):
        model = AcousticModel.bundled()
        rows = model.embed(sound(1.0), node="output")
        assert rows.shape == (33, 41)  # 98 frames of features, every third
        assert torch.allclose(rows.exp().sum(1), torch.ones(33), atol=1e-4)
        assert model.transitions is not None
        assert model.files is not None
        assert PhoneMap.of(model.transitions, model.files.phones).names == CLASSES


def test_commands_call_it_bundled(tmp_path, monkeypatch):
    write_small_model(tmp_path / "inside")
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path / "inside")
    monkeypatch.chdir(tmp_path)
    assert bundled.model_called("bundled") == tmp_path / "inside"
    assert bundled.model_called(Path("elsewhere")) == Path("elsewhere")
    (tmp_path / "bundled").mkdir()
    assert bundled.model_called("bundled") == Path("bundled")
