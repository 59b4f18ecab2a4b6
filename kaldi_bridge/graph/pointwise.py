"""The operations that are no matrix products, each on rows of computed values."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kaldi_bridge.errors import NotSupported
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


def convolved(operation: Convolution, values: list[Tensor]) -> Tensor:
    """Convolves over height, the time offsets standing side by side as channels.

    Args:
        operation: shapes and weights.
        values: the picture at each time offset, each [rows, height_in · filters_in].
    """
    weight = operation.weight.to(values[0].device, values[0].dtype)
    filters_out, filters_in, n_times, n_heights = weight.shape
    pictures = [value.view(-1, operation.height_in, filters_in) for value in values]
    picture = torch.cat(pictures, dim=-1) if len(pictures) > 1 else pictures[0]
    top = -operation.first_height
    reach = (
        (operation.height_out - 1) * operation.height_step
        + (n_heights - 1) * operation.height_dilation
        + operation.first_height
    )
    picture = functional.pad(picture, (0, 0, top, reach - (operation.height_in - 1)))
    kernel = weight.permute(0, 2, 1, 3).reshape(filters_out, n_times * filters_in, n_heights, 1)
    # [rows, height, 1, channels] seen as channels-last [rows, channels, height, 1]
    image = picture.unsqueeze(2).permute(0, 3, 1, 2)
    out = functional.conv2d(
        image,
        kernel,
        operation.bias.to(image.device, image.dtype),
        stride=(operation.height_step, 1),
        dilation=(operation.height_dilation, 1),
    )
    if operation.relu:
        out = out.clamp_min(0)
    return out.squeeze(3).transpose(1, 2).reshape(len(image), -1)
