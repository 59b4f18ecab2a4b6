"""The operations that are no matrix products, each on rows of computed values."""

from __future__ import annotations

import torch
from torch import Tensor

from kaldi_bridge.errors import NotSupported
from kaldi_bridge.graph.convolution import convolved
from kaldi_bridge.graph.operations import (
    Convolution,
    Gather,
    Normalize,
    Operation,
    Pointwise,
    Product,
)

SOFTMAX_FLOOR = 1e-20
"""Smallest probability that a softmax gives; nnet-simple-component.cc."""
RMS_FLOOR = 2.0**-66
"""Floor of (rms / target rms)²; cudamatrix/cu-math.cc."""


def apply(operation: Operation, values: list[Tensor]) -> Tensor:
    """Returns what an operation makes of its computed sources, each [rows, dim].

    Raises:
        NotSupported: an operation of another kind.
    """
    if isinstance(operation, Gather):
        return values[0]
    if isinstance(operation, Pointwise):
        return _function(operation.function, values[0])
    if isinstance(operation, Product):
        product = values[0]
        for value in values[1:]:
            product = product * value
        return product
    if isinstance(operation, Normalize):
        return normalized(operation, values[0])
    if isinstance(operation, Convolution):
        return convolved(operation, values)
    raise NotSupported(f"{type(operation).__name__} is no operation on rows.")


def _function(name: str, value: Tensor) -> Tensor:
    if name == "relu":
        return value.clamp_min(0)
    if name == "sigmoid":
        return value.sigmoid()
    if name == "tanh":
        return value.tanh()
    if name == "softmax":
        return value.softmax(-1).clamp_min(SOFTMAX_FLOOR)
    return value.log_softmax(-1)


def normalized(operation: Normalize, value: Tensor) -> Tensor:
    """Scales each block of each row; appends the logs of what was divided by, if asked for."""
    blocks = value.view(len(value), -1, operation.block_dim)  # [rows, blocks, block]
    target = operation.target_rms
    wide = blocks.float() if value.dtype in (torch.float16, torch.bfloat16) else blocks
    mean_square = wide.square().mean(-1, keepdim=True).clamp_min(RMS_FLOOR * target**2)
    scaled = blocks * (target * mean_square.rsqrt()).to(value.dtype)
    if operation.add_log_stddev:
        scaled = torch.cat([scaled, (0.5 * mean_square.log()).to(value.dtype)], dim=-1)
    return scaled.flatten(-2)
