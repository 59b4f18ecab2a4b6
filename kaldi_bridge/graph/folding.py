"""Simplifies a lowered graph without changing what it computes, and takes weights through it.

1. A linear layer directly behind a linear layer becomes one, where that is no more work (LDA).
2. A cut at zero moves into the linear layer or convolution before it.
3. A positive batch-norm scale behind such a cut moves into the layer, s · max(a, 0) =
   max(s · a, 0).
4. The layer's bias moves behind its cut, max(a + b, 0) = max(a, -b) + b, and from there, with the
   batch norm's offset, into the biases of the layers that read it: possible since no hidden layer
   of these networks is padded with zeros, and done only where the bias is small beside the layer's
   normalised output, since float32 would lose the digits of a small output on a large bias.
5. The sum with a bypass becomes part of the layer before it.
6. Scales behind a convolution's cut move into it as in 3, where all heights share them; constants
   that a convolution reads become offsets of its output.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from kaldi_bridge.graph.convolution import convolved
from kaldi_bridge.graph.lazy import Core, Lazy, Term
from kaldi_bridge.graph.lowering import Graph
from kaldi_bridge.graph.operations import (
    Convolution,
    Gather,
    Linear,
    Operation,
    Pointwise,
)

MAX_PUSHED_BIAS = 4.0
"""Largest bias that moves behind a cut, in standard deviations of what the layer gives."""


class Uses:
    """Who reads each core: terms with the value they stand in, and the operation (None: output)."""

    def __init__(self, graph: Graph) -> None:
        """Args:
        graph: the graph to look through.
        """
        self.of: dict[Core, list[tuple[Term, Lazy, Operation | None]]] = defaultdict(list)
        for operation in graph.operations:
            for value in sources(operation):
                for term in value.terms:
                    self.of[term.core].append((term, value, operation))
        for values in graph.outputs.values():
            for value in values:
                for term in value.terms:
                    self.of[term.core].append((term, value, None))


def _producers(graph: Graph) -> dict[Core, Operation]:
    return {operation.out: operation for operation in graph.operations}


def sources(operation: Operation) -> Iterator[Lazy]:
    """Yields every value that an operation reads."""
    yield from operation.sources
    if isinstance(operation, Linear) and operation.rest is not None:
        yield operation.rest


def fold(graph: Graph) -> Graph:
    """Applies the five rules in place and returns the graph."""
    remove_unused(graph)
    _merge_linear(graph)
    _fuse_relu(graph)
    _push_scales(graph)
    _fuse_bypass(graph)
    _push_biases(graph)
    _fold_convolutions(graph)
    remove_unused(graph)
    return graph


def remove_unused(graph: Graph) -> None:
    """Drops operations that nothing asked for reads."""
    needed = {
        term.core for values in graph.outputs.values() for value in values for term in value.terms
    }
    kept = []
    for operation in reversed(graph.operations):
        if operation.out in needed:
            kept.append(operation)
            needed.update(term.core for value in sources(operation) for term in value.terms)
    graph.operations = kept[::-1]
    graph.inputs = {key: core for key, core in graph.inputs.items() if core in needed}


def _merge_linear(graph: Graph) -> None:
    uses, producers = Uses(graph), _producers(graph)
    for operation in graph.operations:
        if not isinstance(operation, Linear):
            continue
        source = operation.sources[0]
        term = source.sole()
        first = producers.get(term.core) if term is not None else None
        if (
            term is None
            or not isinstance(first, Linear)
            or first.relu
            or len(uses.of[term.core]) != 1
            or first.sources[0].cost() != first.sources[0].dim - _steady_columns(first.sources[0])
        ):
            continue
        inner, middle = first.weight.shape[1], first.weight.shape[0]
        if inner * operation.out.dim > middle * (inner + operation.out.dim):
            continue
        # in double: the product is rounded once, as the two layers' weights were
        weight = (operation.weight * term.scale()).double()
        merged = weight @ first.weight.double()
        offset = 0.0 if first.bias is None else weight @ first.bias.double()
        if source.constant is not None:
            offset = offset + operation.weight.double() @ source.constant.double()
        if operation.bias is not None:
            offset = offset + operation.bias.double()
        operation.weight = merged.to(operation.weight.dtype)
        if isinstance(offset, torch.Tensor):
            operation.bias = offset.to(operation.weight.dtype)
        operation.sources = [first.sources[0].shifted(term.shift)]
        uses = Uses(graph)
    remove_unused(graph)


def _steady_columns(value: Lazy) -> int:
    return sum(len(term.target) for term in value.terms if term.core.steady)


def _fuse_relu(graph: Graph) -> None:
    uses, producers = Uses(graph), _producers(graph)
    for operation in list(graph.operations):
        if not (isinstance(operation, Pointwise) and operation.function == "relu"):
            continue
        source = operation.sources[0]
        term = source.sole()
        before = producers.get(term.core) if term is not None else None
        if term is None or len(uses.of[term.core]) != 1 or term.shift:
            continue
        if isinstance(before, Linear) and not before.relu:
            if term.weights is not None or term.factor != 1.0:
                before.multiply(term.scale())
            if source.constant is not None:
                bias = before.bias
                before.bias = source.constant if bias is None else bias + source.constant
        elif isinstance(before, Convolution) and not before.relu:
            if term.weights is not None or term.factor != 1.0 or source.constant is not None:
                continue
        else:
            continue
        before.relu = True
        before.out = operation.out
        producers[before.out] = before
        graph.operations.remove(operation)


def _push_scales(graph: Graph) -> None:
    uses = Uses(graph)
    for operation in graph.operations:
        if not (isinstance(operation, Linear) and operation.relu):
            continue
        weights = _shared_weights(operation.out, uses)
        if weights is None:
            continue
        operation.normalized = True
        operation.multiply(weights)
        for term, _, _ in uses.of[operation.out]:
            term.weights = None


def _fold_convolutions(graph: Graph) -> None:
    uses = Uses(graph)
    for operation in graph.operations:
        if not isinstance(operation, Convolution):
            continue
        constants = [source.constant for source in operation.sources]
        if any(constant is not None for constant in constants):
            still = replace(operation, relu=False, bias=torch.zeros_like(operation.bias))
            nothing = operation.weight.new_zeros(operation.sources[0].dim)
            rows = [(nothing if row is None else row)[None] for row in constants]
            operation.offsets = convolved(still, rows)[0]
            operation.sources = [Lazy(source.dim, source.terms) for source in operation.sources]
        weights = _shared_weights(operation.out, uses)
        if not operation.relu or weights is None:
            continue
        filters = weights[: len(operation.bias)]
        if not torch.equal(weights, filters.repeat(operation.height_out)):
            continue
        operation.weight = operation.weight * filters[:, None, None, None]
        operation.bias = operation.bias * filters
        if operation.offsets is not None:
            operation.offsets = operation.offsets * weights
        for term, _, _ in uses.of[operation.out]:
            term.weights = None


def _shared_weights(core: Core, uses: Uses) -> torch.Tensor | None:
    """The positive weights that all readers of a core put on it, if they are the same."""
    readers = uses.of[core]
    weights = readers[0][0].weights
    every = np.arange(core.dim)
    if weights is None or not bool((weights.detach() > 0).all()):
        return None
    same = all(
        term.weights is weights and np.array_equal(term.source, every) for term, _, _ in readers
    )
    return weights if same else None


def _fuse_bypass(graph: Graph) -> None:
    """max(weight · source + bias, 0) + factor · bypass, where only that sum reads the layer."""
    uses, producers = Uses(graph), _producers(graph)
    for operation in list(graph.operations):
        if not isinstance(operation, Gather) or operation.sources[0].constant is not None:
            continue
        terms = operation.sources[0].terms
        if len(terms) != 2:
            continue
        layer, bypass = terms
        if not _ends_layer(layer, producers.get(layer.core), operation, uses):
            layer, bypass = bypass, layer
        if not _ends_layer(layer, producers.get(layer.core), operation, uses) or not _is_whole(
            bypass, operation.out.dim
        ):
            continue
        before = producers.get(layer.core)
        assert isinstance(before, Linear)
        order = graph.operations
        source = producers.get(bypass.core)
        if source is not None and order.index(source) > order.index(before):
            continue
        before.rest = Lazy(operation.out.dim, [bypass])
        before.out = operation.out
        producers[before.out] = before
        order.remove(operation)


def _ends_layer(term: Term, before: Operation | None, reader: Operation, uses: Uses) -> bool:
    return (
        isinstance(before, Linear)
        and before.relu
        and before.rest is None
        and _is_whole(term, reader.out.dim)
        and term.factor == 1.0
        and term.shift == 0
        and len(uses.of[term.core]) == 1
    )


def _is_whole(term: Term, dim: int) -> bool:
    return term.covers(dim) and term.weights is None and not term.core.steady


def _push_biases(graph: Graph) -> None:
    """Constants behind cuts into whoever reads them; only where all readers take them for free."""
    uses = Uses(graph)
    for operation in graph.operations:
        if not (isinstance(operation, Linear) and operation.relu and operation.bias is not None):
            continue
        if any(term.core.steady for term in operation.sources[0].terms):
            continue  # the bias differs between segments
        if not operation.normalized or _total_bias(operation).abs().max() > MAX_PUSHED_BIAS:
            continue
        if not all(_takes_constants(reader) for _, _, reader in uses.of[operation.out]):
            continue
        bias = _total_bias(operation)
        operation.floor = -bias
        operation.bias = None
        operation.sources = [Lazy(operation.sources[0].dim, operation.sources[0].terms)]
        add_constant(operation.out, bias, uses)


def add_constant(core: Core, constant: torch.Tensor, uses: Uses) -> None:
    """Tells every reader of a core that it stands for core + constant."""
    for term, value, reader in uses.of[core]:
        places = torch.from_numpy(term.target).to(constant.device)
        taken = constant[torch.from_numpy(term.source).to(constant.device)] * term.scale()
        row = constant.new_zeros(value.dim).index_put((places,), taken)
        if isinstance(reader, Gather) or (isinstance(reader, Linear) and value is reader.rest):
            # a sum carries it on to its own readers
            add_constant(reader.out, row, uses)
        else:
            value.constant = row if value.constant is None else value.constant + row


def _takes_constants(reader: Operation | None) -> bool:
    return reader is None or isinstance(reader, Linear | Gather)


def _total_bias(operation: Linear) -> torch.Tensor:
    source = operation.sources[0]
    assert operation.bias is not None
    if source.constant is None:
        return operation.bias
    return operation.bias + operation.product(source.constant)
