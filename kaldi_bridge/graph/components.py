"""What each component type computes, on lazy values. Pointers to Kaldi's sources: nnet3/nnet-*.cc.

Linear components become `Linear`; whatever only scales, shifts, copies or reorders columns becomes
part of the lazy value and costs nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kaldi_bridge.errors import KaldiError, NotSupported
from kaldi_bridge.graph.lazy import Core, Lazy, appended
from kaldi_bridge.graph.operations import (
    Convolution,
    Function,
    Gather,
    Linear,
    Normalize,
    Operation,
    Pointwise,
    Product,
)
from kaldi_bridge.nnet3.components import model_field, model_number
from kaldi_bridge.nnet3.network import Component


class Weights(Protocol):
    """Gives a component's numbers as tensors, on their device and with their gradients.

    Attributes:
        dtype, device: of what it gives.
    """

    @property
    def dtype(self) -> torch.dtype: ...  # noqa: D102

    @property
    def device(self) -> torch.device: ...  # noqa: D102

    def __call__(self, component: str, token: str) -> Tensor:
        """Returns the field `token` of a component, float32 or wider."""
        ...


Add = Callable[[Operation], Lazy]
FUNCTIONS: dict[str, Function] = {
    "RectifiedLinearComponent": "relu",
    "SigmoidComponent": "sigmoid",
    "TanhComponent": "tanh",
    "SoftmaxComponent": "softmax",
    "LogSoftmaxComponent": "log_softmax",
}
AFFINE = ("AffineComponent", "NaturalGradientAffineComponent", "FixedAffineComponent")
IDENTITY = (
    "NoOpComponent",
    "GeneralDropoutComponent",
    "SpecAugmentTimeMaskComponent",
)


def time_offsets(component: Component) -> list[int]:
    """Returns the times, relative to its output, at which a component reads its input."""
    if component.kind == "TdnnComponent":
        return [int(offset) for offset in component.integers("TimeOffsets")]
    if component.kind == "TimeHeightConvolutionComponent":
        return sorted({int(time) for time, _ in _convolution_offsets(component)})
    return [0]


def lower(
    component: Component,
    name: str,
    phase: int,
    sources: Sequence[Lazy],
    weights: Weights,
    add: Add,
) -> Lazy:
    """Returns the component's output.

    Args:
        component: the component.
        name, phase: node and phase, for the cores that are made.
        sources: its input at each of `time_offsets`.
        weights: gives the component's numbers.
        add: registers an operation and returns its core as a value.

    Raises:
        NotSupported: a type that is not computed.
        KaldiError: a batch norm without statistics.
    """
    kind = component.kind

    def get(token: str) -> Tensor:
        return weights(component.name, token)

    def linear(weight: Tensor, bias: Tensor | None) -> Lazy:
        source = appended([_computed(part, name, phase, add) for part in sources])
        return add(Linear(Core(name, phase, len(weight)), [source], weight, bias))

    if kind in AFFINE:
        return linear(get("LinearParams"), get("BiasParams"))
    if kind == "TdnnComponent":
        has_bias = component.array("BiasParams").size > 0
        return linear(get("LinearParams"), get("BiasParams") if has_bias else None)
    if kind == "LinearComponent":
        return linear(get("Params"), None)
    if kind == "BlockAffineComponent":
        blocks = get("LinearParams").chunk(int(component.number("NumBlocks")))
        weight: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
        return linear(weight, get("BiasParams"))
    if kind == "TimeHeightConvolutionComponent":
        return add(_convolution(component, name, phase, sources, get))

    source = sources[0]
    if kind in FUNCTIONS:
        return add(Pointwise(Core(name, phase, source.dim), [source], FUNCTIONS[kind]))
    if kind in IDENTITY:
        return _computed(source, name, phase, add)
    if kind == "DropoutComponent":  # scales at test time, unlike GeneralDropout; simple:139
        return source.scaled(1.0 - component.number("DropoutProportion"))
    if kind == "BatchNormComponent":
        scale, offset = _batch_norm(component, get)
        return _tiled(_computed(source, name, phase, add), scale, offset)
    if kind == "ScaleAndOffsetComponent":
        return _tiled(_computed(source, name, phase, add), get("Scales"), get("Offsets"))
    if kind in ("PerElementScaleComponent", "NaturalGradientPerElementScaleComponent"):
        return _tiled(source, get("Params"), None)
    if kind == "PerElementOffsetComponent":
        return _tiled(source, None, get("Offsets"))
    if kind == "FixedScaleComponent":
        return _tiled(source, get("Scales"), None)
    if kind == "FixedBiasComponent":
        return _tiled(source, None, get("Bias"))
    if kind == "PermuteComponent":
        return source.columns(np.asarray(component.get("ColumnMap")).astype(np.int64))
    if kind == "ElementwiseProductComponent":
        dim = int(component.number("OutputDim"))
        parts = [
            source.columns(np.arange(start, start + dim)) for start in range(0, source.dim, dim)
        ]
        return add(Product(Core(name, phase, dim), parts))
    if kind == "NormalizeComponent":
        return add(_normalize(component, name, phase, source))
    raise NotSupported(f'component "{component.name}" of type {kind} is not computed.')


def _computed(source: Lazy, name: str, phase: int, add: Add) -> Lazy:
    """Computes a sum once, where reading its parts separately would cost products of their own."""
    if source.cost() <= source.dim:
        return source
    value = add(Gather(Core(name, phase, source.dim), [Lazy(source.dim, source.terms)]))
    return value if source.constant is None else value.weighted(None, source.constant)


def _tiled(source: Lazy, scale: Tensor | None, offset: Tensor | None) -> Lazy:
    """Applies vectors that repeat over blocks of the columns."""

    def whole(values: Tensor | None) -> Tensor | None:
        if values is None or len(values) == source.dim:
            return values
        return values.repeat(source.dim // len(values))

    return source.weighted(whole(scale), whole(offset))


def _batch_norm(component: Component, get: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
    """Stored statistics as scale and offset; nnet-normalize-component.cc:209."""
    if component.number("Count", 0.0) <= 0.0:
        raise KaldiError(
            f'component "{component.name}" is a batch norm without statistics (Count is 0): Kaldi '
            "would use random ones. Ask for a node that does not need it, or prepare the model "
            "with nnet3-combine or nnet3-am-copy --prepare-for-test=true."
        )
    epsilon = component.number("Epsilon", 1e-3)
    rms = component.number("TargetRms", 1.0)
    scale = rms * (get("StatsVar").clamp_min(0) + epsilon).rsqrt()
    return scale, -scale * get("StatsMean")


def _normalize(component: Component, name: str, phase: int, source: Lazy) -> Normalize:
    block_dim = int(component.number("BlockDim", float(source.dim))) or source.dim
    add_log = component.has("AddLogStddev") and bool(component.get("AddLogStddev"))
    dim = source.dim + (source.dim // block_dim if add_log else 0)
    rms = component.number("TargetRms", 1.0)
    return Normalize(Core(name, phase, dim), [source], block_dim, rms, add_log)


def _convolution_offsets(component: Component) -> NDArray[np.int32]:
    """Time and height of each offset [n, 2]."""
    return np.asarray(model_field(component, "Offsets").value, dtype=np.int32)


def _convolution(
    component: Component,
    name: str,
    phase: int,
    sources: Sequence[Lazy],
    get: Callable[[str], Tensor],
) -> Convolution:
    """The weights as a regular grid over time and height offsets; nnet3/convolution.cc."""
    filters_in = model_number(component, "NumFiltersIn")
    filters_out = model_number(component, "NumFiltersOut")
    height_out = model_number(component, "HeightOut")
    offsets = _convolution_offsets(component)
    times = time_offsets(component)
    heights = sorted({int(height) for _, height in offsets})
    step = int(np.gcd.reduce(np.diff(heights))) if len(heights) > 1 else 1
    n_heights = (heights[-1] - heights[0]) // step + 1
    flat = get("LinearParams").view(filters_out, len(offsets), filters_in)
    weight = flat.new_zeros(len(times), n_heights, filters_out, filters_in)
    time_index = torch.tensor([times.index(int(time)) for time, _ in offsets])
    height_index = torch.tensor([(int(height) - heights[0]) // step for _, height in offsets])
    place = (time_index.to(flat.device), height_index.to(flat.device))
    weight = weight.index_put(place, flat.transpose(0, 1))
    return Convolution(
        Core(name, phase, height_out * filters_out),
        list(sources),
        weight.permute(2, 3, 0, 1),  # [filters_out, filters_in, times, heights]
        get("BiasParams"),
        model_number(component, "HeightIn"),
        height_out,
        model_number(component, "HeightSubsampleOut"),
        heights[0],
        step,
    )
