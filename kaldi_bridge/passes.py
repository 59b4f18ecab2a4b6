"""Recordings through a stream: padding in, padding's rows out again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from kaldi_bridge.chunks import Chunk, padded
from kaldi_bridge.graph.plan import Plan
from kaldi_bridge.graph.streaming import Block, Stream

PIECE_ROWS = 4096
"""Rows that are padded and handed over at a time."""


class Pass:
    """One run of a plan over chunks, one after the other; gives only what was asked for.

    Rows come out in the order of the chunks: `subsampling`-th frames of each, no padding.
    """

    def __init__(self, plan: Plan, block_rows: int | None = None) -> None:
        """Args:
        plan: what to compute.
        block_rows: rows computed at a time; None: by the device.
        """
        self.plan = plan
        self._stream = Stream(plan, block_rows)
        self._spans: dict[str, deque[tuple[int, int | None]]] = {
            name: deque() for name in plan.outputs
        }

    def chunk(
        self, features: Tensor, chunk: Chunk, steady: Mapping[str, Tensor], offset: int = 0
    ) -> Iterator[dict[str, Tensor]]:
        """Computes a chunk whose end is known.

        Args:
            features: frames from number `offset` on [n, F]; what the network sees beyond them is
                taken to be their first and last frame.
            chunk: frames to compute.
            steady: other inputs, each [K].
            offset: number of the first frame in `features`.
        """
        plan = self.plan
        self._begin(steady, chunk.outputs(plan.subsampling))
        first = chunk.first - plan.past * plan.phases
        yield from self._feed(
            features, first, chunk.rows(plan.phases) + plan.past + plan.future, offset
        )

    def begin(self, steady: Mapping[str, Tensor]) -> None:
        """Starts a chunk whose end is not known yet; `frames` and `end` follow."""
        self._begin(steady, None)

    def frames(
        self, features: Tensor, first: int, n_rows: int, offset: int = 0
    ) -> Iterator[dict[str, Tensor]]:
        """Hands over `n_rows` rows from frame `first` on of the chunk that `begin` started."""
        yield from self._feed(features, first, n_rows, offset)

    def end(self, n_outputs: int) -> None:
        """Says how many output frames the chunk that `begin` started has, before its last rows.

        Args:
            n_outputs: counted from the start of the chunk.
        """
        for name, spans in self._spans.items():
            first, _ = spans[-1]
            done = self._given.get(name, 0)
            spans[-1] = (first, n_outputs - done)

    def finish(self) -> Iterator[dict[str, Tensor]]:
        """Computes what is left."""
        for block in self._stream.finish():
            yield self._wanted(block)

    def _begin(self, steady: Mapping[str, Tensor], n_outputs: int | None) -> None:
        first = self._stream.segment(steady)
        self._given: dict[str, int] = {}
        for spans in self._spans.values():
            spans.append((first, n_outputs))

    def _feed(
        self, features: Tensor, first: int, n_rows: int, offset: int
    ) -> Iterator[dict[str, Tensor]]:
        phases = self.plan.phases
        for start in range(0, n_rows, PIECE_ROWS):
            stop = min(start + PIECE_ROWS, n_rows)
            frames = padded(features, first + start * phases, first + stop * phases, offset)
            for block in self._stream.feed(frames.reshape(stop - start, phases, -1)):
                yield self._wanted(block)

    def _wanted(self, block: Block) -> dict[str, Tensor]:
        """The rows of a block that belong to chunks, as output frames."""
        wanted = {}
        for name, rows in block.rows.items():
            per_row = rows.shape[1]
            at, stop = block.first[name], block.first[name] + len(rows)
            spans, parts = self._spans[name], []
            while spans:
                first, left = spans[0]
                begin = max(first, at)
                if begin >= stop:
                    break
                part = rows[begin - block.first[name] :].flatten(0, 1)
                if left is None:
                    self._given[name] = self._given.get(name, 0) + len(part)
                    spans[0] = (stop, None)
                    parts.append(part)
                    break
                parts.append(part[:left])
                if len(part) < left:
                    spans[0] = (stop, left - len(part))
                    break
                spans.popleft()
                at = begin + -(-left // per_row)
            wanted[name] = torch.cat(parts) if parts else rows.flatten(0, 1)[:0]
        return wanted
