"""A network as a table of plain data, for people and for whoever prints it."""

from __future__ import annotations

from dataclasses import dataclass

from kaldi_bridge.nnet3.checking import check_dimensions, reads, time_offsets
from kaldi_bridge.nnet3.components import input_dim, parameters
from kaldi_bridge.nnet3.network import ComponentNode, DimRangeNode, InputNode, Network, OutputNode
from kaldi_bridge.nnet3.timing import context, contexts, modulus
from kaldi_bridge.nnet3.transitions import TransitionModel

__all__ = ["Row", "Table", "context", "table"]


@dataclass(frozen=True)
class Row:
    """One node.

    Attributes:
        node: name.
        kind: type of the component without "Component"; "input", "columns" or "output" for others.
        input_dim: columns that it takes.
        output_dim: columns that it gives.
        time_offsets: frames that it reads, relative to its own, component and descriptor together.
        left_context: frames of the network's input needed before its own.
        right_context: and after it.
        parameters: trainable numbers in its component.
        input: what it reads, in Kaldi's spelling; "" for an input.
    """

    node: str
    kind: str
    input_dim: int
    output_dim: int
    time_offsets: tuple[int, ...]
    left_context: int
    right_context: int
    parameters: int
    input: str


@dataclass(frozen=True)
class Table:
    """A network.

    Attributes:
        rows: its nodes, in the order of the file.
        left_context: frames needed before the first, by "output" or else the last output.
        right_context: and after the last.
        modulus: frames after which it repeats what it does.
        parameters: trainable numbers of all components.
        inputs: dimension of each input.
        readable: nodes whose activations can be asked for.
        pdfs: what the outputs stand for; 0 without a transition model.
        phones: how many there are; 0 without a transition model.
    """

    rows: tuple[Row, ...]
    left_context: int
    right_context: int
    modulus: int
    parameters: int
    inputs: dict[str, int]
    readable: tuple[str, ...]
    pdfs: int
    phones: int


def table(network: Network, transitions: TransitionModel | None = None) -> Table:
    """Describes a network.

    Args:
        network: as read or built.
        transitions: its transition model, if it has one.

    Raises:
        ShapeError: parts that do not fit together.
        NotSupported: a recurrent network.
    """
    dims = check_dimensions(network)
    sides = contexts(network)
    outputs = [name for name, node in network.nodes.items() if isinstance(node, OutputNode)]
    main = "output" if "output" in outputs else outputs[-1] if outputs else ""
    left, right = sides.get(main, (0, 0))
    return Table(
        rows=tuple(_row(network, name, dims, sides[name]) for name in network.nodes),
        left_context=left,
        right_context=right,
        modulus=modulus(network),
        parameters=sum(map(parameters, network.components.values())),
        inputs={
            name: node.dim for name, node in network.nodes.items() if isinstance(node, InputNode)
        },
        readable=tuple(
            name for name, node in network.nodes.items() if not isinstance(node, InputNode)
        ),
        pdfs=transitions.num_pdfs if transitions else 0,
        phones=len(transitions.phones) if transitions else 0,
    )


def _row(network: Network, name: str, dims: dict[str, int], sides: tuple[int, int]) -> Row:
    node = network.nodes[name]
    left, right = sides
    if isinstance(node, InputNode):
        return Row(name, "input", node.dim, node.dim, (0,), left, right, 0, "")
    if isinstance(node, DimRangeNode):
        columns = f"{node.source}[{node.offset}:{node.offset + node.dim}]"
        wide = dims[node.source]
        return Row(name, "columns", wide, node.dim, (0,), left, right, 0, columns)
    offsets: tuple[int, ...] = (0,)
    kind, taken, count = "output", dims[name], 0
    if isinstance(node, ComponentNode):
        component = network.components[node.component]
        offsets = time_offsets(component)
        kind = component.kind.removesuffix("Component")
        taken, count = input_dim(component), parameters(component)
    frames = {t + own for _, t in reads(node.input) if t is not None for own in offsets}
    places = tuple(sorted(frames))
    return Row(name, kind, taken, dims[name], places, left, right, count, str(node.input))
