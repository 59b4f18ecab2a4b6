"""What has to hold before the first step: fitted frontends and head, a score that data can give."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from sedsdk.errors import ConfigError, DataError
from sedsdk.files import write_atomically
from sedsdk.pipeline import Pipeline
from sedsdk.training.prepare import Prepared
from sedsdk.training.recipe import Recipe
from sedsdk.training.score import ScoringClips

FRONTENDS_FILE = "frontends.safetensors"

LABEL_SHARES_FILE = "label_shares.json"

WEAK_SCORES = ("valid_loss", "clip_average_precision", "clip_auc")
"""Scores that clip labels alone allow."""


def fit_frontends(pipeline: Pipeline, prepared: Prepared, run: Path) -> None:
    """Fits the frontends on training data, or takes what an earlier call has fitted.

    Args:
        pipeline: whose frontends are fitted in place.
        prepared: its training batches are what is fitted on.
        run: folder of the run, where the fitted state is kept.
    """
    from safetensors.torch import load, save

    path = run / FRONTENDS_FILE
    if path.is_file():
        pipeline.frontends.load_state_dict(load(path.read_bytes()))
        return
    with torch.no_grad():
        prepared.batches.fit_frontends()
    state = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in pipeline.frontends.state_dict().items()
    }
    write_atomically(path, save(state))


def fit_head(pipeline: Pipeline, prepared: Prepared, run: Path) -> None:
    """Tells a head that asks for it which share of the training clips holds each class.

    The shares are found once and kept, so that a resumed run and every process has the same.

    Args:
        pipeline: whose head is told.
        prepared: its training batches are what is counted.
        run: folder of the run, where the shares are kept.

    Raises:
        DataError: it is not known of any training clip what it holds.
    """
    if not pipeline.head.needs_fit:
        return
    path = run / LABEL_SHARES_FILE
    if not path.is_file():
        shares = dict(zip(pipeline.labels, prepared.batches.positive_share().tolist(), strict=True))
        write_atomically(path, json.dumps(shares, indent=1, ensure_ascii=False).encode())
    kept = json.loads(path.read_text(encoding="utf-8"))
    share = torch.tensor([kept[label] for label in pipeline.labels], dtype=torch.float32)
    pipeline.head.fit(share.to(pipeline.device))


def check_score(recipe: Recipe, validation: ScoringClips) -> None:
    """Refuses a run whose best epoch could not be told.

    Raises:
        DataError: no validation clip can be read.
        ConfigError: `training.score` needs labels that the clips lack, or events that the pipeline
            does not make.
    """
    if not validation.clips:
        first = f" The first problem: {validation.problems[0]}" if validation.problems else ""
        raise DataError(f"no validation clip can be read.{first}")
    score = recipe.training.score
    if score not in WEAK_SCORES and all(clip.events is None for clip in validation.clips):
        raise ConfigError(
            f"training.score = {score} needs validation clips with onsets and offsets, and these "
            f"have clip labels only. Use one of: {', '.join(WEAK_SCORES)}."
        )
    if score != "valid_loss" and not validation.present:
        raise ConfigError(
            f"training.score = {score} needs validation clips with labels, and none of these has "
            "any. Label them."
        )
    parts = [ref.part.rsplit("/", 1)[-1] for ref in recipe.pipeline.postprocessors]
    if score.startswith("event_") and "to_events" not in parts:
        raise ConfigError(
            f"training.score = {score} needs events: end pipeline.postprocessors with to_events."
        )
