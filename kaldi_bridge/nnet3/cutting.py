"""A network cut in two: below, what stays as it is; above, its last layers, which may learn.

The cut goes through one node. The lower part gives, for every frame that is asked for, all rows of
that node that the upper part reads for it, side by side; the upper part then needs no other frame,
no i-vector and no knowledge of edges or chunks: all of that is in the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from kaldi_bridge.errors import NotSupported, ShapeError
from kaldi_bridge.nnet3.checking import check_dimensions, reads, time_offsets
from kaldi_bridge.nnet3.components import parameters
from kaldi_bridge.nnet3.descriptors import Append, Descriptor, NodeRef, Offset
from kaldi_bridge.nnet3.network import (
    FEATURES,
    ComponentNode,
    DimRangeNode,
    InputNode,
    Network,
    Node,
    OutputNode,
)
from kaldi_bridge.nnet3.timing import descriptor_modulus

UPPER_OUTPUT = "(learned)"
"""Name of the upper part's output; with its parentheses it is no name that a file can have."""


@dataclass(frozen=True, eq=False)
class Cut:
    """Both parts of a network.

    Attributes:
        layers: those that are above, the first one first.
        through: node at whose activations it is cut.
        offsets: frames that the upper part reads of it, relative to its own, ascending.
        rows: name of the lower part's node that gives `through` at all offsets, side by side.
        lower: the whole network, with that node.
        upper: a network of its own: input "input" with the columns of `through`, and an output of
            the name `UPPER_OUTPUT` that is asked for at `lead` frames before its own, so that all
            that it reads comes at that frame or later.
        lead: frames by which the first offset comes before the frame itself.
        window: frames from the first offset to the last.
    """

    layers: tuple[str, ...]
    through: str
    offsets: tuple[int, ...]
    rows: str
    lower: Network
    upper: Network
    lead: int
    window: int


def learning_layers(network: Network, node: str) -> list[str]:
    """Returns the layers that a node depends on and that have parameters, the last one first.

    A layer is what Kaldi's recipes call by one name: all nodes whose names are equal up to the
    first dot, as tdnnf9.linear, tdnnf9.affine and tdnnf9.batchnorm are.

    Raises:
        ShapeError: no such node.
        NotSupported: a recurrent network.
    """
    found: dict[str, None] = {}
    for name in reversed(_needed(network, node)):
        if _has_parameters(network, name):
            found[_layer(name)] = None
    return list(found)


def cut_below(network: Network, node: str, n_layers: int) -> Cut:
    """Cuts a network below the last layers that a node depends on.

    Args:
        network: as read or built.
        node: whose activations are wanted.
        n_layers: how many layers with parameters are above the cut; see `learning_layers`.

    Raises:
        ShapeError: no such node; it has fewer layers; or they read more than one node below them.
        NotSupported: a recurrent network, or layers that do not do the same at every frame.
    """
    layers = learning_layers(network, node)
    if not 1 <= n_layers <= len(layers):
        raise ShapeError(
            f"{n_layers} last layers of {node}: it has {len(layers)}, which are "
            f"{', '.join(layers)}. Give 1 to {len(layers)}."
        )
    above, below = _parted(network, node, layers[:n_layers])
    if not _is_clean(network, above, below, n_layers):
        possible = [
            str(n)
            for n in range(1, len(layers) + 1)
            if _is_clean(network, *_parted(network, node, layers[:n]), n)
        ]
        raise ShapeError(
            f"the last {n_layers} layers of {node} ({', '.join(layers[:n_layers])}) read "
            f"{', '.join(sorted(below))}: a network can be cut where one node alone is read, above "
            f"its i-vector. Possible numbers of layers: {', '.join(possible) or 'none'}."
        )
    (through,) = below
    return _cut(network, node, tuple(reversed(layers[:n_layers])), above, through)


def _cut(
    network: Network, node: str, layers: tuple[str, ...], above: Sequence[str], through: str
) -> Cut:
    offsets = _offsets(network, node, through)
    lead = max(0, -offsets[0])
    parts = tuple(_at(NodeRef(through), offset) for offset in offsets)
    rows, lower = through, network
    if parts != (NodeRef(through),) or through == FEATURES:
        rows = f"Append({', '.join(map(str, parts))})"
        spliced = Append(parts) if len(parts) > 1 else parts[0]
        nodes = {**network.nodes, rows: OutputNode(rows, spliced)}
        lower = Network(nodes, dict(network.components))
    dim = check_dimensions(network)[through]
    upper: dict[str, Node] = {FEATURES: InputNode(FEATURES, dim)}
    if through != FEATURES:
        upper[through] = DimRangeNode(through, FEATURES, 0, dim)
    upper |= {name: network.nodes[name] for name in above if name != node}
    last = network.nodes[node]
    if not isinstance(last, OutputNode):
        upper[node] = last
    source = last.input if isinstance(last, OutputNode) else NodeRef(node)
    upper[UPPER_OUTPUT] = OutputNode(UPPER_OUTPUT, _at(source, lead))
    used = {part.component for part in upper.values() if isinstance(part, ComponentNode)}
    components = {name: part for name, part in network.components.items() if name in used}
    window = lead + max(0, offsets[-1]) + 1
    return Cut(layers, through, offsets, rows, lower, Network(upper, components), lead, window)


def _parted(network: Network, node: str, layers: Sequence[str]) -> tuple[list[str], set[str]]:
    """Returns the nodes from the first of some layers on, and what they read below them."""
    needed = _needed(network, node)
    first = min(
        place
        for place, name in enumerate(needed)
        if _layer(name) in layers and _has_parameters(network, name)
    )
    above = needed[first:]
    return above, {source for name in above for source in _sources(network, name)} - set(above)


def _is_clean(network: Network, above: Sequence[str], below: set[str], n_layers: int) -> bool:
    """Returns whether one node is read below, no i-vector, and no other layer is in between."""
    layers = {_layer(name) for name in above if _has_parameters(network, name)}
    steady = any(t is None for name in above for _, t in _reads(network, name))
    return len(below) == 1 and len(layers) == n_layers and not steady


def _needed(network: Network, node: str) -> list[str]:
    """What a node depends on and that is computed, itself included, each after what it reads."""
    if node not in network.nodes:
        raise ShapeError(f'the network has no node "{node}". It has: {", ".join(network.nodes)}.')
    graph: dict[str, list[str]] = {}
    waiting = [node]
    while waiting:
        name = waiting.pop()
        if name not in graph:
            graph[name] = list(_sources(network, name))
            waiting += graph[name]
    try:
        ordered = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise NotSupported(f'node "{error.args[1][0]}" depends on itself: recurrent.') from error
    return [name for name in ordered if not isinstance(network.nodes[name], InputNode)]


def _offsets(network: Network, node: str, through: str) -> tuple[int, ...]:
    """Returns the frames of `through` that a node reads, relative to its own."""
    found: set[int] = set()
    seen: set[tuple[str, int]] = set()
    waiting = [(node, 0)]
    while waiting:
        name, t = waiting.pop()
        if (name, t) in seen:
            continue
        seen.add((name, t))
        if name == through:
            found.add(t)
            continue
        here = network.nodes[name]
        if isinstance(here, ComponentNode | OutputNode) and descriptor_modulus(here.input) > 1:
            raise NotSupported(
                f'"{name}" reads {here.input}, which is not the same at every frame: layers like '
                "it cannot be cut off to learn. Let fewer layers learn."
            )
        for source, offset in _reads(network, name):
            assert offset is not None
            waiting.append((source, t + offset))
    return tuple(sorted(found))


def _reads(network: Network, name: str) -> Iterator[tuple[str, int | None]]:
    """Yields the nodes that a node reads with their frames, None for a fixed one."""
    node = network.nodes[name]
    if isinstance(node, DimRangeNode):
        yield node.source, 0
    elif isinstance(node, OutputNode):
        yield from reads(node.input)
    elif isinstance(node, ComponentNode):
        for own in time_offsets(network.components[node.component]):
            yield from reads(node.input, own)


def _sources(network: Network, name: str) -> Iterator[str]:
    return (source for source, _ in _reads(network, name))


def _has_parameters(network: Network, name: str) -> bool:
    node = network.nodes[name]
    return isinstance(node, ComponentNode) and parameters(network.components[node.component]) > 0


def _layer(node: str) -> str:
    return node.split(".")[0]


def _at(descriptor: Descriptor, t: int) -> Descriptor:
    return Offset(descriptor, t) if t else descriptor
