"""Head `macro`: the clip's feature map pooled over time and classified."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from sedsdk import Encoded, EncodedSpec, Features, Prediction, Targets
from sedsdk.layers import masked_max, masked_mean
from sedsdk.types import frame_mask
from sedsdk_mmnet.class_weights import WeightedHead, WeightedHeadConfig
from sedsdk_mmnet.nets import Classifier


class MacroConfig(WeightedHeadConfig):
    """Options of `Macro`."""

    pooling: Literal["mean", "max"] = Field("mean", description="over the segments of a clip")


class MacroHead(WeightedHead):
    """What heads with a macro subnet share: ŷ = σ(f_cls(pool(X))) of Equation 2."""

    Config = MacroConfig
    config: MacroConfig

    def __init__(self, config: MacroConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.classifier = Classifier(encoded.frames.size, config.units, n_classes)

    def macro_logits(self, frames: Features) -> Tensor:
        """Returns the logits of ŷ, [B, C]."""
        pool = masked_mean if self.config.pooling == "mean" else masked_max
        pooled = pool(frames.values, frames.lengths)
        empty = (frames.lengths == 0).unsqueeze(1)
        return self.classifier.of_clips(pooled.masked_fill(empty, 0.0))

    def activation_logits(self, frames: Features) -> Tensor:
        """Returns the macro net's class activation over time: logits [B, T, C], zero on padding.

        That is what it says of each segment as a clip of its own.
        """
        return self.classifier.activation(frames.values, frames.lengths)


class Macro(MacroHead):
    """Macro supervision alone: ConvNet and ResNet of the paper.

    Loss of a clip: ξ(y, ŷ), see `weighted_cross_entropy`. Frame probabilities are the class
    activation over time, what the net says of each segment as a clip of its own; nothing is
    trained on them.

    Extras: "clip_logits" [B, C], "segment_logits" [B, T, C].

    Source: Chou et al. 2018, Equations 1 to 3.
    """

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: segments [B, T, K] → clip [B, C] and segment [B, T, C] probabilities."""
        frames = encoded.frames.zero_padded()
        clip, segments = self.macro_logits(frames), self.activation_logits(frames)
        return prediction(frames, clip, segments)

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns ξ(y, ŷ) of each clip: [B]."""
        return self.clip_cross_entropy(prediction.extras["clip_logits"], targets)


def prediction(
    frames: Features, clip_logits: Tensor, segment_logits: Tensor, **extras: Tensor
) -> Prediction:
    """Returns the prediction for logits [B, C] and [B, T, C], which become extras.

    Args:
        frames: whose lengths and grid the segments have.
        clip_logits: of the clips.
        segment_logits: of the segments.
        extras: further ones.
    """
    padding = ~frame_mask(frames.lengths, segment_logits.shape[1]).unsqueeze(2)
    return Prediction(
        torch.sigmoid(clip_logits),
        torch.sigmoid(segment_logits).masked_fill(padding, 0.0),
        frames.lengths,
        frames.grid,
        {"clip_logits": clip_logits, "segment_logits": segment_logits, **extras},
    )
