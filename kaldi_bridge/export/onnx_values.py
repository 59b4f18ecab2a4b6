"""Values of a plan as ONNX nodes: columns of cores, laid side by side, scaled and added.

Pieces that fill different columns of a value are joined in one `Layer`; pieces that fill the same
ones come into another, and the layers are added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kaldi_bridge.export.onnx_rows import Rows, Span, float_array
from kaldi_bridge.graph.lazy import Core
from kaldi_bridge.graph.plan import Piece, Value


@dataclass
class Layer:
    """Pieces of which no two fill the same column of a value.

    Attributes:
        pieces: in the order of their first columns, once all are in.
        filled: per column, whether it is filled [dim].
    """

    pieces: list[Piece]
    filled: NDArray[np.bool_] = field(repr=False)

    def targets(self) -> NDArray[np.int64]:
        """Returns the columns that are filled, in the order of the pieces."""
        dim = len(self.filled)
        return np.concatenate([_indices(piece.target, dim) for piece in self.pieces])


def layers(pieces: Iterable[Piece], dim: int) -> list[Layer]:
    """Sorts pieces of a value of `dim` columns into as few layers as a greedy choice gives."""
    found: list[Layer] = []
    for piece in pieces:
        target = _indices(piece.target, dim)
        layer = next((layer for layer in found if not layer.filled[target].any()), None)
        if layer is None:
            layer = Layer([], np.zeros(dim, bool))
            found.append(layer)
        layer.pieces.append(piece)
        layer.filled[target] = True
    for layer in found:
        layer.pieces.sort(key=lambda piece: int(_indices(piece.target, dim)[0]))
    return found


def write_value(rows: Rows, out: Core, value: Value, span: Span, *, every_row: bool) -> str:
    """Adds what computes a value, and returns it.

    Args:
        rows: the cores that it reads.
        out: core that it is for; names the nodes.
        value: what to compute.
        span: rows of it.
        every_row: whether a value that is the same for all rows is repeated for each.
    """
    scope = rows.scope(out)
    moving = [piece for piece in value.pieces if not piece.core.steady]
    steady = [piece for piece in value.pieces if piece.core.steady]
    terms = [
        _write_layer(rows, out, layer, span)
        for pieces in (moving, steady)
        for layer in layers(pieces, value.dim)
    ]
    if value.constant is not None or not terms:
        row = torch.zeros(value.dim) if value.constant is None else value.constant
        terms.append(rows.constant_row(f"{out.name}.constant", row))
    total = rows.sum(scope, terms)
    return rows.repeated(scope, total, span) if every_row and not moving else total


def _write_layer(rows: Rows, out: Core, layer: Layer, span: Span) -> str:
    scope, add = rows.scope(out), rows.nodes.add
    parts = [
        rows.take(piece.core, span.shifted(piece.shift), piece.source) for piece in layer.pieces
    ]
    joined = parts[0] if len(parts) == 1 else add(scope, "Concat", *parts, axis=-1)
    dim, targets = len(layer.filled), layer.targets()
    if len(targets) < dim:  # a column of zeros for those that nothing fills
        pads = [0] * (2 * (2 + rows.batched) - 1) + [1]
        joined = add(scope, "Pad", joined, rows.nodes.integers(*pads))
    columns = np.full(dim, len(targets), np.int64)
    columns[targets] = np.arange(len(targets))
    if not np.array_equal(columns, np.arange(dim)):
        order = rows.nodes.constant(f"{out.name}.columns", columns)
        joined = add(scope, "Gather", joined, order, axis=-1)
    scale = _scale(layer)
    if isinstance(scale, Tensor):
        name = f"{out.name}.scale"
        return add(scope, "Mul", joined, rows.nodes.constant(name, float_array(name, scale)))
    return joined if scale == 1.0 else add(scope, "Mul", joined, rows.nodes.number(scale))


def _scale(layer: Layer) -> Tensor | float:
    """One factor for all columns where there is one, else one for each [dim]."""
    scales = [piece.scale for piece in layer.pieces]
    first = scales[0]
    if not isinstance(first, Tensor) and all(
        not isinstance(scale, Tensor) and scale == first for scale in scales
    ):
        return first
    dim = len(layer.filled)
    result = torch.ones(dim)
    for piece in layer.pieces:
        result[torch.from_numpy(_indices(piece.target, dim))] = torch.as_tensor(
            piece.scale, dtype=result.dtype
        )
    return result


def _indices(columns: slice | Tensor, dim: int) -> NDArray[np.int64]:
    if isinstance(columns, slice):
        return np.arange(*columns.indices(dim))
    indices: NDArray[np.int64] = columns.numpy()
    return indices
