"""Which frames of the input a node needs: its left and right context, and the network's modulus.

Source: the context that nnet3/nnet-utils.cc of Kaldi 5.5 finds by asking what is computable.
"""

from __future__ import annotations

import math

from kaldi_bridge.errors import NotSupported, ShapeError
from kaldi_bridge.nnet3.checking import Mismatch, time_offsets
from kaldi_bridge.nnet3.descriptors import (
    Const,
    Descriptor,
    Failover,
    IfDefined,
    NodeRef,
    Offset,
    ReplaceIndex,
    Round,
    Switch,
)
from kaldi_bridge.nnet3.network import (
    IVECTOR,
    ComponentNode,
    DimRangeNode,
    InputNode,
    Network,
    OutputNode,
)
from kaldi_bridge.nnet3.parsing import LARGEST_MODULUS

Span = tuple[float, float]  # first and last frame needed; NOTHING where none is
NOTHING: Span = (math.inf, -math.inf)


def context(network: Network, node: str) -> tuple[int, int]:
    """Returns how many frames of input a node needs before and after its own.

    Where a node's needs depend on its time (Round, Switch), the most that any time needs.

    Raises:
        ShapeError: no such node.
        NotSupported: a recurrent network.
    """
    if node not in network.nodes:
        known = ", ".join(network.nodes)
        raise ShapeError(f'there is no node "{node}"; there are {known}.')
    return contexts(network)[node]


def contexts(network: Network) -> dict[str, tuple[int, int]]:
    """Returns left and right context of every node; see `context`."""
    period = modulus(network)
    spans: dict[str, list[Span]] = {}
    for name in _order(network):
        spans[name] = [_span(network, name, t, spans) for t in range(period)]
    return {name: _context(spans[name]) for name in network.nodes}


def modulus(network: Network) -> int:
    """Returns after how many frames the network repeats what it does; 1 for most.

    Raises:
        NotSupported: more than LARGEST_MODULUS frames.
    """
    period = 1
    for node in network.nodes.values():
        if isinstance(node, ComponentNode | OutputNode):
            period = math.lcm(period, descriptor_modulus(node.input))
            if period > LARGEST_MODULUS:
                raise NotSupported(f"a network that repeats after {period} frames only.")
    return period


def descriptor_modulus(descriptor: Descriptor) -> int:
    """Returns after how many frames a descriptor repeats what it does."""
    if isinstance(descriptor, ReplaceIndex) and descriptor.variable == "t":
        return 1  # it reads one time only
    own = 1
    if isinstance(descriptor, Round):
        own = descriptor.modulus
    elif isinstance(descriptor, Switch):
        own = len(descriptor.parts)
    return math.lcm(own, *map(descriptor_modulus, descriptor.children()))


def _order(network: Network) -> list[str]:
    """The nodes so that each comes after all that it reads, at whatever frame.

    Raises:
        NotSupported: some node needs an earlier or later frame of itself.
    """
    waiting = {name: set(_sources(network, name)) for name in network.nodes}
    readers: dict[str, list[str]] = {name: [] for name in network.nodes}
    for name, sources in waiting.items():
        for source in sources:
            if source not in readers:
                raise Mismatch(f'it reads "{source}", and there is no such node.', node=name)
            readers[source].append(name)
    ready = [name for name, sources in waiting.items() if not sources]
    for name in ready:  # grows while it is walked
        for reader in readers[name]:
            waiting[reader].discard(name)
            if not waiting[reader]:
                ready.append(reader)
    if len(ready) < len(network.nodes):
        stuck = next(name for name, sources in waiting.items() if sources)
        raise NotSupported(f'node "{stuck}" is recurrent, which is not supported.')
    return ready


def _sources(network: Network, name: str) -> list[str]:
    node = network.nodes[name]
    if isinstance(node, DimRangeNode):
        return [node.source]
    return [] if isinstance(node, InputNode) else list(node.input.nodes())


def _span(network: Network, name: str, t: int, spans: dict[str, list[Span]]) -> Span:
    """Frames of input that a node needs for frame t, all nodes that it reads being in `spans`."""
    node = network.nodes[name]
    if isinstance(node, InputNode):
        return NOTHING if name == IVECTOR else (t, t)
    if isinstance(node, DimRangeNode):
        return _at(spans[node.source], t)
    if isinstance(node, OutputNode):
        return _needs(node.input, t, spans)
    offsets = time_offsets(network.components[node.component])
    return _union([_needs(node.input, t + offset, spans) for offset in offsets])


def _needs(descriptor: Descriptor, t: int, spans: dict[str, list[Span]]) -> Span:
    if isinstance(descriptor, NodeRef):
        return _at(spans[descriptor.name], t)
    if isinstance(descriptor, Const | IfDefined):
        return NOTHING
    if isinstance(descriptor, Offset):
        return _needs(descriptor.part, t + descriptor.t, spans)
    if isinstance(descriptor, ReplaceIndex) and descriptor.variable == "t":
        return NOTHING
    if isinstance(descriptor, Round):
        return _needs(descriptor.part, t - t % descriptor.modulus, spans)
    if isinstance(descriptor, Switch):
        return _needs(descriptor.parts[t % len(descriptor.parts)], t, spans)
    parts = [_needs(part, t, spans) for part in descriptor.children()]
    if isinstance(descriptor, Failover):
        return max(part[0] for part in parts), min(part[1] for part in parts)
    return _union(parts)


def _at(spans: list[Span], t: int) -> Span:
    """What a node needs at any time, from what it needs at times 0 to modulus - 1."""
    whole = t - t % len(spans)
    first, last = spans[t % len(spans)]
    return first + whole, last + whole


def _union(spans: list[Span]) -> Span:
    return min(span[0] for span in spans), max(span[1] for span in spans)


def _context(spans: list[Span]) -> tuple[int, int]:
    left = max(t - first for t, (first, _) in enumerate(spans))
    right = max(last - t for t, (_, last) in enumerate(spans))
    return int(max(left, 0)), int(max(right, 0))
