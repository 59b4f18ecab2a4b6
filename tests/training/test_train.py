from __future__ import annotations

import errno
import json
import logging
import shutil

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from tone_recipes import PIPELINE, recipe_values

import sedsdk
from sedsdk.config import read_model
from sedsdk.errors import ConfigError, DataError, TrainingError
from sedsdk.training import Recipe, train
from sedsdk.training.brain import DetectorBrain, read_curves


def _recipe(corpus, changes=None, **training):
    values = recipe_values(corpus, **training)
    for section, change in (changes or {}).items():
        values[section] = {**values[section], **change}
    return read_model(Recipe, values, "recipe")


def _weights(result):
    return load_file(result.bundle / "model.safetensors")


@pytest.fixture(scope="module")
def finished(tones, host, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    recipe = _recipe(tones)
    return recipe, train(recipe, folder, host=host, device="cpu")


class TestAFinishedRun:
    def test_leaves_its_files(self, finished):
        _, result = finished
        assert {path.name for path in result.folder.iterdir()} >= {
            "recipe.json",
            "curves.csv",
            "checkpoints",
            "detector",
            "scores",
            "result.json",
            "thresholds.json",
            "frontends.safetensors",
        }

    def test_gives_a_detector_that_loads(self, finished, tones, host):
        _, result = finished
        detector = sedsdk.load(result.bundle, host=host)
        assert isinstance(detector(tones.manifest.clips[1].path), list | tuple)

    def test_scores_the_test_part(self, finished):
        _, result = finished
        assert result.report is not None
        assert json.loads((result.folder / "result.json").read_text())["report"] == result.report

    def test_has_a_row_per_epoch(self, finished):
        recipe, result = finished
        rows = read_curves(result.folder / "curves.csv")
        assert [row["epoch"] for row in rows] == [1, 2]
        best = max(rows, key=lambda row: row[recipe.training.score])
        assert result.best["epoch"] == best["epoch"]

    def test_knows_its_seconds_and_parameters(self, finished, host):
        _, result = finished
        done = json.loads((result.folder / "result.json").read_text())
        rows = read_curves(result.folder / "curves.csv")
        assert done["seconds"] == pytest.approx(sum(row["seconds"] for row in rows), rel=1e-5)
        # 4 filters of 3 × 3 with norm, a GRU of 2 × 4 units over 4 × 2 bands, 2 classes
        convolution = 4 * 9 + 2 * 4
        recurrent = 2 * (3 * 4 * (4 * 2) + 3 * 4 * 4 + 2 * 3 * 4)
        head = 2 * 8 + 2
        assert done["parameters"] == convolution + recurrent + head

    def test_is_not_trained_again(self, finished, host, monkeypatch):
        recipe, result = finished
        monkeypatch.setattr(DetectorBrain, "fit", None)
        said = []
        again = train(recipe, result.folder, host=host, device="cpu", say=said.append)
        assert again == result
        assert "finished" in said[-1]

    def test_refuses_another_recipe(self, finished, tones, host):
        _, result = finished
        with pytest.raises(TrainingError, match="another recipe"):
            train(_recipe(tones, epochs=3), result.folder, host=host, device="cpu")

    def test_same_seed_gives_same_weights(self, finished, host, tmp_path):
        recipe, result = finished
        again = train(recipe, tmp_path, host=host, device="cpu")
        first, second = _weights(result), _weights(again)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_another_seed_gives_others(self, finished, tones, host, tmp_path):
        _, result = finished
        other = train(_recipe(tones, seed=1), tmp_path, host=host, device="cpu")
        first, second = _weights(result), _weights(other)
        assert any(not torch.equal(first[name], second[name]) for name in first)


def test_frontends_are_fitted_on_training_audio_alone(tones, own_tones, host, tmp_path, finished):
    for clip in own_tones.manifest.clips:
        noise = np.random.default_rng(0).uniform(-1, 1, 16000)
        soundfile.write(clip.path, noise, 16000)
    held_out = str(own_tones.manifest_path)
    recipe = _recipe(tones, {"data": {"validation": held_out, "test": held_out}}, epochs=1)
    result = train(recipe, tmp_path / "run", host=host, device="cpu")
    assert torch.equal(
        _weights(result)["frontends.main.mean"], _weights(finished[1])["frontends.main.mean"]
    )


def test_fitted_statistics_are_those_of_the_training_frames(finished, tones, host):
    frontend = sedsdk.load(finished[1].bundle, host=host).pipeline.frontends["main"]
    plain = host.load("frontend", "log_mel")
    options = {k: v for k, v in PIPELINE["frontends"]["main"].items() if k != "part"}
    unnormalised = plain(plain.Config(**{**options, "normalise": "none"}))
    frames = []
    for clip in tones.manifest.clips:
        samples, _ = soundfile.read(clip.path, dtype="float32")
        values = unnormalised(torch.from_numpy(samples)[None], torch.tensor([len(samples)])).values
        frames.append(values[0].numpy())
    mean = np.concatenate(frames).mean(0)
    np.testing.assert_allclose(frontend.mean.numpy(), mean, rtol=1e-3, atol=1e-3)


def test_thresholds_do_not_depend_on_test_labels(tones, own_tones, host, tmp_path, finished):
    table = own_tones.manifest_path
    swap = {"high": "low", "low": "high"}
    rows = table.read_text().splitlines()
    swapped = ["\t".join([*cells[:3], swap.get(cells[3], "")]) for cells in map(_cells, rows[1:])]
    table.write_text("\n".join([rows[0], *swapped]) + "\n")
    recipe = _recipe(tones, {"data": {"test": str(table)}})
    result = train(recipe, tmp_path / "run", host=host, device="cpu")
    thresholds = [
        json.loads((run.folder / "thresholds.json").read_text()) for run in (result, finished[1])
    ]
    assert thresholds[0] == thresholds[1]
    assert result.report != finished[1].report


def _cells(row):
    return (row.split("\t") + [""] * 4)[:4]


def test_stops_early_on_the_chosen_score(tones, host, tmp_path, monkeypatch):
    scores = iter([0.5, 0.3, 0.4, 0.6, 0.7])

    def scorer(*_):
        return lambda predictions: {"event_error_rate": next(scores)}

    monkeypatch.setattr("sedsdk.training.run.validation_scorer", scorer)
    recipe = _recipe(tones, epochs=5, patience=2, score="event_error_rate", warmup_steps=0)
    result = train(recipe, tmp_path, host=host, device="cpu")
    assert [row["epoch"] for row in read_curves(tmp_path / "curves.csv")] == [1, 2, 3, 4]
    assert result.best == {
        "epoch": 2,
        "valid_loss": pytest.approx(result.best["valid_loss"]),
        "event_error_rate": 0.3,
    }


class TestTagsOnly:
    @pytest.fixture
    def manifest(self, own_tones):
        path = own_tones.folder / "tags.csv"
        rows = [
            f"{name},{';'.join(sorted({e.label for e in events}))}"
            for name, events in own_tones.events.items()
        ]
        path.write_text("filename,event_labels\n" + "\n".join(rows) + "\n", encoding="utf-8")
        return str(path)

    def _recipe(self, corpus, manifest, **training):
        data = {"train": manifest, "validation": manifest, "test": manifest}
        pipeline = {"head": {"part": "clip_bce"}, "postprocessors": []}
        return _recipe(corpus, {"data": data, "pipeline": pipeline}, **training)

    def test_train_a_tagger(self, own_tones, manifest, host, tmp_path):
        recipe = self._recipe(own_tones, manifest, score="clip_average_precision")
        result = train(recipe, tmp_path / "run", host=host, device="cpu")
        assert 0 <= result.best["clip_average_precision"] <= 1
        assert result.report["tags"]["classes"]["high"]["threshold"] == 0.5
        assert "event_based_onset" not in result.report
        assert not (result.folder / "thresholds.json").exists()
        tags = sedsdk.load(result.bundle, host=host).tags(own_tones.manifest.clips[1].path)
        assert set(tags) == {"high", "low"}

    def test_a_score_of_events_is_refused_before_training(
        self, own_tones, manifest, host, tmp_path
    ):
        recipe = self._recipe(own_tones, manifest)
        with pytest.raises(ConfigError, match=r"frame_average_precision.*clip_average_precision"):
            train(recipe, tmp_path / "run", host=host, device="cpu")


def test_a_score_of_events_needs_events(tones, host, tmp_path):
    recipe = _recipe(tones, {"pipeline": {"postprocessors": []}}, score="event_f1")
    with pytest.raises(ConfigError, match="to_events"):
        train(recipe, tmp_path, host=host, device="cpu")


def test_bad_recordings_are_reported_and_the_rest_is_learned(own_tones, host, tmp_path):
    clips = own_tones.manifest.clips
    clips[0].path.unlink()
    clips[1].path.write_text("no audio", encoding="utf-8")
    flac = own_tones.folder / "cut.flac"
    soundfile.write(flac, np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    flac.write_bytes(flac.read_bytes()[:8000])
    with own_tones.manifest_path.open("a") as table:
        table.write("cut.flac\t\t\t\n")
    result = train(_recipe(own_tones), tmp_path / "run", host=host, device="cpu")
    told = "\n".join(result.problems)
    for name in (clips[0].path.name, clips[1].path.name, "cut.flac"):
        assert name in told
    assert read_curves(result.folder / "curves.csv")[-1]["epoch"] == 2


def test_no_usable_recording_is_an_error(own_tones, host, tmp_path):
    for path in own_tones.folder.glob("*.wav"):
        path.unlink()
    with pytest.raises(DataError, match=r"clip0\.wav|no clip"):
        train(_recipe(own_tones), tmp_path / "run", host=host, device="cpu")


@pytest.mark.parametrize("chunk", [None, 0.5])
@pytest.mark.parametrize("precision", ["bf16", "auto"])
def test_precisions_and_chunks_train_on_a_cpu(tones, host, tmp_path, precision, chunk):
    recipe = _recipe(tones, epochs=1, precision=precision, chunk_seconds=chunk)
    result = train(recipe, tmp_path, host=host, device="cpu")
    assert all(value.dtype != torch.bfloat16 for value in _weights(result).values())
    assert np.isfinite(read_curves(tmp_path / "curves.csv")[0]["train_loss"])


def test_half_precision_without_a_gpu_is_refused(tones, host, tmp_path):
    with pytest.raises(TrainingError, match=r"fp16 needs a GPU.*bf16"):
        train(_recipe(tones, precision="fp16"), tmp_path, host=host, device="cpu")


def test_a_loss_that_is_not_finite_names_the_cure(tones, host, tmp_path, monkeypatch):
    original = DetectorBrain.compute_objectives

    def spoiled(self, predictions, batch, stage):
        loss = original(self, predictions, batch, stage)
        return loss * float("nan") if self.optimizer_step == 4 else loss

    recipe = _recipe(tones)
    with monkeypatch.context() as patch:
        patch.setattr(DetectorBrain, "compute_objectives", spoiled)
        with pytest.raises(TrainingError, match=r"loss is not finite.*learning_rate \(now 0\.05\)"):
            train(recipe, tmp_path, host=host, device="cpu")
    result = train(recipe, tmp_path, host=host, device="cpu")
    assert all(torch.isfinite(value.float()).all() for value in _weights(result).values())


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    tones, host, tmp_path, monkeypatch
):
    brains = []
    original = DetectorBrain.compute_objectives

    def spoiled(self, predictions, batch, stage):
        brains.append(self)
        return torch.sqrt(original(self, predictions, batch, stage) * 0)  # slope ∞ · 0 at 0

    monkeypatch.setattr(DetectorBrain, "compute_objectives", spoiled)
    with pytest.raises(TrainingError, match="gradient is not finite"):
        train(_recipe(tones), tmp_path, host=host, device="cpu")
    assert all(torch.isfinite(p).all() for p in brains[0].pipeline.parameters())


def test_a_full_disk_keeps_the_earlier_checkpoint(tones, host, tmp_path, monkeypatch):
    import speechbrain.utils.checkpoints as sb_checkpoints

    original = sb_checkpoints.torch.save
    left = [8]

    def fill(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments, **options)

    recipe = _recipe(tones, epochs=4, checkpoint_minutes=1e-9)
    with monkeypatch.context() as patch:
        patch.setattr(sb_checkpoints.torch, "save", fill)
        with pytest.raises(TrainingError, match=r"No space left.*make room"):
            train(recipe, tmp_path / "full", host=host, device="cpu")
    names = [path.name for path in (tmp_path / "full" / "checkpoints").iterdir()]
    assert names
    assert all(name.startswith("CKPT+") for name in names)
    gone_on = train(recipe, tmp_path / "full", host=host, device="cpu")
    straight = train(recipe, tmp_path / "straight", host=host, device="cpu")
    first, second = _weights(gone_on), _weights(straight)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_away_from_a_terminal_is_silent(tones, host, tmp_path, capfd):
    train(_recipe(tones, epochs=1), tmp_path, host=host, device="cpu")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.parametrize(
    ("terminal", "wanted", "shown"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_a_progress_bar_needs_a_terminal(
    tones, host, tmp_path, monkeypatch, terminal, wanted, shown
):
    bars = []
    original = DetectorBrain._fit_train

    def look(self, train_set, epoch, enable):
        bars.append(enable)
        return original(self, train_set, epoch, False)

    monkeypatch.setattr(DetectorBrain, "_fit_train", look)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    train(_recipe(tones, epochs=1), tmp_path, host=host, device="cpu", progress=wanted)
    assert bars == [shown]


def test_progress_is_told_to_the_caller_or_logged(tones, host, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "sedsdk.training"):
        train(_recipe(tones, epochs=1), tmp_path, host=host, device="cpu")
    assert any("thresholds" in record.message for record in caplog.records)


def test_a_batch_that_does_not_divide_is_refused(tones, host, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(TrainingError, match=r"batch_size = 4.*multiple of 3"):
        train(_recipe(tones), tmp_path, host=host, device="cpu")


def test_mixtures_made_on_the_fly(host, tmp_path):
    mixtures = {"mixtures_per_class": 2, "duration_seconds": 3, "subtype": "PCM_16"}
    values = {
        "pipeline": {**PIPELINE, "labels": ["babycry", "gunshot"]},
        "data": {
            "kind": "recordings",
            "folder": "builtin",
            "corpus_size": "tiny",
            "mixing": {"clip_seconds": 2},
            "validation": {"split": "validation", "mixtures": {**mixtures, "subset": "valid"}},
            "test": {"split": "test", "mixtures": {**mixtures, "subset": "test"}},
        },
        "training": {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2},
    }
    result = train(read_model(Recipe, values, "recipe"), tmp_path, host=host, device="cpu")
    assert result.report is not None
    assert (tmp_path / "data" / "validation").is_dir()
    shutil.rmtree(tmp_path / "detector")
    (tmp_path / "result.json").unlink()
    again = train(read_model(Recipe, values, "recipe"), tmp_path, host=host, device="cpu")
    assert again.best == result.best
    assert again.bundle.is_dir()
