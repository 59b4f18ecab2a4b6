"""A Kaldi acoustic model as a torch module: features, i-vectors, and any node's activations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from kaldi_bridge.backends.pykaldi import PyKaldiBackend
from kaldi_bridge.backends.pykaldi_inputs import PyKaldiIvectors, pykaldi_features
from kaldi_bridge.chunks import DEFAULT_PERIOD, Chunk, chunk_frames, cut, ivector_row, padded
from kaldi_bridge.conf import read_conf
from kaldi_bridge.directory import ModelFiles, find_model
from kaldi_bridge.embedding_stream import EmbeddingStream, NetworkStream
from kaldi_bridge.errors import NotSupported, ShapeError
from kaldi_bridge.features import FeatureOptions, FeatureStream, compute_features
from kaldi_bridge.graph import functional
from kaldi_bridge.graph.lowering import chunk_unit, reads
from kaldi_bridge.graph.plan import Plan
from kaldi_bridge.ivectors import ExtractorFiles, IvectorExtractor, IvectorStream
from kaldi_bridge.ivectors.cmvn import CmvnOptions, OnlineCmvn
from kaldi_bridge.ivectors.files import CONF_NAME, read_cmvn_sums
from kaldi_bridge.ivectors.options import IvectorOptions
from kaldi_bridge.nnet3.checking import check_dimensions
from kaldi_bridge.nnet3.network import InputNode, Network
from kaldi_bridge.nnet3.reading import Model, read_model
from kaldi_bridge.nnet3.timing import context
from kaldi_bridge.nnet3.writing import write_model
from kaldi_bridge.passes import Pass
from kaldi_bridge.plans import Plans
from kaldi_bridge.weights import NetworkWeights

if TYPE_CHECKING:
    from kaldi_bridge.export import OnnxDescription
    from kaldi_bridge.ivectors.state import SpeakerState

FEATURES, IVECTOR = "input", "ivector"
Backend = Literal["native", "pykaldi"]


class AcousticModel(nn.Module):
    """An nnet3 network with the features and i-vectors that it was trained on.

    Everything is frozen to begin with: `model.requires_grad_()` or `model.unfreeze(nodes)` make it
    learn. Weights move with `.to(device)`, and `.half()` or `.bfloat16()` set the arithmetic.

    Attributes:
        transitions: transition model of a .mdl file, else None.
        weights: the network's numbers as parameters and buffers.
        files: what was found around the model; None for a model made in Python.
        frame_subsampling_factor: frames of features per output frame that the model was trained
            with.
        nodes: names whose activations can be asked for.
    """

    def __init__(
        self,
        model: Model,
        *,
        files: ModelFiles | None = None,
        frame_subsampling_factor: int = 1,
        feature_options: FeatureOptions | None = None,
        extractor: IvectorExtractor | None = None,
        backend: Backend = "native",
    ) -> None:
        """Args:
        model: the network, with a transition model if there is one.
        files: what else was found.
        frame_subsampling_factor: the default of `subsampling`.
        feature_options: features to compute; None: from `files`, when they are asked for.
        extractor: i-vectors to compute; None: from `files`, when they are asked for.
        backend: what computes: "native" or "pykaldi".

        Raises:
            MissingLibrary: PyKaldi is asked for and not installed.
        """
        super().__init__()
        self.transitions = model.transitions
        self._priors = model.priors
        self.weights = NetworkWeights(model.network)
        self._layout = self.weights.without_numbers(model.network)
        self.files = files
        self.frame_subsampling_factor = frame_subsampling_factor
        self._dims = check_dimensions(model.network)
        self.nodes = tuple(
            name for name, node in self._layout.nodes.items() if not isinstance(node, InputNode)
        )
        self._strange_inputs = {
            name for name, node in self._layout.nodes.items() if isinstance(node, InputNode)
        } - {FEATURES, IVECTOR}
        self._options = feature_options.without_dither() if feature_options else None
        self._extractor = extractor
        self._known_period: int | None = None
        self._plans = Plans(self._layout, self.weights)
        self.backend = backend
        self._pykaldi: PyKaldiBackend | None = None
        if backend == "pykaldi":
            if files is None:
                raise ShapeError('backend="pykaldi" reads the model from its file: use load().')
            self._pykaldi = PyKaldiBackend(files.model)
        elif backend != "native":
            raise ShapeError(f'backend "{backend}" is unknown: "native" or "pykaldi".')

    @classmethod
    def load(
        cls,
        model: Path | str,
        *,
        extractor: Path | str | None = None,
        feature_conf: Path | str | None = None,
        backend: Backend = "native",
    ) -> AcousticModel:
        """Reads a model and finds what belongs to it.

        Args:
            model: a recipe's model folder, an online decoding folder, a release, or a model file.
            extractor: i-vector extractor: its folder or its conf; looked for if not given.
            feature_conf: conf of the features; looked for if not given.
            backend: "native", or "pykaldi" where PyKaldi is installed.

        Raises:
            MissingFile: no model there.
            KaldiFileError: a damaged file.
            NotSupported: a component that is not computed.
            MissingLibrary: PyKaldi is asked for and not installed.
        """
        files = find_model(model, extractor=extractor, feature_conf=feature_conf)
        return cls(
            read_model(files.model),
            files=files,
            frame_subsampling_factor=files.frame_subsampling_factor,
            backend=backend,
        ).eval()

    # What it is

    @property
    def network(self) -> Network:
        """Nodes and components, with the numbers that the weights have now.

        Float32 arrays on the CPU are the weights' own memory.
        """
        return self.weights.written_into(self._layout)

    @property
    def feature_options(self) -> FeatureOptions:
        """Options of the features, without dither.

        Raises:
            MissingFile: no conf was found.
        """
        if self._options is None:
            if self.files is None:
                raise ShapeError("this model was made without feature_options.")
            self._options = self.files.require_features().options().without_dither()
        return self._options

    @property
    def extractor(self) -> IvectorExtractor | None:
        """The i-vector extractor; None if the network takes no i-vectors.

        Raises:
            MissingFile: the network takes i-vectors and no extractor was found.
            ShapeError: the extractor gives i-vectors of another dimension.
        """
        if self._extractor is None and self.ivector_dim:
            if self.files is None:
                raise ShapeError("this model was made without an i-vector extractor.")
            found = IvectorExtractor.load(self.files.require("extractor"))
            if found.ivector_dim != self.ivector_dim:
                raise ShapeError(
                    f"{self.files.extractor} gives i-vectors of {found.ivector_dim}, the network "
                    f"{self.files.model} takes {self.ivector_dim}. Give the extractor that the "
                    "model was trained with."
                )
            self._extractor = found
        return self._extractor

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio that the features are made for."""
        return self.feature_options.sample_rate

    @property
    def frame_shift_seconds(self) -> float:
        """Seconds from one frame of features to the next."""
        return self.feature_options.frame_shift_seconds

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

    # Learning and writing

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

    def export_onnx(
        self,
        path: Path | str,
        *,
        node: str = "prefinal-l",
        subsampling: int | None = None,
        batched: bool = False,
    ) -> OnnxDescription:
        """Writes a node's computation as an ONNX file; see `kaldi_bridge.export.export_onnx`."""
        from kaldi_bridge.export import export_onnx

        return export_onnx(self, path, node=node, subsampling=subsampling, batched=batched)

    # Inputs

    def features(self, waveform: ArrayLike | Tensor) -> Tensor:
        """Waveform [N], float in [-1, 1] → features float32 [T, F], without mean normalisation.

        Raises:
            MissingFile: no conf of the features was found.
            ShapeError: not one channel of finite floats.
        """
        samples = waveform.detach().cpu().numpy() if isinstance(waveform, Tensor) else waveform
        compute = pykaldi_features if self._pykaldi else compute_features
        rows = torch.from_numpy(compute(samples, self.feature_options))
        if rows.shape[1] != self.feature_dim:
            raise ShapeError(
                f"the feature conf gives {rows.shape[1]} values per frame, the network takes "
                f"{self.feature_dim}. Give the conf that the model was trained with."
            )
        return rows

    def ivectors(self, features: Tensor, state: SpeakerState | None = None) -> Tensor:
        """Features [T, F] → online i-vectors float32 [ceil(T / period), K].

        Args:
            features: without mean normalisation.
            state: what is known of the speaker; nothing, if None.

        Raises:
            ShapeError: the network takes no i-vectors, or the features do not fit.
        """
        extractor = self.extractor
        if extractor is None:
            raise ShapeError("the network takes no i-vectors.")
        rows = features.detach().float().cpu().numpy()
        if self._pykaldi is not None and self.files is not None and state is None:
            files = ExtractorFiles.load(self.files.require("extractor"))
            return torch.from_numpy(PyKaldiIvectors(files).extract(rows)[0])
        return torch.from_numpy(extractor.extract(rows, state)[0])

    def online_cmvn(self) -> OnlineCmvn | None:
        """Returns a fresh online mean normalisation, if the model was trained on such features."""
        if self.files is None or not self.files.online_cmvn:
            return None
        sums = read_cmvn_sums(self.files.require("global_cmvn_stats"))
        return OnlineCmvn(CmvnOptions(), sums, np.zeros_like(sums))

    # Activations

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
        single = features.dim() == 2
        clips = features[None] if single else features
        if clips.dim() != 3 or clips.shape[2] != self.feature_dim or not len(clips):
            raise ShapeError(
                f"features of shape {list(features.shape)}: the network takes [T, "
                f"{self.feature_dim}] or [B, T, {self.feature_dim}]."
            )
        counts = _counts(clips, lengths)
        factor = self._factor(subsampling)
        vectors = self._checked_ivectors(ivectors, names, single, len(clips))
        parts = self._compute(
            clips, counts, vectors, names, factor, frames_per_chunk, ivector_period
        )
        results = {}
        for name in names:
            if single:
                results[name] = parts[name][0]
            else:
                n_rows = int(self.output_lengths(torch.tensor(clips.shape[1]), factor))
                results[name] = torch.stack(
                    [nn.functional.pad(part, (0, 0, 0, n_rows - len(part))) for part in parts[name]]
                )
        return results[node] if isinstance(node, str) else results

    def embed(
        self,
        waveform: ArrayLike | Tensor,
        *,
        node: str = "prefinal-l",
        subsampling: int | None = None,
        frames_per_chunk: int | None = 50,
    ) -> Tensor:
        """Waveform [N], float in [-1, 1] at `sample_rate` → activations [T', D].

        Args:
            waveform: one channel; its speaker is unknown.
            node: name of a node.
            subsampling: every how many frames; None: as the model was trained.
            frames_per_chunk: frames that share an i-vector; None: all.

        Raises:
            MissingFile: no feature conf or no extractor was found.
            ShapeError: a wrong waveform or node.
        """
        features = self.features(waveform)
        vectors = None
        if self.needs_ivectors(node) and len(features):
            vectors = self.ivectors(features).to(self.device)
        cmvn = self.online_cmvn()
        if cmvn is not None:
            normalised = cmvn.push(features.double().numpy())
            features = torch.from_numpy(normalised.astype(np.float32))
        if not len(features):
            return torch.zeros(0, self.node_dim(node), dtype=self.dtype, device=self.device)
        return self.forward(
            features.to(self.device),
            None,
            vectors,
            node=node,
            subsampling=subsampling,
            frames_per_chunk=frames_per_chunk,
        )

    def stream(
        self,
        *,
        node: str = "prefinal-l",
        subsampling: int | None = None,
        frames_per_chunk: int | None = 50,
        state: SpeakerState | None = None,
    ) -> EmbeddingStream:
        """Returns what turns samples, block by block, into the rows that `embed` gives.

        Memory does not grow with the recording.

        Args:
            node: name of a node.
            subsampling: every how many frames; None: as the model was trained.
            frames_per_chunk: frames that share an i-vector; they also set the delay.
            state: what is known of the speaker.

        Raises:
            ShapeError: all of the recording is to share an i-vector; a wrong node.
            NotSupported: the backend is not "native".
        """
        if self._pykaldi is not None:
            raise NotSupported('backend="pykaldi" computes whole recordings; stream with "native".')
        needs_ivectors = self.needs_ivectors(node)
        if needs_ivectors and frames_per_chunk is None:
            raise ShapeError(
                "frames_per_chunk=None takes one i-vector from the middle of the recording, which "
                "a stream cannot know. Give frames_per_chunk, such as 150."
            )
        extractor = self.extractor if needs_ivectors else None
        return EmbeddingStream(
            FeatureStream(self.feature_options),
            None if extractor is None else IvectorStream(extractor, state),
            self.online_cmvn(),
            self.network_stream(
                node=node, subsampling=subsampling, frames_per_chunk=frames_per_chunk
            ),
        )

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
        period = self._period(None) if online else DEFAULT_PERIOD
        steady = {}
        if ivector is not None:
            if ivector.shape != (self.ivector_dim,):
                raise ShapeError(
                    f"i-vector of {list(ivector.shape)}: expected [{self.ivector_dim}]."
                )
            steady = {IVECTOR: ivector}
        return NetworkStream(plan, node, chunk, period, steady)

    def _compute(
        self,
        clips: Tensor,
        counts: list[int],
        vectors: list[Tensor | None],
        names: tuple[str, ...],
        factor: int,
        frames_per_chunk: int | None,
        ivector_period: int | None,
    ) -> dict[str, list[Tensor]]:
        online = any(vector is not None and vector.dim() == 2 for vector in vectors)
        period = self._period(ivector_period) if online else DEFAULT_PERIOD
        if self._pykaldi is not None:
            return self._by_pykaldi(clips, counts, vectors, names, factor, frames_per_chunk, period)
        units = [chunk_unit(self._layout, [name], factor) for name in names]
        sizes = [chunk_frames(frames_per_chunk, unit) for unit in units]
        if online and len(set(sizes)) > 1:  # Kaldi would cut for each node in its own way
            options = (factor, frames_per_chunk, ivector_period)
            return {
                name: self._compute(clips, counts, vectors, (name,), *options)[name]
                for name in names
            }
        jobs = []
        for clip, count, vector in zip(clips, counts, vectors, strict=True):
            varies = vector is not None and vector.dim() == 2
            for chunk in cut(count, sizes[0] if varies else None):
                steady = {}
                if vector is not None:
                    frame = chunk.middle(factor)
                    steady[IVECTOR] = ivector_row(vector, frame, period) if varies else vector
                jobs.append((clip[:count], chunk, steady))
        learning = torch.is_grad_enabled() and (
            clips.requires_grad
            or any(vector is not None and vector.requires_grad for vector in vectors)
            or any(parameter.requires_grad for parameter in self.parameters())
        )
        plan = self._plans.get(names, factor, learning)
        if learning:
            rows = [_with_gradients(plan, *job) for job in jobs]
        else:
            with torch.no_grad():
                run = Pass(plan)
                rows = [part for job in jobs for part in run.chunk(*job)]
                rows += run.finish()
        n_rows = [-(-count // factor) for count in counts]
        results = {}
        for name in names:
            parts = [row[name] for row in rows]
            empty = clips.new_zeros(0, self._dims[name], dtype=plan.dtype, device=plan.device)
            results[name] = list(torch.split(torch.cat([*parts, empty]), n_rows))
        return results

    def _by_pykaldi(
        self,
        clips: Tensor,
        counts: list[int],
        vectors: list[Tensor | None],
        names: tuple[str, ...],
        factor: int,
        frames_per_chunk: int | None,
        period: int,
    ) -> dict[str, list[Tensor]]:
        assert self._pykaldi is not None
        results: dict[str, list[Tensor]] = {name: [] for name in names}
        for clip, count, vector in zip(clips, counts, vectors, strict=True):
            for name in names:
                rows = self._pykaldi.compute(
                    clip[:count].detach().cpu().numpy(),
                    None if vector is None else vector.detach().cpu().numpy(),
                    node=name,
                    subsampling=factor,
                    frames_per_chunk=frames_per_chunk,
                    ivector_period=period,
                )
                results[name].append(torch.from_numpy(rows).to(clips.device))
        return results

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
        """Frames from one online i-vector to the next: as given, or as the extractor makes them."""
        if given is not None:
            if given < 1:
                raise ShapeError(f"ivector_period is {given}; give 1 or more, or None.")
            return given
        if self._extractor is not None:
            return self._extractor.period
        if self._known_period is None:
            self._known_period = DEFAULT_PERIOD
            found = self.files.extractor if self.files is not None else None
            confs = [found, found / CONF_NAME, found / "conf" / CONF_NAME] if found else []
            for conf in confs:
                if conf.is_file():
                    self._known_period = IvectorOptions.of(read_conf(conf)).ivector_period
                    break
        return self._known_period

    def _checked_ivectors(
        self, ivectors: Tensor | None, names: tuple[str, ...], single: bool, n_clips: int
    ) -> list[Tensor | None]:
        """One i-vector [K] or online ones [R, K] per clip; None where no node needs any."""
        if not any(self.needs_ivectors(name) for name in names):
            return [None] * n_clips
        dim = self.ivector_dim
        if ivectors is None:
            raise ShapeError(
                f"the network takes i-vectors of {dim} and none are given. Compute them with "
                "model.ivectors(features), or use model.embed(waveform)."
            )
        if ivectors.shape[-1:] == (dim,):
            if ivectors.dim() == 1 or (single and ivectors.dim() == 2):
                return [ivectors] * n_clips
            if not single and ivectors.dim() in (2, 3) and len(ivectors) == n_clips:
                return list(ivectors)
        wanted = f"[{dim}] or [R, {dim}]" if single else f"[{dim}], [B, {dim}] or [B, R, {dim}]"
        raise ShapeError(f"i-vectors of shape {list(ivectors.shape)}: expected {wanted}.")


def _counts(clips: Tensor, lengths: Tensor | None) -> list[int]:
    if lengths is None:
        return [clips.shape[1]] * len(clips)
    if lengths.dim() != 1 or lengths.is_floating_point():
        raise ShapeError(
            f"lengths of shape {list(lengths.shape)} and type {lengths.dtype}: give whole numbers "
            f"of frames [{len(clips)}], one per clip."
        )
    counts: list[int] = lengths.tolist()
    if len(counts) != len(clips) or any(not 0 <= count <= clips.shape[1] for count in counts):
        raise ShapeError(
            f"lengths {counts} for features {list(clips.shape)}: one per clip, from 0 to "
            f"{clips.shape[1]}."
        )
    return counts


def _with_gradients(
    plan: Plan, features: Tensor, chunk: Chunk, steady: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Runs one chunk in one piece; rows [outputs, D] by node."""
    n_rows = chunk.rows(plan.phases)
    first = chunk.first - plan.past * plan.phases
    n_frames = (plan.past + n_rows + plan.future) * plan.phases
    frames = padded(features.to(plan.device, plan.dtype), first, first + n_frames)
    rows = functional.run(plan, frames.reshape(-1, plan.phases, features.shape[1]), steady, n_rows)
    n_outputs = chunk.outputs(plan.subsampling)
    return {name: value.flatten(0, 1)[:n_outputs] for name, value in rows.items()}
