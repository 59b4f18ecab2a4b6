"""The last layers of a network as a torch module of its own, which learns."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from kaldi_bridge.graph import functional
from kaldi_bridge.nnet3.cutting import UPPER_OUTPUT, Cut
from kaldi_bridge.plans import Plans
from kaldi_bridge.weights import NetworkWeights


class LearningLayers(nn.Module):
    """What is above a cut: rows of the lower part → activations of the node.

    Its parameters learn from the beginning; statistics of batch normalisation stay as they are, as
    they do where Kaldi applies a network, and nothing is dropped out. Float32, whatever the lower
    part computes in, until somebody moves it.

    Attributes:
        layers: their names, the first one first.
        offsets: frames of the lower part that a row holds, relative to its own.
        weights: parameters and buffers, by the names that they have in the whole network.
    """

    def __init__(self, cut: Cut) -> None:
        """Args:
        cut: where the network was cut, with the numbers to begin with, which are copied.
        """
        super().__init__()
        self.layers, self.offsets = cut.layers, cut.offsets
        self.weights = NetworkWeights(cut.upper)
        for parameter in self.weights.parameters():
            parameter.requires_grad_(parameter.numel() > 0)  # a bias that is not there has none
        self._plans = Plans(self.weights.without_numbers(cut.upper), self.weights)
        self._window = cut.window
        self._place = {offset + cut.lead: place for place, offset in enumerate(cut.offsets)}

    def forward(self, rows: Tensor) -> Tensor:
        """Rows [N, offsets · D] of the lower part, each for itself → activations [N, D'].

        Raises:
            NotSupported: a component that is not computed.
        """
        stored = self.weights.stored
        learning = torch.is_grad_enabled() and any(
            parameter.requires_grad for parameter in self.parameters()
        )
        plan = self._plans.get((UPPER_OUTPUT,), self._window, learning)
        # a row of the plan is the window of one row here, of which only the offsets are read
        inputs = {(name, self._place[phase]): core for (name, phase), core in plan.inputs.items()}
        frames = rows.to(stored.device, stored.dtype).reshape(len(rows), len(self.offsets), -1)
        found = functional.run(replace(plan, inputs=inputs), frames, {}, len(rows))
        return found[UPPER_OUTPUT].flatten(0, 1)
