"""What an export asks of a model."""

from __future__ import annotations

from typing import Protocol

from kaldi_bridge.directory import ModelFiles
from kaldi_bridge.nnet3.network import Network
from kaldi_bridge.weights import NetworkWeights


class Exportable(Protocol):
    """A network with its weights, and what is known of its inputs; `AcousticModel` is one.

    Attributes:
        files: what was found around the model; None for a model made in Python.
        frame_subsampling_factor: frames of features per row that the model was trained with.
        weights: the network's numbers.
    """

    files: ModelFiles | None
    frame_subsampling_factor: int
    weights: NetworkWeights

    @property
    def network(self) -> Network:
        """Nodes and components."""

    @property
    def feature_dim(self) -> int:
        """Values per frame."""

    @property
    def ivector_dim(self) -> int:
        """Dimension of the i-vector; 0 if there is none."""

    @property
    def sample_rate(self) -> int:
        """Samples per second; raises MissingFile or ShapeError if no conf says it."""

    @property
    def frame_shift_seconds(self) -> float:
        """Seconds from frame to frame; raises like `sample_rate`."""

    def node_dim(self, node: str) -> int:
        """Returns the width of a node."""

    def context(self, node: str) -> tuple[int, int]:
        """Returns the frames that a node sees before and behind its own."""

    def needs_ivectors(self, node: str) -> bool:
        """Returns whether a node depends on the i-vector."""
