"""From a folded graph to a plan: what is multiplied with what, and which rows are needed when.

How a linear layer reads several shifted or phase-wise sources is chosen by what it costs:

- one source: the product reads it in place;
- a narrowing layer (1536 → 160): each source is multiplied once with the weights of all its readers
  side by side, and the narrow results are added, shifted (`SharedStep`);
- a widening layer (160 → 1536): its narrow sources are laid side by side ("splice");
- otherwise one product per source adds to the result in place ("accumulate").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from kaldi_bridge.graph.folding import sources
from kaldi_bridge.graph.lazy import Core, Indices, Lazy, Term
from kaldi_bridge.graph.lowering import Graph
from kaldi_bridge.graph.operations import Linear, Operation
from kaldi_bridge.graph.plan import (
    Columns,
    LinearStep,
    OtherStep,
    Piece,
    Plan,
    Read,
    SharedRead,
    SharedStep,
    Step,
    Tile,
    Value,
)

NARROWING = 2  # a layer narrows if its input has at least this many times its output's columns
ACCUMULATED = 128  # products below this many columns are too thin to stand alone
TILE_COLUMNS = 768
TILE_MULTIPLE = 32


def make_plan(graph: Graph, dtype: torch.dtype, device: torch.device) -> Plan:
    """Turns a folded graph into steps with weights of one type on one device."""
    steps: list[Step] = []
    steady: list[Step] = []
    builder = _Builder(dtype, device)
    for _, phases in groupby(graph.operations, key=lambda operation: operation.out.name):
        builder = _Builder(dtype, device)  # forgets a layer's raw weights with it
        found: list[Step] = []
        fixed: list[Step] = []
        for operation in phases:
            (fixed if operation.out.steady else found).append(builder.step(operation))
        steps += builder.finished(found)
        steady += builder.finished(fixed)
    outputs = {
        name: [builder.value(value) for value in values] for name, values in graph.outputs.items()
    }
    plan = Plan(
        graph.phases,
        graph.subsampling,
        graph.inputs,
        steps,
        steady,
        outputs,
        dtype=dtype,
        device=device,
    )
    _align(plan, graph)
    plan.last_uses = _last_uses(steps, outputs)
    return plan


class _Builder:
    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self._known: list[Tensor] = []
        self._joints: dict[tuple[int, ...], tuple[Tensor, list[Tensor]]] = {}
        self._cuts: dict[int, tuple[list[Tensor], Tensor]] = {}

    def step(self, operation: Operation) -> Step:
        if isinstance(operation, Linear):
            return self.linear(operation)
        return OtherStep(operation, [self.value(value) for value in operation.sources])

    def finished(self, steps: list[Step]) -> list[Step]:
        """Joins the weights of the steps of one layer, and its phases where they share sources."""
        linear = [step for step in steps if isinstance(step, LinearStep)]
        if linear and all(_narrows(step) for step in linear):
            others = [step for step in steps if not isinstance(step, LinearStep)]
            return [*others, _shared(linear, self)]
        for step in linear:
            if step.weights and step.way != "accumulate":
                step.tiles, step.weights = self.tiles(step), []
        return steps

    def linear(self, operation: Linear) -> LinearStep:
        value = operation.sources[0]
        bias = operation.bias
        if value.constant is not None:
            carried = operation.product(value.constant)
            bias = carried if bias is None else bias + carried
        grouped: dict[tuple[Core, int], list[Term]] = defaultdict(list)
        for term in value.terms:
            grouped[term.core, term.shift].append(term)
        reads, weights, steady = [], [], []
        for (core, shift), terms in grouped.items():
            columns, weight = self._taken(operation, terms)
            if core.steady and not operation.out.steady:
                whole = weight.new_zeros(core.dim, weight.shape[1])
                whole[columns] = weight
                steady.append((core, whole))
            else:
                reads.append(Read(core, shift, columns))
                weights.append(weight)
        rest = None
        if operation.rest is not None:
            term = operation.rest.terms[0]
            rest = (term.core, term.shift, term.factor)
        return LinearStep(
            operation.out,
            reads,
            weights,
            steady,
            self._cast(bias),
            operation.relu,
            self._cast(operation.floor),
            rest,
            _way(weights),
        )

    def _taken(self, operation: Linear, terms: list[Term]) -> tuple[slice, Tensor]:
        """Weights of one core's columns: [columns, out]."""
        weight = operation.weight
        used = np.concatenate([term.source for term in terms])
        first, last = int(used.min()), int(used.max()) + 1
        if len(terms) == 1 and _run(terms[0].source) is not None:
            run = _run(terms[0].target)
            taken = weight[:, run if run is not None else torch.from_numpy(terms[0].target)]
            scale = terms[0].scale()
            if isinstance(scale, Tensor) or scale != 1.0:
                taken = taken * scale
            taken = taken.t()
        else:
            taken = weight.new_zeros(last - first, weight.shape[0])
            for term in terms:
                target = torch.from_numpy(term.target).to(weight.device)
                place = torch.from_numpy(term.source - first).to(weight.device)
                taken = taken.index_add(0, place, (weight[:, target] * term.scale()).t())
        if operation.scale is not None:
            taken = taken * operation.scale
        taken = taken.to(self.device, self.dtype).contiguous()
        return slice(first, last), self._once(taken)

    def _once(self, weight: Tensor) -> Tensor:
        """Returns the equal weights of another phase of a layer, if there are any."""
        if weight.requires_grad:
            return weight
        for other in self._known:
            if other.shape == weight.shape and torch.equal(other, weight):
                return other
        self._known.append(weight)
        return weight

    def joined(self, weights: list[Tensor], dim: int) -> Tensor:
        """Returns weights joined along an axis, the same tensor for the same weights."""
        if len(weights) == 1:
            return weights[0]
        key = (dim, *map(id, weights))
        if key not in self._joints:
            # the parts are kept with it, so that no other tensor gets one of their ids
            self._joints[key] = (torch.cat(weights, dim), weights)
        return self._joints[key][0]

    def tiles(self, step: LinearStep) -> list[Tile]:
        """Returns a step's weights under one another, cut so that a tile's results stay cached."""
        whole = self.joined(step.weights, 0)
        out = whole.shape[1]
        n_tiles = -(-out // TILE_COLUMNS) if step.relu or step.rest is not None else 1
        width = -(-out // n_tiles)
        if n_tiles > 1:
            width = -(-width // TILE_MULTIPLE) * TILE_MULTIPLE
        if id(whole) not in self._cuts:
            cut = [whole[:, start : start + width].contiguous() for start in range(0, out, width)]
            self._cuts[id(whole)] = (cut, whole)
        tiles = []
        for start, weight in zip(range(0, out, width), self._cuts[id(whole)][0], strict=True):
            columns = slice(start, start + weight.shape[1])
            floor = None if step.floor is None else step.floor[columns]
            tiles.append(Tile(columns, weight, floor))
        return tiles

    def _cast(self, values: Tensor | None) -> Tensor | None:
        return None if values is None else values.to(self.device, self.dtype)

    def value(self, value: Lazy) -> Value:
        pieces = [
            Piece(
                term.core,
                term.shift,
                self._columns(term.source),
                self._columns(term.target),
                self._scale(term),
            )
            for term in value.terms
        ]
        return Value(value.dim, pieces, self._cast(value.constant))

    def _scale(self, term: Term) -> Tensor | float:
        scale = term.scale()
        return scale.to(self.device, self.dtype) if isinstance(scale, Tensor) else scale

    def _columns(self, indices: Indices) -> Columns:
        run = _run(indices)
        return run if run is not None else torch.from_numpy(indices).to(self.device)


def _run(indices: Indices) -> slice | None:
    """The indices as a slice, if they count up by one."""
    first = int(indices[0])
    if (indices == np.arange(first, first + len(indices))).all():
        return slice(first, first + len(indices))
    return None


def _way(weights: list[Tensor]) -> Literal["direct", "splice", "accumulate"]:
    if len(weights) <= 1:
        return "direct"
    out = weights[0].shape[1]
    thin = min(len(weight) for weight in weights) < ACCUMULATED or out < ACCUMULATED
    widening = sum(len(weight) for weight in weights) <= out
    return "splice" if thin or widening else "accumulate"


def _narrows(step: LinearStep) -> bool:
    return (
        len(step.reads) > 1
        and not step.steady
        and not step.relu
        and step.rest is None
        and all(len(weight) >= NARROWING * weight.shape[1] for weight in step.weights)
    )


def _shared(group: list[LinearStep], builder: _Builder) -> SharedStep:
    found: dict[tuple[Core, int, int], list[tuple[int, int, Tensor]]] = defaultdict(list)
    for index, step in enumerate(group):
        for read, weight in zip(step.reads, step.weights, strict=True):
            key = (read.core, read.columns.start, read.columns.stop)
            found[key].append((index, read.shift, weight))
    reads = []
    for (core, start, stop), uses in found.items():
        out = group[0].out.dim
        readers = [(index, shift, number * out) for number, (index, shift, _) in enumerate(uses)]
        weight = builder.joined([weight for _, _, weight in uses], 1)
        reads.append(SharedRead(core, slice(start, stop), weight, readers))
    for step in group:
        step.weights = []
    return SharedStep(group, reads)


def _align(plan: Plan, graph: Graph) -> None:
    """Delays from the inputs forwards, needed rows from the outputs backwards."""
    readers: dict[Core, dict[Core | str, int]] = defaultdict(dict)
    delay = {core: 0 for core in graph.inputs.values() if not core.steady}
    first: dict[Core, int] = {}
    last: dict[Core, int] = {}
    for operation in graph.operations:
        moving = [
            term
            for value in sources(operation)
            for term in value.terms
            if not term.core.steady and not operation.out.steady
        ]
        for term in moving:
            known = readers[term.core].get(operation.out, term.shift)
            readers[term.core][operation.out] = min(known, term.shift)
        if moving:
            delay[operation.out] = max(delay[term.core] + term.shift for term in moving)
    for name, values in graph.outputs.items():
        moving = [term for value in values for term in value.terms if not term.core.steady]
        plan.output_delay[name] = max((delay[term.core] + term.shift for term in moving), default=0)
        for term in moving:
            known = readers[term.core].get(name, term.shift)
            readers[term.core][name] = min(known, term.shift)
            first[term.core] = min(first.get(term.core, 0), term.shift)
            last[term.core] = max(last.get(term.core, term.shift), term.shift)
    for operation in reversed(graph.operations):
        if operation.out.steady:
            continue
        for value in sources(operation):
            for term in value.terms:
                core = term.core
                low = first[operation.out] + term.shift
                high = last[operation.out] + term.shift
                first[core] = min(first.get(core, low), low)
                last[core] = max(last.get(core, high), high)
    fed = [core for core in graph.inputs.values() if not core.steady]
    plan.past = max(0, -min((first[core] for core in fed), default=0))
    plan.future = max([0, *(last[core] for core in fed), *plan.output_delay.values()])
    plan.delay = delay
    plan.first = {core: row for core, row in first.items() if not core.steady}
    for step in plan.steps:
        if isinstance(step, LinearStep):
            step.lag = -first[step.out]
        elif isinstance(step, OtherStep):
            for computed in step.values:
                for piece in computed.pieces:
                    if piece.core.steady:
                        piece.shift = -first[step.operation.out]
    plan.readers = {core: list(found.items()) for core, found in readers.items()}


def _last_uses(
    steps: list[Step], outputs: Mapping[str, list[Value]]
) -> dict[int, tuple[Core, ...]]:
    """Returns, per step, the cores that no later step and no output reads."""
    last: dict[Core, int] = {}
    for index, step in enumerate(steps):
        for core in _read_cores(step):
            last[core] = index
    for values in outputs.values():
        for value in values:
            for piece in value.pieces:
                last.pop(piece.core, None)
    uses: dict[int, tuple[Core, ...]] = {}
    for core, index in last.items():
        if not core.fed and not core.steady:
            uses[index] = (*uses.get(index, ()), core)
    return uses


def _read_cores(step: Step) -> Iterator[Core]:
    if isinstance(step, SharedStep):
        yield from (read.core for read in step.reads)
    elif isinstance(step, OtherStep):
        yield from (piece.core for value in step.values for piece in value.pieces)
    else:
        yield from (read.core for read in step.reads)
        if step.rest is not None:
            yield step.rest[0]
