"""nnet3 networks evaluated the slow and obvious way: float64 NumPy, node by node, frame by frame.

It shares nothing with `kaldi_bridge.graph` but the data model, so that each can judge the other.
Written from the notes beside the golden files; names in brackets are files of Kaldi 5.5.
"""

from __future__ import annotations

from math import lcm
from typing import Any

import numpy as np
from plain_components import forward, optional_offsets, time_offsets
from plain_context import Computable, context, has_optional_inputs, modulus, moved

from kaldi_bridge.nnet3 import descriptors as d
from kaldi_bridge.nnet3.network import ComponentNode, DimRangeNode, InputNode, Network, OutputNode


def evaluate(
    network: Network,
    features: Any,
    ivectors: Any = None,
    *,
    node: str = "output",
    subsampling: int = 1,
    frames_per_chunk: int | None = 50,
    period: int = 10,
) -> np.ndarray:
    """Gives what `nnet3-compute` gives for a node [nnet3/nnet-am-decodable-simple.cc].

    Args:
        network: as read.
        features: [T, F], T ≥ 1.
        ivectors: None, one for everything [K], or a row every `period` frames [R, K].
        node: any node's name.
        subsampling: frames from one row of the result to the next, f.
        frames_per_chunk: a chunk has one i-vector; None for one chunk.
        period: frames from one row of `ivectors` to the next.

    Returns:
        float64 [⌈T / f⌉, D]; row k belongs to frame k · f.
    """
    features = np.asarray(features, dtype=np.float64)
    n_frames = len(features)
    unit = lcm(subsampling, modulus(network, node))
    chunk = -(-(frames_per_chunk or n_frames) // unit) * unit
    reach = (0, 0)
    if has_optional_inputs(network, node):
        reach = context(network, node)
    rows = []
    for first in range(0, n_frames, chunk):
        times = list(range(0, min(chunk, n_frames - first), subsampling))
        ivector = None
        if ivectors is not None:
            ivector = _ivector(np.asarray(ivectors, np.float64), first, times[-1], period)
        offered = range(-reach[0], times[-1] + reach[1] + 1)
        rows.append(PlainChunk(network, features, first, ivector, offered).values(node, times))
    return np.concatenate(rows)


def _ivector(ivectors: np.ndarray, first: int, duration: int, period: int) -> np.ndarray:
    """Returns the one i-vector [K] of a chunk: that of its middle, as far as there are rows."""
    if ivectors.ndim == 1:
        return ivectors
    row = (first + duration // 2) // period
    return ivectors[min(row, len(ivectors) - 1)]


class PlainChunk:
    """Values of nodes of one chunk; time 0 is its first frame, as in Kaldi.

    Frames before the first and behind the last of the recording are copies of those.

    Attributes:
        known: by node and time, every row [D] that has been computed.
    """

    def __init__(
        self,
        network: Network,
        features: np.ndarray,
        first: int,
        ivector: np.ndarray | None,
        offered: range,
    ) -> None:
        self.network = network
        self.features = features
        self.first = first
        self.ivector = ivector
        self.computable = Computable(network, offered, range(1))
        self.known: dict[str, dict[int, np.ndarray]] = {}

    def values(self, name: str, times: list[int]) -> np.ndarray:
        """Returns rows of a node at the times, [len(times), D]; each is computed once."""
        known = self.known.setdefault(name, {})
        missing = sorted({t for t in times if t not in known})
        if missing:
            known.update(zip(missing, self._compute(name, missing), strict=True))
        return np.stack([known[t] for t in times])

    def _compute(self, name: str, times: list[int]) -> np.ndarray:
        node = self.network.nodes[name]
        if isinstance(node, InputNode):
            return self._input(name, times)
        if isinstance(node, DimRangeNode):
            return self.values(node.source, times)[:, node.offset : node.offset + node.dim]
        if isinstance(node, OutputNode):
            return self.described(node.input, times)
        component = self.network.components[node.component]
        inputs = [self._offset(node, offset, times) for offset in time_offsets(component)]
        return forward(component, inputs)

    def _input(self, name: str, times: list[int]) -> np.ndarray:
        if name == "input":
            frames = self.first + np.asarray(times)
            return self.features[np.clip(frames, 0, len(self.features) - 1)]
        if name != "ivector" or self.ivector is None or set(times) != {0}:
            raise ValueError(f'nothing is given for input "{name}" at times {times}')
        return self.ivector[np.newaxis]

    def _offset(self, node: ComponentNode, offset: int, times: list[int]) -> np.ndarray:
        """Returns what a component reads `offset` frames later; zeros if it may be missing."""
        component = self.network.components[node.component]
        moved = [t + offset for t in times]
        if offset in optional_offsets(component):
            return self._or_zeros(node.input, moved)
        return self.described(node.input, moved)

    def described(self, descriptor: d.Descriptor, times: list[int]) -> np.ndarray:
        """Returns rows of a descriptor at the times [nnet3/nnet-descriptor.cc]."""
        if isinstance(descriptor, d.NodeRef):
            return self.values(descriptor.name, times)
        if isinstance(descriptor, d.Append):
            return np.hstack([self.described(part, times) for part in descriptor.parts])
        if isinstance(descriptor, d.Sum):
            return sum(
                (self.described(part, times) for part in descriptor.parts[1:]),
                self.described(descriptor.parts[0], times),
            )
        if isinstance(descriptor, d.Scale):
            return descriptor.factor * self.described(descriptor.part, times)
        if isinstance(descriptor, d.Const):
            return np.full((len(times), descriptor.dim), float(descriptor.value))
        if isinstance(descriptor, d.IfDefined):
            return self._or_zeros(descriptor.part, times)
        if isinstance(descriptor, d.Switch | d.Failover):
            return np.vstack([self.described(self._chosen(descriptor, t), [t]) for t in times])
        return self.described(descriptor.part, [moved(descriptor, t) for t in times])

    def _chosen(self, descriptor: d.Switch | d.Failover, t: int) -> d.Descriptor:
        if isinstance(descriptor, d.Switch):
            return descriptor.parts[t % len(descriptor.parts)]
        return descriptor.parts[0 if self.computable.descriptor(descriptor.parts[0], t) else 1]

    def _or_zeros(self, descriptor: d.Descriptor, times: list[int]) -> np.ndarray:
        rows = np.zeros((len(times), dim(self.network, descriptor)))
        for row, t in zip(rows, times, strict=True):
            if self.computable.descriptor(descriptor, t):
                row[:] = self.described(descriptor, [t])[0]
        return rows


def dim(network: Network, described: d.Descriptor | str) -> int:
    """Returns the number of columns of a descriptor or, by name, of a node."""
    if isinstance(described, d.Append):
        return sum(dim(network, part) for part in described.parts)
    if isinstance(described, d.Const):
        return described.dim
    if isinstance(described, d.Descriptor) and not isinstance(described, d.NodeRef):
        return dim(network, described.children()[0])
    node = network.nodes[described.name if isinstance(described, d.NodeRef) else described]
    if isinstance(node, InputNode | DimRangeNode):
        return node.dim
    if isinstance(node, OutputNode):
        return dim(network, node.input)
    component = network.components[node.component]
    zeros = np.zeros((1, dim(network, node.input)))
    return forward(component, [zeros for _ in time_offsets(component)]).shape[1]
