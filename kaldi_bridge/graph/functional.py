"""Runs a plan over one segment in one piece, out of place: with gradients, and easy to follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from kaldi_bridge.graph.lazy import Core
from kaldi_bridge.graph.plan import Columns, LinearStep, OtherStep, Plan, SharedStep, Step, Value
from kaldi_bridge.graph.pointwise import apply


class Taken(Protocol):
    """Gives computed rows."""

    def take(self, core: Core, start: int, stop: int) -> Tensor:
        """Returns rows `start` to `stop` of a core; one row if it is the same for all of them."""
        ...


class Rows:
    """Computed rows of each core, with the number of the first one."""

    def __init__(self) -> None:
        self.of: dict[Core, tuple[Tensor, int]] = {}

    def take(self, core: Core, start: int, stop: int) -> Tensor:
        """Returns rows `start` to `stop`; a steady core's one row is broadcast."""
        values, first = self.of[core]
        return values if core.steady else values[start - first : stop - first]


def run(plan: Plan, frames: Tensor, steady: Mapping[str, Tensor], n_rows: int) -> dict[str, Tensor]:
    """Computes every output of a plan for one segment.

    Args:
        plan: what to compute.
        frames: features [past + n_rows + future, phases, F]; see `Plan.past`.
        steady: other inputs by name, each [K].
        n_rows: output rows.

    Returns:
        Per node [n_rows, output phases, D].
    """
    rows = Rows()
    for (name, phase), core in plan.inputs.items():
        if core.steady:
            rows.of[core] = (steady[name].to(frames.device, frames.dtype)[None], 0)
        else:
            rows.of[core] = (frames[:, phase], -plan.past)
    end = n_rows + plan.future  # rows of input are known up to here
    for step in plan.steady_steps:
        run_step(step, rows, lambda core: (0, 1))
    for step in plan.steps:
        run_step(step, rows, lambda core: (plan.first[core], end - plan.delay[core]))
    return {
        name: torch.stack([compute(value, rows, 0, n_rows) for value in values], dim=1)
        for name, values in plan.outputs.items()
    }


def compute(value: Value, rows: Taken, start: int, stop: int) -> Tensor:
    """Returns rows of a value [stop - start, dim]."""
    return combined(value, taken(value, rows, start, stop), stop - start)


def taken(value: Value, rows: Taken, start: int, stop: int) -> list[Tensor]:
    """Returns what each piece of a value reads, all columns."""
    return [
        rows.take(piece.core, start + piece.shift, stop + piece.shift) for piece in value.pieces
    ]


def combined(value: Value, sources: list[Tensor], n_rows: int) -> Tensor:
    """Returns a value [n_rows, dim], from what `taken` gave; perhaps a view of it."""
    pieces = value.pieces
    if len(pieces) == 1 and _is_whole(pieces[0].target, value.dim):
        result = sources[0][:, pieces[0].source]
        if isinstance(pieces[0].scale, Tensor) or pieces[0].scale != 1.0:
            result = result * pieces[0].scale
        if value.constant is not None:
            result = result + value.constant
        return result.expand(n_rows, -1)
    example = sources[0] if sources else value.constant
    assert example is not None
    result = example.new_zeros(n_rows, value.dim)
    if value.constant is not None:
        result = result + value.constant
    for piece, source in zip(pieces, sources, strict=True):
        part = (source[:, piece.source] * piece.scale).expand(n_rows, -1)
        index = torch.arange(value.dim, device=part.device)[piece.target]
        result = result.index_add(1, index, part)
    return result


def _is_whole(target: Columns, dim: int) -> bool:
    return isinstance(target, slice) and target == slice(0, dim)


def run_step(step: Step, rows: Rows, extent: Callable[[Core], tuple[int, int]]) -> None:
    """Computes one step's cores over the rows that `extent` says, into `rows`."""
    if isinstance(step, SharedStep):
        for index, part in enumerate(step.steps):
            start, stop = extent(part.out)
            total: Tensor | None = None
            for shared in step.reads:
                for reader, shift, column in shared.readers:
                    if reader != index:
                        continue
                    source = rows.take(shared.core, start + shift, stop + shift)[:, shared.columns]
                    product = source @ shared.weight[:, column : column + part.out.dim]
                    total = product if total is None else total + product
            assert total is not None
            rows.of[part.out] = (_finish(part, total, rows, start, stop), start)
        return
    out = step.out if isinstance(step, LinearStep) else step.operation.out
    start, stop = extent(out)
    if isinstance(step, OtherStep):
        values = [compute(value, rows, start, stop) for value in step.values]
        rows.of[out] = (apply(step.operation, values), start)
        return
    sources = [
        rows.take(read.core, start + read.shift, stop + read.shift)[:, read.columns]
        for read in step.reads
    ]
    if step.tiles:
        spliced = torch.cat(sources, dim=1)
        total = torch.cat([spliced @ tile.weight for tile in step.tiles], dim=1)
    else:
        example = sources[0] if sources else step.bias  # nothing but constants is read
        assert example is not None
        total = example.new_zeros(stop - start, out.dim)
        for source, weight in zip(sources, step.weights, strict=True):
            total = total + source @ weight
    rows.of[out] = (_finish(step, total, rows, start, stop), start)


def _finish(step: LinearStep, total: Tensor, rows: Rows, start: int, stop: int) -> Tensor:
    for core, weight in step.steady:
        total = total + rows.take(core, start, stop) @ weight
    if step.bias is not None:
        total = total + step.bias
    if step.relu:
        total = total.clamp_min(0) if step.floor is None else torch.maximum(total, step.floor)
    if step.rest is not None:
        core, shift, factor = step.rest
        total = total + factor * rows.take(core, start + shift, stop + shift)
    return total
