"""Runs a plan over rows that come block by block: nothing computed twice, memory bounded.

Each core lags behind the input by its own delay, and keeps from one block to the next only the few
rows that its readers still need. Blocks have a fixed number of rows, counted from the start, so the
numbers do not depend on how the input was cut. Clips with i-vectors of their own (segments) follow
one another in the same stream, each padded by what the network sees beyond its ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from kaldi_bridge.graph import functional
from kaldi_bridge.graph.lazy import Core
from kaldi_bridge.graph.plan import LinearStep, OtherStep, Plan, SharedStep, Step
from kaldi_bridge.graph.pointwise import apply
from kaldi_bridge.graph.storage import Buffer, Pool

BLOCK_FRAMES = 3072
BLOCK_ROWS = 2048
"""Frames and rows per block on a CPU: long enough for fast products, short enough for the caches
and for a bounded memory; phases have buffers of their own, so rows are fewer where they are many.
"""
GPU_BLOCK_ROWS = 16384


@dataclass
class Block:
    """Rows of every output, from row `first` on; per node [rows, output phases, D]."""

    first: dict[str, int]
    rows: dict[str, Tensor]


class Stream:
    """One pass of a plan. Feed segments in order, then finish."""

    def __init__(self, plan: Plan, block_rows: int | None = None) -> None:
        """Args:
        plan: what to compute.
        block_rows: rows computed at a time; None: by the device.
        """
        self.plan = plan
        self.block_rows = block_rows or _block_rows(plan)
        self.fed = -plan.past
        self._end = -plan.past
        self._pool = plan.pools.lend()
        self._buffers: dict[Core, Buffer] = {}
        self._tails: dict[Core, tuple[Tensor, int]] = {}
        self._stops: dict[Core | str, int] = dict.fromkeys(plan.outputs, 0)
        self._stops.update(plan.first.items())
        self._starts: dict[Core | str, int] = dict(self._stops)
        self._waiting: list[Tensor] = []
        self._n_waiting = 0
        self._kept_input: Tensor | None = None
        self._input_base = -plan.past
        self._input_rows: Tensor | None = None
        self._segments: list[int] = []
        self._steady: dict[Core, Tensor] = {}
        self._biases: dict[LinearStep, Tensor] = {}  # of steps that read steady cores
        self._last_use = _last_uses(plan)
        self._room = plan.past + plan.future + 16

    def segment(self, steady: Mapping[str, Tensor]) -> int:
        """Starts a segment: what is fed from now on has these other inputs.

        Args:
            steady: other inputs by name, each [K].

        Returns:
            Number of the segment's first output row.
        """
        rows = functional.Rows()
        for (name, _), core in self.plan.inputs.items():
            if core.steady:
                value = steady[name].to(self.plan.device, self.plan.dtype)
                rows.of[core] = (value[None], 0)
        for step in self.plan.steady_steps:
            functional.run_step(step, rows, lambda core: (0, 1))
        for core, (value, _) in rows.of.items():
            known = self._steady.get(core)
            self._steady[core] = value if known is None else torch.cat([known, value])
        for step in self.plan.steps:
            if isinstance(step, LinearStep) and step.steady:
                row = sum(rows.of[core][0] @ weight for core, weight in step.steady)
                assert isinstance(row, Tensor)
                row = row if step.bias is None else row + step.bias
                known = self._biases.get(step)
                self._biases[step] = row if known is None else torch.cat([known, row])
        first = self.fed + self.plan.past
        self._segments.append(first)
        return first

    def feed(self, frames: Tensor) -> Iterator[Block]:
        """Takes frames [rows, phases, F] and yields what has become known.

        The first `past` rows of a segment and its last `future` rows are its padding.
        """
        self.fed += len(frames)
        frames = frames.to(self.plan.device, self.plan.dtype)
        while len(frames):
            wanted = self.block_rows - self._n_waiting
            self._waiting.append(frames[:wanted])
            self._n_waiting += len(self._waiting[-1])
            frames = frames[wanted:]
            if self._n_waiting == self.block_rows:
                yield self._block()

    def finish(self) -> Iterator[Block]:
        """Computes what is left."""
        if self._n_waiting:
            yield self._block()
        self.plan.pools.take_back(self._pool)
        self._pool = Pool(self.plan.dtype, self.plan.device)

    def _block(self) -> Block:
        plan = self.plan
        fresh = torch.cat(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
        self._waiting, self._n_waiting = [], 0
        kept = self._kept_input
        self._input_rows = fresh if kept is None else torch.cat([kept, fresh])
        self._input_base = self._end - (0 if kept is None else len(kept))
        self._end += len(fresh)
        self._starts = dict(self._stops)
        for core, delay in plan.delay.items():
            self._stops[core] = max(self._stops[core], self._end - delay)
        for name, delay in plan.output_delay.items():
            self._stops[name] = max(self._stops[name], self._end - delay)
        for index, step in enumerate(plan.steps):
            self._run(step, index)
            for core in self._last_use.get(index, ()):
                self._retire(core)
        rows = {}
        for name, values in plan.outputs.items():
            start, stop = self._starts[name], self._stops[name]
            parts = [functional.compute(value, self, start, stop) for value in values]
            rows[name] = torch.stack(parts, dim=1)
        for core in list(self._buffers):
            self._retire(core)
        self._keep_input()
        self._forget_segments()
        return Block({name: self._starts[name] for name in rows}, rows)

    def take(self, core: Core, start: int, stop: int) -> Tensor:
        """Returns rows `start` to `stop` of a core; of a steady one perhaps a single row."""
        if core.steady:
            return self._spread(self._steady[core], start, stop)
        if core.fed:
            assert self._input_rows is not None
            base = self._input_base
            return self._input_rows[start - base : stop - base, core.phase]
        return self._buffers[core].rows(start, stop)

    def _spread(self, values: Tensor, start: int, stop: int) -> Tensor:
        """Rows per segment → rows per row, counted as output rows; one where it is all the same."""
        first = max(bisect_right(self._segments, start) - 1, 0)
        last = max(bisect_right(self._segments, max(stop - 1, start)) - 1, 0)
        if first == last:
            return values[first : first + 1]
        edges = [start, *self._segments[first + 1 : last + 1], stop]
        counts = torch.tensor([b - a for a, b in pairwise(edges)])
        return values[first : last + 1].repeat_interleave(counts.to(values.device), dim=0)

    def _open(self, core: Core) -> Tensor:
        """Lends a buffer for a core, its tail in front, and returns the place of its new rows."""
        start, stop = self._starts[core], self._stops[core]
        tail, first = self._tails.pop(core, (None, start))
        lead = self._room
        matrix = self._pool.lend(stop - first + lead, core.dim)
        buffer = Buffer(matrix, first - lead)
        self._buffers[core] = buffer
        if tail is not None:
            buffer.rows(first, start).copy_(tail)
        return buffer.rows(start, stop)

    def _open_on(self, core: Core, under: Core, shift: int) -> Tensor | None:
        """Lays a core's new rows over those of a core that nobody else reads any more.

        Returns:
            The new rows, or None where the tail finds no room in front.
        """
        start, stop = self._starts[core], self._stops[core]
        buffer = self._buffers[under]
        base = buffer.base - shift
        _, first = self._tails.get(core, (None, start))
        if first < base:
            return None
        self._save_tail(under)
        tail, _ = self._tails.pop(core, (None, start))
        laid = Buffer(buffer.matrix, base)
        self._buffers[core] = laid
        del self._buffers[under]
        if tail is not None:
            laid.rows(first, start).copy_(tail)
        return laid.rows(start, stop)

    def _save_tail(self, core: Core) -> None:
        stop = self._stops[core]
        needed = min(
            self._stops[reader] + shift for reader, shift in self.plan.readers.get(core, [])
        )
        needed = max(needed, self._buffers[core].base)
        if needed < stop:
            self._tails[core] = (self._buffers[core].rows(needed, stop).clone(), needed)

    def _retire(self, core: Core) -> None:
        if core in self._buffers:
            self._save_tail(core)
            self._pool.take_back(self._buffers.pop(core).matrix)

    def _keep_input(self) -> None:
        assert self._input_rows is not None
        needed = self._end
        for core in self.plan.inputs.values():
            for reader, shift in self.plan.readers.get(core, []):
                needed = min(needed, self._stops[reader] + shift)
        needed = max(needed, self._input_base)
        kept = self._input_rows[needed - self._input_base :]
        self._kept_input = kept.clone() if len(kept) else None
        self._input_rows = None

    def _forget_segments(self) -> None:
        oldest = min(self._stops.values(), default=0) - self.plan.past - self.plan.future
        gone = max(bisect_right(self._segments, oldest) - 1, 0)
        if gone:
            self._segments = self._segments[gone:]
            self._steady = {core: value[gone:] for core, value in self._steady.items()}
            self._biases = {step: value[gone:] for step, value in self._biases.items()}

    def _run(self, step: Step, index: int) -> None:
        if isinstance(step, SharedStep):
            self._run_shared(step)
        elif isinstance(step, OtherStep):
            core = step.operation.out
            start, stop = self._starts[core], self._stops[core]
            out = self._open(core)
            if stop > start:
                values = [
                    functional.compute(value, self, start, stop).contiguous()
                    for value in step.values
                ]
                out.copy_(apply(step.operation, values))
        else:
            self._run_linear(step, index)

    def _run_linear(self, step: LinearStep, index: int) -> None:
        start, stop = self._starts[step.out], self._stops[step.out]
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
            sources = [torch.cat(sources, dim=1, out=borrowed[: stop - start])]
        rest = out = None
        if step.rest is not None:
            core, shift, _ = step.rest
            rest = self.take(core, start + shift, stop + shift)
            over = step.way != "accumulate" and core in self._last_use.get(index, ())
            if over and all(read.core is not core for read in step.reads):
                out = self._open_on(step.out, core, shift)
        if out is None:
            out = self._open(step.out)
        bias = step.bias
        if step.steady:
            bias = self._spread(self._biases[step], start + step.lag, stop + step.lag)
        if step.way == "accumulate":
            torch.mm(sources[0], step.weights[0], out=out)
            for source, weight in zip(sources[1:], step.weights[1:], strict=True):
                out.addmm_(source, weight)
            self._finish(step, step.floor, out, out, bias, rest)
        else:
            self._run_tiles(step, sources[0], out, bias, rest)
        if borrowed is not None:
            self._pool.take_back(borrowed)

    def _run_tiles(
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
            torch.mm(source, tile.weight, out=product)
            self._finish(
                step,
                tile.floor,
                product,
                target,
                None if bias is None else bias[..., columns],
                None if rest is None else rest[:, columns],
            )
        if lent is not None:
            self._pool.take_back(lent)

    def _finish(
        self,
        step: LinearStep,
        floor: Tensor | None,
        product: Tensor,
        target: Tensor,
        bias: Tensor | None,
        rest: Tensor | None,
    ) -> None:
        if bias is not None:
            product.add_(bias)
        last = target if rest is None else product
        if floor is not None:
            torch.maximum(product, floor, out=last)
        elif step.relu:
            torch.clamp(product, min=0, out=last)
        if rest is not None:
            assert step.rest is not None
            torch.add(product, rest, alpha=step.rest[2], out=target)

    def _run_shared(self, step: SharedStep) -> None:
        spans = [(self._starts[part.out], self._stops[part.out]) for part in step.steps]
        outs = [self._open(part.out) for part in step.steps]
        parts: list[list[Tensor]] = [[] for _ in step.steps]
        lent = []
        dim = step.steps[0].out.dim
        for read in step.reads:
            ranges = [
                (spans[index][0] + shift, spans[index][1] + shift)
                for index, shift, _ in read.readers
                if spans[index][1] > spans[index][0]
            ]
            if not ranges:
                continue
            low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
            product = self._pool.lend(high - low, read.weight.shape[1])
            lent.append(product)
            source = self.take(read.core, low, high)[:, read.columns]
            torch.mm(source, read.weight, out=product[: high - low])
            for index, shift, column in read.readers:
                start, stop = spans[index]
                if stop > start:
                    rows = product[start + shift - low : stop + shift - low]
                    parts[index].append(rows[:, column : column + dim])
        for part, out, pieces in zip(step.steps, outs, parts, strict=True):
            if not pieces:
                continue
            if len(pieces) == 1:
                out.copy_(pieces[0])
            else:
                torch.add(pieces[0], pieces[1], out=out)
            for piece in pieces[2:]:
                out.add_(piece)
            if part.bias is not None:
                out.add_(part.bias)
        for product in lent:
            self._pool.take_back(product)


def _block_rows(plan: Plan) -> int:
    if plan.device.type != "cpu":
        return GPU_BLOCK_ROWS
    return max(1, min(BLOCK_ROWS, BLOCK_FRAMES // plan.phases))


def _last_uses(plan: Plan) -> dict[int, list[Core]]:
    """Per step, the cores that no later step and no output reads."""
    last: dict[Core, int] = {}
    for index, step in enumerate(plan.steps):
        for core in _read_cores(step):
            last[core] = index
    for values in plan.outputs.values():
        for value in values:
            for piece in value.pieces:
                last.pop(piece.core, None)
    uses: dict[int, list[Core]] = {}
    for core, index in last.items():
        if not core.fed and not core.steady:
            uses.setdefault(index, []).append(core)
    return uses


def _read_cores(step: Step) -> Iterator[Core]:
    if isinstance(step, SharedStep):
        yield from (read.core for read in step.reads)
    elif isinstance(step, OtherStep):
        yield from (piece.core for value in step.values for piece in value.pieces)
    else:
        yield from (read.core for read in step.reads)
        if step.rest is not None:
            yield step.rest[0]
