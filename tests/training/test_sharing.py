"""Runs that share what they make of their data, also at the same moment."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from tiny_tut_rare import RATE, write_development

from sedsdk.config import read_model
from sedsdk.host import Host
from sedsdk.pipeline import Pipeline
from sedsdk.training.batches import Share
from sedsdk.training.places import Places
from sedsdk.training.prepare import prepare
from sedsdk.training.recipe import Recipe
from sedsdk.training.score import ScoringClips

MIXTURES = {"mixtures_per_class": 3, "duration_seconds": 1, "sample_rate": RATE}
PIPELINE = {
    "labels": ["babycry", "gunshot"],
    "frontends": {"main": {"part": "log_mel", "sample_rate": RATE, "n_mels": 8}},
    "encoder": {"part": "crnn", "channels": [4], "frequency_pooling": [4], "rnn_units": 4},
    "head": "frame_bce",
    "postprocessors": ["hysteresis", "to_events"],
}
TRAINING = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2}


def _values(**data):
    return {
        "pipeline": PIPELINE,
        "data": {"kind": "recordings", **data},
        "training": TRAINING,
    }


def _on_the_corpus():
    return _values(
        folder="builtin",
        corpus_size="tiny",
        mixing={"clip_seconds": 1},
        validation={"split": "validation", "mixtures": {**MIXTURES, "subset": "valid"}},
        test={"split": "test", "mixtures": {**MIXTURES, "subset": "test"}},
    )


def _on_recordings(folder):
    return _values(
        folder=str(folder),
        split="devtrain",
        training_mixtures=MIXTURES,
        validation={"part": "devtest", "mixtures": MIXTURES},
    )


def _prepare_at_once(values, run, shared, log, together):
    """Runs in a process of its own, and logs every file that it makes."""
    from sedsdk.data import corpus, feature_cache, mixtures

    torch.set_num_threads(1)

    def logged(make, name_of):
        def make_and_log(*arguments):
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, f"{name_of(*arguments)}\n".encode())
            os.close(descriptor)
            return make(*arguments)

        return make_and_log

    mixtures.write_audio = logged(mixtures.write_audio, lambda path, *_: path)
    corpus.write_audio = logged(corpus.write_audio, lambda path, *_: path)
    feature_cache.FeatureCache._write = logged(
        feature_cache.FeatureCache._write, lambda _, file, *__: file
    )
    recipe = read_model(Recipe, values, "recipe")
    pipeline = Pipeline(recipe.pipeline, Host(discover=False), seed=0)
    together.wait()
    prepared = prepare(
        recipe, pipeline, run, Share(2), "cpu", lambda line: None, workers=2, shared=shared
    )
    ScoringClips(prepared.validation, prepared.reader, pipeline.labels, "cpu")


def _contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".wav", ".flac")
    }


@pytest.mark.parametrize("data", ["corpus", "recordings"])
def test_two_processes_make_each_thing_once(data, tmp_path):
    values = _on_the_corpus()
    if data == "recordings":
        values = _on_recordings(write_development(tmp_path))
    shared, log = tmp_path / "shared", tmp_path / "made.txt"
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    processes = [
        spawn.Process(
            target=_prepare_at_once, args=(values, tmp_path / name, shared, log, together)
        )
        for name in ("first", "second")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]

    made = Counter(log.read_text().splitlines())
    assert {count for count in made.values()} == {1}
    kinds = Counter(Path(name).suffix for name in made)
    if data == "corpus":
        assert kinds[".wav"] == 2 * 6, "validation and test"
        assert kinds[".flac"] == len(list(shared.glob("corpus-*/**/*.flac")))
    else:
        assert kinds[".wav"] == 2 * 6, "training and validation"
        assert kinds[".npy"] == 2 * 6, "the features of each"
    assert not list(shared.rglob("*.tmp"))
    assert not list(shared.rglob("*.part"))
    for name in ("first", "second"):
        assert [path.name for path in (tmp_path / name).rglob("*")] == ["data", "made.json"]

    recipe = read_model(Recipe, values, "recipe")
    pipeline = Pipeline(recipe.pipeline, Host(discover=False), seed=0)
    prepare(recipe, pipeline, tmp_path / "alone", Share(2), "cpu", lambda line: None, workers=1)
    assert _contents(tmp_path / "alone") == _contents(shared)


def test_a_change_of_settings_or_recordings_is_made_anew(tmp_path):
    root = write_development(tmp_path)
    shared = tmp_path / "shared"

    def sets(**mixtures) -> int:
        values = _on_recordings(root)
        values["data"]["training_mixtures"] = {**MIXTURES, **mixtures}
        recipe = read_model(Recipe, values, "recipe")
        pipeline = Pipeline(recipe.pipeline, Host(discover=False), seed=0)
        prepare(recipe, pipeline, tmp_path / "run", Share(2), "cpu", lambda _: None, 1, shared)
        return len(list((shared / "mixtures").iterdir()))

    assert sets() == 2, "training and validation"
    assert sets() == 2
    assert sets(seed=1) == 3
    sound = root / "data" / "source_data" / "events" / "gunshot" / "0.wav"
    soundfile.write(sound, np.zeros(RATE), RATE)
    assert sets() == 4, "validation hears other events"


def test_sharing_changes_nothing_that_is_learned(tmp_path, host):
    from sedsdk.training.run import train

    values = _on_recordings(write_development(tmp_path))
    values["data"]["validation"] = {"mixtures": MIXTURES, "folds": 2, "cross_fit": True}
    values["training"] = {**TRAINING, "keep": "last"}
    recipe = read_model(Recipe, values, "recipe")
    shared = tmp_path / "shared"
    alone = train(recipe, tmp_path / "alone", host=host, device="cpu")
    both = [
        train(recipe, tmp_path / name, host=host, device="cpu", shared=shared)
        for name in ("one", "two")
    ]
    weights = load_file(alone.bundle / "model.safetensors")
    thresholds = (alone.folder / "thresholds.json").read_text()
    for result in both:
        other = load_file(result.bundle / "model.safetensors")
        assert all(torch.equal(weights[name], other[name]) for name in weights)
        assert (result.folder / "thresholds.json").read_text() == thresholds
        assert result.best == alone.best
        assert not list(result.folder.rglob("*.wav"))
        assert not list(result.folder.rglob("*.npy"))
    # Mixtures of either half, which one fold learns from and the other is judged by, and of all.
    assert len(list((shared / "mixtures").iterdir())) == 3


def test_notes_hold_where_a_moved_run_has_its_own_mixtures(tmp_path):
    from sedsdk.data.manifest import Clip, Manifest

    run = tmp_path / "run"
    manifest = Manifest((Clip("a", run / "data" / "validation" / "a.wav", events=()),), ("dog",))
    manifest.write(run / "data" / "validation" / "manifest_x.csv")
    Places(run).note("validation", run / "data" / "validation" / "manifest_x.csv")
    run.rename(tmp_path / "moved")
    (clip,) = Places(tmp_path / "moved").noted("validation")
    assert clip.path == tmp_path / "moved" / "data" / "validation" / "a.wav"
