"""Thresholds from recordings that no model heard, and a detector that heard them all.

With few recordings, those held out for thresholds are missed in training, and those kept for
thresholds are too few to set them. Cross-fitting has both: one model per fold is trained without
that fold's recording groups and predicts them; thresholds are fitted on all these predictions
together; the detector that is saved is trained on everything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from sedsdk.host import Host
from sedsdk.runtime.bundle import load_bundle
from sedsdk.training.fitting import Judged
from sedsdk.training.places import Places
from sedsdk.training.recipe import SCORES, Recipe, RecordingsData
from sedsdk.training.score import ScoringClips, predict_clips
from sedsdk.training.streams import StreamReader

FOLDS_FOLDER = "folds"


@dataclass(frozen=True)
class FoldRun:
    """One fold's training: its recipe and the folder of its run."""

    recipe: Recipe
    folder: Path


def fold_runs(recipe: Recipe, run: Path) -> list[FoldRun]:
    """Returns the trainings that a cross-fitted recipe needs before its own; none for others.

    They may be trained beforehand, in any order or side by side: `train` finds those that are done.

    Args:
        recipe: whose `data.validation.cross_fit` counts.
        run: folder of the recipe's own run.
    """
    data = recipe.data
    if not isinstance(data, RecordingsData) or not data.validation.cross_fit:
        return []
    runs = []
    for fold in range(data.validation.folds):
        held_out = data.validation.model_copy(update={"cross_fit": False, "fold": fold})
        own_data = data.model_copy(
            update={"validation": held_out, "test": None, "further_tests": {}}
        )
        training = recipe.training.model_copy(update={"fit_thresholds": False})
        own = recipe.model_copy(update={"data": own_data, "training": training})
        runs.append(FoldRun(own, run / FOLDS_FOLDER / str(fold)))
    return runs


def mean_scores(runs: list[FoldRun]) -> dict[str, float]:
    """Returns the validation scores of finished folds, each the plain mean over the folds."""
    scores = [
        json.loads((fold.folder / "result.json").read_text(encoding="utf-8"))["best"]
        for fold in runs
    ]
    return {
        name: sum(one[name] for one in scores) / len(scores) for name in SCORES if name in scores[0]
    }


def judge_folds(
    runs: list[FoldRun], host: Host, device: torch.device | str, shared: Path | None = None
) -> tuple[Judged, list[str]]:
    """Lets every fold's detector predict the recordings that it did not hear.

    Args:
        runs: finished ones.
        host: plugin host.
        device: where the detectors run.
        shared: folder that the runs shared; see `Places`.

    Returns:
        The predictions of all folds together, and one line per clip that could not be read.
    """
    parts: dict[str, Judged] = {}
    problems: list[str] = []
    for fold in runs:
        pipeline = load_bundle(fold.folder / "detector", host).to(device)
        places = Places(fold.folder, shared)
        cache = places.cache if fold.recipe.training.cache else None
        reader = StreamReader(pipeline, cache, places.locks)
        clips = ScoringClips(places.noted("validation"), reader, pipeline.labels, device)
        problems += clips.problems
        parts[fold.folder.name] = Judged.of(clips, predict_clips(pipeline, clips))
    return Judged.together(parts), problems
