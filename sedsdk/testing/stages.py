"""The law on a frontend's two stages: what is stored, and what finishes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from sedsdk.stages import Frontend
from sedsdk.testing.batches import WaveformBatch
from sedsdk.testing.laws import Trial
from sedsdk.testing.structure import check_features
from sedsdk.testing.subject import Subject
from sedsdk.types import Features

TOLERANCE = 1e-5
SPLIT_TOLERANCE = 1e-4
EXTRA_PADDING = 5


def stages_law(subject: Subject) -> None:
    """`finish(store(x))` is `forward(x)`, and what learns acts in `finish` alone."""
    made = subject.build()
    before = [
        (batch, _stored_and_finished(subject, made, batch)) for batch in subject.batches(made)
    ]
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
    for batch, stored in before:
        trial = subject.trial("stages", batch)
        with trial.guarded(), torch.no_grad():
            again = _seeded(made.store, batch.waveforms, batch.lengths)
            _same_clips(trial, again, stored, 0.0, "stored before and after it has learnt")


def _stored_and_finished(subject: Subject, made: Frontend, batch: WaveformBatch) -> Features:
    """Returns what is stored, after having finished it in several ways."""
    trial = subject.trial("stages", batch)
    with trial.guarded(), torch.no_grad():
        stored = _seeded(made.store, batch.waveforms, batch.lengths)
        spec = made.stored_spec
        check_features(trial, stored, batch.size, spec.size, spec.grid, "what is stored")
        whole = _seeded(made, batch.waveforms, batch.lengths)
        finished = _seeded(made.finish, stored)
        _same_clips(trial, finished, whole, SPLIT_TOLERANCE, "finished and computed whole")
        wider = replace(stored, values=pad(stored.values, (0, 0, 0, EXTRA_PADDING)))
        what = f"finished without and with {EXTRA_PADDING} more frames of padding"
        _same_clips(trial, _seeded(made.finish, wider), finished, TOLERANCE, what)
        for index in range(batch.size):
            alone = _seeded(made.finish, stored.clip(index)).clip(0).values
            what = f"clip {index}, finished alone and in the batch"
            trial.same(alone, finished.clip(index).values, TOLERANCE, what)
    return stored


def _seeded(run: Callable[..., Features], *given: Any) -> Features:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return run(*given)


def _same_clips(trial: Trial, got: Features, want: Features, tolerance: float, what: str) -> None:
    lengths: Tensor = got.lengths
    trial.require(
        lengths.tolist() == want.lengths.tolist(),
        f"{what}: lengths {lengths.tolist()} and {want.lengths.tolist()}",
    )
    for index in range(len(lengths)):
        mine, other = got.clip(index).values, want.clip(index).values
        trial.same(mine, other, tolerance, f"clip {index}, {what}")
