"""Counts what an nnet3 network has to multiply: each layer only at the frames that are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kaldi_bridge.nnet3 import descriptors as d
from kaldi_bridge.nnet3.checking import order, time_offsets
from kaldi_bridge.nnet3.components import model_field, model_number
from kaldi_bridge.nnet3.network import (
    Component,
    ComponentNode,
    DimRangeNode,
    InputNode,
    Network,
    Node,
)

IVECTOR = "ivector"
Frames = np.ndarray
"""Times at which a node is needed, sorted, without repeats."""


@dataclass(frozen=True)
class Product:
    """One layer's share of the work.

    Attributes:
        node: its name.
        frames: how many frames of it are needed.
        inputs: columns of what is multiplied, all time offsets side by side.
        outputs: columns of the result.
        multiply_accumulates: of all frames.
    """

    node: str
    frames: int
    inputs: int
    outputs: int
    multiply_accumulates: int


def useful_macs(network: Network, node: str, n_frames: int, subsampling: int = 1) -> int:
    """Returns the multiply-accumulates that a node's output takes; see `products`."""
    return sum(
        product.multiply_accumulates for product in products(network, node, n_frames, subsampling)
    )


def products(
    network: Network, node: str, n_frames: int, subsampling: int = 1, *, folded: bool = True
) -> list[Product]:
    """Returns the matrix products behind a node's rows at times 0, f, 2f, … below `n_frames`.

    Every layer is counted at those frames alone that lead to one of the rows, in one piece, with
    what the network sees before the first and behind the last frame. What depends on nothing but
    the i-vector is counted once; elementwise work is not.

    Args:
        network: any, without recurrence.
        node: name of the node that is asked for.
        n_frames: of the recording.
        subsampling: frames per row, f.
        folded: leaves out FixedAffineComponents whose one reader is an affine layer, as LDA is: the
            two are one matrix.
    """
    fixed = _fixed_nodes(network)
    needed: dict[str, list[Frames]] = {node: [np.arange(0, n_frames, subsampling)]}
    found = []
    for name in reversed(order(network)):
        if name not in needed:
            continue
        times = np.unique(np.concatenate(needed.pop(name)))
        if name in fixed:
            times = times[:1]
        found += list(_product(network, name, times, folded))
        for source, frames in _sources(network, network.nodes[name], times):
            needed.setdefault(source, []).append(frames)
    return found[::-1]


def _product(network: Network, name: str, times: Frames, folded: bool) -> Iterator[Product]:
    node = network.nodes[name]
    if not isinstance(node, ComponentNode):
        return
    component = network.components[node.component]
    if folded and component.kind == "FixedAffineComponent" and _one_affine_reads(network, name):
        return
    per_frame = _multiplications(component)
    if per_frame:
        token = "Params" if component.kind == "LinearComponent" else "LinearParams"
        outputs, inputs = component.array(token).shape
        yield Product(name, len(times), inputs, outputs, per_frame * len(times))


def _multiplications(component: Component) -> int:
    """Returns the multiply-accumulates of one frame of a component."""
    if component.kind == "LinearComponent":
        return int(component.array("Params").size)
    if not component.has("LinearParams"):
        return 0
    if component.kind != "TimeHeightConvolutionComponent":
        return int(component.array("LinearParams").size)
    offsets = np.asarray(model_field(component, "Offsets").value)
    step = model_number(component, "HeightSubsampleOut")
    heights = step * np.arange(model_number(component, "HeightOut"))[:, np.newaxis] + offsets[:, 1]
    inside = (heights >= 0) & (heights < model_number(component, "HeightIn"))
    filters = model_number(component, "NumFiltersIn") * model_number(component, "NumFiltersOut")
    return int(inside.sum()) * filters


def _one_affine_reads(network: Network, name: str) -> bool:
    readers = [
        node
        for node in network.nodes.values()
        if not isinstance(node, InputNode | DimRangeNode) and name in node.input.nodes()
    ]
    return (
        len(readers) == 1
        and isinstance(readers[0], ComponentNode)
        and readers[0].input == d.NodeRef(name)
        and network.components[readers[0].component].has("LinearParams")
    )


def _sources(network: Network, node: Node, times: Frames) -> Iterator[tuple[str, Frames]]:
    """Yields what a node reads, and when."""
    if isinstance(node, InputNode):
        return
    if isinstance(node, DimRangeNode):
        yield node.source, times
        return
    offsets = (0,)
    if isinstance(node, ComponentNode):
        offsets = time_offsets(network.components[node.component])
    for offset in offsets:
        yield from _reads(node.input, times + offset)


def _reads(descriptor: d.Descriptor, times: Frames) -> Iterator[tuple[str, Frames]]:
    if isinstance(descriptor, d.NodeRef):
        yield descriptor.name, times
    elif isinstance(descriptor, d.Switch):
        for phase, part in enumerate(descriptor.parts):
            yield from _reads(part, times[times % len(descriptor.parts) == phase])
    elif isinstance(descriptor, d.Offset):
        yield from _reads(descriptor.part, times + descriptor.t)
    elif isinstance(descriptor, d.Round):
        yield from _reads(descriptor.part, times - times % descriptor.modulus)
    elif isinstance(descriptor, d.ReplaceIndex) and descriptor.variable == "t":
        yield from _reads(descriptor.part, np.array([descriptor.value]))
    else:
        for part in descriptor.children():
            yield from _reads(part, times)


def _fixed_nodes(network: Network) -> set[str]:
    """Returns the nodes that depend on nothing but the i-vector, so not on the time either."""
    fixed = {IVECTOR}
    for name in order(network):
        node = network.nodes[name]
        if isinstance(node, InputNode):
            continue
        sources = [node.source] if isinstance(node, DimRangeNode) else list(node.input.nodes())
        switched = not isinstance(node, DimRangeNode) and _switches(node.input)
        if all(source in fixed for source in sources) and not switched:
            fixed.add(name)
    return fixed


def _switches(descriptor: d.Descriptor) -> bool:
    return isinstance(descriptor, d.Switch) or any(map(_switches, descriptor.children()))
