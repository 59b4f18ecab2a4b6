"""From nodes to operations: the network unrolled over the phases of the frames that are asked for.

With P phases, the frame at time t is row t // P of phase t mod P. Asking for every third output
frame takes P = 3; a layer whose input is needed at every third frame only then exists in one phase,
and the other two thirds are never computed. `Round` and `Switch` need P to be a multiple of their
modulus, and turn into plain shifts and choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import lcm

import numpy as np
import torch

from kaldi_bridge.errors import NotSupported, ShapeError
from kaldi_bridge.graph import components
from kaldi_bridge.graph.components import Weights
from kaldi_bridge.graph.lazy import Core, Lazy, appended, of_core, summed
from kaldi_bridge.graph.operations import Operation
from kaldi_bridge.nnet3.descriptors import (
    Append,
    Const,
    Descriptor,
    Failover,
    IfDefined,
    NodeRef,
    Offset,
    ReplaceIndex,
    Round,
    Scale,
    Sum,
    Switch,
)
from kaldi_bridge.nnet3.network import (
    ComponentNode,
    DimRangeNode,
    InputNode,
    Network,
    OutputNode,
)
from kaldi_bridge.nnet3.parsing import LARGEST_MODULUS
from kaldi_bridge.nnet3.timing import descriptor_modulus

FEATURES = "input"
Key = tuple[str, int]
"""A node and a phase."""


@dataclass
class Graph:
    """The unrolled network.

    Attributes:
        phases: P.
        subsampling: frames per output row.
        inputs: cores that are fed, by node and phase; a steady one has phase 0.
        operations: in an order in which each finds its sources computed.
        outputs: per node asked for, the value of each output phase (0, subsampling, … below P).
    """

    phases: int
    subsampling: int
    inputs: dict[Key, Core]
    operations: list[Operation]
    outputs: dict[str, list[Lazy]]


def reads(network: Network, nodes: Iterable[str]) -> set[str]:
    """Returns the names of all nodes that some nodes depend on, themselves included."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        here = network.nodes[name]
        if isinstance(here, ComponentNode | OutputNode):
            waiting += here.input.nodes()
        elif isinstance(here, DimRangeNode):
            waiting.append(here.source)
    return found


def modulus(network: Network, nodes: Iterable[str]) -> int:
    """Returns after how many frames what some nodes depend on repeats itself; 1 for most.

    Raises:
        NotSupported: more than LARGEST_MODULUS frames, each of which would be a phase.
    """
    found = 1
    for name in reads(network, nodes):
        here = network.nodes[name]
        if isinstance(here, ComponentNode | OutputNode):
            found = lcm(found, descriptor_modulus(here.input))
            if found > LARGEST_MODULUS:
                raise NotSupported(f"a network that repeats after {found} frames only.")
    return found


def chunk_unit(network: Network, nodes: Iterable[str], subsampling: int) -> int:
    """Returns what Kaldi rounds the frames of a chunk up to a multiple of.

    A node that is asked for takes the place of "output"; the other outputs stay and count.
    """
    others = [
        name
        for name, node in network.nodes.items()
        if isinstance(node, OutputNode) and name != "output"
    ]
    return lcm(subsampling, modulus(network, [*nodes, *others]))


def lower(network: Network, nodes: Sequence[str], subsampling: int, weights: Weights) -> Graph:
    """Unrolls what the asked-for nodes need.

    Args:
        network: the network.
        nodes: names of the nodes to compute.
        subsampling: only frames 0, f, 2f, … are asked for.
        weights: gives the numbers.

    Raises:
        ShapeError: an unknown node.
        NotSupported: recurrence, or a descriptor that depends on how the input was cut.
    """
    for name in nodes:
        if name not in network.nodes:
            known = ", ".join(network.nodes)
            raise ShapeError(f'the network has no node "{name}". It has: {known}')
    phases = lcm(subsampling, modulus(network, nodes))
    lowering = _Lowering(network, phases, weights)
    wanted = [(name, phase) for name in nodes for phase in range(0, phases, subsampling)]
    for name, phase in lowering.order(wanted):
        lowering.values[name, phase] = lowering.value(name, phase)
    outputs = {
        name: [replace(lowering.values[name, phase]) for phase in range(0, phases, subsampling)]
        for name in nodes
    }
    return Graph(phases, subsampling, lowering.inputs, lowering.operations, outputs)


class _Lowering:
    def __init__(self, network: Network, phases: int, weights: Weights) -> None:
        self.network = network
        self.phases = phases
        self.weights = weights
        self.inputs: dict[Key, Core] = {}
        self.operations: list[Operation] = []
        self.values: dict[Key, Lazy] = {}

    def order(self, wanted: Sequence[Key]) -> list[Key]:
        """Returns what has to be computed, sources first, all phases of a node together."""
        keys: set[Key] = set()
        reads: dict[str, set[str]] = {}
        stack = list(wanted)
        while stack:
            key = stack.pop()
            if key in keys:
                continue
            keys.add(key)
            sources = list(self._reads(*key))
            reads.setdefault(key[0], set()).update(name for name, _ in sources)
            stack += sources
        ordered: list[Key] = []
        for name in _sorted(reads):
            ordered += sorted(key for key in keys if key[0] == name)
        return ordered

    def _reads(self, name: str, phase: int) -> Iterator[Key]:
        node = self.network.nodes[name]
        if isinstance(node, DimRangeNode):
            yield node.source, phase
        elif isinstance(node, OutputNode):
            yield from self._descriptor_reads(node.input, phase)
        elif isinstance(node, ComponentNode):
            component = self.network.components[node.component]
            for offset in components.time_offsets(component):
                yield from self._descriptor_reads(node.input, phase + offset)

    def _descriptor_reads(self, descriptor: Descriptor, t: int) -> Iterator[Key]:
        if isinstance(descriptor, NodeRef):
            yield descriptor.name, t % self.phases
        elif isinstance(descriptor, Offset):
            yield from self._descriptor_reads(descriptor.part, t + descriptor.t)
        elif isinstance(descriptor, Round):
            yield from self._descriptor_reads(descriptor.part, t - t % descriptor.modulus)
        elif isinstance(descriptor, Switch):
            yield from self._descriptor_reads(descriptor.parts[t % len(descriptor.parts)], t)
        elif isinstance(descriptor, ReplaceIndex) and descriptor.variable == "t":
            yield from ((name, 0) for name in self._steady_inputs(descriptor))
        elif isinstance(descriptor, Failover | IfDefined):
            raise NotSupported(
                f"{descriptor} depends on where the input was cut; {type(descriptor).__name__} is "
                "not supported. Feed-forward chain models do not have it."
            )
        else:
            for child in descriptor.children():
                yield from self._descriptor_reads(child, t)

    def _steady_inputs(self, descriptor: ReplaceIndex) -> list[str]:
        """The inputs that a ReplaceIndex(…, t, 0) reads, checked to be none but such."""
        names = list(descriptor.nodes())
        plain = all(
            isinstance(part, NodeRef | Scale | Append | Sum | Const)
            for part in _walk(descriptor.part)
        )
        if not (plain and descriptor.value == 0 and all(map(self._is_steady, names))):
            raise NotSupported(
                f"{descriptor} is not supported: ReplaceIndex(…, t, 0) reads inputs other than "
                f'"{FEATURES}", as i-vectors come in.'
            )
        return names

    def value(self, name: str, phase: int) -> Lazy:
        """Returns a node's value at a phase; what it reads has been lowered."""
        node = self.network.nodes[name]
        if isinstance(node, InputNode):
            steady = name != FEATURES
            core = Core(name, phase, node.dim, steady, fed=True)
            self.inputs[name, phase] = core
            return of_core(core)
        if isinstance(node, DimRangeNode):
            columns = np.arange(node.offset, node.offset + node.dim)
            return self.values[node.source, phase].columns(columns)
        if isinstance(node, OutputNode):
            return self._descriptor(node.input, phase)
        component = self.network.components[node.component]
        offsets = components.time_offsets(component)
        sources = [self._descriptor(node.input, phase + offset) for offset in offsets]
        return components.lower(component, name, phase, sources, self.weights, self._add)

    def _add(self, operation: Operation) -> Lazy:
        # each reader has values of its own: folding adds constants to them
        operation.sources = [replace(source) for source in operation.sources]
        operation.out.steady = all(
            term.core.steady for source in operation.sources for term in source.terms
        )
        self.operations.append(operation)
        return of_core(operation.out)

    def _descriptor(self, descriptor: Descriptor, t: int, steady: bool = False) -> Lazy:
        if isinstance(descriptor, NodeRef):
            if self._is_steady(descriptor.name) and not steady:
                raise NotSupported(
                    f'"{descriptor.name}" is read frame by frame; inputs other than "{FEATURES}" '
                    f"are read as ReplaceIndex({descriptor.name}, t, 0)."
                )
            if steady:
                return self.values[descriptor.name, 0]
            return self.values[descriptor.name, t % self.phases].shifted(t // self.phases)
        if isinstance(descriptor, Offset):
            return self._descriptor(descriptor.part, t + descriptor.t)
        if isinstance(descriptor, Round):
            return self._descriptor(descriptor.part, t - t % descriptor.modulus)
        if isinstance(descriptor, Switch):
            return self._descriptor(descriptor.parts[t % len(descriptor.parts)], t)
        if isinstance(descriptor, ReplaceIndex):
            return self._descriptor(descriptor.part, t, descriptor.variable == "t")
        if isinstance(descriptor, Scale):
            return self._descriptor(descriptor.part, t, steady).scaled(descriptor.factor)
        if isinstance(descriptor, Append):
            return appended([self._descriptor(part, t, steady) for part in descriptor.parts])
        if isinstance(descriptor, Sum):
            return summed([self._descriptor(part, t, steady) for part in descriptor.parts])
        assert isinstance(descriptor, Const)
        dtype, device = self.weights.dtype, self.weights.device
        row = torch.full((descriptor.dim,), descriptor.value, dtype=dtype, device=device)
        return Lazy(descriptor.dim, [], row)

    def _is_steady(self, name: str) -> bool:
        return name != FEATURES and isinstance(self.network.nodes[name], InputNode)


def _walk(descriptor: Descriptor) -> Iterator[Descriptor]:
    stack = [descriptor]
    while stack:
        part = stack.pop()
        yield part
        stack += part.children()


def _sorted(reads: dict[str, set[str]]) -> list[str]:
    """Topological order of the nodes.

    Raises:
        NotSupported: a node depends on itself.
    """
    done: dict[str, bool] = {}  # False while its sources are being visited
    ordered: list[str] = []
    for start in reads:
        stack: list[tuple[str, Iterator[str]]] = []
        if start not in done:
            done[start] = False
            stack.append((start, iter(sorted(reads[start]))))
        while stack:
            name, sources = stack[-1]
            for source in sources:
                if done.get(source) is False:
                    raise NotSupported(
                        f'node "{source}" depends on itself at other times: recurrent networks '
                        "are not supported."
                    )
                if source not in done:
                    done[source] = False
                    stack.append((source, iter(sorted(reads[source]))))
                    break
            else:
                done[name] = True
                ordered.append(name)
                stack.pop()
    return ordered
