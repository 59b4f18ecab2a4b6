"""What each component of nnet3 computes at test time, in float64 NumPy, from its equation.

Sources, for every type: nnet3/nnet-simple-component.cc, nnet-normalize-component.cc,
nnet-tdnn-component.cc, nnet-convolutional-component.cc, nnet-general-component.cc of Kaldi 5.5.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kaldi_bridge.nnet3.network import Component

SQUARED_NORM_FLOOR = 2.0**-66
"""Of the mean square over the squared target rms [cudamatrix/cu-math.cc]."""
SOFTMAX_FLOOR = 1e-20

Array = np.ndarray


def forward(component: Component, inputs: list[Array]) -> Array:
    """Returns the output, [n, D'].

    Args:
        component: as read.
        inputs: for every one of `time_offsets`, what is read at that offset, [n, D].
    """
    if component.kind not in RULES:
        raise ValueError(f"no rule for {component.kind} ({component.name})")
    return RULES[component.kind](component, *inputs)


def time_offsets(component: Component) -> list[int]:
    """Returns the offsets in time at which a component reads its input, without repeats."""
    if component.kind == "TdnnComponent":
        return [int(offset) for offset in component.integers("TimeOffsets")]
    if component.kind == "TimeHeightConvolutionComponent":
        return sorted({int(time) for time, _ in _convolution(component).integers("Offsets")})
    return [0]


def optional_offsets(component: Component) -> list[int]:
    """Returns those offsets whose input may be missing, and is zero then."""
    if component.kind != "TimeHeightConvolutionComponent":
        return []
    required = _convolution(component).integers("RequiredTimeOffsets").tolist()
    return [offset for offset in time_offsets(component) if offset not in required]


def _array(component: Component, token: str) -> Array:
    return np.asarray(component.get(token), dtype=np.float64)


def _affine(component: Component, x: Array) -> Array:
    return x @ _array(component, "LinearParams").T + _array(component, "BiasParams")


def _linear(component: Component, x: Array) -> Array:
    return x @ _array(component, "Params").T


def _tdnn(component: Component, *inputs: Array) -> Array:
    y = np.hstack(inputs) @ _array(component, "LinearParams").T
    bias = _array(component, "BiasParams")
    return y + bias if bias.size else y


def _block_affine(component: Component, x: Array) -> Array:
    blocks = int(component.number("NumBlocks"))
    weights = np.split(_array(component, "LinearParams"), blocks)
    products = [part @ w.T for part, w in zip(np.split(x, blocks, axis=1), weights, strict=True)]
    return np.hstack(products) + _array(component, "BiasParams")


def _sigmoid(component: Component, x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _softmax(component: Component, x: Array) -> Array:
    return np.maximum(np.exp(_log_softmax(component, x)), SOFTMAX_FLOOR)


def _log_softmax(component: Component, x: Array) -> Array:
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def _batch_norm(component: Component, x: Array) -> Array:
    if component.number("Count") == 0:
        raise ValueError(f"{component.name} has no statistics: its Count is 0")
    variance = np.maximum(_array(component, "StatsVar"), 0)
    scale = component.number("TargetRms") / np.sqrt(variance + component.number("Epsilon"))
    blocks = x.reshape(len(x), -1, len(variance))  # [n, blocks, block dim]
    return (scale * (blocks - _array(component, "StatsMean"))).reshape(x.shape)


def _normalize(component: Component, x: Array) -> Array:
    target = component.number("TargetRms", 1.0)
    block_dim = int(component.number("BlockDim", x.shape[1]))
    blocks = x.reshape(len(x), -1, block_dim)  # [n, blocks, block dim]
    square = (blocks**2).mean(axis=2, keepdims=True) / target**2
    norm = np.sqrt(np.maximum(square, SQUARED_NORM_FLOOR))  # rms over target rms
    y = blocks / norm
    if component.has("AddLogStddev") and component.get("AddLogStddev"):
        y = np.concatenate([y, np.log(norm * target)], axis=2)
    return y.reshape(len(x), -1)


def _scale_and_offset(component: Component, x: Array) -> Array:
    scales, offsets = _array(component, "Scales"), _array(component, "Offsets")
    return (x.reshape(len(x), -1, len(scales)) * scales + offsets).reshape(x.shape)


def _add(token: str) -> Callable[..., Array]:
    def rule(component: Component, x: Array) -> Array:
        values = _array(component, token)
        return (x.reshape(len(x), -1, len(values)) + values).reshape(x.shape)

    return rule


def _multiply(token: str) -> Callable[..., Array]:
    return lambda component, x: x * _array(component, token)


def _identity(component: Component, x: Array) -> Array:
    return x


def _dropout(component: Component, x: Array) -> Array:
    return (1 - component.number("DropoutProportion")) * x


def _permute(component: Component, x: Array) -> Array:
    return x[:, component.integers("ColumnMap")]


def _elementwise_product(component: Component, x: Array) -> Array:
    parts = int(component.number("InputDim")) // int(component.number("OutputDim"))
    return x.reshape(len(x), parts, -1).prod(axis=1)


def _convolution(component: Component) -> Component:
    """Returns the nested model of a convolution, as if it were a component."""
    fields = next(field.value for field in component.fields if field.kind == "model")
    assert isinstance(fields, tuple)
    return Component("ConvolutionModel", component.name, fields)


def _time_height_convolution(component: Component, *inputs: Array) -> Array:
    model = _convolution(component)
    filters_in, filters_out, height_in, height_out, step = (
        int(model.number(token))
        for token in (
            "NumFiltersIn",
            "NumFiltersOut",
            "HeightIn",
            "HeightOut",
            "HeightSubsampleOut",
        )
    )
    weights = np.split(_array(component, "LinearParams"), len(model.integers("Offsets")), axis=1)
    images = dict(zip(time_offsets(component), inputs, strict=True))
    n = len(inputs[0])
    y = np.tile(_array(component, "BiasParams"), (n, height_out, 1))  # [n, H', F']
    for (time, height), w in zip(model.integers("Offsets"), weights, strict=True):
        image = images[time].reshape(n, height_in, filters_in)
        inside = [h for h in range(height_out) if 0 <= h * step + height < height_in]
        y[:, inside] += image[:, [h * step + height for h in inside]] @ w.T
    return y.reshape(n, height_out * filters_out)


RULES: dict[str, Callable[..., Array]] = {
    "AffineComponent": _affine,
    "NaturalGradientAffineComponent": _affine,
    "FixedAffineComponent": _affine,
    "LinearComponent": _linear,
    "TdnnComponent": _tdnn,
    "BlockAffineComponent": _block_affine,
    "RectifiedLinearComponent": lambda component, x: np.maximum(x, 0),
    "SigmoidComponent": _sigmoid,
    "TanhComponent": lambda component, x: np.tanh(x),
    "SoftmaxComponent": _softmax,
    "LogSoftmaxComponent": _log_softmax,
    "BatchNormComponent": _batch_norm,
    "NormalizeComponent": _normalize,
    "ScaleAndOffsetComponent": _scale_and_offset,
    "PerElementScaleComponent": _multiply("Params"),
    "NaturalGradientPerElementScaleComponent": _multiply("Params"),
    "PerElementOffsetComponent": _add("Offsets"),
    "FixedScaleComponent": _multiply("Scales"),
    "FixedBiasComponent": _add("Bias"),
    "NoOpComponent": _identity,
    "GeneralDropoutComponent": _identity,
    "SpecAugmentTimeMaskComponent": _identity,
    "DropoutComponent": _dropout,
    "PermuteComponent": _permute,
    "ElementwiseProductComponent": _elementwise_product,
    "TimeHeightConvolutionComponent": _time_height_convolution,
}
