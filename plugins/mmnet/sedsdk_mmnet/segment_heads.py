"""Heads `wlat`, `slat` and `att`: a classifier on every segment, and no macro subnet."""

from __future__ import annotations

from torch import Tensor

from sedsdk import Encoded, EncodedSpec, Features, Prediction, Targets
from sedsdk.layers import masked_mean
from sedsdk_mmnet.class_weights import WeightedHead, WeightedHeadConfig
from sedsdk_mmnet.macro import prediction
from sedsdk_mmnet.mixing import log_equal_shares, log_softmax_over_time, mixed
from sedsdk_mmnet.nets import Classifier, TimeAttention


class Wlat(WeightedHead):
    """Weak-label assumption training: the clip is the mean of its segments' probabilities.

        d̂_t = σ(f_cls(x_t)),   ŷ = 1/T Σ_t d̂_t,   loss ξ(y, ŷ)

    Batch normalisation in f_cls counts valid segments. Extras: "clip_logits" [B, C],
    "segment_logits" [B, T, C].

    Source: Kumar et al. 2018, as in Chou et al. 2018, Figure 3a.
    """

    def __init__(self, config: WeightedHeadConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.classifier = Classifier(encoded.frames.size, config.units, n_classes)

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: segments [B, T, K] → clip [B, C] and segment [B, T, C] probabilities."""
        frames = encoded.frames.zero_padded()
        logits = self.classifier(frames.values, frames.lengths)
        clip = mixed(logits, log_equal_shares(logits, frames.lengths), dim=1)
        return prediction(frames, clip, logits)

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns ξ(y, ŷ) of each clip: [B]."""
        return self.clip_cross_entropy(prediction.extras["clip_logits"], targets)


class Slat(Wlat):
    """Strong-label assumption training: every segment is taught the clip's labels.

        d̂_t = σ(f_cls(x_t)),   ŷ = 1/T Σ_t d̂_t,   loss 1/T Σ_t ξ(y, d̂_t)

    Extras as of `Wlat`.

    Source: Hershey et al. 2017, as in Chou et al. 2018, Figure 3b.
    """

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns the mean of ξ(y, d̂_t) over each clip's segments: [B]."""
        losses = self.segment_cross_entropy(prediction.extras["segment_logits"], targets)
        return masked_mean(losses.unsqueeze(2), prediction.lengths).squeeze(1)


class Att(WeightedHead):
    """Attentional prediction model: the clip is an attended mean of its segments' probabilities.

        d̂_t = σ(f_cls(x_t)),   ŷ = Σ_t α_t d̂_t,   loss ξ(y, ŷ)

    α is the softmax over time of a_t, the sum of m softmaxes, as in M&mnet's own ensemble
    prediction (Equations 6 and 9); with m = K it has the parameters of Table 1.

    Extras: "clip_logits" [B, C], "segment_logits" [B, T, C], "attention" [B, T, 1] = a_t / m.

    Source: Xu et al. 2017, as in Chou et al. 2018, Figure 3d.
    """

    def __init__(self, config: WeightedHeadConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.scores = encoded.frames.size
        self.classifier = Classifier(encoded.frames.size, config.units, n_classes)
        self.attention = TimeAttention(encoded.frames.size, self.scores)

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: segments [B, T, K] → clip [B, C] and segment [B, T, C] probabilities."""
        frames: Features = encoded.frames.zero_padded()
        lengths = frames.lengths
        logits = self.classifier(frames.values, lengths)
        shares = self.attention(frames.values, lengths).mean(2, keepdim=True)
        log_weights = log_softmax_over_time(self.scores * shares, lengths)
        return prediction(frames, mixed(logits, log_weights, dim=1), logits, attention=shares)

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns ξ(y, ŷ) of each clip: [B]."""
        return self.clip_cross_entropy(prediction.extras["clip_logits"], targets)
