"""Class weights of the loss (Equation 11), the weighted cross-entropy, and the head with both."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from sedsdk import EncodedSpec, Head, PartConfig, Targets, TrainingError

LEAST_SHARE = 1e-6
"""Shares are kept this far from 0 and 1, where Equation 11 has a pole."""


def class_weights(positive_share: Tensor, beta: float) -> Tensor:
    """Returns w_c = (p̄ / p_c · (1 − p_c) / (1 − p̄))^β, with p̄ the mean of all p_c.

    Args:
        positive_share: p [C] in [0, 1], share of the training clips that hold each class. NaN for
            a class of which nothing is known: it is left out of p̄ and weighs 1.
        beta: β; 0 gives 1 for every class.

    Returns:
        float64 [C], above zero and finite.

    Source: Chou et al. 2018, Equation 11.
    """
    share = positive_share.detach().double().cpu().clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    mean = share.nanmean()
    weights = (mean / share * (1 - share) / (1 - mean)) ** beta
    return weights.nan_to_num(nan=1.0)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Returns ξ: the binary cross-entropy, averaged over the known classes.

        ξ(y, p) = −1/C' Σ_c w_c y_c log p_c + (1 − y_c) log(1 − p_c),   p = σ(logits)

    Args:
        logits: [..., C].
        labels: y in [0, 1], of a shape that broadcasts to it; where unknown, anything.
        known: bool, of the shape of `labels`; C' is how many of its last axis are true.
        weight: w [C].

    Returns:
        float [...]; 0 where no class is known.
    """
    labels = torch.where(known, labels, torch.zeros_like(labels)).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(
        logits, labels.expand_as(logits), pos_weight=weight.to(logits.dtype), reduction="none"
    )
    losses = torch.where(known, losses, torch.zeros_like(losses))
    return losses.sum(-1) / known.sum(-1).clamp(min=1)


class WeightedHeadConfig(PartConfig):
    """What every head of the paper can be told."""

    units: int = Field(1024, gt=0, description="units of the two dense layers; ConvNet: 512")
    beta: float = Field(
        0.3,
        ge=0,
        description="β, how much the loss favours rare classes (Equation 11); 0: not at all",
    )


class WeightedHead(Head):
    """A head whose loss weighs the classes by how rare they are in the training set.

    Unless β is 0, `fit` has to be told the share of clips that hold each class before a loss is
    computed; training does. Buffers: `class_weight` w [C] and `fitted`.
    """

    Config = WeightedHeadConfig
    config: WeightedHeadConfig
    class_weight: Tensor
    fitted: Tensor

    def __init__(self, config: WeightedHeadConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.register_buffer("class_weight", torch.ones(n_classes))
        self.register_buffer("fitted", torch.tensor(config.beta == 0))

    @property
    def needs_fit(self) -> bool:
        """True while β is above 0 and nothing has been fitted."""
        return not bool(self.fitted)

    def fit(self, positive_share: Tensor) -> None:
        """Takes w from the share of training clips that hold each class; see `class_weights`.

        Raises:
            TrainingError: there is not one share per class, or one lies outside [0, 1].
        """
        outside = (positive_share < 0) | (positive_share > 1)
        if tuple(positive_share.shape) != (self.n_classes,) or bool(outside.any()):
            raise TrainingError(
                f"class weights need one share in [0, 1] for each of {self.n_classes} classes, got "
                f"{positive_share.tolist()}. Give the share of training clips that hold each class."
            )
        weights = class_weights(positive_share, self.config.beta)
        self.class_weight.copy_(weights.to(self.class_weight))
        self.fitted.fill_(True)

    def cross_entropy(self, logits: Tensor, labels: Tensor, known: Tensor) -> Tensor:
        """Returns ξ with this head's class weights; see `weighted_cross_entropy`.

        Raises:
            TrainingError: β is above 0 and nothing has been fitted.
        """
        if self.needs_fit:
            raise TrainingError(
                f"the class weights of {type(self).__name__} (beta = {self.config.beta}) have not "
                "been fitted. Call fit with the share of training clips that hold each class, or "
                "set beta = 0."
            )
        return weighted_cross_entropy(logits, labels, known, self.class_weight)

    def clip_cross_entropy(self, logits: Tensor, targets: Targets) -> Tensor:
        """Returns ξ(y, σ(logits)) of each clip's labels: [B, C] → [B]."""
        return self.cross_entropy(logits, targets.clip, targets.clip_mask)

    def segment_cross_entropy(self, logits: Tensor, targets: Targets) -> Tensor:
        """Returns ξ(y, σ(logits_t)) of the clip's labels for each segment: [B, T, C] → [B, T]."""
        return self.cross_entropy(logits, targets.clip.unsqueeze(1), targets.clip_mask.unsqueeze(1))
