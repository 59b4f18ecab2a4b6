"""The training loop: SpeechBrain's `Brain`, checkpoints, averaged weights, learning curves."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import speechbrain as sb
import torch
from speechbrain.utils.distributed import ddp_all_reduce, ddp_broadcast
from torch import Tensor, nn

from sedsdk.pipeline import Pipeline
from sedsdk.training.batches import Batches, StoredBatch
from sedsdk.training.epoch_clock import EpochClock
from sedsdk.training.recipe import TrainingConfig
from sedsdk.types import ClipPrediction, clip_predictions

Curve = dict[str, float]
ScoreClips = Callable[[Sequence[ClipPrediction]], dict[str, float]]


class TrainingStep(nn.Module):
    """Stored clips to losses in one `forward`: a distributed wrapper sees all that learns."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, batch: StoredBatch, generator: torch.Generator) -> Tensor:
        """Returns the loss of every clip: [B]."""
        inputs, targets = batch.finished(self.pipeline)
        return self.pipeline.training_losses(inputs, targets, generator)


class AveragedWeights(nn.Module):
    """An exponential moving average of a module's parameters; its buffers are taken as they are.

    Early in training the decay is min(decay, (1 + n) / (10 + n)), so the average does not
    remember the initial weights.

    Args:
        module: the module that learns.
        decay: weight of the old average at every step.
    """

    steps: Tensor

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self._sources = [p for p in module.parameters() if p.requires_grad]
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.averages = nn.ParameterList(
            nn.Parameter(p.detach().clone(), requires_grad=False) for p in self._sources
        )

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the module's present parameters."""
        steps = int(self.steps)
        decay = min(self._decay, (1 + steps) / (10 + steps))
        for average, source in zip(self.averages, self._sources, strict=True):
            average.lerp_(source, 1 - decay)
        self.steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Gives the module the averages for as long as the context lasts."""
        kept = [p.detach().clone() for p in self._sources]
        self._copy(list(self.averages))
        try:
            yield
        finally:
            self._copy(kept)

    def apply_for_good(self) -> None:
        """Gives the module the averages."""
        self._copy(list(self.averages))

    @torch.no_grad()
    def _copy(self, values: Sequence[Tensor]) -> None:
        for parameter, value in zip(self._sources, values, strict=True):
            parameter.copy_(value)


class DetectorBrain(sb.Brain):  # type: ignore[misc]
    """Trains a pipeline.

    Args:
        pipeline: to train, its frontends fitted.
        config: how.
        batches: training batches.
        score_clips: scores the predictions of all validation clips, in their order.
        folder: of the run; curves.csv is written there.
        checkpointer: SpeechBrain's.
        epoch_counter: SpeechBrain's, which stops early.
        epoch_ended: called with (epoch, scores) in the main process.
        run_opts: SpeechBrain's run options.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        config: TrainingConfig,
        batches: Batches,
        score_clips: ScoreClips,
        folder: Path,
        checkpointer: Any,
        epoch_counter: Any,
        epoch_ended: Callable[[int, Curve], None],
        run_opts: dict[str, Any],
    ) -> None:
        self._rank = int(os.environ.get("RANK", "0"))
        super().__init__(
            modules={"step": TrainingStep(pipeline)},
            opt_class=lambda parameters: _optimiser(config, parameters),
            run_opts=run_opts,
            checkpointer=checkpointer,
        )
        self.pipeline = pipeline
        self.config = config
        self.batches = batches
        self.train_sampler = batches  # its set_epoch is called at each epoch's start
        self.score_clips = score_clips
        self.folder = folder
        self.epoch_counter = epoch_counter
        self.epoch_ended = epoch_ended
        self.averaged: AveragedWeights | None = None
        if config.weight_average:
            self.averaged = AveragedWeights(pipeline, config.weight_average).to(self.device)
            checkpointer.add_recoverable("averaged", self.averaged)
        checkpointer.add_recoverable("model", pipeline)
        checkpointer.add_recoverable("epochs", epoch_counter)
        self.clock = EpochClock()
        checkpointer.add_recoverable("clock", self.clock)
        self._epoch = 0
        self._train_loss = float("nan")
        self._clips: list[ClipPrediction] = []
        self._clip_losses: list[Tensor] = []
        self._scores: Curve = {}

    # SpeechBrain's interface

    def compute_forward(self, batch: Any, stage: sb.Stage) -> Tensor:
        """Returns the losses of a batch; of a validation batch it notes the clips too."""
        if stage == sb.Stage.TRAIN:
            stored = self.batches.stored(batch, self.device)
            losses: Tensor = self.modules.step(stored, self._generator())
            return losses
        inputs, targets = batch
        prediction = self.pipeline(inputs)
        self._clips += clip_predictions(prediction, self.pipeline.labels)
        losses = self.pipeline.losses(prediction, targets)
        self._clip_losses.append(losses.float().cpu())
        return losses

    def compute_objectives(self, predictions: Tensor, batch: Any, stage: sb.Stage) -> Tensor:
        """Returns the mean of the clips' losses."""
        return predictions.float().mean()

    def on_fit_batch_start(self, batch: Any, should_step: bool) -> None:
        """Sets the learning rate of this step, and the seed of dropout."""
        torch.manual_seed(self._seed(DROPOUT_STREAM))
        rate = learning_rate(self.config, self.optimizer_step, len(self.batches))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def on_fit_batch_end(self, batch: Any, outputs: Any, loss: Any, should_step: bool) -> None:
        """Averages the weights."""
        if self.averaged is not None and should_step:
            self.averaged.update()

    def check_gradients(self) -> None:
        """Stops before a gradient that is not finite reaches the weights.

        Raises:
            ValueError: one is not; the message says so.
        """
        gradients = [p.grad for p in self.modules.parameters() if p.grad is not None]
        if not bool(torch.stack([torch.isfinite(each).all() for each in gradients]).all()):
            raise ValueError("a gradient is not finite")

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Starts the clock at an epoch's begin, and forgets the clips of the last validation."""
        self._clips, self._clip_losses = [], []
        self._epoch = epoch or 0
        if stage == sb.Stage.TRAIN:
            self.clock.start(self._epoch)

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """Scores and writes the curves after each validation; the checkpoint follows."""
        if stage == sb.Stage.TRAIN:
            self._train_loss = _mean_over_processes(float(stage_loss), self.device)
            return
        assert epoch is not None
        valid_loss = float(torch.cat(self._clip_losses).mean())
        found = {"valid_loss": valid_loss, **self.score_clips(self._clips)}
        scores: Curve = ddp_broadcast(found)
        self._clips, self._clip_losses = [], []
        self.epoch_counter.update_metric(scores[self.config.score])
        row = {
            "epoch": float(epoch),
            "train_loss": self._train_loss,
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            **scores,
            SECONDS_COLUMN: self.clock.seconds,
        }
        if self._rank == 0:
            append_curve(self.folder / CURVES_FILE, row)
            self.epoch_ended(epoch, row)
        self._scores = scores

    def _fit_valid(self, valid_set: Any, epoch: int, enable: bool) -> None:
        with self.averaged.applied() if self.averaged is not None else nullcontext():
            super()._fit_valid(valid_set, epoch, enable)
        better = "min_keys" if self.epoch_counter.direction == "min" else "max_keys"
        self.checkpointer.save_and_keep_only(
            meta={"epoch": epoch, **self._scores}, num_to_keep=1, **{better: [self.config.score]}
        )

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed())

    def _seed(self, *stream: int) -> int:
        """Returns a seed that this step alone has, so that a resumed run draws the same."""
        here = [self.config.seed, self._epoch, self.step, self._rank, *stream]
        return int(np.random.SeedSequence(here).generate_state(1)[0])


CURVES_FILE = "curves.csv"
SECONDS_COLUMN = "seconds"
"""Wall time of an epoch with its validation."""
DROPOUT_STREAM = 1


def _mean_over_processes(value: float, device: torch.device | str) -> float:
    total = ddp_all_reduce(torch.tensor(value, device=device), torch.distributed.ReduceOp.SUM)
    return float(total) / int(os.environ.get("WORLD_SIZE", "1"))


def learning_rate(config: TrainingConfig, step: int, steps_per_epoch: int) -> float:
    """Returns the learning rate of a step, counted from 0: warm-up times schedule."""
    rise = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.schedule == "cosine":
        share = min(1.0, step / (config.epochs * steps_per_epoch))
        fall = 0.5 * (1 + np.cos(np.pi * share))
    elif config.schedule == "step":
        fall = config.step_factor ** (step // (steps_per_epoch * config.step_epochs))
    else:
        fall = 1.0
    return float(config.learning_rate * rise * max(fall, 1e-3))


def append_curve(path: Path, row: Curve) -> None:
    """Adds an epoch to the curves; rows of this epoch and later ones, from a killed run, go."""
    rows = [kept for kept in read_curves(path) if kept["epoch"] < row["epoch"]]
    rows.append(row)
    part = path.with_suffix(".part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        writer.writeheader()
        for each in rows:
            writer.writerow({name: f"{each.get(name, float('nan')):.6g}" for name in row})
    os.replace(part, path)


def read_curves(path: Path) -> list[Curve]:
    """Returns the epochs of a run: column → value. An absent file gives none."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def curve_seconds(path: Path) -> float:
    """Returns the seconds of all epochs of a run; epochs of unknown length count nothing."""
    rows = [row.get(SECONDS_COLUMN, 0.0) for row in read_curves(path)]
    return float(np.nansum(rows))


def _optimiser(config: TrainingConfig, parameters: Any) -> torch.optim.Optimizer:
    learning = [p for p in parameters if p.requires_grad]
    if config.optimiser == "sgd":
        return torch.optim.SGD(
            learning,
            config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    return kind(learning, config.learning_rate, weight_decay=config.weight_decay)
