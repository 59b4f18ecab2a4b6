"""Head `spda`: a macro net that also reads what several attentions pick from the clip."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from sedsdk import Encoded, EncodedSpec, Prediction, Targets
from sedsdk.layers import masked_mean
from sedsdk_mmnet.class_weights import WeightedHead, WeightedHeadConfig
from sedsdk_mmnet.macro import prediction
from sedsdk_mmnet.nets import Classifier, TimeAttention


class SpdaConfig(WeightedHeadConfig):
    """Options of `Spda`."""

    parts: int = Field(8, ge=1, description="attention maps over time")


class Spda(WeightedHead):
    """Macro supervision on the mean of the segments and on one attended mean per part.

        p_k = Σ_t softmax_t(f_k(x_t)) x_t,   ŷ = σ(f_cls([mean X, p_1, …, p_P])),   loss ξ(y, ŷ)

    Reading of SPDA-CNN for one dimension: parts are not annotated, so f_1 … f_P, a convolution of
    kernel 3, learn from the clip's labels alone; P = 8 gives the parameters of Table 1. Frame
    probabilities are what the net says of each segment as a clip of its own, in which every mean
    is that segment; nothing is trained on them.

    Extras: "clip_logits" [B, C], "segment_logits" [B, T, C], "attention" [B, T, 1], the mean of
    the parts' weights, and "part_attention" [B, T, P].

    Source: Zhang et al. 2016, as named in Chou et al. 2018, Table 1.
    """

    Config = SpdaConfig
    config: SpdaConfig

    def __init__(self, config: SpdaConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        size = encoded.frames.size
        self.attention = TimeAttention(size, config.parts)
        self.classifier = Classifier((1 + config.parts) * size, config.units, n_classes)

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: segments [B, T, K] → clip [B, C] and segment [B, T, C] probabilities."""
        frames = encoded.frames.zero_padded()
        x, lengths = frames.values, frames.lengths
        weights = self.attention(x, lengths)  # [B, T, P]
        parts = (weights.transpose(1, 2) @ x.to(weights.dtype)).flatten(1)  # [B, P · K]
        pooled = torch.cat([masked_mean(x, lengths).to(parts.dtype), parts], 1)
        clip = self.classifier.of_clips(pooled)
        segments = self.classifier.activation(x, lengths, copies=1 + self.config.parts)
        attention = weights.mean(2, keepdim=True)
        return prediction(frames, clip, segments, attention=attention, part_attention=weights)

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns ξ(y, ŷ) of each clip: [B]."""
        return self.clip_cross_entropy(prediction.extras["clip_logits"], targets)
