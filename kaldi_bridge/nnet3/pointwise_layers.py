"""Components without a weight matrix: nonlinearities, normalisation, scales, dropout, orders.

Used through `building`, which lists them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from kaldi_bridge.nnet3.field_makers import (
    PLAIN,
    Training,
    boolean,
    component,
    double,
    integer,
    ints,
    real,
    updatable,
    vector,
)
from kaldi_bridge.nnet3.network import Component, Field


def relu(name: str, dim: int) -> Component:
    """Gives y = max(x, 0)."""
    return _nonlinearity("RectifiedLinearComponent", name, dim)


def sigmoid(name: str, dim: int) -> Component:
    """Gives y = 1 / (1 + exp(-x))."""
    return _nonlinearity("SigmoidComponent", name, dim)


def tanh(name: str, dim: int) -> Component:
    """Gives the hyperbolic tangent of x."""
    return _nonlinearity("TanhComponent", name, dim)


def softmax(name: str, dim: int) -> Component:
    """Gives y = exp(x) / sum of exp(x)."""
    return _nonlinearity("SoftmaxComponent", name, dim)


def log_softmax(name: str, dim: int) -> Component:
    """Gives y = x - log of sum of exp(x)."""
    return _nonlinearity("LogSoftmaxComponent", name, dim)


def batchnorm(
    name: str,
    mean: ArrayLike,
    variance: ArrayLike,
    *,
    dim: int | None = None,
    epsilon: float = 1e-3,
    target_rms: float = 1.0,
    count: float = 1000.0,
) -> Component:
    """Gives y = target_rms (x - mean) / sqrt(variance + epsilon).

    Args:
        name: of the component.
        mean: per element of a block.
        variance: likewise.
        dim: of the input, a multiple of the block; None for one block.
        epsilon: added to the variance.
        target_rms: root mean square of the output.
        count: frames behind the statistics; 0 says that there are none.
    """
    block = np.asarray(mean).shape[0]
    return component(
        "BatchNormComponent",
        name,
        integer("Dim", block if dim is None else dim),
        integer("BlockDim", block),
        real("Epsilon", epsilon),
        real("TargetRms", target_rms),
        boolean("TestMode", False),
        double("Count", count),
        vector("StatsMean", mean),
        vector("StatsVar", variance),
    )


def normalize(
    name: str,
    dim: int,
    *,
    target_rms: float = 1.0,
    add_log_stddev: bool = False,
    block_dim: int | None = None,
) -> Component:
    """Gives y = target_rms x / rms of x, per block; appends log of the rms where asked for."""
    blocks = [] if block_dim in (None, dim) else [integer("BlockDim", block_dim or 0)]
    return component(
        "NormalizeComponent",
        name,
        integer("InputDim", dim),
        *blocks,
        real("TargetRms", target_rms),
        boolean("AddLogStddev", add_log_stddev),
    )


def scale_and_offset(
    name: str,
    scales: ArrayLike,
    offsets: ArrayLike,
    *,
    dim: int | None = None,
    training: Training = PLAIN,
) -> Component:
    """Gives y = scales x + offsets, per block of their size."""
    return component(
        "ScaleAndOffsetComponent",
        name,
        *updatable(training),
        integer("Dim", np.asarray(scales).shape[0] if dim is None else dim),
        vector("Scales", scales),
        vector("Offsets", offsets),
        boolean("UseNaturalGradient", True),
        integer("Rank", 20),
    )


def per_element_scale(name: str, scales: ArrayLike, *, training: Training = PLAIN) -> Component:
    """Gives y = scales x."""
    return component(
        "NaturalGradientPerElementScaleComponent",
        name,
        *updatable(training),
        vector("Params", scales),
        boolean("IsGradient", False),
        integer("Rank", 8),
        integer("UpdatePeriod", 10),
        real("NumSamplesHistory", 2000),
        real("Alpha", 4),
    )


def per_element_offset(
    name: str, offsets: ArrayLike, *, dim: int | None = None, training: Training = PLAIN
) -> Component:
    """Gives y = x + offsets, per block of their size."""
    return component(
        "PerElementOffsetComponent",
        name,
        *updatable(training),
        vector("Offsets", offsets),
        integer("Dim", np.asarray(offsets).shape[0] if dim is None else dim),
        boolean("UseNaturalGradient", True),
    )


def fixed_scale(name: str, scales: ArrayLike) -> Component:
    """Gives y = scales x, never trained."""
    return component("FixedScaleComponent", name, vector("Scales", scales))


def fixed_bias(name: str, bias: ArrayLike) -> Component:
    """Gives y = x + bias, never trained."""
    return component("FixedBiasComponent", name, vector("Bias", bias))


def permute(name: str, column_map: Sequence[int]) -> Component:
    """y[i] = x[column_map[i]]."""
    return component("PermuteComponent", name, ints("ColumnMap", column_map))


def noop(name: str, dim: int) -> Component:
    """Gives y = x."""
    return component("NoOpComponent", name, integer("Dim", dim), real("BackpropScale", 1))


def general_dropout(name: str, dim: int, *, proportion: float = 0.0) -> Component:
    """Gives y = x at test time."""
    return component(
        "GeneralDropoutComponent",
        name,
        integer("Dim", dim),
        integer("BlockDim", dim),
        integer("TimePeriod", 0),
        real("DropoutProportion", proportion),
        Field("Continuous", "bare", None),
    )


def dropout(name: str, dim: int, proportion: float) -> Component:
    """Gives y = (1 - proportion) x at test time."""
    return component(
        "DropoutComponent",
        name,
        integer("Dim", dim),
        real("DropoutProportion", proportion),
        boolean("DropoutPerFrame", False),
        boolean("TestMode", False),
    )


def spec_augment_time_mask(name: str, dim: int) -> Component:
    """Gives y = x at test time."""
    return component(
        "SpecAugmentTimeMaskComponent",
        name,
        integer("Dim", dim),
        real("ZeroedProportion", 0.2),
        integer("TimeMaskMaxFrames", 20),
    )


def elementwise_product(name: str, input_dim: int, output_dim: int) -> Component:
    """The input in parts of output_dim, multiplied element by element."""
    fields = [integer("InputDim", input_dim), integer("OutputDim", output_dim)]
    return component("ElementwiseProductComponent", name, *fields)


def _nonlinearity(kind: str, name: str, dim: int) -> Component:
    return component(
        kind,
        name,
        integer("Dim", dim),
        vector("ValueAvg", []),
        vector("DerivAvg", []),
        double("Count", 0),
        vector("OderivRms", []),
        double("OderivCount", 0),
        double("NumDimsSelfRepaired", 0),
        double("NumDimsProcessed", 0),
    )
