"""Rows of cores inside an ONNX graph.

How many rows there are is known only when the graph runs, but not where each core begins and ends
beside the output rows: a slice cuts constant counts off both ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from kaldi_bridge.errors import KaldiError
from kaldi_bridge.export.onnx_nodes import Array, Nodes
from kaldi_bridge.graph.lazy import Core
from kaldi_bridge.graph.plan import Plan

FEATURES, ACTIVATIONS = "features", "activations"
TO_THE_END = 2**63 - 1
EVERY = slice(None)


@dataclass(frozen=True)
class Span:
    """Rows `first` to n + `behind` (excluded), n being the number of output rows."""

    first: int
    behind: int

    def shifted(self, rows: int) -> Span:
        """Returns the span `rows` rows later."""
        return Span(self.first + rows, self.behind + rows)


ASKED_FOR = Span(0, 0)


class Rows:
    """Which tensor holds the rows of which core.

    Every tensor has rows and columns as its last two axes, and clips before them if batched. A
    steady core has one row.

    Attributes:
        nodes: gets what cuts and repeats rows.
        batched: whether there is an axis of clips.
        phases: frames per row.
        n_outputs: name of the number of output frames.
    """

    def __init__(self, plan: Plan, nodes: Nodes, batched: bool) -> None:
        """Adds the rows of each phase of the features: frames by number, held at the edges.

        Args:
            plan: what is computed.
            nodes: gets the nodes.
            batched: whether there is an axis of clips.
        """
        self.nodes, self.batched, self.phases = nodes, batched, plan.phases
        self._held: dict[Core, tuple[str, Span]] = {}
        add, integer = nodes.add, nodes.integer
        self._shape = add("frames", "Shape", nodes.reserve(FEATURES))
        n_frames = add("frames", "Gather", self._shape, integer(-2))
        last = add("frames", "Sub", n_frames, integer(1))
        self.n_outputs = self._divided(n_frames, plan.subsampling)
        self._n_rows = self._divided(n_frames, plan.phases)
        stop = add("rows", "Add", self._n_rows, integer(plan.future))
        numbers = add("rows", "Range", integer(-plan.past), stop, integer(1))
        firsts = add("rows", "Mul", numbers, integer(plan.phases))
        for (name, phase), core in plan.inputs.items():
            if core.steady:
                row = add(name, "Unsqueeze", nodes.reserve(name), nodes.integers(-2))
                self.put(core, row, ASKED_FOR)
                continue
            frames = add(self.scope(core), "Add", firsts, integer(phase))
            frames = add(self.scope(core), "Clip", frames, integer(0), last)
            values = add(self.scope(core), "Gather", FEATURES, frames, axis=-2)
            self.put(core, values, Span(-plan.past, plan.future))

    def put(self, core: Core, tensor: str, span: Span) -> None:
        """Says which tensor holds which rows of a core."""
        self._held[core] = tensor, span

    def span(self, core: Core) -> Span:
        """Returns the rows that there are of a core."""
        return self._held[core][1]

    def take(self, core: Core, span: Span, columns: slice | Tensor = EVERY) -> str:
        """Returns rows and columns of a core; the one row of a steady core."""
        tensor, held = self._held[core]
        if core.steady:
            span = held
        if isinstance(columns, Tensor):
            rows = self.cut(self.scope(core), tensor, held, span)
            indices = self.nodes.constant(f"{core.name}.columns", columns.numpy())
            return self.nodes.add(self.scope(core), "Gather", rows, indices, axis=-1)
        first, last, _ = columns.indices(core.dim)
        part = None if (first, last) == (0, core.dim) else (first, last)
        return self.cut(self.scope(core), tensor, held, span, part)

    def cut(
        self,
        scope: str,
        tensor: str,
        held: Span,
        span: Span,
        columns: tuple[int, int] | None = None,
    ) -> str:
        """Returns a span of a tensor that holds another, and columns of it."""
        above, below = span.first - held.first, held.behind - span.behind
        assert above >= 0, (scope, held, span)
        assert below >= 0, (scope, held, span)
        ranges = [(above, -below or TO_THE_END, -2)] if above or below else []
        if columns is not None:
            ranges.append((*columns, -1))
        if not ranges:
            return tensor
        limits = [self.nodes.integers(*values) for values in zip(*ranges, strict=True)]
        return self.nodes.add(scope, "Slice", tensor, *limits)

    def repeated(self, scope: str, row: str, span: Span) -> str:
        """Returns one row as often as a span has rows."""
        add, nodes = self.nodes.add, self.nodes
        count = add(scope, "Add", self._n_rows, nodes.integer(span.behind - span.first))
        sizes = [add(scope, "Unsqueeze", count, nodes.integers(0)), nodes.integers(1)]
        if self.batched:
            sizes.insert(0, add("frames", "Gather", self._shape, nodes.integers(0)))
        return add(scope, "Expand", row, add(scope, "Concat", *sizes, axis=0))

    def constant_row(self, name: str, values: Tensor) -> str:
        """Returns a tensor of one row."""
        shape = (1,) * (1 + self.batched)
        return self.nodes.constant(name, float_array(name, values).reshape(*shape, -1))

    def sum(self, scope: str, terms: Sequence[str]) -> str:
        """Returns the sum of one or more tensors."""
        total = terms[0]
        for term in terms[1:]:
            total = self.nodes.add(scope, "Add", total, term)
        return total

    def scope(self, core: Core) -> str:
        """Returns what a core's nodes are called by."""
        single = core.steady or self.phases == 1
        return core.name if single else f"{core.name}[{core.phase}]"

    def _divided(self, count: str, divisor: int) -> str:
        """Count / divisor, rounded up."""
        more = self.nodes.add("frames", "Add", count, self.nodes.integer(divisor - 1))
        return self.nodes.add("frames", "Div", more, self.nodes.integer(divisor))


def float_array(name: str, values: Tensor) -> Array:
    """Returns a tensor's numbers as float32.

    Raises:
        KaldiError: NaN or infinity among them.
    """
    array = values.detach().cpu().float().numpy()
    if not np.isfinite(array).all():
        raise KaldiError(
            f'the weights behind "{name}" hold NaN or infinity in float32: nothing is exported. '
            "Load the model again, or go back to weights from before the training diverged."
        )
    return array
