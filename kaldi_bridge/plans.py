"""Compiled plans, kept for as long as the weights they were folded from."""

from __future__ import annotations

from collections import OrderedDict

import torch

from kaldi_bridge.graph.folding import fold
from kaldi_bridge.graph.lowering import lower
from kaldi_bridge.graph.plan import Plan, make_plan
from kaldi_bridge.nnet3.network import Network
from kaldi_bridge.weights import NetworkWeights

MAX_PLANS = 2
"""Plans that are kept at a time: each holds folded weights."""

Key = tuple[tuple[str, ...], int]


class Plans:
    """Makes plans, and makes them anew when a weight has changed, moved or been replaced."""

    def __init__(self, network: Network, weights: NetworkWeights) -> None:
        """Args:
        network: what to compile.
        weights: its numbers, as they are at the time of each call.
        """
        self._network, self._weights = network, weights
        self._kept: OrderedDict[Key, Plan] = OrderedDict()
        self._stamp: object = None

    def get(self, nodes: tuple[str, ...], subsampling: int, learning: bool = False) -> Plan:
        """Returns a plan.

        Args:
            nodes: what is asked for.
            subsampling: frames per output row.
            learning: fold with gradients, for this once.
        """
        if learning:
            return self._made(nodes, subsampling)
        values = self._weights.values()
        stamp = [(value.data_ptr(), value._version, value.dtype, value.device) for value in values]
        if stamp != self._stamp:
            self._kept.clear()
            self._stamp = stamp
        key = (nodes, subsampling)
        if key not in self._kept:
            with torch.no_grad():
                self._kept[key] = self._made(nodes, subsampling)
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_PLANS:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _made(self, nodes: tuple[str, ...], subsampling: int) -> Plan:
        graph = fold(lower(self._network, nodes, subsampling, self._weights))
        return make_plan(graph, self._weights.stored.dtype, self._weights.device)
