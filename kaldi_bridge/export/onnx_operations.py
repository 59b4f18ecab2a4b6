"""The operations that are no matrix products, as ONNX nodes: the twins of `graph.pointwise`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from kaldi_bridge.errors import NotSupported
from kaldi_bridge.export.onnx_rows import Rows, float_array
from kaldi_bridge.graph.operations import (
    Convolution,
    Gather,
    Normalize,
    Operation,
    Pointwise,
    Product,
)
from kaldi_bridge.graph.pointwise import RMS_FLOOR, SOFTMAX_FLOOR

ELEMENTWISE = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}


def write_operation(rows: Rows, operation: Operation, values: Sequence[str]) -> str:
    """Adds what an operation makes of its computed sources, and returns that.

    Raises:
        NotSupported: an operation of another kind.
    """
    scope, add = rows.scope(operation.out), rows.nodes.add
    if isinstance(operation, Gather):
        return values[0]
    if isinstance(operation, Pointwise):
        if operation.function in ELEMENTWISE:
            return add(scope, ELEMENTWISE[operation.function], values[0])
        if operation.function == "softmax":
            softmax = add(scope, "Softmax", values[0], axis=-1)
            return add(scope, "Max", softmax, rows.nodes.number(SOFTMAX_FLOOR))
        return add(scope, "LogSoftmax", values[0], axis=-1)
    if isinstance(operation, Product):
        product = values[0]
        for value in values[1:]:
            product = add(scope, "Mul", product, value)
        return product
    if isinstance(operation, Normalize):
        return _normalized(rows, operation, values[0])
    if isinstance(operation, Convolution):
        return _convolved(rows, operation, values)
    raise NotSupported(f"{type(operation).__name__} has no form in ONNX yet.")


def _normalized(rows: Rows, operation: Normalize, value: str) -> str:
    scope, add, nodes = rows.scope(operation.out), rows.nodes.add, rows.nodes
    size, target = operation.block_dim, operation.target_rms
    width = size + operation.add_log_stddev
    n_blocks = operation.out.dim // width
    same = [0] * (1 + rows.batched)  # clips, rows
    if n_blocks > 1:
        value = add(scope, "Reshape", value, nodes.integers(*same, n_blocks, size))
    square = add(scope, "Mul", value, value)
    total = add(scope, "ReduceSum", square, nodes.integers(-1), keepdims=1)
    mean = add(scope, "Mul", total, nodes.number(1 / size))
    mean = add(scope, "Max", mean, nodes.number(RMS_FLOOR * target**2))
    factor = add(scope, "Div", nodes.number(target), add(scope, "Sqrt", mean))
    result = add(scope, "Mul", value, factor)
    if operation.add_log_stddev:
        log = add(scope, "Mul", add(scope, "Log", mean), nodes.number(0.5))
        result = add(scope, "Concat", result, log, axis=-1)
    if n_blocks > 1:
        result = add(scope, "Reshape", result, nodes.integers(*same, operation.out.dim))
    return result


def _convolved(rows: Rows, operation: Convolution, values: Sequence[str]) -> str:
    """Convolves over height; rows are the other axis of the picture, time offsets are channels.

    Args:
        rows: gets the nodes.
        operation: shapes and weights.
        values: the picture at each time offset, each [..., rows, height_in · filters_in].
    """
    scope, add, nodes = rows.scope(operation.out), rows.nodes.add, rows.nodes
    name = operation.out.name
    _, filters_in, n_times, n_heights = operation.weight.shape
    lead = (0, 0) if rows.batched else (1, -1)  # [clips, rows]
    shape = nodes.integers(*lead, operation.height_in, filters_in)
    pictures = [add(scope, "Reshape", value, shape) for value in values]
    picture = pictures[0] if n_times == 1 else add(scope, "Concat", *pictures, axis=-1)
    reach = (
        (operation.height_out - 1) * operation.height_step
        + (n_heights - 1) * operation.height_dilation
        + operation.first_height
    )
    top, bottom = -operation.first_height, reach - (operation.height_in - 1)
    if top < 0 or bottom < 0:  # heights that no filter reads
        limits = nodes.integers(max(-top, 0)), nodes.integers(operation.height_in + min(bottom, 0))
        picture = add(scope, "Slice", picture, *limits, nodes.integers(-2))
    channels_first = add(scope, "Transpose", picture, perm=(0, 3, 1, 2))
    out = add(
        scope,
        "Conv",
        channels_first,  # [clips, n_times · filters_in, rows, height]
        nodes.constant(f"{name}.weight", _kernel(name, operation.weight)),
        nodes.constant(f"{name}.bias", float_array(name, operation.bias)),
        strides=(1, operation.height_step),
        dilations=(1, operation.height_dilation),
        pads=(0, max(top, 0), 0, max(bottom, 0)),
    )
    if operation.offsets is not None:
        offsets = float_array(name, operation.offsets).reshape(operation.height_out, -1)
        out = add(scope, "Add", out, nodes.constant(f"{name}.offsets", offsets.T[:, None]))
    if operation.relu:
        out = add(scope, "Relu", out)
    columns_last = add(scope, "Transpose", out, perm=(0, 2, 3, 1))
    flat = (0, 0) if rows.batched else (-1,)
    return add(scope, "Reshape", columns_last, nodes.integers(*flat, operation.out.dim))


def _kernel(name: str, weight: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """[filters_out, filters_in, times, heights] → [filters_out, times · filters_in, 1, heights]."""
    array = float_array(name, weight)
    filters_out, filters_in, n_times, n_heights = array.shape
    kernel: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = array.transpose(0, 2, 1, 3).reshape(
        filters_out, n_times * filters_in, 1, n_heights
    )
    return kernel
