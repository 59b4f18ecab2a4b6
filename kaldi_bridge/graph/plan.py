"""A plan: the steps that compute some nodes, with their weights, and how their rows line up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from kaldi_bridge.graph.lazy import Core
from kaldi_bridge.graph.lowering import Key
from kaldi_bridge.graph.operations import Operation
from kaldi_bridge.graph.storage import Pools

Columns = slice | Tensor


@dataclass(eq=False)
class Read:
    """Columns of a core, `shift` rows later."""

    core: Core
    shift: int
    columns: slice


@dataclass(eq=False)
class Piece:
    """One term of a value to be computed: target columns += source columns · scale.

    For a steady core, `shift` is the lag of what reads it; see `LinearStep.lag`.
    """

    core: Core
    shift: int
    source: Columns
    target: Columns
    scale: Tensor | float


@dataclass(eq=False)
class Tile:
    """Some columns of a linear step's result.

    Attributes:
        columns: which.
        weight: [columns of all reads, columns].
        floor: [columns] or None.
    """

    columns: slice
    weight: Tensor
    floor: Tensor | None


@dataclass(eq=False)
class LinearStep:
    """out = cut(Σ reads · weights + steady · weights + bias) + factor · rest.

    Attributes:
        out: core that is computed.
        reads: shifted columns of cores.
        weights: per read, [columns, out]; only for "accumulate".
        tiles: weights of all reads, one under the other, cut into tiles of columns so narrow that a
            tile's result stays in the cache until the cut and the bypass are done.
        steady: cores that are one row per segment, with their weights.
        lag: rows by which this core's first row of a segment comes before the segment's first
            output row; tells which segment's steady cores a row takes.
        bias: [out] or None.
        relu: cuts at zero, or at `floor` [out].
        rest: core, shift and factor of the bypass, or None.
        way: how several reads are combined.
    """

    out: Core
    reads: list[Read]
    weights: list[Tensor]
    steady: list[tuple[Core, Tensor]]
    bias: Tensor | None
    relu: bool
    floor: Tensor | None
    rest: tuple[Core, int, float] | None
    way: Literal["direct", "splice", "accumulate"]
    tiles: list[Tile] = field(default_factory=list)
    lag: int = 0


@dataclass(eq=False)
class SharedRead:
    """One core, multiplied once for all of its readers.

    Attributes:
        core: what is read, and which of its columns.
        columns: of the core.
        weight: [columns, readers · out].
        readers: index of the reading step, shift, first column of its part of the product.
    """

    core: Core
    columns: slice
    weight: Tensor
    readers: list[tuple[int, int, int]]


@dataclass(eq=False)
class SharedStep:
    """All phases of a narrowing linear layer."""

    steps: list[LinearStep]
    reads: list[SharedRead]


@dataclass(eq=False)
class OtherStep:
    """Any other operation, with its sources as pieces to compute."""

    operation: Operation
    values: list[Value]


@dataclass(eq=False)
class Value:
    """A lazy value ready to be computed: pieces and a constant [dim] or None."""

    dim: int
    pieces: list[Piece]
    constant: Tensor | None


Step = LinearStep | SharedStep | OtherStep


@dataclass(eq=False)
class Plan:
    """What to run.

    Attributes:
        phases: frames per row.
        subsampling: frames per output row that is asked for.
        inputs: fed cores by node and phase.
        steps: for every row.
        steady_steps: for every segment, before its rows.
        outputs: values by node, one per output phase.
        delay: rows that a core lags behind the input.
        first: first row of a core that the outputs need, counted from the first output row (≤ 0).
        past, future: rows of input needed before and behind the output rows.
        readers: per core, those that read it, each with its smallest shift.
        last_uses: per step, the cores that no later step and no output reads.
        dtype, device: of the weights.
        pools: buffers of streams that have ended.
    """

    phases: int
    subsampling: int
    inputs: dict[Key, Core]
    steps: list[Step]
    steady_steps: list[Step]
    outputs: dict[str, list[Value]]
    delay: dict[Core, int] = field(default_factory=dict)
    first: dict[Core, int] = field(default_factory=dict)
    past: int = 0
    future: int = 0
    output_delay: dict[str, int] = field(default_factory=dict)
    readers: dict[Core, list[tuple[Core | str, int]]] = field(default_factory=dict)
    last_uses: dict[int, tuple[Core, ...]] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    pools: Pools = field(init=False)

    def __post_init__(self) -> None:
        self.pools = Pools(self.dtype, self.device)
