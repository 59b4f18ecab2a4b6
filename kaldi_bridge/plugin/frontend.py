"""Frontend `tdnnf_embedding`: the activations of a Kaldi acoustic model, frozen or in part not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.cache import EmbeddingCache, audio_digest
from kaldi_bridge.errors import KaldiError
from kaldi_bridge.learning_layers import LearningLayers
from kaldi_bridge.nnet3.cutting import cut_below
from kaldi_bridge.nnet3.reading import Model
from kaldi_bridge.plugin.location import ModelAt
from kaldi_bridge.plugin.options import TdnnfEmbeddingConfig
from kaldi_bridge.plugin.pooling import cell_count, cell_grid, pooled
from kaldi_bridge.plugin.rows import first_centre, key_parts, lengthened, row_count
from kaldi_bridge.plugin.slots import joined, slot_count, slotted
from sedsdk.errors import AudioError, ConfigError
from sedsdk.stages import Frontend, StreamSpec
from sedsdk.types import Features, FrameGrid


class TdnnfEmbedding(Frontend):
    """Activations of a node of an nnet3 network, [B, N] → [B, T, D].

    Kaldi's features of the waveform, its online i-vectors if the network takes them, each clip
    being a speaker of its own, then the node's values at every `subsampling`-th frame. Row k stands
    for the analysis window of frame k · subsampling, whose centre is its time. With `hop_seconds`
    rows are pooled to cells that begin with the clip.

    A clip shorter than one analysis window (25 ms) is continued by its mirror image until it fills
    one. Every clip is computed alone, so neither padding nor batch mates can change it.

    The network is frozen: it has no parameters here, no gradient passes through it and `train()`
    leaves it as it is. Its weights are not saved with a detector, whose config names them by their
    digest. It follows `.to(device)` and keeps its own precision.

    With `unfreeze_last` the last layers up to the node learn: `store` gives what they read, see
    `kaldi_bridge.nnet3.cutting`, and `finish` computes them. They are saved with a detector. Before
    they have learnt anything the stream is that of the frozen network. They take the clips of a
    batch at once, so mates may change the last bits.

    Buffers: `model_digest` uint8 [32], the SHA-256 of the model's files.

    Attributes:
        learning: the layers that learn, or None.
    """

    Config = TdnnfEmbeddingConfig
    config: TdnnfEmbeddingConfig
    model_digest: Tensor
    learning: LearningLayers | None

    def __init__(self, config: TdnnfEmbeddingConfig) -> None:
        super().__init__(config)
        try:
            at = ModelAt.find(config.model, config.extractor, config.feature_conf, config.digest)
            model = AcousticModel.load(
                at.model,
                extractor=at.extractor,
                feature_conf=at.feature_conf,
                backend=config.backend,
            )
            size = model.node_dim(config.node)
            cut = (
                cut_below(model.network, config.node, config.unfreeze_last)
                if config.unfreeze_last
                else None
            )
        except (KaldiError, ConfigError) as error:
            raise ConfigError(f"frontend tdnnf_embedding: {error}") from error
        self.learning = None if cut is None else LearningLayers(cut)
        self._node = config.node if cut is None else cut.rows
        if cut is not None:
            model = AcousticModel(
                Model(model.transitions, cut.lower),
                files=model.files,
                frame_subsampling_factor=model.frame_subsampling_factor,
            )
        if config.precision == "bfloat16":
            model = model.to(torch.bfloat16)
        self._held = (model.eval(),)  # in a tuple: neither its parameters nor its state are ours
        self._digest = at.digest
        self._cache = EmbeddingCache(config.cache) if config.cache else None
        self._factor = config.subsampling or model.frame_subsampling_factor
        self._grid = FrameGrid(
            model.frame_shift_seconds * self._factor, first_centre(model.feature_options)
        )
        self.sample_rate = model.sample_rate
        hop = config.hop_seconds
        self.spec = StreamSpec(size, self._grid if hop is None else cell_grid(hop))
        self._slots = slot_count(self._grid, hop)
        stored = self._slots * (model.node_dim(self._node) + 1)
        self._stored_spec = StreamSpec(stored, self.spec.grid) if self.learning else self.spec
        self.register_buffer("model_digest", _as_bytes(at.digest))

    @property
    def acoustic_model(self) -> AcousticModel:
        """The network with its features and its i-vector extractor."""
        return self._held[0]

    def frame_count(self, n_samples: int) -> int:
        """Returns the number of rows for a clip of `n_samples` samples, at least 1."""
        hop = self.config.hop_seconds
        if hop is not None:
            return cell_count(n_samples / self.sample_rate, hop)
        return row_count(n_samples, self.acoustic_model.feature_options, self._factor)

    @property
    def stored_spec(self) -> StreamSpec:
        """Size and grid of what `store` gives: the frames of `spec`."""
        return self._stored_spec

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Computes embeddings: float64 for float64 waveforms, else float32.

        Args:
            waveforms: float [B, N] in [-1, 1]; samples at and after a clip's length are ignored.
            lengths: int64 [B], samples per clip, each from 1 to N.

        Returns:
            Features [B, T, D] with zero padding; gradients go to the layers that learn.

        Raises:
            AudioError: as of `store`.
        """
        return self.finish(self.store(waveforms, lengths))

    def finish(self, stored: Features) -> Features:
        """Computes the layers that learn and pools: [B, T, slots · (columns + 1)] → [B, T, D]."""
        if self.learning is None:
            return stored
        with torch.autocast(stored.values.device.type, enabled=False):
            return joined(stored, self._slots, self.learning)

    @torch.no_grad()
    def store(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Computes what is frozen: embeddings, or what the layers that learn read for each frame.

        Args:
            waveforms: as for `forward`.
            lengths: as for `forward`.

        Returns:
            Features [B, T, size of `stored_spec`] with zero padding.

        Raises:
            AudioError: the shapes do not fit, a clip has no samples, or they are not finite.
        """
        counts = _checked_lengths(waveforms, lengths)
        samples = waveforms.detach().float().cpu().numpy()
        with torch.autocast(waveforms.device.type, enabled=False):
            rows = [self._clip(samples[i, :count]) for i, count in enumerate(counts)]
        dtype = torch.float64 if waveforms.dtype == torch.float64 else torch.float32
        values = pad_sequence(rows, batch_first=True).to(self.device, dtype)
        n_rows = torch.tensor([len(each) for each in rows], device=values.device)
        return Features(values, n_rows, self.stored_spec.grid)

    def _clip(self, samples: NDArray[np.float32]) -> Tensor:
        """Samples [n] → what is stored of one clip, float32 [T, size]."""
        rows = torch.from_numpy(self._kept(samples))
        hop, count = self.config.hop_seconds, self.frame_count(len(samples))
        if self.learning is not None:
            return slotted(rows, self._grid, count, hop)
        return rows if hop is None else pooled(rows, self._grid, count, hop)

    def _kept(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows before pooling: from the cache, else computed."""
        if self._cache is None:
            return self._computed(samples)
        config = self.config
        parts = key_parts(
            self._digest,
            audio_digest(samples, self.sample_rate),
            self.acoustic_model,
            self._node,
            self._factor,
            config.frames_per_chunk,
            backend=config.backend,
            precision=config.precision,
        )
        rows: NDArray[np.float32] = self._cache.get_or_compute(
            parts, lambda: self._computed(samples)
        )
        return rows

    def _computed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        model, config = self.acoustic_model, self.config
        try:
            rows = model.embed(
                torch.from_numpy(lengthened(samples, model.feature_options)),
                node=self._node,
                subsampling=self._factor,
                frames_per_chunk=config.frames_per_chunk,
            )
        except KaldiError as error:
            raise AudioError(f"tdnnf_embedding: {error}") from error
        return rows.float().cpu().numpy()

    # Moving and loading

    def _apply(self, fn: Any, recurse: bool = True) -> TdnnfEmbedding:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.acoustic_model.to(self.model_digest.device)
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        saved = state_dict.get(f"{prefix}model_digest")
        if saved is not None and not torch.equal(saved.cpu(), _as_bytes(self._digest)):
            here = self.config.model or "the model that comes with the package"
            raise ConfigError(
                "frontend tdnnf_embedding: these weights were trained on the embeddings of another "
                f"model, whose files have the SHA-256 {bytes(saved.tolist()).hex()}; those of "
                f"{here} have {self._digest}. Set model to the other one."
            )
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _as_bytes(digest: str) -> Tensor:
    return torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8)


def _checked_lengths(waveforms: Tensor, lengths: Tensor) -> list[int]:
    if waveforms.dim() != 2 or lengths.shape != waveforms.shape[:1] or not len(lengths):
        raise AudioError(
            "a frontend reads waveforms [B, N] and lengths [B] of at least one clip, got "
            f"{tuple(waveforms.shape)} and {tuple(lengths.shape)}."
        )
    counts: list[int] = lengths.tolist()
    for clip, count in enumerate(counts):
        if not 1 <= count <= waveforms.shape[1]:
            raise AudioError(
                f"clip {clip} is said to have {count} samples, in waveforms of "
                f"{waveforms.shape[1]}. Give lengths from 1 to N; leave empty clips out."
            )
    return counts
