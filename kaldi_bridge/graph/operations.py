"""What is computed: operations, each from lazy values to one core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from kaldi_bridge.graph.lazy import Core, Lazy

POINTWISE = ("relu", "sigmoid", "tanh", "softmax", "log_softmax")
Function = Literal["relu", "sigmoid", "tanh", "softmax", "log_softmax"]


@dataclass(eq=False)
class Operation:
    """Base: computes `out` from `sources`."""

    out: Core
    sources: list[Lazy]


@dataclass(eq=False)
class Linear(Operation):
    """out = weight · source + bias, then optionally max(·, 0).

    Attributes:
        weight: [out, in].
        bias: [out] or None.
        scale: [out] or None; still to be multiplied to the rows of `weight`; the bias has it.
        relu: cuts at zero.
        floor: [out] or None; with `relu`, out = max(weight · source, floor), the bias having been
            moved behind the cut: max(a + b, 0) = max(a, -b) + b.
        rest: a value added behind the cut, with its factor: the bypass of a factored layer.
        normalized: a batch norm's scale is in the weights, so that outputs have unit variance.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: Tensor | None = None
    relu: bool = False
    floor: Tensor | None = None
    rest: Lazy | None = None
    normalized: bool = False

    def product(self, row: Tensor) -> Tensor:
        """Returns scale · weight · row for one row [in]."""
        carried = self.weight @ row
        return carried if self.scale is None else carried * self.scale

    def multiply(self, scale: Tensor | float) -> None:
        """Multiplies the outputs before the cut; the weights themselves wait for the plan."""
        if isinstance(scale, float):
            scale = self.weight.new_full((len(self.weight),), scale)
        self.scale = scale if self.scale is None else self.scale * scale
        if self.bias is not None:
            self.bias = self.bias * scale


@dataclass(eq=False)
class Gather(Operation):
    """out = source, computed: sums that several layers read, and what is asked for."""


@dataclass(eq=False)
class Pointwise(Operation):
    """A function of each frame: elementwise, or a softmax over its columns."""

    function: Function


@dataclass(eq=False)
class Normalize(Operation):
    """Each block of a frame scaled to a root mean square; nnet3/nnet-normalize-component.cc.

    Attributes:
        block_dim: columns per block.
        target_rms: root mean square that a block gets.
        add_log_stddev: appends the log of what it was, per block.
    """

    block_dim: int
    target_rms: float
    add_log_stddev: bool


@dataclass(eq=False)
class Product(Operation):
    """The elementwise product of its sources."""


@dataclass(eq=False)
class Convolution(Operation):
    """A convolution over time and height; nnet3/convolution.cc. Sources: one per time offset.

    Attributes:
        weight: [filters_out, filters_in, time offsets, height offsets], zero where there is none.
        bias: [filters_out].
        height_in, height_out, height_step: rows of the picture, and how far apart outputs are.
        first_height: smallest height offset; heights beyond the picture count as zero.
        height_dilation: distance of neighbouring height offsets.
        relu: cuts at zero.
        offsets: [height_out · filters_out] added before the cut, or None: what constants in the
            sources come to, which differs at the edges of the picture.
    """

    weight: Tensor
    bias: Tensor
    height_in: int
    height_out: int
    height_step: int
    first_height: int
    height_dilation: int
    relu: bool = False
    offsets: Tensor | None = None
