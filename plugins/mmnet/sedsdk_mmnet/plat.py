"""Head `plat`: the macro net's activation over time says what the micro net is taught."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from sedsdk import Encoded, EncodedSpec, Prediction, Targets
from sedsdk.layers import masked_max, masked_mean
from sedsdk_mmnet.macro import MacroConfig, MacroHead, prediction
from sedsdk_mmnet.mixing import widened
from sedsdk_mmnet.time_layers import TimeConv, zeroed


class PlatConfig(MacroConfig):
    """Options of `Plat`."""

    micro_weight: float = Field(1.0, ge=0, description="λ, weight of the micro loss")
    threshold: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share of the span between its smallest and largest activation in the clip "
        "above which a segment is taken to hold a class",
    )


class Plat(MacroHead):
    """Predicted-label assumption training: macro loss, and micro loss on extrapolated labels.

        d̂_t = σ(f_det(x_t)),   loss ξ(y, ŷ) + λ/T Σ_t ξ(l_t, d̂_t)

    with the labels l of `extrapolated_labels`, taken from the macro net's class activation over
    time, through which no gradient flows. ŷ of Equation 2 is the clip's prediction.

    Extras: "clip_logits" [B, C], "segment_logits" [B, T, C] of d̂, and "activation_logits"
    [B, T, C].

    Source: Diba et al. 2016, as in Chou et al. 2018, Section 2.6 and Figure 3c. The threshold is
    that at which Zhou et al. 2016 (Learning Deep Features for Discriminative Localization) cut
    their class activation maps.
    """

    Config = PlatConfig
    config: PlatConfig

    def __init__(self, config: PlatConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.detection = TimeConv(encoded.frames.size, n_classes, bias=True)

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: segments [B, T, K] → clip [B, C] and segment [B, T, C] probabilities."""
        frames = encoded.frames.zero_padded()
        clip = self.macro_logits(frames)
        segments = zeroed(widened(self.detection(frames.values)), frames.lengths)
        activation = self.activation_logits(frames).detach()
        return prediction(frames, clip, segments, activation_logits=activation)

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns ξ(y, ŷ) + λ/T Σ_t ξ(l_t, d̂_t) of each clip: [B]."""
        extras, lengths = prediction.extras, prediction.lengths
        labels = extrapolated_labels(
            extras["activation_logits"], targets.clip, lengths, self.config.threshold
        )
        known = targets.clip_mask.unsqueeze(1)
        losses = self.cross_entropy(extras["segment_logits"], labels, known.expand_as(labels))
        micro = masked_mean(losses.unsqueeze(2), lengths).squeeze(1)
        macro = self.clip_cross_entropy(extras["clip_logits"], targets)
        return macro + self.config.micro_weight * micro


def extrapolated_labels(
    activation: Tensor, clip_labels: Tensor, lengths: Tensor, threshold: float
) -> Tensor:
    """Returns segment labels: the clip's label where the class activates, else 0.

    With activations s_t of one class, l_t = y if (s_t − min s) / (max s − min s) ≥ threshold. A
    class that activates evenly is taken to be everywhere.

    Args:
        activation: s, [B, T, C].
        clip_labels: y, [B, C] in [0, 1].
        lengths: int64 [B]; extremes are taken over valid segments.
        threshold: in [0, 1].

    Returns:
        [B, T, C]; anything on padding.
    """
    largest = masked_max(activation, lengths).unsqueeze(1)
    smallest = -masked_max(-activation, lengths).unsqueeze(1)
    active = activation - smallest >= threshold * (largest - smallest)
    return torch.where(active, clip_labels.unsqueeze(1).to(activation.dtype), 0.0)
