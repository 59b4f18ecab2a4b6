"""Heads trained with binary cross-entropy: `frame_bce` on frames, `clip_bce` on clips."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sedsdk.contract import PartConfig
from sedsdk.layers import (
    PROBABILITY_FLOOR,
    masked_binary_cross_entropy,
    masked_max,
    masked_mean,
    masked_softmax,
    probability_logit,
)
from sedsdk.stages import EncodedSpec, Head
from sedsdk.types import Encoded, Prediction, Targets, frame_mask


class FrameBceConfig(PartConfig):
    """Options of `FrameBce`."""

    hidden: int = Field(0, ge=0, description="units of a dense layer before the output; 0: none")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the output layer")
    positive_weight: float = Field(1.0, gt=0, description="factor on the loss of active frames")
    clip_weight: float = Field(
        0.0,
        ge=0,
        description="weight of the clip loss, on the largest frame, beside the frame loss",
    )


class FrameBce(Head):
    """A sigmoid per frame and class; the clip probability is the largest frame's.

    Loss of a clip: −mean over its known frames and classes of y log p + (1 − y) log(1 − p),
    plus `clip_weight` times the same for the clip.

    Extras: "frame_logits" [B, T, C].

    Source: Cakir et al. 2017.
    """

    Config = FrameBceConfig
    config: FrameBceConfig

    def __init__(self, config: FrameBceConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.output = _dense(encoded.frames.size, config.hidden, config.dropout, n_classes)

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: frames [B, T, H] → clip [B, C] and frame [B, T, C] probabilities."""
        frames = encoded.frames
        logits = _widened(self.output(frames.values))
        mask = frames.mask().unsqueeze(-1)
        clip = torch.sigmoid(masked_max(logits, frames.lengths))
        probabilities = torch.sigmoid(logits).masked_fill(~mask, 0.0)
        return Prediction(
            clip, probabilities, frames.lengths, frames.grid, {"frame_logits": logits}
        )

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns the binary cross-entropy of each clip: [B]."""
        logits = prediction.extras["frame_logits"]
        valid = frame_mask(prediction.lengths, logits.shape[1]).unsqueeze(-1)
        loss = masked_binary_cross_entropy(
            logits, targets.frames, targets.frame_mask & valid, self.config.positive_weight
        )
        if self.config.clip_weight:
            clip_logits = masked_max(logits, prediction.lengths)
            clip_loss = masked_binary_cross_entropy(clip_logits, targets.clip, targets.clip_mask)
            loss = loss + self.config.clip_weight * clip_loss
        return loss


class ClipBceConfig(PartConfig):
    """Options of `ClipBce`."""

    pooling: Literal["max", "average", "linear_softmax", "attention"] = Field(
        "linear_softmax", description="how frame probabilities become a clip's"
    )
    hidden: int = Field(0, ge=0, description="units of a dense layer before the output; 0: none")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the output layer")
    positive_weight: float = Field(1.0, gt=0, description="factor on the loss of present labels")


class ClipBce(Head):
    """Learns from clip labels alone and still says when: a pooled frame probability per class.

    With frame probabilities y_t of one class, the clip probability is

    - max: max_t y_t;
    - average: mean_t y_t;
    - linear_softmax: Σ y_t² / Σ y_t;
    - attention: Σ w_t y_t, with w a softmax over time of a learnt score.

    Extras: "frame_logits" [B, T, C], "clip_logits" [B, C], and for attention
    "attention" [B, T, C].

    Source: Wang, Li and Metze 2019 (arXiv:1810.09050), Table 1.
    """

    Config = ClipBceConfig
    config: ClipBceConfig

    def __init__(self, config: ClipBceConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        size = encoded.frames.size
        self.output = _dense(size, config.hidden, config.dropout, n_classes)
        self.score = nn.Linear(size, n_classes) if config.pooling == "attention" else None

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: frames [B, T, H] → clip [B, C] and frame [B, T, C] probabilities."""
        frames, lengths = encoded.frames, encoded.frames.lengths
        logits = _widened(self.output(frames.values))
        mask = frames.mask().unsqueeze(-1)
        probabilities = torch.sigmoid(logits).masked_fill(~mask, 0.0)
        extras = {"frame_logits": logits}
        if self.config.pooling == "max":
            clip_logits = masked_max(logits, lengths)
        elif self.config.pooling == "average":
            clip_logits = probability_logit(masked_mean(probabilities, lengths))
        elif self.config.pooling == "linear_softmax":
            total = probabilities.sum(1).clamp(min=PROBABILITY_FLOOR)
            clip_logits = probability_logit((probabilities**2).sum(1) / total)
        else:
            assert self.score is not None
            weights = masked_softmax(_widened(self.score(frames.values)), lengths)
            clip_logits = probability_logit((weights * probabilities).sum(1))
            extras["attention"] = weights
        extras["clip_logits"] = clip_logits
        return Prediction(torch.sigmoid(clip_logits), probabilities, lengths, frames.grid, extras)

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns the binary cross-entropy of each clip's labels: [B]."""
        return masked_binary_cross_entropy(
            prediction.extras["clip_logits"],
            targets.clip,
            targets.clip_mask,
            self.config.positive_weight,
        )


def _dense(size: int, hidden: int, dropout: float, n_classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    if hidden:
        layers += [nn.Linear(size, hidden), nn.ReLU()]
        size = hidden
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(size, n_classes))


def _widened(values: Tensor) -> Tensor:
    """Returns at least float32: half precision rounds probabilities near 1 to 1."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
