"""Conditioner `identity`: the control row beside conditioners that append."""

from __future__ import annotations

import torch

from sedsdk.stages import Conditioner
from sedsdk.types import Inputs, Targets


class Identity(Conditioner):
    """Leaves a batch as it is.

    In mode "append" every clip is trained on twice, which is what "no conditioning" means beside
    methods that train on the original and the conditioned data: the same number of clips per
    epoch, nothing new to see. In mode "replace" it does nothing. It never runs at inference.

    Source: the pairs (X, X) of the EDC paper's augmented mode, Section 2.2.
    """

    when = "training"

    def forward(
        self, inputs: Inputs, targets: Targets | None, generator: torch.Generator
    ) -> tuple[Inputs, Targets | None]:
        """Returns its arguments.

        Args:
            inputs: all streams.
            targets: of the batch.
            generator: not used.
        """
        return inputs, targets
