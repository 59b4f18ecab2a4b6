"""The training loop: SpeechBrain's `Brain` drives it, a checkpoint ends every epoch."""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import speechbrain as sb
import torch
from speechbrain.utils.checkpoints import Checkpointer
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from kaldi_bridge.training.examples import Batch, Pieces, some_clips
from kaldi_bridge.training.model.network import Tdnnf
from kaldi_bridge.training.shards import Corpus

CURVES = "curves.csv"
INPUT_CLIPS = 300
"""Clips that the transform of the input is estimated from."""
CONSTRAIN_EVERY = 4
"""Steps between semi-orthogonal updates, on average, as in Kaldi."""
STATISTICS_BATCHES = 100


@dataclass(frozen=True)
class TrainingOptions:
    """How the network is trained.

    Attributes:
        epochs: each ends with a validation and a checkpoint.
        steps_per_epoch: batches in an epoch.
        batch_size: pieces in a batch.
        piece_frames: frames of 10 ms in a piece; outputs are computed for every third.
        learning_rate: of Adam at its largest.
        warmup_steps: over which it rises.
        weight_decay: of AdamW.
        average: of the weights, decay per step; 0 for none.
        seed: of the first weights and of the batches.
    """

    epochs: int = 12
    steps_per_epoch: int = 250
    batch_size: int = 64
    piece_frames: int = 150
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    weight_decay: float = 1e-3
    average: float = 0.998
    seed: int = 0

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step: up over the warm-up, then down by a cosine."""
        rise = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        share = min(1.0, step / (self.epochs * self.steps_per_epoch))
        fall = max(0.5 * (1 + math.cos(math.pi * share)), 1e-3)
        return self.learning_rate * rise * fall


class AcousticBrain(sb.Brain):  # type: ignore[misc]
    """Trains a TDNN-F on frame labels by cross-entropy.

    Args:
        net: the network.
        options: of the training.
        folder: of the run, where curves go.
        judge: scores the network after an epoch on what it never trains on: name → value.
        run_opts: of SpeechBrain, such as device.
    """

    def __init__(
        self,
        net: Tdnnf,
        options: TrainingOptions,
        folder: Path,
        judge: Callable[[Tdnnf], dict[str, float]],
        run_opts: dict[str, Any],
    ) -> None:
        averages = nn.ParameterList(
            nn.Parameter(p.detach().clone(), requires_grad=False) for p in net.parameters()
        )
        epochs = sb.utils.epoch_loop.EpochCounter(options.epochs)
        super().__init__(
            modules={"net": net},
            opt_class=lambda parameters: torch.optim.AdamW(
                parameters, options.learning_rate, weight_decay=options.weight_decay
            ),
            run_opts=run_opts,
            checkpointer=Checkpointer(
                folder / "checkpoints", {"net": net, "averages": averages, "epochs": epochs}
            ),
        )
        self.net, self.options, self.folder, self.judge = net, options, folder, judge
        self.averages, self.epochs = averages, epochs
        self._started = time.monotonic()
        self._train_loss = float("nan")

    # What SpeechBrain asks for

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> Tensor:
        """Returns log posteriors [B, n, C]."""
        posteriors: Tensor = self.modules.net(batch.features.to(self.device), batch.phase)
        return posteriors

    def compute_objectives(self, predictions: Tensor, batch: Batch, stage: sb.Stage) -> Tensor:
        """Returns the mean cross-entropy of the labelled frames."""
        labels = batch.labels.to(self.device)
        return nn.functional.nll_loss(
            predictions.flatten(0, 1), labels.flatten(), ignore_index=Pieces.IGNORED
        )

    def on_fit_batch_start(self, batch: Batch, should_step: bool) -> None:
        """Sets the learning rate of this step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate(self._step())

    def on_fit_batch_end(self, batch: Batch, outputs: Any, loss: Any, should_step: bool) -> None:
        """Keeps the factors near semi-orthogonal, and averages the weights."""
        step = self._step()
        if np.random.default_rng([self.options.seed, 1, step]).integers(CONSTRAIN_EVERY) == 0:
            self.net.constrain_()
        with torch.no_grad():
            decay = min(self.options.average, (1 + step) / (10 + step))
            for average, weight in zip(self.averages, self.net.parameters(), strict=True):
                average.lerp_(weight, 1 - decay)

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Starts the clock and the count of steps, which a checkpoint holds at an epoch's end."""
        if stage == sb.Stage.TRAIN:
            self.step = 0
            self._started = time.monotonic()

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """Judges, writes the curves, and makes the checkpoint."""
        if stage != sb.Stage.TRAIN:
            return
        assert epoch is not None
        seconds = time.monotonic() - self._started
        row = {
            "epoch": float(epoch),
            "steps": float(epoch * self.options.steps_per_epoch),
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            "train_loss": float(stage_loss),
            **self.judge(self.net),
            "seconds": seconds,
        }
        append_curve(self.folder / CURVES, row)
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
        self.checkpointer.save_and_keep_only(meta={"epoch": epoch}, num_to_keep=1)

    def _step(self) -> int:
        """The number of this step, from 0, over all epochs."""
        before = (int(self.epochs.current) - 1) * self.options.steps_per_epoch
        return before + int(self.step) - 1


def train(
    net: Tdnnf,
    corpus: Corpus,
    options: TrainingOptions,
    folder: Path,
    judge: Callable[[Tdnnf], dict[str, float]] = lambda net: {},
    device: str = "cpu",
    progress: bool = True,
) -> None:
    """Trains a network in place, going on from the last checkpoint of the folder.

    Args:
        net: fresh; its input transform is set from the corpus.
        corpus: to train on.
        options: of the training.
        folder: of the run.
        judge: scores after each epoch.
        device: torch's name of it.
        progress: whether a bar is shown.
    """
    net.fit_input(some_clips(corpus, INPUT_CLIPS))
    brain = AcousticBrain(net, options, folder, judge, {"device": device})
    pieces = Pieces(corpus, net.context, options.piece_frames, options.batch_size, options.seed)
    # a plain loader: an epoch is repeated from its first batch, never gone on with in its middle
    batches = DataLoader(_Epochs(pieces, options.steps_per_epoch, brain), batch_size=None)
    brain.fit(brain.epochs, batches, progressbar=progress)
    if options.average:
        with torch.no_grad():
            for average, weight in zip(brain.averages, net.parameters(), strict=True):
                weight.copy_(average)
        gather_statistics(net, pieces, STATISTICS_BATCHES)
    net.eval()


class _Epochs(IterableDataset[Batch]):
    """The batches of the epoch that the brain is in."""

    def __init__(self, pieces: Pieces, steps: int, brain: AcousticBrain) -> None:
        self._pieces, self._steps, self._brain = pieces, steps, brain

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        first = (self._brain.epochs.current - 1) * self._steps
        return (self._pieces.batch(first + step) for step in range(self._steps))


@torch.no_grad()
def gather_statistics(net: Tdnnf, pieces: Pieces, batches: int) -> None:
    """Sets the statistics of every batch norm to those of training batches under these weights."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    net.train()
    device = next(net.parameters()).device
    for number in range(batches):
        batch = pieces.batch(1_000_000_000 + number)
        net(batch.features.to(device), batch.phase)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def append_curve(path: Path, row: dict[str, float]) -> None:
    """Adds an epoch to the curves; rows of this epoch and later, from a killed run, go."""
    rows = [kept for kept in read_curves(path) if kept["epoch"] < row["epoch"]] + [row]
    part = path.with_suffix(".part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        writer.writeheader()
        writer.writerows({name: f"{each[name]:.6g}" for name in row} for each in rows)
    os.replace(part, path)


def read_curves(path: Path) -> list[dict[str, float]]:
    """Returns the epochs of a run: column → value; none of a file that is not there."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
