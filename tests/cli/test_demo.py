"""`sedsdk train` and `sedsdk demo`, with a training that costs nothing."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from sedsdk.cli.demo import chosen_clips, unheard_recordings
from sedsdk.cli.recordings import RECORDINGS_VARIABLE, recordings_folder
from sedsdk.data.manifest import Clip
from sedsdk.errors import DataError
from sedsdk.types import Event

REAL_RECORDINGS = Path(__file__).resolve().parents[2] / ".." / "shared" / "real"


@pytest.fixture
def trained(monkeypatch, saved_detector, recordings):
    """Replaces loading of recipes and training; returns the calls made."""
    pytest.importorskip("matplotlib", reason='needs "sedsdk[plots]"')
    run_module = import_module("sedsdk.training.run")
    recipe_module = import_module("sedsdk.training.recipe")
    calls = []

    def load_recipe(name, host=None, overrides=()):
        return name, tuple(overrides)

    def train(recipe, folder, *, host=None, device=None, progress=True, say=None, shared=None):
        calls.append(recipe)
        if shared is not None:
            say(f"shared in {shared}")
        folder = Path(folder)
        test = folder / "data" / "test"
        test.mkdir(parents=True)
        shutil.copy(recordings / "a.wav", test / "a.wav")
        shutil.copy(recordings / "a.wav", test / "b.wav")
        (test / "manifest_test.csv").write_text(
            "filename,onset,offset,event_label\na.wav,0.2,0.4,bell\nb.wav,,,\n", encoding="utf-8"
        )
        (folder / "curves.csv").write_text("epoch,train_loss\n1,0.5\n", encoding="utf-8")
        say("learning")
        return run_module.TrainingResult(folder, saved_detector, {"epoch": 1.0})

    monkeypatch.setattr(recipe_module, "load_recipe", load_recipe)
    monkeypatch.setattr(run_module, "train", train)
    monkeypatch.delenv(RECORDINGS_VARIABLE, raising=False)
    return calls


@pytest.fixture
def real(tmp_path):
    """A folder as recordings are laid out, with two recordings that may be searched."""
    import soundfile

    folder = tmp_path / "real"
    files = {
        "events/bell/e.wav": "train",
        "backgrounds/b.wav": "dev",
        "street/heard.wav": "train",
        "street/new.wav": "dev",
        "phone/new.wav": "dev",
    }
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.full(8000, 0.01), 8000)
    rows = [f"{name},{split},bell" for name, split in files.items()]
    (folder / "origin.csv").write_text("\n".join(["file,split,label", *rows]), encoding="utf-8")
    (folder / "street" / "reference.csv").write_text(
        "filename\tonset\toffset\tevent_label\nstreet/new.wav\t0.1\t0.2\tbell\n", encoding="utf-8"
    )
    return folder


class TestTrain:
    def test_it_says_where_the_detector_is(self, run, trained, saved_detector, tmp_path):
        result = run("train", "tiny/demo", "--out", tmp_path / "run", "--set", "training.epochs=3")
        assert result.exit_code == 0, result.stderr
        assert trained == [("tiny/demo", ("training.epochs=3",))]
        assert str(saved_detector) in result.stdout
        assert "learning" in result.stderr
        assert (tmp_path / "run" / "curves.png").is_file()

    def test_json(self, run, trained, tmp_path):
        result = run("train", "tiny/demo", "--out", tmp_path / "run", "--json")
        assert json.loads(result.stdout)["best"] == {"epoch": 1.0}

    def test_a_shared_folder_is_handed_on(self, run, trained, tmp_path):
        out, shared = tmp_path / "run", tmp_path / "for all"
        result = run("train", "tiny/demo", "--out", out, "--shared", shared)
        assert f"shared in {shared}" in result.stderr

    def test_other_processes_of_a_distributed_run_are_silent(
        self, run, trained, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("RANK", "1")
        assert run("train", "tiny/demo", "--out", tmp_path / "run").stdout == ""

    def test_an_unknown_recipe_is_an_error(self, run, tmp_path):
        result = run("train", "nothing/here", "--out", tmp_path)
        assert result.exit_code == 1
        assert 'no recipe "nothing/here"' in result.stderr


class TestDemo:
    def test_real_recordings_are_learned_and_searched(self, run, trained, real, tmp_path):
        out = tmp_path / "out"
        result = run("demo", "--out", out, "--recordings", real, "--quick")
        assert result.exit_code == 0, result.stderr
        (first, first_changes), (second, second_changes) = trained
        assert (first, second) == ("demo/corpus", "demo/recordings")
        assert "data.corpus_size=tiny" in first_changes
        assert f'data.folder="{real.as_posix()}"' in second_changes
        assert {path.name for path in (out / "pictures").iterdir()} == {
            "corpus-test-bell.png",
            "corpus-test-no-event.png",
            "recordings-test-bell.png",
            "recordings-test-no-event.png",
            "unheard-phone-new.png",
            "unheard-street-new.png",
        }
        assert "bell 0.10–0.20" in result.stdout
        assert "tagged bell" in result.stdout
        assert "heard.wav" not in result.stdout

    def test_without_recordings_it_says_so_and_uses_its_own(
        self, run, trained, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("sedsdk.cli.recordings.RECORDINGS_BESIDE", Path("nowhere"))
        result = run("demo", "--out", tmp_path / "out")
        assert result.exit_code == 0, result.stderr
        assert [recipe for recipe, _ in trained] == ["demo/corpus"]
        assert "No real recordings here" in result.stdout
        assert "2 recordings searched" in result.stdout


class TestRecordingsFolder:
    def test_the_option_goes_before_the_variable(self, real, tmp_path, monkeypatch):
        monkeypatch.setenv(RECORDINGS_VARIABLE, str(tmp_path / "other"))
        assert recordings_folder(real) == real.resolve()
        monkeypatch.setenv(RECORDINGS_VARIABLE, str(real))
        assert recordings_folder(None) == real.resolve()

    def test_a_folder_that_is_named_must_hold_recordings(self, tmp_path):
        with pytest.raises(DataError, match="expected events/<label>"):
            recordings_folder(tmp_path)

    def test_they_are_found_beside_the_working_folder(self, tmp_path, monkeypatch):
        (tmp_path / "shared" / "real" / "events").mkdir(parents=True)
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        monkeypatch.delenv(RECORDINGS_VARIABLE, raising=False)
        assert recordings_folder(None) == (tmp_path / "shared" / "real").resolve()


class TestUnheard:
    def test_training_splits_and_folders_are_left_out(self, real):
        found = unheard_recordings(real)
        assert [item.path.relative_to(real).as_posix() for item in found] == [
            "phone/new.wav",
            "street/new.wav",
        ]
        assert [item.reference for item in found] == [None, (Event(0.1, 0.2, "bell"),)]

    def test_without_an_origin_nothing_is_known_to_be_unheard(self, real):
        (real / "origin.csv").unlink()
        assert unheard_recordings(real) == []

    @pytest.mark.skipif(
        not REAL_RECORDINGS.is_dir(), reason="runs where ../shared/real lies beside the checkout"
    )
    def test_the_shared_recordings_give_sensor_and_phone_recordings(self):
        found = unheard_recordings(REAL_RECORDINGS)
        assert {item.path.parent.name for item in found} == {"strong_gunshot", "weak_babycry8k"}
        assert all(item.path.is_file() for item in found)
        assert all(
            (item.reference is not None) == (item.path.parent.name == "strong_gunshot")
            for item in found
        )


def test_clips_of_every_class_and_one_without_event_are_drawn():
    def clip(name, *labels):
        return Clip(name, Path(name), events=tuple(Event(0.0, 1.0, label) for label in labels))

    clips = [clip("1", "a"), clip("2", "a"), clip("3"), clip("4", "a", "b"), clip("5")]
    assert [chosen.id for chosen in chosen_clips(clips)] == ["1", "3", "4"]
