"""What of an nnet3 network can be computed from which frames: contexts, moduli, needed nodes."""

from __future__ import annotations

from functools import reduce
from math import lcm

from plain_components import optional_offsets, time_offsets

from kaldi_bridge.nnet3 import descriptors as d
from kaldi_bridge.nnet3.network import ComponentNode, DimRangeNode, InputNode, Network, OutputNode

CONTEXT_WINDOW = 150
"""Frames that are offered to see which outputs they suffice for; contexts are far smaller."""


def moved(descriptor: d.Descriptor, t: int) -> int:
    """Returns the time that Offset, Round or ReplaceIndex asks for where t is wanted."""
    if isinstance(descriptor, d.Offset):
        assert descriptor.x == 0, "only index x = 0 is ever given"
        return t + descriptor.t
    if isinstance(descriptor, d.Round):
        return t - t % descriptor.modulus
    assert isinstance(descriptor, d.ReplaceIndex), descriptor
    if descriptor.variable == "x":
        assert descriptor.value == 0, "only index x = 0 is ever given"
        return t
    return descriptor.value


class Computable:
    """Which nodes can be computed at which times from the frames that are offered.

    Args:
        network: as read.
        features: times at which "input" is there.
        ivectors: times at which "ivector" is there.
    """

    def __init__(self, network: Network, features: range, ivectors: range) -> None:
        self.network = network
        self.offered = {"input": features, "ivector": ivectors}
        self.known: dict[tuple[str, int], bool] = {}

    def node(self, name: str, t: int) -> bool:
        """Returns whether the value of a node at t follows from what is offered."""
        if (name, t) not in self.known:
            self.known[name, t] = self._node(name, t)
        return self.known[name, t]

    def _node(self, name: str, t: int) -> bool:
        node = self.network.nodes[name]
        if isinstance(node, InputNode):
            return t in self.offered[name]
        if isinstance(node, DimRangeNode):
            return self.node(node.source, t)
        if isinstance(node, OutputNode):
            return self.descriptor(node.input, t)
        component = self.network.components[node.component]
        offsets = time_offsets(component)
        optional = optional_offsets(component)
        there = {offset: self.descriptor(node.input, t + offset) for offset in offsets}
        return any(there.values()) and all(there[o] for o in offsets if o not in optional)

    def descriptor(self, descriptor: d.Descriptor, t: int) -> bool:
        """Returns whether the value of a descriptor at t follows from what is offered."""
        if isinstance(descriptor, d.NodeRef):
            return self.node(descriptor.name, t)
        if isinstance(descriptor, d.Const | d.IfDefined):
            return True
        if isinstance(descriptor, d.Switch):
            return self.descriptor(descriptor.parts[t % len(descriptor.parts)], t)
        if isinstance(descriptor, d.Failover):
            return any(self.descriptor(part, t) for part in descriptor.parts)
        if isinstance(descriptor, d.Append | d.Sum):
            return all(self.descriptor(part, t) for part in descriptor.parts)
        if isinstance(descriptor, d.Scale):
            return self.descriptor(descriptor.part, t)
        return self.descriptor(descriptor.children()[0], moved(descriptor, t))


def context(network: Network, node: str) -> tuple[int, int]:
    """Returns frames needed to the left and to the right of a node's frame.

    Tried out: of 150 offered frames, how many at either edge cannot have a result, at worst over
    the phases of Round and Switch [nnet3/nnet-utils.cc].
    """
    lefts, rights = [0], [0]
    period = modulus(network, node)
    for begin in range(period):
        window = range(begin, begin + CONTEXT_WINDOW)
        computable = Computable(network, window, range(begin - period, window.stop))
        missing = [t for t in window if not computable.node(node, t)]
        middle = begin + CONTEXT_WINDOW // 2
        lefts += [t - begin + 1 for t in missing if t < middle]
        rights += [window.stop - t for t in missing if t >= middle]
    return max(lefts), max(rights)


def modulus(network: Network, node: str) -> int:
    """Returns the frames by which a chunk may be moved without changing what is computed.

    Counted are the nodes that lead to `node` and to outputs other than "output", whose place
    `node` takes in Kaldi.
    """
    others = [n.name for n in network.nodes.values() if isinstance(n, OutputNode)]
    leading = needed(network, [node, *(name for name in others if name != "output")])
    return reduce(lcm, (_modulus(tree) for name in leading for tree in _trees(network, name)), 1)


def _modulus(descriptor: d.Descriptor) -> int:
    if isinstance(descriptor, d.ReplaceIndex) and descriptor.variable == "t":
        return 1
    own = 1
    if isinstance(descriptor, d.Round):
        own = descriptor.modulus
    if isinstance(descriptor, d.Switch):
        own = len(descriptor.parts)
    return reduce(lcm, map(_modulus, descriptor.children()), own)


def needed(network: Network, names: list[str]) -> set[str]:
    """Returns the names, and those of every node that leads to them."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            node = network.nodes[name]
            if isinstance(node, DimRangeNode):
                waiting.append(node.source)
            for tree in _trees(network, name):
                waiting.extend(tree.nodes())
    return found


def _trees(network: Network, name: str) -> list[d.Descriptor]:
    node = network.nodes[name]
    return [node.input] if isinstance(node, ComponentNode | OutputNode) else []


def has_optional_inputs(network: Network, node: str) -> bool:
    """Returns whether what is computed for a node depends on which frames are offered."""
    return any(
        _has_optional_parts(tree) or _has_optional_offsets(network, name)
        for name in needed(network, [node])
        for tree in _trees(network, name)
    )


def _has_optional_parts(descriptor: d.Descriptor) -> bool:
    optional = isinstance(descriptor, d.IfDefined | d.Failover)
    return optional or any(map(_has_optional_parts, descriptor.children()))


def _has_optional_offsets(network: Network, name: str) -> bool:
    node = network.nodes[name]
    return isinstance(node, ComponentNode) and bool(
        optional_offsets(network.components[node.component])
    )
