"""Convolution over time and height; nnet3/convolution.cc. Time offsets arrive as separate pictures.

A frame is a picture of `height` rows with its filters side by side. On a CPU the patches of a few
frames at a time are laid beside one another and multiplied once, in memory that stays in the cache;
elsewhere, and where gradients flow, torch's own convolution does it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kaldi_bridge.graph.operations import Convolution

PATCH_VALUES = 1 << 19
"""Numbers in the patches that are multiplied at a time: 2 MB in float32."""


def convolved(operation: Convolution, values: list[Tensor]) -> Tensor:
    """Convolves over height, the time offsets standing side by side as channels.

    Args:
        operation: shapes and weights.
        values: the picture at each time offset, each [rows, height_in · filters_in].

    Returns:
        [rows, height_out · filters_out].
    """
    weight = operation.weight.to(values[0].device, values[0].dtype)
    bias = operation.bias.to(weight)
    height = operation.height_in
    pictures = [value.view(-1, height, weight.shape[1]) for value in values]
    learning = torch.is_grad_enabled() and any(
        value.requires_grad for value in (weight, bias, *values)
    )
    if learning or weight.device.type != "cpu":
        return _by_torch(operation, weight, bias, pictures)
    return _by_patches(operation, weight, bias, pictures)


def _by_torch(
    operation: Convolution, weight: Tensor, bias: Tensor, pictures: list[Tensor]
) -> Tensor:
    filters_out, filters_in, n_times, n_heights = weight.shape
    picture = torch.cat(pictures, dim=-1)
    top = -operation.first_height
    reach = (
        (operation.height_out - 1) * operation.height_step
        + (n_heights - 1) * operation.height_dilation
        + operation.first_height
    )
    picture = functional.pad(picture, (0, 0, top, reach - (operation.height_in - 1)))
    kernel = weight.permute(0, 2, 1, 3).reshape(filters_out, n_times * filters_in, n_heights, 1)
    # [rows, height, 1, channels] seen as channels-last [rows, channels, height, 1]
    out = functional.conv2d(
        picture.unsqueeze(2).permute(0, 3, 1, 2),
        kernel,
        bias,
        stride=(operation.height_step, 1),
        dilation=(operation.height_dilation, 1),
    )
    flat = out.squeeze(3).transpose(1, 2).reshape(len(picture), -1)
    if operation.offsets is not None:
        flat = flat + operation.offsets.to(flat)
    return flat.clamp_min(0) if operation.relu else flat


def _by_patches(
    operation: Convolution, weight: Tensor, bias: Tensor, pictures: list[Tensor]
) -> Tensor:
    filters_out, filters_in, n_times, n_heights = weight.shape
    height_out, step = operation.height_out, operation.height_step
    kernel = weight.permute(2, 3, 1, 0).reshape(-1, filters_out)  # [times · heights · in, out]
    n_rows = len(pictures[0])
    at_once = max(1, min(n_rows, PATCH_VALUES // (height_out * len(kernel))))
    patches = weight.new_zeros(at_once, height_out, n_times, n_heights, filters_in)
    out = weight.new_empty(n_rows, height_out, filters_out)
    places = []
    for index in range(n_heights):
        # output height h reads height first + h · step; those outside the picture stay zero
        first = operation.first_height + index * operation.height_dilation
        low = max(0, -(first // step))
        high = min(height_out, (operation.height_in - 1 - first) // step + 1)
        if low < high:
            read = slice(first + low * step, first + (high - 1) * step + 1, step)
            places.append((index, slice(low, high), read))
    for start in range(0, n_rows, at_once):
        stop = min(start + at_once, n_rows)
        some = patches[: stop - start]
        for time, picture in enumerate(pictures):
            for index, written, read in places:
                some[:, written, time, index] = picture[start:stop, read]
        torch.addmm(
            bias, some.view(-1, len(kernel)), kernel, out=out[start:stop].view(-1, filters_out)
        )
    flat = out.view(n_rows, -1)
    if operation.offsets is not None:
        flat.add_(operation.offsets.to(flat))
    return flat.clamp_min_(0) if operation.relu else flat
