"""Laws on learning: gradients reach everything, and a loss is one number per clip that can fall."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sedsdk.stages import Frontend, Head
from sedsdk.testing.batches import (
    EncodedBatch,
    StreamBatch,
    WaveformBatch,
    clip_targets,
    random_targets,
)
from sedsdk.testing.laws import Trial
from sedsdk.testing.subject import Subject
from sedsdk.types import Encoded, Features, Inputs, Prediction, Targets, frame_mask

LOSS_TOLERANCE = 1e-5
EXTREME = 1e4
"""Factor on hidden frames that drives logits far beyond what a sigmoid resolves."""
STEPS = 25
GRADIENT_LENGTHS = ((6, 4), (24, 13, 17), (40, 33))


def gradients_law(subject: Subject) -> None:
    """A finite gradient reaches the input and, on the larger batches, every trainable parameter.

    For a frontend that learns, the input is what it stores: gradients begin there in training.
    """
    silent: set[str] | None = None
    for seed, lengths in enumerate(GRADIENT_LENGTHS):
        made = subject.build()
        if subject.kind != "frontend":
            made.train()
        longer = tuple(length + subject.setting.shortest - 1 for length in lengths)
        batch = subject.batch(made, longer, seed)
        trial = subject.trial("gradients", batch)
        with trial.guarded(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _backward(subject, made, batch, trial)
            unmoved = set()
            for name, parameter in made.named_parameters():
                if not parameter.requires_grad:
                    continue
                if parameter.grad is not None:
                    trial.finite(parameter.grad, f"gradient of {name}")
                if parameter.grad is None or not bool(parameter.grad.any()):
                    unmoved.add(name)
            silent = unmoved if silent is None else silent & unmoved
    trial = subject.trial("gradients", batch)
    trial.require(not silent, f"no gradient ever reaches {', '.join(sorted(silent or ()))}")
    if subject.kind == "frontend":
        _silence_has_finite_gradients(subject)


def _backward(subject: Subject, made: Any, batch: Any, trial: Trial) -> None:
    leaves: list[Tensor]
    if isinstance(batch, WaveformBatch):
        leaf, features = _frontend_with_leaf(made, batch)
        leaves = [leaf]
        total = _spread_sum([features.values])
    elif isinstance(batch, EncodedBatch):
        encoded, leaves = _with_leaves(batch.value)
        prediction = made(encoded)
        total = made.loss(prediction, _targets_for(prediction, made.n_classes, 0, True)).mean()
    else:
        assert isinstance(batch, StreamBatch)
        leaves, streams = [], {}
        for name in batch.inputs:
            leaf = batch.inputs[name].values.clone().requires_grad_()
            leaves.append(leaf)
            streams[name] = replace(batch.inputs[name], values=leaf)
        moved = replace(batch, inputs=Inputs(streams))
        outputs = [output.values for output in subject.run(made, moved) if not output.is_map]
        total = _spread_sum([values for values in outputs if values.requires_grad])
    trial.require(total.requires_grad, "the result does not depend on the input by gradient")
    total.backward()  # type: ignore[no-untyped-call]
    reached = [leaf.grad for leaf in leaves if leaf.grad is not None]
    for grad in reached:
        trial.finite(grad, "gradient of the input")
    some = any(bool(grad.any()) for grad in reached)
    trial.require(some, "no gradient reaches the input")


def _frontend_with_leaf(made: Frontend, batch: WaveformBatch) -> tuple[Tensor, Features]:
    """Returns features, and where their gradients have to reach."""
    if not made.learns:
        leaf = batch.waveforms.clone().requires_grad_()
        return leaf, made(leaf, batch.lengths)
    with torch.no_grad():
        stored = made.store(batch.waveforms, batch.lengths)
    leaf = stored.values.clone().requires_grad_()
    return leaf, made.finish(replace(stored, values=leaf))


def _spread_sum(values: list[Tensor]) -> Tensor:
    """Sums with other weights for every element, so that no normalisation cancels the gradient."""
    total = torch.zeros(())
    for tensor in values:
        weights = torch.linspace(0.5, 1.5, tensor.numel()).sin().reshape(tensor.shape)
        total = total + (tensor * weights).sum() + 0.1 * (tensor**2).sum()
    return total


def _silence_has_finite_gradients(subject: Subject) -> None:
    made = subject.build()
    batch = subject.batch(made, (3 + subject.setting.shortest,))
    silence = replace(batch, waveforms=torch.zeros_like(batch.waveforms))
    trial = subject.trial("gradients", silence, "digital silence")
    with trial.guarded():
        leaf, features = _frontend_with_leaf(made, silence)
        trial.finite(features.values, "features")
        features.values.sum().backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        trial.finite(leaf.grad, "gradient of the waveform, or of what is stored of it")


def loss_law(subject: Subject) -> None:
    """One finite loss per clip; mates, padding and unknown labels add nothing; it can fall."""
    made = subject.build()
    trial = subject.trial("loss", note="fitted on a share of clips for each class")
    trial.require(not made.needs_fit, "the head still needs to be fitted")
    for batch in subject.batches(made):
        trial = subject.trial("loss", batch)
        with trial.guarded():
            prediction = made(batch.value)
            targets = _targets_for(prediction, made.n_classes, 0)
            losses = made.loss(prediction, targets)
            trial.require(
                tuple(losses.shape) == (batch.size,),
                f"loss has shape {tuple(losses.shape)}, expected [{batch.size}]: one per clip",
            )
            trial.finite(losses, "loss")
            trial.require(bool((losses >= 0).all()), "a loss below zero")
            _unknown_labels_add_nothing(trial, made, prediction, targets, losses)
            _clips_stand_alone(trial, made, batch, targets, losses)
            _extremes_stay_finite(trial, made, batch)
    _training_lowers_it(subject)


def _unknown_labels_add_nothing(
    trial: Trial, made: Head, prediction: Prediction, targets: Targets, losses: Tensor
) -> None:
    other = replace(
        targets,
        clip=torch.where(targets.clip_mask, targets.clip, 1 - targets.clip),
        frames=torch.where(targets.frame_mask, targets.frames, 1 - targets.frames),
    )
    what = "loss with other labels where none is known"
    trial.same(made.loss(prediction, other), losses, LOSS_TOLERANCE, what)
    nothing = replace(
        targets,
        clip_mask=torch.zeros_like(targets.clip_mask),
        frame_mask=torch.zeros_like(targets.frame_mask),
    )
    empty = made.loss(prediction, nothing)
    trial.same(empty, torch.zeros_like(empty), 0.0, "loss of clips of which nothing is known")


def _clips_stand_alone(
    trial: Trial, made: Head, batch: EncodedBatch, targets: Targets, losses: Tensor
) -> None:
    for index in range(batch.size):
        alone = made(batch.alone(index).value)
        mine = clip_targets(targets, index, alone.frames.shape[1])
        what = f"loss of clip {index}, alone and in the batch"
        trial.same(made.loss(alone, mine)[0], losses[index], LOSS_TOLERANCE, what)


def _extremes_stay_finite(trial: Trial, made: Head, batch: EncodedBatch) -> None:
    for factor in (EXTREME, -EXTREME):
        encoded, leaves = _with_leaves(batch.value, factor)
        prediction = made(encoded)
        losses = made.loss(prediction, _targets_for(prediction, made.n_classes, 1, True))
        trial.finite(losses, f"loss for hidden frames times {factor:g}")
        made.zero_grad()
        losses.mean().backward()  # type: ignore[no-untyped-call]
        for name, parameter in made.named_parameters():
            if parameter.grad is not None:
                shown = f"gradient of {name} for hidden frames times {factor:g}"
                trial.finite(parameter.grad, shown)
        if leaves[0].grad is not None:
            trial.finite(leaves[0].grad, f"gradient of hidden frames times {factor:g}")


def _training_lowers_it(subject: Subject) -> None:
    made = subject.build()
    lengths = tuple(length + subject.setting.shortest for length in (20, 12, 16))
    batch = subject.batch(made, lengths)
    trial = subject.trial("loss", batch, f"{STEPS} steps of Adam, rate 0.02")
    with trial.guarded():
        encoded, leaves = _with_leaves(batch.value)
        targets = _targets_for(made(encoded), made.n_classes, 2, True)
        before = _distances(made(encoded), targets)
        learnt = [p for p in made.parameters() if p.requires_grad] + leaves
        optimiser = torch.optim.Adam(learnt, lr=0.02)
        seen = []
        for _ in range(STEPS):
            loss = made.loss(made(encoded), targets).mean()
            seen.append(float(loss.detach()))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        trial.require(
            seen[-1] < seen[0], f"the mean loss went from {seen[0]:.4g} to {seen[-1]:.4g}"
        )
        after = _distances(made(encoded), targets)
        nearer = any(now < then for now, then in zip(after, before, strict=True))
        shown = (
            f"it led away from the labels: mean distance of clip and frame probabilities "
            f"{before[0]:.3f} and {before[1]:.3f} before, {after[0]:.3f} and {after[1]:.3f} after"
        )
        trial.require(nearer, shown)


def _distances(prediction: Prediction, targets: Targets) -> tuple[float, float]:
    """Returns the mean distance from the labels: of clip and of valid frame probabilities."""
    clip = (prediction.clip - targets.clip).abs().mean()
    frames = (prediction.frames - targets.frames).abs()[targets.frame_mask].mean()
    return float(clip.detach()), float(frames.detach())


def _with_leaves(encoded: Encoded, factor: float = 1.0) -> tuple[Encoded, list[Tensor]]:
    """Returns the same with frames and scales as leaves that collect gradients."""
    leaves: list[Tensor] = []

    def leaf(features: Features) -> Features:
        values = (features.values.detach() * factor).requires_grad_()
        leaves.append(values)
        return replace(features, values=values)

    frames = leaf(encoded.frames)
    return replace(encoded, frames=frames, scales=tuple(map(leaf, encoded.scales))), leaves


def _targets_for(
    prediction: Prediction, n_classes: int, seed: int, all_known: bool = False
) -> Targets:
    generator = torch.Generator().manual_seed(seed)
    n_frames = prediction.frames.shape[1]
    targets = random_targets(prediction.lengths, n_frames, n_classes, prediction.grid, generator)
    if all_known:
        mask = frame_mask(prediction.lengths.cpu(), n_frames)
        targets = replace(
            targets,
            clip_mask=torch.ones_like(targets.clip_mask),
            frame_mask=mask.unsqueeze(-1).expand_as(targets.frame_mask).clone(),
        )
    return targets
