"""Head `event_attention`: one vector per event, for frames and for the clip."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sedsdk import EncodedSpec, Head, PartConfig
from sedsdk.layers import masked_binary_cross_entropy, masked_softmax
from sedsdk.types import Encoded, Prediction, Targets, frame_mask


class EventAttentionConfig(PartConfig):
    """Options of `EventAttention`; the defaults are the paper's."""

    alpha: float = Field(1.0, ge=0, description="α, weight of the frame loss; best near 1")
    window_frames: int = Field(
        50,
        ge=-1,
        description="frames before the onset and behind the offset that the frame loss covers; "
        "-1: the whole clip",
    )
    bias: bool = Field(False, description="add a bias to wᵀh; the paper has none")


class EventAttention(Head):
    """Clip and frame probabilities from one vector w per class.

        p_t = σ(wᵀ h_t),   a_t = p_t / Σ p,   h = Σ a_t h_t,   p = σ(wᵀ h).

    As wᵀh = Σ a_t wᵀh_t, the clip's logit is the attention-weighted mean of the frame logits. The
    attention is computed as softmax(log p_t), so it and the loss stay finite for p_t → 0 and 1.
    Attention covers a clip's own frames only; a clip without frames has the probability 0.

    Loss of a clip, the mean over its known classes of −(L_utt + α L_frame):

        L_utt   = y log p + (1 − y) log(1 − p)
        L_frame = 1 / T' Σ over the T' frames within `window_frames` of the event of
                  y_t log p_t + (1 − y_t) log(1 − p_t);   0 for a class that does not occur.

    Labels that mixup made fractional weigh the frames near them, and L_frame, by their size, so
    that an event mixed in at a share of almost 0 costs almost what no event costs.

    Extras: "frame_logits" [B, T, C], "clip_logits" [B, C], "attention" [B, T, C].

    Source: Wang et al. 2019, Section 2; the window is that of Section 4.1. The paper prints
    log-likelihoods, which are maximised.
    """

    Config = EventAttentionConfig
    config: EventAttentionConfig

    def __init__(self, config: EventAttentionConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.event = nn.Linear(encoded.frames.size, n_classes, bias=config.bias)

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: frames [B, T, H] → clip [B, C] and frame [B, T, C] probabilities."""
        frames, lengths = encoded.frames, encoded.frames.lengths
        padding = ~frames.mask().unsqueeze(2)
        logits = self.event(frames.values)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        logits = logits.masked_fill(padding, 0.0)
        attention = masked_softmax(F.logsigmoid(logits), lengths)
        clip_logits = (attention * logits).sum(1)
        return Prediction(
            torch.sigmoid(clip_logits).masked_fill((lengths == 0).unsqueeze(1), 0.0),
            torch.sigmoid(logits).masked_fill(padding, 0.0),
            lengths,
            frames.grid,
            {"frame_logits": logits, "clip_logits": clip_logits, "attention": attention},
        )

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns −(L_utt + α L_frame) of each clip, averaged over its known classes: [B]."""
        has_frames = (prediction.lengths > 0).unsqueeze(1)
        loss = masked_binary_cross_entropy(
            prediction.extras["clip_logits"], targets.clip, targets.clip_mask & has_frames
        )
        if not self.config.alpha:
            return loss
        logits = prediction.extras["frame_logits"]
        known = targets.frame_mask & frame_mask(prediction.lengths, logits.shape[1]).unsqueeze(2)
        labels = torch.where(known, targets.frames, torch.zeros_like(targets.frames))
        weights = event_weights(labels, known, self.config.window_frames)
        losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        frames = weights.sum(1).clamp(min=torch.finfo(weights.dtype).tiny)  # T' for whole labels
        per_class = weights.amax(1) * (weights * losses).sum(1) / frames  # [B, C]
        classes = known.any(1).sum(1).clamp(min=1)
        return loss + self.config.alpha * per_class.sum(1) / classes


def event_weights(labels: Tensor, known: Tensor, window_frames: int) -> Tensor:
    """Returns how much the frame loss counts a frame: as the largest label in its neighbourhood.

    With whole labels that is 1 near an event and 0 elsewhere; a mixed event counts by its share.

    Args:
        labels: float [B, T, C] in [0, 1], 0 where unknown.
        known: bool [B, T, C].
        window_frames: frames to either side that are neighbours; -1: all of the clip.

    Returns:
        float [B, T, C] in [0, 1]; 0 where the label is unknown, and for a class without an event.
    """
    if window_frames < 0:
        largest = labels.amax(1, keepdim=True)
    else:
        span = 2 * window_frames + 1
        pooled = F.max_pool1d(labels.transpose(1, 2), span, stride=1, padding=window_frames)
        largest = pooled.transpose(1, 2)
    return largest * known
