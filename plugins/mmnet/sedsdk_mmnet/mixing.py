"""Weighted means of probabilities over segments and nets, computed on their logits.

Probabilities of 0 and 1 have no logit, so none is ever formed: a mean of σ(z) is taken as
log Σ exp(log w + log σ(z)), which keeps its gradient where every σ(z) underflows.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sedsdk.types import frame_mask

Mixing = Literal["probabilities", "logits"]


def mixed(
    logits: Tensor, log_weights: Tensor, dim: int, mixing: Mixing = "probabilities"
) -> Tensor:
    """Returns the logit of a weighted mean.

        probabilities: log Σ w σ(z) − log Σ w (1 − σ(z))
        logits:        Σ w z

    Args:
        logits: z, finite.
        log_weights: log w, of a shape that broadcasts to it; the weights sum to 1 along `dim`.
        dim: what is averaged and disappears.
        mixing: what is averaged.
    """
    if mixing == "logits":
        return (log_weights.exp() * logits).sum(dim)
    present = torch.logsumexp(log_weights + F.logsigmoid(logits), dim)
    absent = torch.logsumexp(log_weights + F.logsigmoid(-logits), dim)
    return present - absent


def log_softmax_over_time(scores: Tensor, lengths: Tensor) -> Tensor:
    """Returns the logarithm of a softmax over valid segments.

    Args:
        scores: [B, T, 1].
        lengths: int64 [B].

    Returns:
        [B, T, 1]; on padding the least finite number, whose exponential is 0.
    """
    padding = ~frame_mask(lengths, scores.shape[1]).unsqueeze(2)
    least = torch.finfo(scores.dtype).min
    shares = torch.log_softmax(scores.masked_fill(padding, least), dim=1)
    return shares.masked_fill(padding, least)


def log_equal_shares(logits: Tensor, lengths: Tensor) -> Tensor:
    """Returns log(1 / T) for each of the T valid segments of logits [B, T, C]: [B, T, 1]."""
    return log_softmax_over_time(torch.zeros_like(logits[..., :1]), lengths)


def widened(values: Tensor) -> Tensor:
    """Returns at least float32: half precision rounds probabilities near 1 to 1."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
