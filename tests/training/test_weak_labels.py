"""Recipes that know of their training mixtures which classes they hold, and not when."""

from __future__ import annotations

import pytest
import torch
from tone_recipes import PIPELINE

from sedsdk.config import read_model
from sedsdk.pipeline import Pipeline
from sedsdk.training.batches import Share
from sedsdk.training.card import card
from sedsdk.training.prepare import prepare
from sedsdk.training.recipe import Recipe

MIXTURES = {
    "mixtures_per_class": 4,
    "duration_seconds": [1, 2],
    "events_per_mixture": [1, 2],
    "mode": "joint",
    "subtype": "PCM_16",
}
ON_DISK = {"training_mixtures": {**MIXTURES, "subset": "train"}}
ON_THE_FLY = {"mixing": {"clip_seconds": 1, "presence": 1}}


def _recipe(labels, data) -> Recipe:
    values = {
        "pipeline": {**PIPELINE, "labels": ["babycry", "gunshot"]},
        "data": {
            "kind": "recordings",
            "folder": "builtin",
            "corpus_size": "tiny",
            "labels": labels,
            "validation": {"split": "validation", "mixtures": {**MIXTURES, "subset": "valid"}},
            **data,
        },
        "training": {"steps_per_epoch": 2, "batch_size": 8},
    }
    return read_model(Recipe, values, "recipe")


def _batch(host, folder, labels, data):
    recipe = _recipe(labels, data)
    pipeline = Pipeline(recipe.pipeline, host, seed=0)
    prepared = prepare(recipe, pipeline, folder, Share(8), "cpu", lambda line: None, workers=1)
    prepared.batches.fit_frontends()
    inputs, targets = prepared.batches.tensors(prepared.batches[0], "cpu")
    return inputs, targets, prepared.validation


@pytest.mark.parametrize("data", [ON_DISK, ON_THE_FLY], ids=["on disk", "on the fly"])
def test_weak_labels_are_the_strong_ones_without_times(host, tmp_path, data):
    features, strong, _ = _batch(host, tmp_path, "strong", data)
    same, weak, validation = _batch(host, tmp_path, "weak", data)
    assert torch.equal(features.main.values, same.main.values)
    assert strong.frame_mask.any()
    assert not weak.frame_mask.any()
    assert weak.clip_mask.all()
    assert torch.equal(weak.clip, strong.clip)
    assert 0 < weak.clip.sum() < weak.clip.numel()
    assert all(clip.events is not None for clip in validation)


def test_the_card_says_what_was_known():
    weak, strong = (card(_recipe(known, ON_THE_FLY), {}, None, "") for known in ("weak", "strong"))
    assert weak.labels_source.endswith("not when.")
    assert strong.labels_source.startswith("Where the synthesiser")
