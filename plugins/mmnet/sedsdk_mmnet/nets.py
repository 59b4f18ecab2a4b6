"""The learnt pieces of the heads: f_cls, f_att and f_det."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedsdk import Features
from sedsdk.layers import masked_softmax
from sedsdk_mmnet.mixing import log_softmax_over_time, widened
from sedsdk_mmnet.time_layers import FrameNorm, TimeConv, initialise, zeroed


class Classifier(nn.Module):
    """f_cls: two dense layers with batch normalisation and ReLU, then one logit per class.

    Args:
        size: of the vector it reads.
        units: of both layers.
        n_classes: C.
    """

    def __init__(self, size: int, units: int, n_classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(size, units, bias=False)
        self.first_norm = FrameNorm(units)
        self.second = nn.Linear(units, units, bias=False)
        self.second_norm = FrameNorm(units)
        self.output = nn.Linear(units, n_classes)
        initialise(self)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Returns the logits [B, T, C] of vectors [B, T, size]; zero on padding."""
        x = F.relu(self.first_norm(self.first(x), lengths))
        x = F.relu(self.second_norm(self.second(x), lengths))
        return zeroed(widened(self.output(x)), lengths)

    def of_clips(self, x: Tensor) -> Tensor:
        """Returns the logits [B, C] of one vector per clip [B, size]."""
        ones = torch.ones(len(x), dtype=torch.int64, device=x.device)
        return self(x.unsqueeze(1), ones).squeeze(1)  # type: ignore[no-any-return]

    def activation(self, x: Tensor, lengths: Tensor, copies: int = 1) -> Tensor:
        """Returns the logits that each segment would have as a clip of its own.

        Batch normalisation uses its running statistics, which stay as they are. In training the
        result carries no gradient.

        Args:
            x: segments [B, T, size / copies].
            lengths: int64 [B].
            copies: how often a segment stands in the vector that is read.

        Returns:
            [B, T, C], zero on padding.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.training):
            weight = self.first.weight.view(len(self.first.weight), copies, -1).sum(1)
            x = F.relu(self.first_norm.frozen(F.linear(x, weight)))
            x = F.relu(self.second_norm.frozen(self.second(x)))
            return zeroed(widened(self.output(x)), lengths)


class TimeAttention(nn.Module):
    """f_att: several scores per segment, each a softmax over the clip's segments.

    A convolution of kernel 3 over the segments, as the parameter counts of Table 1 ask for; it has
    no bias, which the softmax would take out again.

    Args:
        size: K, channels of the feature map.
        scores: m.
    """

    def __init__(self, size: int, scores: int) -> None:
        super().__init__()
        self.conv = TimeConv(size, scores)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Maps segments [B, T, K], zero on padding, to [B, T, m], each summing to 1 over time."""
        return masked_softmax(widened(self.conv(x)), lengths)


@dataclass(frozen=True)
class Attended:
    """What a micro subnet says of a feature map.

    Attributes:
        logits: of d̂, [B, T, C], zero on padding.
        shares: a / m, [B, T, 1], which sum to 1 over a clip's segments.
        lengths: int64 [B], segments per clip.
        log_weights: log α, [B, T, 1].
    """

    logits: Tensor
    shares: Tensor
    lengths: Tensor
    log_weights: Tensor


class MicroNet(nn.Module):
    """f_det and f_att on one feature map.

        d̂_t = σ(f_det(x_t))                                                             (4)
        v_t = f_att(x_t)                                                                (5)
        a_t = Σ_m exp(v_t,m) / Σ_t exp(v_t,m),   so that Σ_t a_t = m                    (6)
        α   = softmax over t of a_t                                                 (with 9)

    Args:
        size: K, channels of the feature map.
        scores: m.
        n_classes: C.
    """

    def __init__(self, size: int, scores: int, n_classes: int) -> None:
        super().__init__()
        self.scores = scores
        self.detection = TimeConv(size, n_classes, bias=True)
        self.attention = TimeAttention(size, scores)

    def forward(self, features: Features) -> Attended:
        """Reads a feature map [B, T, K]."""
        x, lengths = features.zero_padded().values, features.lengths
        logits = zeroed(widened(self.detection(x)), lengths)
        shares = self.attention(x, lengths).mean(2, keepdim=True)
        return Attended(
            logits, shares, lengths, log_softmax_over_time(self.scores * shares, lengths)
        )
