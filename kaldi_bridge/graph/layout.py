"""One block before it is computed: where each core's rows lie, and the calls that fill them.

All slicing and bookkeeping of a block is done here, before its first product. In between products
it would cost many times as much: a large product leaves nothing of the interpreter in the caches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kaldi_bridge.graph import functional
from kaldi_bridge.graph.lazy import Core
from kaldi_bridge.graph.plan import LinearStep, OtherStep, Plan, SharedStep, Value
from kaldi_bridge.graph.pointwise import apply
from kaldi_bridge.graph.segments import Segments
from kaldi_bridge.graph.storage import Buffer, Pool

Span = tuple[int, int]
"""First row, and the row behind the last."""
Tail = tuple[Tensor, int]
"""Rows kept from the block before, and the number of the first of them."""


class Layout:
    """The calls of one block. Make it, `run` it; then `outputs` and `tails` hold what it gave.

    Attributes:
        outputs: per node [rows, output phases, D].
        tails: per core, the last rows that a later block needs.
    """

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        spans: Mapping[Core | str, Span],
        tails: dict[Core, Tail],
        fed: Tail,
        segments: Segments,
    ) -> None:
        """Args:
        plan: what to compute.
        pool: lends the buffers; all are back in it when the layout is made.
        spans: rows of each core and output that this block computes.
        tails: what the last block left.
        fed: input rows [rows, phases, F] and the number of the first.
        segments: the clips.
        """
        self.outputs: dict[str, Tensor] = {}
        self.tails: dict[Core, Tail] = {}
        self._plan, self._pool, self._spans, self._before = plan, pool, spans, tails
        self._fed, self._segments = fed, segments
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._buffers: dict[Core, Buffer] = {}
        self._room = plan.past + plan.future + 16
        for index, step in enumerate(plan.steps):
            over = plan.last_uses.get(index, ())
            if isinstance(step, SharedStep):
                self._lay_shared(step)
            elif isinstance(step, OtherStep):
                self._lay_other(step)
            else:
                self._lay_linear(step, over)
            for core in over:
                self._retire(core)
        for name, values in plan.outputs.items():
            self._lay_output(name, values)
        for core in list(self._buffers):
            self._retire(core)

    def run(self) -> None:
        """Computes the block, once: the calls and what they hold are let go of."""
        calls, self._calls = self._calls, []
        for function, arguments, options in calls:
            function(*arguments, **options)

    def take(self, core: Core, start: int, stop: int) -> Tensor:
        """Returns rows `start` to `stop` of a core; of a steady one perhaps a single row."""
        if core.steady:
            return self._segments.rows_of(core, start, stop)
        if core.fed:
            rows, first = self._fed
            return rows[start - first : stop - first, core.phase]
        return self._buffers[core].rows(start, stop)

    def _call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        self._calls.append((function, arguments, options))

    # Buffers

    def _open(self, core: Core) -> Tensor:
        """Lends a buffer for a core, its tail in front, and returns the place of its new rows."""
        start, stop = self._spans[core]
        tail, first = self._before.get(core, (None, start))
        matrix = self._pool.lend(stop - first + self._room, core.dim)
        return self._placed(core, Buffer(matrix, first - self._room), tail, first)

    def _open_on(self, core: Core, under: Core, shift: int) -> Tensor | None:
        """Lays a core's new rows over those of a core that nobody else reads any more.

        Returns:
            The new rows, or None where the tail finds no room in front.
        """
        buffer = self._buffers[under]
        base = buffer.base - shift
        tail, first = self._before.get(core, (None, self._spans[core][0]))
        if first < base:
            return None
        self._save_tail(under)
        del self._buffers[under]
        return self._placed(core, Buffer(buffer.matrix, base), tail, first)

    def _placed(self, core: Core, buffer: Buffer, tail: Tensor | None, first: int) -> Tensor:
        start, stop = self._spans[core]
        self._buffers[core] = buffer
        if tail is not None:
            self._call(buffer.rows(first, start).copy_, tail)
        return buffer.rows(start, stop)

    def _save_tail(self, core: Core) -> None:
        stop = self._spans[core][1]
        readers = self._plan.readers.get(core, [])
        needed = min(self._spans[reader][1] + shift for reader, shift in readers)
        needed = max(needed, self._buffers[core].base)
        if needed < stop:
            rows = self._buffers[core].rows(needed, stop)
            kept = torch.empty_like(rows)
            self._call(kept.copy_, rows)
            self.tails[core] = (kept, needed)

    def _retire(self, core: Core) -> None:
        if core in self._buffers:
            self._save_tail(core)
            self._pool.take_back(self._buffers.pop(core).matrix)

    # Steps

    def _lay_other(self, step: OtherStep) -> None:
        core = step.operation.out
        start, stop = self._spans[core]
        out = self._open(core)
        if stop > start:
            sources = [functional.taken(value, self, start, stop) for value in step.values]
            self._call(_compute, step, sources, out)

    def _lay_output(self, name: str, values: list[Value]) -> None:
        start, stop = self._spans[name]
        sources = [functional.taken(value, self, start, stop) for value in values]
        self._call(_give, self.outputs, name, values, sources, stop - start)

    def _lay_linear(self, step: LinearStep, over: tuple[Core, ...]) -> None:
        start, stop = self._spans[step.out]
        if stop == start:
            self._open(step.out)
            return
        sources = [
            self.take(read.core, start + read.shift, stop + read.shift)[:, read.columns]
            for read in step.reads
        ]
        borrowed = None
        if step.way == "splice":
            borrowed = self._pool.lend(stop - start, sum(source.shape[1] for source in sources))
            beside = borrowed[: stop - start]
            self._call(torch.cat, sources, dim=1, out=beside)
            sources = [beside]
        rest = out = None
        if step.rest is not None:
            core, shift, _ = step.rest
            rest = self.take(core, start + shift, stop + shift)
            free = step.way != "accumulate" and core in over
            if free and all(read.core is not core for read in step.reads):
                out = self._open_on(step.out, core, shift)
        if out is None:
            out = self._open(step.out)
        bias = self._segments.bias_of(step, start, stop)
        if step.way == "accumulate":
            self._call(torch.mm, sources[0], step.weights[0], out=out)
            for source, weight in zip(sources[1:], step.weights[1:], strict=True):
                self._call(out.addmm_, source, weight)
            self._lay_end(step, step.floor, out, out, bias, rest)
        else:
            self._lay_tiles(step, sources[0], out, bias, rest)
        if borrowed is not None:
            self._pool.take_back(borrowed)

    def _lay_tiles(
        self,
        step: LinearStep,
        source: Tensor,
        out: Tensor,
        bias: Tensor | None,
        rest: Tensor | None,
    ) -> None:
        """Product, bias, cut and bypass of a tile at a time, while it is in the cache."""
        n_rows = len(out)
        lent = None
        if step.relu or rest is not None:
            lent = self._pool.lend(n_rows, step.tiles[0].weight.shape[1])
        for tile in step.tiles:
            columns = tile.columns
            target = out[:, columns]
            product = target
            if lent is not None:
                product = lent[:n_rows, : columns.stop - columns.start]
            self._call(torch.mm, source, tile.weight, out=product)
            tile_bias = None if bias is None else bias[..., columns]
            tile_rest = None if rest is None else rest[:, columns]
            self._lay_end(step, tile.floor, product, target, tile_bias, tile_rest)
        if lent is not None:
            self._pool.take_back(lent)

    def _lay_end(
        self,
        step: LinearStep,
        floor: Tensor | None,
        product: Tensor,
        target: Tensor,
        bias: Tensor | None,
        rest: Tensor | None,
    ) -> None:
        if bias is not None:
            self._call(product.add_, bias)
        last = target if rest is None else product
        if floor is not None:
            self._call(torch.maximum, product, floor, out=last)
        elif step.relu:
            self._call(torch.clamp, product, min=0, out=last)
        if rest is not None:
            assert step.rest is not None
            self._call(torch.add, product, rest, alpha=step.rest[2], out=target)

    def _lay_shared(self, step: SharedStep) -> None:
        spans = [self._spans[part.out] for part in step.steps]
        outs = [self._open(part.out) for part in step.steps]
        pieces: list[list[Tensor]] = [[] for _ in step.steps]
        lent = []
        dim = step.steps[0].out.dim
        for read in step.reads:
            wanted = [
                reader for reader in read.readers if spans[reader[0]][1] > spans[reader[0]][0]
            ]
            if not wanted:
                continue
            low = min(spans[index][0] + shift for index, shift, _ in wanted)
            high = max(spans[index][1] + shift for index, shift, _ in wanted)
            lent.append(self._pool.lend(high - low, read.weight.shape[1]))
            product = lent[-1][: high - low]
            source = self.take(read.core, low, high)[:, read.columns]
            self._call(torch.mm, source, read.weight, out=product)
            for index, shift, column in wanted:
                rows = slice(spans[index][0] + shift - low, spans[index][1] + shift - low)
                pieces[index].append(product[rows, column : column + dim])
        for part, out, found in zip(step.steps, outs, pieces, strict=True):
            if len(found) == 1:
                self._call(out.copy_, found[0])
            elif found:
                self._call(torch.add, found[0], found[1], out=out)
            for piece in found[2:]:
                self._call(out.add_, piece)
            if found and part.bias is not None:
                self._call(out.add_, part.bias)
        for product in lent:
            self._pool.take_back(product)


def _give(
    outputs: dict[str, Tensor],
    name: str,
    values: list[Value],
    sources: list[list[Tensor]],
    n_rows: int,
) -> None:
    parts = [
        functional.combined(value, read, n_rows)
        for value, read in zip(values, sources, strict=True)
    ]
    outputs[name] = torch.stack(parts, dim=1)


def _compute(step: OtherStep, sources: list[list[Tensor]], out: Tensor) -> None:
    values = [
        functional.combined(value, read, len(out)).contiguous()
        for value, read in zip(step.values, sources, strict=True)
    ]
    out.copy_(apply(step.operation, values))
