"""Whether a network makes sense: its arrays agree, its nodes exist, its dimensions fit.

Nothing is computed. Each error is a `Mismatch` that says which component or node it is about;
whoever reads a file adds the place.
"""

from __future__ import annotations

from collections.abc import Iterator

from kaldi_bridge.nnet3.component_checks import Mismatch, check_component, time_offsets
from kaldi_bridge.nnet3.components import input_dim, output_dim
from kaldi_bridge.nnet3.descriptors import (
    Append,
    Const,
    Descriptor,
    NodeRef,
    Offset,
    ReplaceIndex,
)
from kaldi_bridge.nnet3.network import (
    ComponentNode,
    DimRangeNode,
    InputNode,
    Network,
    Node,
    OutputNode,
)
from kaldi_bridge.nnet3.parsing import LARGEST_DIM

__all__ = [
    "Mismatch",
    "check_component",
    "check_dimensions",
    "descriptor_dim",
    "order",
    "reads",
    "time_offsets",
]


def check_dimensions(network: Network) -> dict[str, int]:
    """Checks every node of a network whose components have been checked.

    Returns:
        The dimension of each node.

    Raises:
        Mismatch: a name that does not exist, dimensions that differ, or nodes that wait for one
            another at the same frame.
    """
    outputs = {name for name, node in network.nodes.items() if isinstance(node, OutputNode)}
    for node in network.nodes.values():
        _check_names(network, node, outputs)
    dims: dict[str, int] = {}
    for name, node in network.nodes.items():
        if isinstance(node, InputNode | DimRangeNode):
            dims[name] = node.dim
        elif isinstance(node, ComponentNode):
            dims[name] = output_dim(network.components[node.component])
    for name, node in network.nodes.items():
        if isinstance(node, ComponentNode | OutputNode):
            given = descriptor_dim(node.input, dims, name)
            if isinstance(node, OutputNode):
                dims[name] = given
                continue
            wanted = input_dim(network.components[node.component])
            if given != wanted:
                problem = f"its input has {given} columns, its component takes {wanted}."
                raise Mismatch(problem, node=name)
        elif isinstance(node, DimRangeNode) and node.offset + node.dim > dims[node.source]:
            problem = f"columns {node.offset} to {node.offset + node.dim} of {dims[node.source]}."
            raise Mismatch(problem, node=name)
    order(network)
    return dims


def descriptor_dim(descriptor: Descriptor, dims: dict[str, int], node: str = "") -> int:
    """Returns how many columns a descriptor has.

    Args:
        descriptor: what is read.
        dims: dimension of every node it may name.
        node: node it belongs to, for the message.

    Raises:
        Mismatch: parts of different dimensions where they must be equal.
    """
    if isinstance(descriptor, NodeRef):
        return dims[descriptor.name]
    if isinstance(descriptor, Const):
        return descriptor.dim
    found = [descriptor_dim(part, dims, node) for part in descriptor.children()]
    if isinstance(descriptor, Append):
        total = sum(found)
    else:
        total = found[0]
        if any(dim != total for dim in found):
            shown = ", ".join(map(str, found))
            raise Mismatch(f"parts of {shown} columns in {type(descriptor).__name__}.", node=node)
    if total > LARGEST_DIM:
        raise Mismatch(f"{total} columns; at most {LARGEST_DIM} are supported.", node=node)
    return total


def order(network: Network) -> list[str]:
    """Returns the names of the nodes so that each comes after what it needs at its own frame.

    Raises:
        Mismatch: nodes that wait for one another at the same frame.
    """
    needs = {name: sorted(_same_frame(network, name)) for name in network.nodes}
    done: dict[str, bool] = {}  # False while its needs are being looked at
    found: list[str] = []
    for root in network.nodes:
        if root in done:
            continue
        done[root] = False
        path = [(root, iter(needs[root]))]
        while path:
            name, rest = path[-1]
            following = next(rest, None)
            if following is None:
                path.pop()
                done[name] = True
                found.append(name)
            elif following not in done:
                done[following] = False
                path.append((following, iter(needs[following])))
            elif not done[following]:
                raise Mismatch("needs itself at the same frame.", node=following)
    return found


def _check_names(network: Network, node: Node, outputs: set[str]) -> None:
    if isinstance(node, ComponentNode) and node.component not in network.components:
        raise Mismatch(f'there is no component "{node.component}".', node=node.name)
    if isinstance(node, DimRangeNode):
        sources = [node.source]
    elif isinstance(node, ComponentNode | OutputNode):
        sources = list(node.input.nodes())
    else:
        return
    for source in sources:
        if source not in network.nodes:
            raise Mismatch(f'it reads "{source}", and there is no such node.', node=node.name)
        if source in outputs:
            raise Mismatch(f'it reads "{source}", which is an output.', node=node.name)


def _same_frame(network: Network, name: str) -> set[str]:
    """Nodes that a node may need at its own frame."""
    node = network.nodes[name]
    if isinstance(node, InputNode):
        return set()
    if isinstance(node, DimRangeNode):
        return {node.source}
    own = {0}
    if isinstance(node, ComponentNode):
        own = set(time_offsets(network.components[node.component]))
    return {source for source, t in reads(node.input, 0) if t is None or -t in own}


def reads(descriptor: Descriptor, t: int = 0) -> Iterator[tuple[str, int | None]]:
    """Yields each node that is read, with its time offset to `t`; None for a fixed time."""
    if isinstance(descriptor, NodeRef):
        yield descriptor.name, t
    elif isinstance(descriptor, Offset):
        yield from reads(descriptor.part, t + descriptor.t)
    elif isinstance(descriptor, ReplaceIndex) and descriptor.variable == "t":
        for source in descriptor.nodes():
            yield source, None
    else:
        for part in descriptor.children():
            yield from reads(part, t)
