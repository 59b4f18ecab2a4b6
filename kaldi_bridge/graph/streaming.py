"""Runs a plan over rows that come block by block: nothing computed twice, memory bounded.

Each core lags behind the input by its own delay, and keeps from one block to the next only the few
rows that its readers still need. Blocks have a fixed number of rows, counted from the start, so the
numbers do not depend on how the input was cut. Clips with i-vectors of their own (segments) follow
one another in the same stream, each padded by what the network sees beyond its ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kaldi_bridge.graph.layout import Layout, Tail
from kaldi_bridge.graph.lazy import Core
from kaldi_bridge.graph.plan import Plan
from kaldi_bridge.graph.segments import Segments
from kaldi_bridge.graph.storage import Pool

BLOCK_FRAMES = 2304
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
        self._tails: dict[Core, Tail] = {}
        self._stops: dict[Core | str, int] = dict.fromkeys(plan.outputs, 0)
        self._stops.update(plan.first.items())
        self._waiting: list[Tensor] = []
        self._n_waiting = 0
        self._kept: Tail | None = None
        self._segments = Segments(plan)

    def segment(self, steady: Mapping[str, Tensor]) -> int:
        """Starts a segment: what is fed from now on has these other inputs.

        Args:
            steady: other inputs by name, each [K].

        Returns:
            Number of the segment's first output row.
        """
        first = self.fed + self.plan.past
        self._segments.add(first, steady)
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
        plan, fed = self.plan, self._next_input()
        spans: dict[Core | str, tuple[int, int]] = {}
        for known in (plan.delay, plan.output_delay):
            for name, delay in known.items():
                start = self._stops[name]
                spans[name] = start, max(start, self._end - delay)
        layout = Layout(plan, self._pool, spans, self._tails, fed, self._segments)
        layout.run()
        self._tails = layout.tails
        self._stops = {name: stop for name, (_, stop) in spans.items()}
        self._keep_input(fed)
        oldest = min(self._stops.values(), default=0) - plan.past - plan.future
        self._segments.forget(oldest)
        return Block({name: spans[name][0] for name in plan.outputs}, layout.outputs)

    def _next_input(self) -> Tail:
        """Returns what is kept of the input and what was fed since."""
        kept = [] if self._kept is None else [self._kept[0]]
        first = self._end - sum(map(len, kept))
        parts = [*kept, *self._waiting]
        self._end += self._n_waiting
        self._waiting, self._n_waiting = [], 0
        return (torch.cat(parts) if len(parts) > 1 else parts[0]), first

    def _keep_input(self, fed: Tail) -> None:
        rows, first = fed
        needed = self._end
        for core in self.plan.inputs.values():
            for reader, shift in self.plan.readers.get(core, []):
                needed = min(needed, self._stops[reader] + shift)
        needed = max(needed, first)
        kept = rows[needed - first :]
        self._kept = (kept.clone(), needed) if len(kept) else None


def _block_rows(plan: Plan) -> int:
    if plan.device.type != "cpu":
        return GPU_BLOCK_ROWS
    return max(1, min(BLOCK_ROWS, BLOCK_FRAMES // plan.phases))
