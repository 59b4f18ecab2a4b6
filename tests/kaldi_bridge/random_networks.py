"""Valid networks that no recipe has: every component and descriptor, tiny, drawn at random."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from network_draft import NetworkDraft
from random_components import COMPONENTS, choose, drawn
from random_descriptors import DescriptorDrawing

from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3 import descriptors as d
from kaldi_bridge.nnet3.checking import time_offsets
from kaldi_bridge.nnet3.components import input_dim
from kaldi_bridge.nnet3.network import Component, Network
from kaldi_bridge.nnet3.parsing import parse_descriptor

LONGEST_CONTEXT = 24
"""Frames to either side; a node that would need more is drawn again."""
OUTPUTS = ("output", "output-xent", "output.more")
MARKS = ("", ".affine", "-l", "_copy")


def networks(
    *, rare: bool = False, kinds: tuple[str, ...] = tuple(COMPONENTS)
) -> st.SearchStrategy[Network]:
    """Returns a hypothesis strategy: networks of one to fourteen drawn nodes, small ones first.

    Args:
        rare: as of `random_network`.
        kinds: as of `random_network`.
    """
    return st.builds(
        lambda seed, size: random_network(
            np.random.default_rng(seed), size, rare=rare, kinds=kinds
        ),
        st.integers(0, 2**32 - 1),
        st.integers(1, 14),
    )


def random_network(
    random: np.random.Generator,
    size: int = 8,
    *,
    rare: bool = False,
    kinds: tuple[str, ...] = tuple(COMPONENTS),
) -> Network:
    """Draws a network.

    It has "input", half of the time "ivector", `size` further nodes of which some may be dead,
    components with several nodes, columns of nodes, and one to three outputs, the first called
    "output". Often its lines stand in another order than that of computing. Activations stay
    near 1.

    Args:
        random: the same state gives the same network.
        size: nodes besides inputs and outputs.
        rare: whether there may be what no recipe writes: ReplaceIndex of a computed node, and
            IfDefined, Failover and times that a convolution can do without, which make the
            result depend on where chunks end.
        kinds: types of components that are drawn from.
    """
    drawing = _Drawing(random, rare, kinds)
    for number in range(size):
        while not drawing.add(f"n{number}{random.choice(MARKS)}"):
            pass
    for name in OUTPUTS[: random.integers(1, len(OUTPUTS) + 1)]:
        drawing.draft.output(name, drawing.descriptor())
    lines, components = drawing.draft.lines, list(drawing.draft.components.values())
    if random.random() < 0.3:
        lines = [lines[i] for i in random.permutation(len(lines))]
        components = [components[i] for i in random.permutation(len(components))]
    return building.network("\n".join(lines), components)


def random_inputs(
    network: Network, random: np.random.Generator, n_frames: int, period: int = 10
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns float32 features [T, F] and i-vectors [⌈T / period⌉, K], or None without them."""
    dims = {name: node.dim for name, node in network.nodes.items() if name in ("input", "ivector")}
    features = random.standard_normal((n_frames, dims["input"]), dtype=np.float32)
    if "ivector" not in dims:
        return features, None
    rows = -(-n_frames // period)
    return features, random.standard_normal((rows, dims["ivector"]), dtype=np.float32)


class _Drawing:
    """A network that grows by one node at a time."""

    def __init__(self, random: np.random.Generator, rare: bool, kinds: tuple[str, ...]) -> None:
        self.random = random
        self.rare = rare
        self.kinds = kinds
        self.draft = NetworkDraft(random)
        ivector = int(random.integers(2, 9)) if random.random() < 0.5 else 0
        if ivector:
            self.draft.input("ivector", ivector)
        features = self.draft.input("input", int(random.integers(2, 13)))
        self.contexts = {"input": (0, 0), "ivector": (0, 0)}
        self.readable = DescriptorDrawing(random, rare, bool(random.random() < 0.5), ivector)
        self.readable.dims[features] = self.draft.dims[features]

    def descriptor(self) -> str:
        """Draws an input of a node that needs no more than LONGEST_CONTEXT."""
        while True:
            text = self.readable.descriptor()
            if max(_context(parse_descriptor(text), self.contexts)) <= LONGEST_CONTEXT:
                return text

    def add(self, name: str) -> bool:
        """Adds a node; returns whether what was drawn is possible."""
        if self.random.random() < 0.1:
            return self._add_columns(name)
        source = self.descriptor()
        component, size = self._shared(source) or self._new(name, source)
        if component is None:
            return False
        tree = parse_descriptor(source)
        left, right = _context(tree, self.contexts)
        offsets = time_offsets(component)
        context = max(0, left - min(offsets)), max(0, right + max(offsets))
        if max(context) > LONGEST_CONTEXT:
            return False
        self.draft.add(component, source, name, size)
        self._known(name, context, _is_fixed(tree, self.readable.fixed))
        return True

    def _new(self, name: str, source: str) -> tuple[Component | None, float]:
        kind = choose(self.random, self.kinds)
        return drawn(kind, self.draft, name, source, rare=self.rare) or (None, 0.0)

    def _shared(self, source: str) -> tuple[Component, float] | None:
        """Draws a component that has a node already; its weights need not fit in size."""
        fitting = [
            component
            for component in self.draft.components.values()
            if input_dim(component) == self.draft.dim(source)
        ]
        if not fitting or self.random.random() > 0.1:
            return None
        component = fitting[self.random.integers(len(fitting))]
        return component, max(1.0, self.draft.sizes[component.name], self.draft.size(source))

    def _add_columns(self, name: str) -> bool:
        source = str(self.random.choice(list(self.readable.dims)))
        width = self.readable.dims[source]
        offset = int(self.random.integers(0, width))
        self.draft.dim_range(name, source, offset, int(self.random.integers(1, width - offset + 1)))
        self._known(name, self.contexts[source], source in self.readable.fixed)
        return True

    def _known(self, name: str, context: tuple[int, int], fixed: bool) -> None:
        self.contexts[name] = context
        self.readable.dims[name] = self.draft.dims[name]
        if fixed:
            self.readable.fixed.add(name)


def _context(descriptor: d.Descriptor, contexts: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """Returns an upper bound of the frames that are needed to the left and to the right."""
    if isinstance(descriptor, d.NodeRef):
        return contexts[descriptor.name]
    inside = [_context(part, contexts) for part in descriptor.children()]
    left = max((pair[0] for pair in inside), default=0)
    right = max((pair[1] for pair in inside), default=0)
    if isinstance(descriptor, d.Offset):
        return max(0, left - descriptor.t), max(0, right + descriptor.t)
    if isinstance(descriptor, d.Round):
        return left + descriptor.modulus - 1, right
    return left, right


def _is_fixed(descriptor: d.Descriptor, fixed: set[str]) -> bool:
    """Returns whether a descriptor reads nothing but the i-vector."""
    return all(name == "ivector" or name in fixed for name in descriptor.nodes())
