"""An nnet3 network as a torch module: features and i-vectors in, any node's activations out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import torch
from torch import Tensor, nn

from kaldi_bridge.activations import Request, activations, activations_by_pykaldi
from kaldi_bridge.backends.pykaldi import PyKaldiBackend
from kaldi_bridge.chunks import DEFAULT_PERIOD, chunk_frames
from kaldi_bridge.clips import Clips, checked_counts, checked_features, checked_ivectors
from kaldi_bridge.embedding_stream import NetworkStream
from kaldi_bridge.errors import NotSupported, ShapeError
from kaldi_bridge.graph.lowering import chunk_unit, reads
from kaldi_bridge.nnet3.checking import check_dimensions
from kaldi_bridge.nnet3.network import FEATURES, IVECTOR, InputNode, Network
from kaldi_bridge.nnet3.reading import Model
from kaldi_bridge.nnet3.timing import context
from kaldi_bridge.nnet3.writing import write_model
from kaldi_bridge.plans import Plans
from kaldi_bridge.weights import NetworkWeights


class NetworkModule(nn.Module):
    """The network of a model; frozen to begin with.

    Attributes:
        transitions: transition model of a .mdl file, else None.
        weights: the network's numbers as parameters and buffers.
        frame_subsampling_factor: frames of features per output frame that the model was trained
            with.
        nodes: names whose activations can be asked for.
    """

    def __init__(
        self,
        model: Model,
        frame_subsampling_factor: int = 1,
        pykaldi: PyKaldiBackend | None = None,
    ) -> None:
        """Args:
        model: the network, with a transition model if there is one.
        frame_subsampling_factor: the default of `subsampling`.
        pykaldi: computes in the place of torch.
        """
        super().__init__()
        self.transitions = model.transitions
        self._priors = model.priors
        self.weights = NetworkWeights(model.network)
        self._layout = self.weights.without_numbers(model.network)
        self.frame_subsampling_factor = frame_subsampling_factor
        self._dims = check_dimensions(model.network)
        inputs = {name for name, node in self._layout.nodes.items() if isinstance(node, InputNode)}
        self.nodes = tuple(name for name in self._layout.nodes if name not in inputs)
        self._strange_inputs = inputs - {FEATURES, IVECTOR}
        self._plans = Plans(self._layout, self.weights)
        self._pykaldi = pykaldi

    @property
    def network(self) -> Network:
        """Nodes and components, with the numbers that the weights have now.

        Float32 arrays on the CPU are the weights' own memory.
        """
        return self.weights.written_into(self._layout)

    @property
    def feature_dim(self) -> int:
        """Values per frame that the network takes."""
        return self._dims.get(FEATURES, 0)

    @property
    def ivector_dim(self) -> int:
        """Dimension of the i-vector that the network takes; 0 if it takes none."""
        return self._dims.get(IVECTOR, 0)

    @property
    def dtype(self) -> torch.dtype:
        """Type that is computed in."""
        return self.weights.stored.dtype

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.weights.device

    @property
    def ivector_period(self) -> int:
        """Frames from one online i-vector to the next, where a call does not say it."""
        return DEFAULT_PERIOD

    def node_dim(self, node: str) -> int:
        """Returns the width of a node.

        Raises:
            ShapeError: no such node.
        """
        self._check_node(node)
        return self._dims[node]

    def context(self, node: str = "output") -> tuple[int, int]:
        """Returns the frames that a node sees before and behind its own."""
        self._check_node(node)
        return context(self._layout, node)

    def needs_ivectors(self, node: str) -> bool:
        """Returns whether a node depends on the i-vector."""
        self._check_node(node)
        return IVECTOR in reads(self._layout, [node])

    def output_lengths(self, lengths: Tensor, subsampling: int | None = None) -> Tensor:
        """Frames of features per clip [B] → rows of activations per clip [B]."""
        factor = self._factor(subsampling)
        return (lengths + factor - 1) // factor

    def unfreeze(self, nodes: Sequence[str]) -> list[nn.Parameter]:
        """Lets the components of some nodes learn, and returns their parameters.

        Args:
            nodes: exact names, or beginnings such as "tdnnf17" for all nodes of a layer.

        Raises:
            ShapeError: nothing that learns begins like that.
        """
        found = []
        for name in nodes:
            owned = [
                parameter
                for component in self._layout.components
                if component == name or component.startswith(f"{name}.")
                for parameter in self.weights.of(component)
            ]
            if not owned:
                raise ShapeError(f'no component with parameters is called "{name}" or "{name}.…".')
            found += owned
        for parameter in found:
            parameter.requires_grad_()
        return found

    def save(self, path: Path | str, *, binary: bool = True) -> None:
        """Writes the model, with the weights that it has now, as Kaldi reads it (.mdl or .raw).

        The transition model and priors are written if there are any and the path ends in ".mdl".
        """
        network = self.network
        with_transitions = self.transitions is not None and ".mdl" in Path(path).name
        transitions = self.transitions if with_transitions else None
        left, right = self.context(self.nodes[-1] if "output" not in self.nodes else "output")
        write_model(Model(transitions, network, self._priors, left, right), path, binary)

    @overload
    def forward(
        self,
        features: Tensor,
        lengths: Tensor | None = ...,
        ivectors: Tensor | None = ...,
        *,
        node: str = ...,
        subsampling: int | None = ...,
        frames_per_chunk: int | None = ...,
        ivector_period: int | None = ...,
    ) -> Tensor: ...

    @overload
    def forward(
        self,
        features: Tensor,
        lengths: Tensor | None = ...,
        ivectors: Tensor | None = ...,
        *,
        node: tuple[str, ...],
        subsampling: int | None = ...,
        frames_per_chunk: int | None = ...,
        ivector_period: int | None = ...,
    ) -> dict[str, Tensor]: ...

    def forward(
        self,
        features: Tensor,
        lengths: Tensor | None = None,
        ivectors: Tensor | None = None,
        *,
        node: str | tuple[str, ...] = "output",
        subsampling: int | None = None,
        frames_per_chunk: int | None = 50,
        ivector_period: int | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """Computes the activations of nodes, as nnet3-compute does.

        Args:
            features: [T, F] or [B, T, F], as the network takes them.
            lengths: int64 [B], frames per clip; frames behind it are ignored.
            ivectors: one for everything [K]; online ones [R, K] (one clip) or [B, R, K] (R at
                least ceil(T / period)); one per clip [B, K] for a batch.
            node: name of a node, or several.
            subsampling: every how many frames; None: as the model was trained.
            frames_per_chunk: frames that share one online i-vector, the one of their middle;
                rounded up to whole output rows as Kaldi does. None: all. Without online i-vectors
                it changes nothing.
            ivector_period: frames from one online i-vector to the next; None: the extractor's.

        Returns:
            [ceil(T / subsampling), D] or [B, …, D], zero behind each clip's rows; for several nodes
            a dictionary.

        Raises:
            ShapeError: arrays or options that do not fit the network or one another.
            NotSupported: a component or descriptor on the way that is not computed.
        """
        names = (node,) if isinstance(node, str) else tuple(node)
        for name in names:
            self._check_node(name)
        if not names:
            raise ShapeError(f"no node is asked for. The network has: {', '.join(self.nodes)}.")
        batch = checked_features(features, self.feature_dim)
        counts, factor = checked_counts(batch, lengths), self._factor(subsampling)
        batched = features.dim() == 3
        vectors: list[Tensor | None] = [None] * len(batch)
        if any(self.needs_ivectors(name) for name in names):
            vectors = checked_ivectors(ivectors, self.ivector_dim, len(batch), batched)
        clips = Clips(batch, counts, vectors, batched)
        online = clips.have_online_ivectors
        period = self._period(ivector_period) if online else DEFAULT_PERIOD
        request = Request(names, factor, frames_per_chunk, period)
        if self._pykaldi is not None:
            rows = activations_by_pykaldi(self._pykaldi, clips, request)
        else:
            learning = torch.is_grad_enabled() and (
                clips.require_grad or any(value.requires_grad for value in self.parameters())
            )
            rows = activations(self._layout, self._plans, clips, request, learning)
        results = {name: clips.together(rows[name], factor) for name in names}
        return results[node] if isinstance(node, str) else results

    def network_stream(
        self,
        *,
        node: str,
        subsampling: int | None = None,
        frames_per_chunk: int | None = 50,
        ivector: Tensor | None = None,
    ) -> NetworkStream:
        """Returns the part of `stream` behind the features: frames and i-vectors in, rows out.

        Args:
            node: name of a node.
            subsampling: every how many frames; None: as the model was trained.
            frames_per_chunk: frames that share an online i-vector.
            ivector: one i-vector [K] for everything, instead of online ones.
        """
        factor = self._factor(subsampling)
        plan = self._plans.get((node,), factor)
        online = self.needs_ivectors(node) and ivector is None
        unit = chunk_unit(self._layout, [node], factor)
        chunk = chunk_frames(frames_per_chunk, unit) if online else None
        period = self.ivector_period if online else DEFAULT_PERIOD
        steady = {}
        if ivector is not None:
            if ivector.shape != (self.ivector_dim,):
                raise ShapeError(
                    f"i-vector of {list(ivector.shape)}: expected [{self.ivector_dim}]."
                )
            steady = {IVECTOR: ivector}
        return NetworkStream(plan, node, chunk, period, steady)

    def _check_node(self, node: str) -> None:
        if node not in self._dims:
            raise ShapeError(f'the network has no node "{node}". It has: {", ".join(self.nodes)}.')
        strange = self._strange_inputs and self._strange_inputs & reads(self._layout, [node])
        if strange:
            raise NotSupported(
                f'"{node}" reads the input "{min(strange)}": only "{FEATURES}" and "{IVECTOR}" are '
                "supported."
            )

    def _factor(self, subsampling: int | None) -> int:
        factor = self.frame_subsampling_factor if subsampling is None else subsampling
        if factor < 1:
            raise ShapeError(f"subsampling is {factor}; give 1 or more, or None.")
        return factor

    def _period(self, given: int | None) -> int:
        if given is None:
            return self.ivector_period
        if given < 1:
            raise ShapeError(f"ivector_period is {given}; give 1 or more, or None.")
        return given
