"""Everything that decides what a run gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from kaldi_bridge.training.brain import TrainingOptions
from kaldi_bridge.training.corpus import CorpusOptions
from kaldi_bridge.training.linear import LinearOptions
from kaldi_bridge.training.model.network import TdnnfConfig


@dataclass(frozen=True)
class RunOptions:
    """Everything that decides what a run gives.

    Attributes:
        corpus: what is trained on.
        network: its sizes.
        training: how it is trained.
        linear: the baseline, trained on the same; its context is always the network's.
    """

    corpus: CorpusOptions = field(default_factory=CorpusOptions)
    network: TdnnfConfig = field(default_factory=TdnnfConfig)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    linear: LinearOptions = field(default_factory=lambda: LinearOptions(most_steps=6000))
