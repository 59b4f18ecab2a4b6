"""A Kaldi acoustic model as a torch module: features, i-vectors, and any node's activations."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kaldi_bridge.backends.pykaldi import PyKaldiBackend
from kaldi_bridge.bundled import bundled_model
from kaldi_bridge.directory import ModelFiles, find_model
from kaldi_bridge.embedding_stream import EmbeddingStream
from kaldi_bridge.errors import NotSupported, ShapeError
from kaldi_bridge.export import OnnxDescription, export_onnx
from kaldi_bridge.features import FeatureOptions, FeatureStream
from kaldi_bridge.inputs import ModelInputs
from kaldi_bridge.ivectors import IvectorExtractor, IvectorStream, SpeakerState
from kaldi_bridge.ivectors.cmvn import OnlineCmvn
from kaldi_bridge.network_module import NetworkModule
from kaldi_bridge.nnet3.reading import Model, read_model

Backend = Literal["native", "pykaldi"]


class AcousticModel(NetworkModule):
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
        inputs: makes features and i-vectors.
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
        pykaldi = None
        if backend == "pykaldi":
            if files is None:
                raise ShapeError('backend="pykaldi" reads the model from its file: use load().')
            pykaldi = PyKaldiBackend(files.model)
        elif backend != "native":
            raise ShapeError(f'backend "{backend}" is unknown: "native" or "pykaldi".')
        super().__init__(model, frame_subsampling_factor, pykaldi)
        self.files, self.backend = files, backend
        self.inputs = ModelInputs(
            files,
            self.feature_dim,
            self.ivector_dim,
            options=feature_options,
            extractor=extractor,
            by_pykaldi=pykaldi is not None,
        )

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

    @classmethod
    def bundled(cls) -> AcousticModel:
        """Reads the model that comes with the package; its card says what it was trained on.

        Its outputs are log posteriors of 41 classes, phone by phone as phones.txt names them.

        Raises:
            MissingFile: this copy of the package has no model; says how to make one.
        """
        return cls.load(bundled_model())

    @property
    def feature_options(self) -> FeatureOptions:
        """Options of the features, without dither.

        Raises:
            MissingFile: no conf was found.
        """
        return self.inputs.options

    @property
    def extractor(self) -> IvectorExtractor | None:
        """The i-vector extractor; None if the network takes no i-vectors.

        Raises:
            MissingFile: the network takes i-vectors and no extractor was found.
            ShapeError: the extractor gives i-vectors of another dimension.
        """
        return self.inputs.extractor

    @property
    def ivector_period(self) -> int:
        """Frames from one online i-vector to the next, as the extractor makes them."""
        return self.inputs.ivector_period

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio that the features are made for."""
        return self.feature_options.sample_rate

    @property
    def frame_shift_seconds(self) -> float:
        """Seconds from one frame of features to the next."""
        return self.feature_options.frame_shift_seconds

    def features(self, waveform: ArrayLike | Tensor) -> Tensor:
        """Waveform [N], float in [-1, 1] → features float32 [T, F], without mean normalisation.

        Raises:
            MissingFile: no conf of the features was found.
            ShapeError: not one channel of finite floats.
        """
        return self.inputs.features(waveform)

    def ivectors(self, features: Tensor, state: SpeakerState | None = None) -> Tensor:
        """Features [T, F] → online i-vectors float32 [ceil(T / period), K].

        Args:
            features: without mean normalisation.
            state: what is known of the speaker; nothing, if None.

        Raises:
            ShapeError: the network takes no i-vectors, or the features do not fit.
        """
        return self.inputs.ivectors(features, state)

    def online_cmvn(self) -> OnlineCmvn | None:
        """Returns a fresh online mean normalisation, if the model was trained on such features."""
        return self.inputs.online_cmvn()

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
        features = self.inputs.normalised(features)
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

    def export_onnx(
        self,
        path: Path | str,
        *,
        node: str = "prefinal-l",
        subsampling: int | None = None,
        batched: bool = False,
    ) -> OnnxDescription:
        """Writes a node's computation as an ONNX file; see `kaldi_bridge.export.export_onnx`."""
        return export_onnx(self, path, node=node, subsampling=subsampling, batched=batched)
