"""The share of training clips that hold each class: as the targets have it, told to the head."""

from __future__ import annotations

import json
from dataclasses import replace

import informed_head
import pytest
import torch
from informed_head import Informed
from safetensors.torch import load_file
from tone_recipes import PIPELINE, recipe_values

from sedsdk.config import PipelineConfig, read_model
from sedsdk.data.energy_mixer import EnergyBank, EnergyMixer
from sedsdk.data.mixture_plans import MixingConfig, MixturePlanner
from sedsdk.data.sources import Source, SourceSet
from sedsdk.errors import DataError
from sedsdk.host import Host
from sedsdk.pipeline import Pipeline
from sedsdk.training import Recipe, train
from sedsdk.training.batches import ClipBatches, MixtureBatches, Share
from sedsdk.training.run import SCORES_FOLDER
from sedsdk.training.streams import StreamReader

SECONDS = 1.0


@pytest.fixture
def pipeline(host):
    frontend = {**PIPELINE["frontends"]["main"], "normalise": "none"}
    return Pipeline(PipelineConfig(**{**PIPELINE, "frontends": {"main": frontend}}), host, seed=0)


def clip_batches(pipeline, clips, chunk=None, batch=1):
    reader, durations = StreamReader(pipeline, None), [SECONDS] * len(clips)
    return ClipBatches(pipeline, reader, clips, durations, chunk, 0.0, 0, Share(batch))


def share_of_targets(batches) -> list[float]:
    """The mean clip target, where it is known, over all batches of an epoch."""
    held, known = 0.0, 0.0
    for step in range(len(batches)):
        _, targets = batches.tensors(batches[step], "cpu")
        held += (targets.clip * targets.clip_mask).sum(0)
        known += targets.clip_mask.sum(0)
    return (held / known).tolist()


@pytest.mark.parametrize("chunk", [None, 0.25])
@pytest.mark.parametrize("labels", ["strong", "weak", "mixed"])
def test_clips_and_chunks_are_counted_as_their_targets_are(pipeline, tones, chunk, labels):
    clips = []
    for index, clip in enumerate(tones.manifest.clips):
        tags = tuple(sorted({event.label for event in clip.events}))
        if labels == "weak" or (labels == "mixed" and index % 3 == 1):
            clip = replace(clip, tags=tags, events=None)
        elif labels == "mixed" and index % 3 == 2:
            clip = replace(clip, tags=None, events=None)  # nothing is known of it
        clips.append(clip)
    batches = clip_batches(pipeline, clips, chunk)
    share = batches.positive_share()
    assert share.dtype == torch.float32
    assert share.tolist() == pytest.approx(share_of_targets(batches))
    assert 0 < share.min() < 1


def test_clips_without_labels_alone_are_an_error(pipeline, tones):
    clips = [replace(clip, tags=None, events=None) for clip in tones.manifest.clips]
    with pytest.raises(DataError, match="no training clip has known labels"):
        clip_batches(pipeline, clips).positive_share()


def test_mixtures_are_counted_as_their_targets_are(pipeline, tones, monkeypatch):
    clips = tones.manifest.clips
    events = tuple(
        Source(clip.path, event.label, event.onset, event.offset, clip.id)
        for clip in clips
        for event in clip.events
    )
    sources = SourceSet(events, (Source(clips[0].path, ""),), ())
    durations = [(source.end or 1.0) - source.start for source in sources.sources]
    config = MixingConfig(clip_seconds=SECONDS, presence=0.7)
    planner = MixturePlanner(sources, durations, pipeline.labels, config, seed=3)
    bank = EnergyBank.build(sources.sources, pipeline.frontends["main"])
    mixer = EnergyMixer(bank, 2, SECONDS)
    batches = MixtureBatches(pipeline, planner, {"main": mixer}, None, 4, Share(8))

    monkeypatch.setattr(MixtureBatches, "COUNTED_CLIPS", 64)
    _, targets = mixer.render(planner.draw(range(64)))
    assert batches.positive_share().tolist() == pytest.approx(targets.clip.mean(0).tolist())

    monkeypatch.undo()
    assert MixtureBatches.COUNTED_CLIPS >= 256
    # One or two events, each of two classes: 0.7 · (1/2 · 1/2 + 1/2 · 3/4)
    assert batches.positive_share().tolist() == pytest.approx([0.4375, 0.4375], abs=0.03)


@pytest.fixture
def recipe(tones):
    values = recipe_values(tones, epochs=1, score="clip_auc")
    values["pipeline"] = {**PIPELINE, "head": {"part": "informed"}, "postprocessors": []}
    return read_model(Recipe, values, "recipe")


def test_the_head_is_told_once_and_a_resumed_run_the_same(recipe, tones, tmp_path, monkeypatch):
    host = Host(plugins=[informed_head], discover=False)
    monkeypatch.setattr(Informed, "told", [])
    result = train(recipe, tmp_path, host=host, device="cpu")
    held = [{event.label for event in clip.events} for clip in tones.manifest.clips]
    expected = [sum(label in labels for labels in held) / len(held) for label in ("high", "low")]
    kept = json.loads((tmp_path / "label_shares.json").read_text(encoding="utf-8"))
    assert list(kept.values()) == pytest.approx(expected)
    assert load_file(result.bundle / "model.safetensors")["head.share"].tolist() == pytest.approx(
        expected
    )
    assert Informed.told == [list(kept.values())]

    (tmp_path / "result.json").unlink()
    monkeypatch.setattr(ClipBatches, "positive_share", None)  # what was counted is kept
    train(recipe, tmp_path, host=host, device="cpu")
    assert Informed.told == [list(kept.values())] * 2
    assert (tmp_path / SCORES_FOLDER / "report.json").is_file()


def test_a_head_without_a_need_costs_nothing(tones, host, tmp_path, monkeypatch):
    monkeypatch.setattr(ClipBatches, "positive_share", None)
    recipe = read_model(Recipe, recipe_values(tones, epochs=1), "recipe")
    train(recipe, tmp_path, host=host, device="cpu")
    assert not (tmp_path / "label_shares.json").exists()
