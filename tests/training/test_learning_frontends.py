"""Frontends that learn: inside the training step, from what is stored of every clip."""

from __future__ import annotations

import learning_frontend
import pytest
import torch
from learning_frontend import Gained, Split
from safetensors.torch import load_file
from tone_recipes import PIPELINE, recipe_values

from sedsdk.config import PipelineConfig, read_model
from sedsdk.data.mixture_plans import MixingConfig, MixturePlanner
from sedsdk.data.sources import Source, SourceSet
from sedsdk.data.waveform_mixer import WaveformMixer
from sedsdk.host import Host
from sedsdk.pipeline import Pipeline
from sedsdk.training import Recipe, train
from sedsdk.training.batches import MixtureBatches, Share
from sedsdk.training.streams import StreamReader

GAIN = "frontends.main.gain"
CLIPS = 12
EPOCHS = 2


@pytest.fixture
def learning_host():
    return Host(plugins=[learning_frontend], discover=False)


@pytest.fixture
def made(learning_host):
    def make(part):
        values = {**PIPELINE, "frontends": {"main": {"part": part}}}
        return Pipeline(PipelineConfig(**values), learning_host, seed=0)

    return make


@pytest.fixture
def computed(monkeypatch):
    """Sets the counts of clips whose levels were computed to 0."""
    monkeypatch.setattr(Gained, "computed", 0)
    monkeypatch.setattr(Split, "computed", 0)


def trained(part, tones, folder, host, **training):
    values = recipe_values(tones, epochs=EPOCHS, learning_rate=0.5, **training)
    values["pipeline"] = {**PIPELINE, "frontends": {"main": {"part": part}}}
    return train(read_model(Recipe, values, "recipe"), folder, host=host, device="cpu")


@pytest.mark.parametrize(("cache", "chunk_seconds"), [(True, None), (False, 0.2)])
def test_what_is_stored_changes_nothing_that_is_learnt(
    tones, learning_host, tmp_path, computed, cache, chunk_seconds
):
    options = {"chunk_seconds": chunk_seconds, "chunk_overlap_seconds": 0.0, "cache": cache}
    weights = [
        load_file(
            trained(part, tones, tmp_path / part, learning_host, **options).bundle
            / "model.safetensors"
        )
        for part in ("gained", "split")
    ]
    begin = torch.linspace(-1.0, 1.0, learning_frontend.SIZE)
    assert (weights[0][GAIN] - begin).abs().min() > 1e-6
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-5)
    if cache:
        assert Split.computed == CLIPS < Gained.computed


def test_samples_are_stored_of_a_frontend_that_learns_from_them(made, tones, tmp_path):
    pipeline = made("gained")
    reader = StreamReader(pipeline, tmp_path)
    stored = reader.read(tones.manifest.clips[0])
    assert stored["main"].shape == (16000, 1)
    piece = reader.cut(stored, 0.5, 0.75)
    inputs = reader.inputs([piece], "cpu")
    assert inputs.main.values.requires_grad
    whole = reader.inputs([stored], "cpu").main.values[0]
    torch.testing.assert_close(inputs.main.values[0, :12], whole[25:37])
    pipeline.frontends["main"].requires_grad_(False)
    frozen = StreamReader(pipeline, tmp_path).read(tones.manifest.clips[0])["main"]
    assert frozen.shape == (50, learning_frontend.SIZE), "nothing learns: the features are stored"


def test_another_state_of_what_learns_finds_what_is_stored(made, tones, tmp_path, computed):
    for gain in (1.0, 5.0):
        pipeline = made("split")
        with torch.no_grad():
            pipeline.frontends["main"].gain.fill_(gain)
        reader = StreamReader(pipeline, tmp_path)
        clip = reader.read(tones.manifest.clips[1])
        peak = reader.inputs([clip], "cpu").main.values.detach().max()
        assert float(peak) == pytest.approx(gain * clip["main"].max(), rel=1e-6)
    assert Split.computed == 1


@pytest.mark.parametrize("part", ["gained", "split"])
def test_mixtures_that_are_made_on_the_fly_teach_it(made, tones, part):
    clips = tones.manifest.clips
    events = tuple(
        Source(clip.path, event.label, event.onset, event.offset, clip.id)
        for clip in clips
        for event in clip.events
    )
    sources = SourceSet(events, (Source(clips[0].path, ""),), ())
    durations = [(source.end or 1.0) - source.start for source in sources.sources]
    pipeline = made(part)
    planner = MixturePlanner(sources, durations, pipeline.labels, MixingConfig(clip_seconds=0.5), 3)
    mixer = WaveformMixer(sources.sources, 2, 0.5, 16000)
    batches = MixtureBatches(pipeline, planner, {}, mixer, 2, Share(4))
    stored = batches.stored(batches[0], "cpu")
    assert not stored.streams.main.values.requires_grad
    inputs, targets = stored.finished(pipeline)
    pipeline.training_losses(inputs, targets, torch.Generator()).mean().backward()
    assert pipeline.frontends["main"].gain.grad.abs().min() > 0
