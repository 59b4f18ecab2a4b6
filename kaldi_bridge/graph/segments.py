"""What clips in one stream have of their own: where each begins, and its i-vector's share."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from kaldi_bridge.graph import functional
from kaldi_bridge.graph.lazy import Core
from kaldi_bridge.graph.plan import LinearStep, Plan


class Segments:
    """The clips of a stream: number of the first output row, steady cores, biases made of them."""

    def __init__(self, plan: Plan) -> None:
        """Args:
        plan: what the stream computes.
        """
        self._plan = plan
        self._firsts: list[int] = []
        self._steady: dict[Core, Tensor] = {}
        self._biases: dict[LinearStep, Tensor] = {}

    def add(self, first: int, steady: Mapping[str, Tensor]) -> None:
        """Adds a clip that begins at output row `first` and has other inputs [K] of its own."""
        plan = self._plan
        rows = functional.Rows()
        for (name, _), core in plan.inputs.items():
            if core.steady:
                value = steady[name].to(plan.device, plan.dtype)
                rows.of[core] = (value[None], 0)
        for step in plan.steady_steps:
            functional.run_step(step, rows, lambda core: (0, 1))
        for core, (value, _) in rows.of.items():
            self._steady[core] = _with(self._steady.get(core), value)
        for step in plan.steps:
            if isinstance(step, LinearStep) and step.steady:
                parts = [rows.of[core][0] @ weight for core, weight in step.steady]
                bias = parts[0] if step.bias is None else parts[0] + step.bias
                for part in parts[1:]:
                    bias = bias + part
                self._biases[step] = _with(self._biases.get(step), bias)
        self._firsts.append(first)

    def forget(self, oldest: int) -> None:
        """Drops clips that end before output row `oldest`."""
        gone = max(bisect_right(self._firsts, oldest) - 1, 0)
        if gone:
            self._firsts = self._firsts[gone:]
            self._steady = {core: value[gone:] for core, value in self._steady.items()}
            self._biases = {step: value[gone:] for step, value in self._biases.items()}

    def rows_of(self, core: Core, start: int, stop: int) -> Tensor:
        """Returns a steady core for output rows `start` to `stop`; one row if they share it."""
        return self._spread(self._steady[core], start, stop)

    def bias_of(self, step: LinearStep, start: int, stop: int) -> Tensor | None:
        """Returns a step's bias with its steady reads, for rows of its core."""
        if not step.steady:
            return step.bias
        return self._spread(self._biases[step], start + step.lag, stop + step.lag)

    def _spread(self, values: Tensor, start: int, stop: int) -> Tensor:
        first = max(bisect_right(self._firsts, start) - 1, 0)
        last = max(bisect_right(self._firsts, max(stop - 1, start)) - 1, 0)
        if first == last:
            return values[first : first + 1]
        edges = [start, *self._firsts[first + 1 : last + 1], stop]
        counts = torch.tensor([after - before for before, after in pairwise(edges)])
        return values[first : last + 1].repeat_interleave(counts.to(values.device), dim=0)


def _with(known: Tensor | None, row: Tensor) -> Tensor:
    return row if known is None else torch.cat([known, row])
