"""Training with `unfreeze_last`: what moves, what is kept on disk, what is saved, what resumes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_recipe import NODE_DIM, SAMPLE_RATE, sound
from safetensors.torch import load_file

import sedsdk
from kaldi_bridge.acoustic_model import AcousticModel
from sedsdk.config import read_model
from sedsdk.runtime.bundle import load_bundle, save_bundle
from sedsdk.testing.corpus import write_tiny_corpus
from sedsdk.training import Recipe, load_recipe, train
from sedsdk.training import run as run_module
from sedsdk.training.brain import DetectorBrain
from sedsdk.training.run import load_trained
from sedsdk.training.streams import StreamReader

LAYERS = {0: set(), 1: {"prefinal-l"}, 2: {"prefinal-l", "tdnnf4"}}
"""Of the made network, whose last factored layer is tdnnf4."""
CLIPS = 8
STEPS = 2


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return write_tiny_corpus(tmp_path_factory.mktemp("tones"), clips=CLIPS)


def pipeline_values(model_dir, n):
    return {
        "labels": ["high", "low"],
        "frontends": {
            "main": {
                "part": "tdnnf_embedding",
                "model": str(model_dir),
                "hop_seconds": 0.02,
                "unfreeze_last": n,
            }
        },
        "encoder": {
            "part": "crnn",
            "channels": [4],
            "frequency_pooling": [2],
            "rnn_units": 4,
            "dropout": 0.0,
        },
        "head": {"part": "frame_bce"},
        "postprocessors": [{"part": "hysteresis"}, "to_events"],
    }


@pytest.fixture
def recipe(tones, model_dir):
    """Returns a recipe of two steps an epoch, in which n layers learn."""

    def made(n, **training):
        values = {
            "pipeline": pipeline_values(model_dir, n),
            "data": {
                "kind": "manifests",
                "train": str(tones.manifest_path),
                "validation": str(tones.manifest_path),
                "test": str(tones.manifest_path),
            },
            "training": {
                "epochs": 1,
                "batch_size": CLIPS // STEPS,
                "optimiser": "sgd",
                "learning_rate": 0.5,
                "keep": "last",
                **training,
            },
        }
        return read_model(Recipe, values, "recipe")

    return made


@pytest.fixture
def computed(monkeypatch):
    """Samples of each clip of which the frozen part was computed."""
    seen = []
    original = AcousticModel.embed

    def counted(self, samples, **options):
        seen.append(samples)
        return original(self, samples, **options)

    monkeypatch.setattr(AcousticModel, "embed", counted)
    return seen


class TestTraining:
    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_exactly_those_layers_move(self, recipe, host, model_dir, tmp_path, monkeypatch, n):
        pipelines, gradients = [], []
        scorer, stop = run_module.validation_scorer, DetectorBrain.check_gradients

        def seen(pipeline, clips):
            pipelines.append(pipeline)
            return scorer(pipeline, clips)

        def look(brain):
            frozen = brain.pipeline.frontends["main"].acoustic_model
            gradients.extend(value.grad for value in frozen.parameters())
            stop(brain)

        monkeypatch.setattr(run_module, "validation_scorer", seen)
        monkeypatch.setattr(DetectorBrain, "check_gradients", look)
        result = train(recipe(n), tmp_path, host=host, device="cpu")

        read = AcousticModel.load(model_dir).state_dict()
        frozen = pipelines[0].frontends["main"].acoustic_model.state_dict()
        assert read.keys() == frozen.keys()
        assert all(torch.equal(frozen[name], value) for name, value in read.items())
        assert len(gradients) >= STEPS
        assert all(gradient is None for gradient in gradients)

        saved = load_file(result.bundle / "model.safetensors")
        prefix = "frontends.main.learning."
        learnt = {name.removeprefix(prefix): v for name, v in saved.items() if prefix in name}
        moved = {name for name, value in learnt.items() if not torch.equal(read[name], value)}
        parameters = dict(AcousticModel.load(model_dir).named_parameters())
        assert moved == {name for name in learnt if name in parameters and len(learnt[name])}
        assert {name.split("weights.")[-1].split("/")[0].split(":")[0] for name in moved} == LAYERS[
            n
        ]

    def test_what_is_frozen_is_computed_once(self, recipe, host, tmp_path, computed):
        shared = tmp_path / "shared"
        train(recipe(2, epochs=3), tmp_path / "a", shared=shared, host=host, device="cpu")
        assert len(computed) == CLIPS, "training, validation and test are the same clips"
        train(recipe(2, epochs=4), tmp_path / "b", shared=shared, host=host, device="cpu")
        assert len(computed) == CLIPS

    @pytest.mark.parametrize("chunk_seconds", [None, 0.4])
    def test_a_run_goes_on_where_it_was_stopped(
        self, recipe, host, tmp_path, monkeypatch, computed, chunk_seconds
    ):
        options = {"epochs": 2, "checkpoint_minutes": 1e-9, "chunk_seconds": chunk_seconds}
        options |= {"optimiser": "adamw", "learning_rate": 0.01, "weight_average": 0.9}
        whole = train(recipe(2, **options), tmp_path / "whole", host=host, device="cpu")
        steps = []
        original = DetectorBrain.fit_batch

        def stopping(brain, batch):
            if len(steps) == STEPS + 1:
                steps.append("stopped")
                raise KeyboardInterrupt
            steps.append(brain.step)
            return original(brain, batch)

        monkeypatch.setattr(DetectorBrain, "fit_batch", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(recipe(2, **options), tmp_path / "again", host=host, device="cpu")
        again = train(recipe(2, **options), tmp_path / "again", host=host, device="cpu")
        assert len(computed) == 2 * CLIPS, "the second part of the run computed nothing"
        want, got = (load_file(run.bundle / "model.safetensors") for run in (whole, again))
        for name, value in want.items():
            torch.testing.assert_close(got[name], value, rtol=1e-5, atol=1e-6)

    def test_the_trained_detector_gives_the_same_when_loaded(
        self, recipe, host, model_dir, tmp_path
    ):
        """Also elsewhere, and what it hears is the stream that validation saw."""
        result = train(recipe(1, epochs=2), tmp_path / "run", host=host, device="cpu")
        moved = Path(shutil.copytree(result.bundle, tmp_path / "moved"))
        loaded = load_bundle(moved, host)
        clip, length = torch.from_numpy(sound(1.2))[None], torch.tensor([19200])
        frontend = loaded.frontends["main"]
        assert frontend.learns
        stored = frontend.finish(frontend.store(clip, length)).values
        torch.testing.assert_close(frontend(clip, length).values, stored)
        frozen = sedsdk.part("tdnnf_embedding", model=str(model_dir), hop_seconds=0.02)
        part, config = frozen.resolve("frontend", host)
        assert not torch.allclose(part(config)(clip, length).values, stored, atol=1e-3)
        before = load_trained(result, host).predict([sound(1.2)], SAMPLE_RATE)[0].frames
        after = loaded.predict([sound(1.2)], SAMPLE_RATE)[0].frames
        np.testing.assert_array_equal(after, before)

    def test_a_detector_is_saved_with_its_layers(self, host, model_dir, tmp_path):
        values = pipeline_values(model_dir, 2)
        pipeline = sedsdk.Pipeline(read_model(sedsdk.PipelineConfig, values, "pipeline"), host)
        with torch.no_grad():
            for parameter in pipeline.frontends.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        folder = save_bundle(pipeline, tmp_path / "detector")
        names = load_file(folder / "model.safetensors")
        assert "frontends.main.learning.weights.tdnnf4:affine/LinearParams" in names
        frames = pipeline.predict([sound(1.0)], SAMPLE_RATE)[0].frames
        again = load_bundle(folder, host).predict([sound(1.0)], SAMPLE_RATE)[0].frames
        np.testing.assert_array_equal(again, frames)
        assert frames.shape == (50, 2)
        assert pipeline.streams["main"].size == NODE_DIM


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="needs a torch build with gloo"
)
def test_two_processes_train_the_layers_of_one(recipe, host, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe(2, epochs=2).model_dump_json(), encoding="utf-8")
    alone = train(load_recipe(path, host), tmp_path / "alone", host=host, device="cpu")
    command_line = "import sys; from sedsdk.cli import main; sys.exit(main())"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    program = ["--no-python", sys.executable, "-c", command_line, "train", str(path)]
    both = subprocess.run(
        [sys.executable, *launch, *program, "--out", str(tmp_path / "both"), "--device", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "SEDSDK_PLUGINS": "kaldi"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert both.returncode == 0, both.stderr
    weights = load_file(tmp_path / "both" / "detector" / "model.safetensors")
    for name, value in load_file(alone.bundle / "model.safetensors").items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-4)


def test_reading_a_clip_keeps_what_is_stored(host, model_dir, tones, tmp_path, computed):
    """And a second reader finds it, whatever has been learnt meanwhile."""
    values = pipeline_values(model_dir, 1)
    pipeline = sedsdk.Pipeline(read_model(sedsdk.PipelineConfig, values, "pipeline"), host)
    clip = tones.manifest.clips[0]
    first = StreamReader(pipeline, tmp_path).read(clip)["main"]
    with torch.no_grad():
        for parameter in pipeline.frontends.parameters():
            parameter.mul_(3)
    second = StreamReader(pipeline, tmp_path).read(clip)["main"]
    assert len(computed) == 1
    np.testing.assert_array_equal(first, second)
    assert first.shape[1] == pipeline.frontends["main"].stored_spec.size
