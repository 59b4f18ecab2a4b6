"""A network as a person reads it: the nodes of a layer in one line. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from kaldi_bridge.nnet3.describe import Row

PLAIN_KINDS = ("input", "columns", "output")
"""Kinds of nodes that have no component."""


@dataclass(frozen=True)
class Layer:
    """Neighbouring nodes whose names are equal up to the first dot, such as tdnnf2.linear.

    Attributes:
        name: what they share, such as tdnnf2.
        parts: what comes behind it, such as linear, affine, relu; the kind of a node without dot.
        dims: columns of what goes in, then of every result that has another number of them.
        frames: relative frames that are read, of every node that reads more than its own.
        left_context: frames of the network's input before its own, for the last node.
        right_context: and after it.
        parameters: trainable numbers.
    """

    name: str
    parts: tuple[str, ...]
    dims: tuple[int, ...]
    frames: tuple[tuple[int, ...], ...]
    left_context: int
    right_context: int
    parameters: int


def layers(rows: Sequence[Row]) -> list[Layer]:
    """Joins the nodes of a network, in their order, into layers."""
    return [_layer(name, list(nodes)) for (name, _), nodes in groupby(rows, _group)]


def _group(row: Row) -> tuple[str, bool]:
    return row.node.split(".")[0], row.kind in PLAIN_KINDS


def _layer(name: str, nodes: list[Row]) -> Layer:
    dims = [nodes[0].input_dim]
    for node in nodes:
        if node.output_dim != dims[-1]:
            dims.append(node.output_dim)
    return Layer(
        name,
        tuple(node.node.partition(".")[2] or node.kind for node in nodes),
        tuple(dims),
        tuple(node.time_offsets for node in nodes if node.time_offsets not in ((0,), ())),
        nodes[-1].left_context,
        nodes[-1].right_context,
        sum(node.parameters for node in nodes),
    )
