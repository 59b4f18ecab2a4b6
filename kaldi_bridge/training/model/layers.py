"""Layers of Kaldi's factored TDNNs in torch: rows [B, T, columns] in, rows out, none padded.

Named as in steps/libs/nnet3/xconfig of Kaldi 5.5.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3
"""Added to the variance by batch normalisation."""


class ReluLayer(nn.Module):
    """relu-batchnorm-layer: affine, ReLU, batch normalisation, dropout."""

    def __init__(self, columns: int, dim: int, dropout: float = 0.0) -> None:
        """Args:
        columns: of the input.
        dim: of the output.
        dropout: how far values are scaled in training: each dimension of a clip by one factor
            drawn from 1 − 2 dropout to 1 + 2 dropout.
        """
        super().__init__()
        self.affine = nn.Linear(columns, dim)
        draw_weights(self.affine)
        self.batchnorm = BatchNorm(dim)
        self.dropout = dropout

    def forward(self, rows: Tensor) -> Tensor:
        """Rows [B, T, columns] → [B, T, dim]."""
        rows = cast(Tensor, self.batchnorm(F.relu(self.affine(rows))))
        if self.training and self.dropout:
            shape = (len(rows), 1, rows.shape[2])  # one factor per clip and dimension
            noise = torch.rand(shape, dtype=rows.dtype, device=rows.device)
            rows = rows * (1 + 2 * self.dropout * (2 * noise - 1))
        return rows


class FactoredLayer(nn.Module):
    """tdnnf-layer: a linear map to the bottleneck and an affine one back, beside a bypass.

    The linear map reads frames t − stride and t, the affine one t and t + stride of its result.
    """

    def __init__(
        self, dim: int, bottleneck: int, stride: int, *, bypass: float, dropout: float = 0.0
    ) -> None:
        """Args:
        dim: of input and output.
        bottleneck: of the linear map.
        stride: frames; 0 for one frame.
        bypass: scale of the layer below; 0 for none.
        dropout: see `ReluLayer`.
        """
        super().__init__()
        frames = 2 if stride else 1
        self.stride, self.bypass = stride, bypass
        self.linear = linear(frames * dim, bottleneck)
        self.outer = ReluLayer(frames * bottleneck, dim, dropout)

    def forward(self, rows: Tensor, step: int, step_after: int, phase: int) -> Tensor:
        """Rows [B, T, dim] every `step` frames → [B, T', dim] every `step_after` frames.

        Args:
            rows: of the layer below.
            step: frames from row to row of it; the stride is a multiple.
            step_after: the same of the result, a multiple of `step`.
            phase: first row that is kept of those that could be computed, if steps differ.
        """
        shift, every = self.stride // step, step_after // step
        inner = self._inner(rows, shift)  # [B, T - shift, bottleneck]
        if shift:
            inner = torch.cat([inner[:, :-shift], inner[:, shift:]], dim=2)
            rows = rows[:, shift:-shift]
        if every > 1:
            inner, rows = inner[:, phase::every], rows[:, phase::every]
        return cast(Tensor, self.outer(inner) + self.bypass * rows)

    def _inner(self, rows: Tensor, shift: int) -> Tensor:
        weight = self.linear.weight
        if not self.stride:
            return F.linear(rows, weight)
        before, now = weight.chunk(2, dim=1)
        return F.linear(rows[:, :-shift], before) + F.linear(rows[:, shift:], now)


class BatchNorm(nn.BatchNorm1d):
    """Kaldi's batch normalisation: no scale and no offset, statistics with the biased variance."""

    def __init__(self, dim: int) -> None:
        """Args:
        dim: columns.
        """
        super().__init__(dim, eps=EPSILON, affine=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows [B, T, dim] → the same, each column of mean 0 and variance 1 in training."""
        flat = rows.reshape(-1, rows.shape[-1])
        if not self.training:
            return super().forward(flat).view_as(rows)
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        normal = F.batch_norm(flat, mean, variance, training=True, momentum=1.0, eps=self.eps)
        biased = variance * (1 - 1 / len(flat))  # torch gives n / (n - 1) times as much
        share = self._share_of_a_batch()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(biased, share)
        return normal.view_as(rows)

    def _share_of_a_batch(self) -> float:
        """Counts a batch; returns its weight in the running statistics."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        return 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum


def linear(columns: int, dim: int) -> nn.Linear:
    """Returns a linear map without bias, with weights as Kaldi draws them."""
    made = nn.Linear(columns, dim, bias=False)
    draw_weights(made)
    return made


def draw_weights(layer: nn.Linear) -> None:
    """Draws weights of standard deviation 1 / √columns; the bias becomes zero."""
    nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
