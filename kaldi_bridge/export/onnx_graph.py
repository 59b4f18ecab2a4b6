"""A plan as ONNX nodes: the twin of `graph.functional`, row for row."""

from __future__ import annotations

import torch
from torch import Tensor

from kaldi_bridge.export.onnx_nodes import Nodes
from kaldi_bridge.export.onnx_operations import write_operation
from kaldi_bridge.export.onnx_rows import ACTIVATIONS, ASKED_FOR, Rows, Span, float_array
from kaldi_bridge.export.onnx_values import write_value
from kaldi_bridge.graph.lazy import Core
from kaldi_bridge.graph.operations import Convolution
from kaldi_bridge.graph.plan import LinearStep, OtherStep, Plan, Read, SharedStep, Step, Value


def write_plan(plan: Plan, node: str, batched: bool) -> Nodes:
    """Returns the nodes that compute a node: features and steady inputs in, activations out.

    Args:
        plan: what to compute, in float32 on the CPU.
        node: name of the one output of the plan.
        batched: whether inputs and output have an axis of clips in front.
    """
    nodes = Nodes()
    nodes.reserve(ACTIVATIONS)
    writer = _Writer(plan, Rows(plan, nodes, batched))
    for step in [*plan.steady_steps, *plan.steps]:
        writer.step(step)
    writer.output(plan.outputs[node], node)
    return nodes


class _Writer:
    def __init__(self, plan: Plan, rows: Rows) -> None:
        self.plan, self.rows, self.nodes = plan, rows, rows.nodes

    def step(self, step: Step) -> None:
        """Computes the cores of a step."""
        if isinstance(step, SharedStep):
            for index, part in enumerate(step.steps):
                self._linear(part, _own_reads(step, index))
        elif isinstance(step, LinearStep):
            if step.tiles:
                self._linear(step, self._tiled_reads(step))
            else:
                self._linear(step, list(zip(step.reads, step.weights, strict=True)))
        else:
            self._other(step)

    def output(self, values: list[Value], node: str) -> None:
        """The rows of all output phases in turn, as many as are asked for."""
        plan, nodes = self.plan, self.nodes
        parts = [
            write_value(
                self.rows,
                Core(node, number * plan.subsampling, value.dim),
                value,
                ASKED_FOR,
                every_row=True,
            )
            for number, value in enumerate(values)
        ]
        result = parts[0]
        if len(parts) > 1:
            beside = nodes.add(ACTIVATIONS, "Concat", *parts, axis=-1)
            lead = (0, -1) if self.rows.batched else (-1,)
            shape = nodes.integers(*lead, values[0].dim)
            result = nodes.add(ACTIVATIONS, "Reshape", beside, shape)
            count = nodes.add("frames", "Unsqueeze", self.rows.n_outputs, nodes.integers(0))
            limits = nodes.integers(0), count, nodes.integers(-2)
            result = nodes.add(ACTIVATIONS, "Slice", result, *limits)
        nodes.identity(result, ACTIVATIONS)

    def _tiled_reads(self, step: LinearStep) -> list[tuple[Read | str, Tensor]]:
        """One product: of a read, or of all of them side by side."""
        weight = torch.cat([tile.weight for tile in step.tiles], dim=1)
        if len(step.reads) == 1:
            return [(step.reads[0], weight)]
        span = self._span(step.out)
        sources = [
            self.rows.take(read.core, span.shifted(read.shift), read.columns) for read in step.reads
        ]
        return [(self.nodes.add(self.rows.scope(step.out), "Concat", *sources, axis=-1), weight)]

    def _linear(self, step: LinearStep, factors: list[tuple[Read | str, Tensor]]) -> None:
        """Σ read · weight + i-vector part + bias; then the cut, then the bypass."""
        out, span = step.out, self._span(step.out)
        scope, add = self.rows.scope(out), self.nodes.add
        products = [
            self._multiplied(out, source, weight)
            if isinstance(source, str)
            else self._product(out, source, weight, span)
            for source, weight in factors
        ]
        offsets = [
            self._multiplied(out, self.rows.take(core, ASKED_FOR), weight)
            for core, weight in step.steady
        ]
        if not products and not offsets:  # it reads constants only
            bias = torch.zeros(out.dim) if step.bias is None else step.bias
            offsets = [self.rows.constant_row(f"{out.name}.bias", bias)]
        elif step.bias is not None:
            offsets.append(self._constant(f"{out.name}.bias", step.bias))
        if offsets:  # first, since they are one row
            products.append(self.rows.sum(scope, offsets))
        total = self.rows.sum(scope, products)
        if step.relu and step.floor is not None:
            total = add(scope, "Max", total, self._constant(f"{out.name}.floor", step.floor))
        elif step.relu:
            total = add(scope, "Relu", total)
        if step.rest is not None:
            core, shift, factor = step.rest
            bypass = self.rows.take(core, span.shifted(shift))
            if factor != 1.0:
                bypass = add(scope, "Mul", bypass, self.nodes.number(factor))
            total = add(scope, "Add", total, bypass)
        self.rows.put(out, total, span)

    def _product(self, out: Core, read: Read, weight: Tensor, span: Span) -> str:
        """Read · weight; rows are cut off where that is less to copy."""
        wanted = span.shifted(read.shift)
        if read.core.steady or weight.shape[0] <= weight.shape[1]:
            source = self.rows.take(read.core, wanted, read.columns)
            return self._multiplied(out, source, weight)
        held = self.rows.span(read.core)
        source = self.rows.take(read.core, held, read.columns)
        whole = self._multiplied(out, source, weight)
        return self.rows.cut(self.rows.scope(out), whole, held, wanted)

    def _multiplied(self, out: Core, source: str, weight: Tensor) -> str:
        matrix = self._constant(f"{out.name}.weight", weight)
        return self.nodes.add(self.rows.scope(out), "MatMul", source, matrix)

    def _constant(self, name: str, values: Tensor) -> str:
        return self.nodes.constant(name, float_array(name, values))

    def _other(self, step: OtherStep) -> None:
        out = step.operation.out
        span = self._span(out)
        every_row = isinstance(step.operation, Convolution) and not out.steady
        values = [
            write_value(self.rows, out, value, span, every_row=every_row) for value in step.values
        ]
        self.rows.put(out, write_operation(self.rows, step.operation, values), span)

    def _span(self, core: Core) -> Span:
        """The rows that are computed of a core: all that the input is long enough for."""
        if core.steady:
            return ASKED_FOR
        return Span(self.plan.first[core], self.plan.future - self.plan.delay[core])


def _own_reads(step: SharedStep, index: int) -> list[tuple[Read | str, Tensor]]:
    """The reads of one of the layers that share them."""
    width = step.steps[index].out.dim
    return [
        (Read(shared.core, shift, shared.columns), shared.weight[:, column : column + width])
        for shared in step.reads
        for reader, shift, column in shared.readers
        if reader == index
    ]
