"""Compiled plans, kept for as long as the weights they were folded from."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from contextlib import suppress
from threading import Lock

import torch
from torch import Tensor

from kaldi_bridge.graph.folding import fold
from kaldi_bridge.graph.lowering import lower
from kaldi_bridge.graph.plan import Plan
from kaldi_bridge.graph.planning import make_plan
from kaldi_bridge.nnet3.network import Network
from kaldi_bridge.weights import NetworkWeights

MAX_PLANS = 2
"""Plans that are kept at a time: each holds folded weights."""

Key = tuple[tuple[str, ...], int]


class Plans:
    """Makes plans, and makes them anew when a weight has changed, moved or been replaced.

    Threads may ask at the same time. As for autograd, changes in place through `.data` go unseen:
    use `torch.no_grad()` instead. A copy of it starts without plans.
    """

    def __init__(self, network: Network, weights: NetworkWeights) -> None:
        """Args:
        network: what to compile.
        weights: its numbers, as they are at the time of each call.
        """
        self._network, self._weights = network, weights
        self._kept: OrderedDict[Key, Plan] = OrderedDict()
        self._stamp: list[tuple[Tensor, int]] = []
        self._lock = Lock()

    def get(self, nodes: tuple[str, ...], subsampling: int, learning: bool = False) -> Plan:
        """Returns a plan.

        Args:
            nodes: what is asked for.
            subsampling: frames per output row.
            learning: fold with gradients, for this once.
        """
        if learning:
            return self._made(nodes, subsampling)
        with self._lock:
            return self._found((nodes, subsampling))

    def __getstate__(self) -> tuple[Network, NetworkWeights]:
        return self._network, self._weights

    def __setstate__(self, state: tuple[Network, NetworkWeights]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def _found(self, key: Key) -> Plan:
        values = self._weights.values()
        if len(values) != len(self._stamp) or not all(map(_is_same, values, self._stamp)):
            self._kept.clear()
            # held, so that nothing else comes to lie where these weights lie
            self._stamp = [(value.detach(), _version(value)) for value in values]
        if key not in self._kept:
            with torch.no_grad():
                self._kept[key] = self._made(*key)
            _return_freed_memory()
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_PLANS:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _made(self, nodes: tuple[str, ...], subsampling: int) -> Plan:
        graph = fold(lower(self._network, nodes, subsampling, self._weights))
        return make_plan(graph, self._weights.stored.dtype, self._weights.device)


def _version(value: Tensor) -> int:
    return 0 if value.is_inference() else value._version


def _is_same(value: Tensor, stamp: tuple[Tensor, int]) -> bool:
    known, version = stamp
    same = value.data_ptr() == known.data_ptr() and _version(value) == version
    return same and value.dtype == known.dtype and value.device == known.device


def _return_freed_memory() -> None:
    """Gives what folding has freed back to the system; glibc keeps it, in holes, until told."""
    with suppress(OSError, AttributeError, TypeError):  # other systems do without
        ctypes.CDLL(None).malloc_trim(0)
