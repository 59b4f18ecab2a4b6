"""Trains a recipe from start to saved detector, and goes on where a killed run stopped."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from sedsdk.config import digest
from sedsdk.errors import TrainingError, missing_dependency
from sedsdk.files import write_atomically
from sedsdk.host import Host, default_host
from sedsdk.pipeline import Pipeline
from sedsdk.runtime.bundle import load_bundle, save_bundle
from sedsdk.training.batches import Share
from sedsdk.training.card import card
from sedsdk.training.cross_fit import FoldRun, fold_runs, judge_folds, mean_scores
from sedsdk.training.final_scores import final_scores
from sedsdk.training.fitting import FittedThresholds, Judged, fit_to_clips
from sedsdk.training.prepare import Prepared, prepare
from sedsdk.training.ready import check_score, fit_frontends, fit_head
from sedsdk.training.recipe import SCORES, Recipe
from sedsdk.training.score import ScoringClips, predict_clips, validation_scorer

RECIPE_FILE = "recipe.json"
BUNDLE_FOLDER = "detector"
CHECKPOINT_FOLDER = "checkpoints"
SCORES_FOLDER = "scores"
RESULT_FILE = "result.json"
THRESHOLDS_FILE = "thresholds.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run left.

    Attributes:
        folder: of the run: recipe.json, curves.csv, checkpoints/, detector/, scores/.
        bundle: the saved detector.
        best: epoch and validation scores of the checkpoint that was saved.
        report: scores on the test part as `Report.to_dict` gives them, or `TagReport.to_dict`
            where only tags are known or made; None without a test part.
        problems: one line per recording that could not be used.
        further_reports: the same as `report`, of the recipe's further tests by name.
    """

    folder: Path
    bundle: Path
    best: dict[str, float]
    report: dict[str, Any] | None = None
    problems: tuple[str, ...] = field(default=())
    further_reports: dict[str, dict[str, Any]] = field(default_factory=dict)


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    host: Host | None = None,
    device: str | None = None,
    progress: bool = True,
    say: Say | None = None,
    shared: str | Path | None = None,
) -> TrainingResult:
    """Prepares data, trains, fits thresholds, saves the detector and scores it.

    Run it again with the same recipe and folder after a crash or a kill, and it goes on from the
    last checkpoint; on a finished run it returns the result at once. Under `torchrun` every process
    calls it with the same arguments and the global batch is shared out among them.

    Args:
        recipe: what to train on what.
        folder: of the run.
        host: plugin host; None for the default one.
        device: as torch names it; None takes a GPU if there is one.
        progress: show a progress bar where the output is a terminal.
        say: takes lines for the reader; None logs them.
        shared: folder where mixtures, made sounds and features are kept for several runs, also
            at the same time; None keeps them in the run's folder. It changes nothing that is
            learned.

    Raises:
        TrainingError: the folder holds a run of another recipe, the batch size does not divide
            among the processes, or the loss is not finite.
        DataError, AudioError, ConfigError, UnknownPart: as the data and the parts raise them.
    """
    try:
        import speechbrain as sb
    except ImportError:
        raise missing_dependency("speechbrain", "training", "train") from None

    run = Path(folder)
    say = say or logging.getLogger("sedsdk.training").info
    host = host or default_host()
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if rank:
        say = _silent
    share = _share(recipe, rank, world)
    device = device or _best_device()
    if device == "cuda" and world > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    settings = _Settings(
        host, device, share, progress, say, None if shared is None else Path(shared)
    )
    if world == 1:
        return _train_all(recipe, run, settings)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    sb.utils.distributed.ddp_init_group({"distributed_backend": backend})
    try:
        return _train_all(recipe, run, settings)
    finally:
        torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class _Settings:
    """How a run is carried out; nothing of it changes what is learned."""

    host: Host
    device: str
    share: Share
    progress: bool
    say: Say
    shared: Path | None


def _train_all(recipe: Recipe, run: Path, settings: _Settings) -> TrainingResult:
    """Trains the folds of a cross-fitted recipe, then the recipe itself."""
    _claim(run, recipe, settings.share.rank)
    folds = fold_runs(recipe, run)
    for fold in folds:
        settings.say(f"fold {fold.folder.name}: training without its recordings")
        _claim(fold.folder, fold.recipe, settings.share.rank)
        _train_one(fold.recipe, fold.folder, settings, [])
    return _train_one(recipe, run, settings, folds)


def _train_one(
    recipe: Recipe, run: Path, settings: _Settings, folds: list[FoldRun]
) -> TrainingResult:
    """Trains one recipe in its folder, or returns what is there."""
    host, device, say, share = settings.host, settings.device, settings.say, settings.share
    rank, world = share.rank, share.world
    if finished := _finished(run, recipe):
        say(f"{run} holds a finished run of this recipe")
        return finished
    pipeline = Pipeline(recipe.pipeline, host, seed=recipe.training.seed).to(device)
    shared = settings.shared
    prepared = _in_turn(
        rank,
        lambda: prepare(recipe, pipeline, run, share, device, say, shared=shared),
        world,
    )
    _in_turn(rank, lambda: fit_frontends(pipeline, prepared, run), world)
    _in_turn(rank, lambda: fit_head(pipeline, prepared, run), world)
    validation = _in_turn(
        rank,
        lambda: ScoringClips(prepared.validation, prepared.reader, pipeline.labels, device),
        world,
    )
    check_score(recipe, validation)
    best = _fit(recipe, pipeline, prepared, validation, run, host, device, share, settings.progress)
    if folds:  # this model heard the validation recordings; the fold models did not
        best = {**best, **mean_scores(folds)}

    bundle = run / BUNDLE_FOLDER
    result = TrainingResult(run, bundle, best, None, prepared.problems)
    if rank == 0:
        result = _finish(recipe, pipeline, prepared, validation, result, settings, folds)
    _barrier(world)
    return result


def _fit(
    recipe: Recipe,
    pipeline: Pipeline,
    prepared: Prepared,
    validation: ScoringClips,
    run: Path,
    host: Host,
    device: str,
    share: Share,
    progress: bool,
) -> dict[str, float]:
    """Runs SpeechBrain's loop and leaves the best checkpoint's weights in the pipeline."""
    import speechbrain as sb
    from speechbrain.dataio.dataloader import SaveableDataLoader

    from sedsdk.training.brain import DetectorBrain
    from sedsdk.training.checkpoints import WholeCheckpointer

    config = recipe.training
    precision = _precision(config.precision, device)
    checkpointer = WholeCheckpointer(run / CHECKPOINT_FOLDER)
    loader = SaveableDataLoader(
        prepared.batches, batch_size=None, shuffle=False, num_workers=config.workers
    )
    checkpointer.add_recoverable("position", loader)
    direction = SCORES[config.score]
    counter = sb.utils.epoch_loop.EpochCounterWithStopper(
        config.epochs,
        config.epochs if config.keep == "last" else config.patience,
        config.minimum_epochs,
        direction,
    )

    def epoch_ended(epoch: int, scores: dict[str, float]) -> None:
        host.notify("sedsdk_epoch_ended", epoch=epoch, scores=scores, folder=str(run))

    brain = DetectorBrain(
        pipeline,
        config,
        prepared.batches,
        validation_scorer(pipeline, validation),
        run,
        checkpointer,
        counter,
        epoch_ended,
        {
            "device": device,
            "precision": precision,
            "max_grad_norm": config.max_gradient_norm,
            "nonfinite_patience": 0,
            "skip_nonfinite_grads": precision != "fp16",  # whose scaler skips them itself
            "ckpt_interval_minutes": config.checkpoint_minutes,
            "noprogressbar": not (progress and sys.stderr.isatty()),
            "distributed_backend": "nccl" if device.startswith("cuda") else "gloo",
            "find_unused_parameters": share.world > 1,
        },
    )
    try:
        brain.fit(counter, loader, validation_loader(validation))
    except ValueError as error:
        if "not finite" not in str(error):
            raise
        raise TrainingError(
            f"{_what_is_not_finite(error)} is not finite. Lower training.learning_rate "
            f"(now {config.learning_rate:g}); the checkpoints before it are kept in "
            f"{run / CHECKPOINT_FOLDER}."
        ) from None
    key = {} if config.keep == "last" else {f"{direction}_key": config.score}
    chosen = checkpointer.recover_if_possible(**key)
    if brain.averaged is not None:
        brain.averaged.apply_for_good()
    meta = {} if chosen is None else chosen.meta
    return {name: float(meta[name]) for name in ("epoch", *SCORES) if name in meta}


def _what_is_not_finite(error: ValueError) -> str:
    return "a gradient" if "gradient" in str(error) else "the loss"


def validation_loader(clips: ScoringClips) -> Any:
    """Returns a torch loader over batches of whole clips."""
    return torch.utils.data.DataLoader(clips, batch_size=None, shuffle=False)  # type: ignore[arg-type]


def _finish(
    recipe: Recipe,
    pipeline: Pipeline,
    prepared: Prepared,
    validation: ScoringClips,
    result: TrainingResult,
    settings: _Settings,
    folds: list[FoldRun],
) -> TrainingResult:
    """Fits thresholds, scores the detector on all tests, saves it, notes that it is done."""
    from sedsdk.training.brain import CURVES_FILE, curve_seconds

    run, say = result.folder, settings.say
    problems = [*result.problems, *validation.problems]
    fitted = FittedThresholds()
    if recipe.training.fit_thresholds:
        say("fitting thresholds on validation data")
        if folds:
            judged, lost = judge_folds(folds, settings.host, settings.device, settings.shared)
            problems += lost
        else:
            judged = Judged.of(validation, predict_clips(pipeline, validation))
        fitted = fit_to_clips(pipeline, judged)
        if fitted.as_dict():
            text = json.dumps(fitted.as_dict(), indent=1)
            write_atomically(run / THRESHOLDS_FILE, text.encode())
    notes = [*fitted.notes(pipeline), f"best epoch {result.best.get('epoch', 0):g}"]
    scores = final_scores(pipeline, prepared, run / SCORES_FOLDER, notes, say)
    problems += scores.problems
    words = card(recipe, result.best, scores.report, scores.page, scores.further)
    save_bundle(pipeline, result.bundle, words)
    done = {
        "recipe": _recipe_digest(recipe),
        "best": result.best,
        "report": scores.report,
        "further_reports": scores.further,
        "problems": problems,
        "seconds": curve_seconds(run / CURVES_FILE),
        "parameters": sum(p.numel() for p in pipeline.parameters() if p.requires_grad),
    }
    write_atomically(run / RESULT_FILE, json.dumps(done, indent=1).encode())
    return replace(
        result,
        report=scores.report,
        problems=tuple(problems),
        further_reports=scores.further,
    )


def load_trained(result: TrainingResult, host: Host | None = None) -> Pipeline:
    """Returns the pipeline of a finished run."""
    return load_bundle(result.bundle, host)


def _finished(run: Path, recipe: Recipe) -> TrainingResult | None:
    path = run / RESULT_FILE
    if not path.is_file():
        return None
    done = json.loads(path.read_text(encoding="utf-8"))
    if done["recipe"] != _recipe_digest(recipe):
        return None
    return TrainingResult(
        run,
        run / BUNDLE_FOLDER,
        done["best"],
        done["report"],
        tuple(done["problems"]),
        done.get("further_reports", {}),
    )


def _claim(run: Path, recipe: Recipe, rank: int) -> None:
    """Writes the recipe into a new run's folder, or refuses one of another recipe."""
    path = run / RECIPE_FILE
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if digest(kept) != _recipe_digest(recipe):
            raise TrainingError(
                f"{run} holds a run of another recipe. Choose another folder, or delete this one."
            )
    elif rank == 0:
        run.mkdir(parents=True, exist_ok=True)
        text = json.dumps(recipe.model_dump(mode="json"), indent=1)
        write_atomically(path, text.encode())


def _recipe_digest(recipe: Recipe) -> str:
    return digest(recipe.model_dump(mode="json"))


def _share(recipe: Recipe, rank: int, world: int) -> Share:
    size = recipe.training.batch_size
    if size % world:
        raise TrainingError(
            f"training.batch_size = {size} does not divide among {world} processes. "
            f"Use a multiple of {world}."
        )
    return Share(size, rank, world)


def _precision(asked: str, device: str) -> str:
    if asked == "fp16" and not device.startswith("cuda"):
        raise TrainingError(
            f"training.precision = fp16 needs a GPU, and this is {device}. Use auto, fp32 or bf16."
        )
    if asked != "auto":
        return asked
    return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _in_turn(rank: int, act: Callable[[], Any], world: int) -> Any:
    """Lets the first process act (and fill caches) before the others do."""
    if rank:
        _barrier(world)
    value = act()
    if not rank:
        _barrier(world)
    return value


def _barrier(world: int) -> None:
    if world > 1:
        torch.distributed.barrier()


def _silent(line: str) -> None:
    """Takes what the first process says already."""
