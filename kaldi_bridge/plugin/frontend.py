"""Frontend `tdnnf_embedding`: the activations of a frozen Kaldi acoustic model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.cache import EmbeddingCache, audio_digest
from kaldi_bridge.errors import KaldiError
from kaldi_bridge.plugin.location import ModelAt, known_digest
from kaldi_bridge.plugin.pooling import cell_count, cell_grid, pooled
from kaldi_bridge.plugin.rows import first_centre, key_parts, lengthened, row_count
from sedsdk.contract import PartConfig
from sedsdk.errors import AudioError, ConfigError
from sedsdk.stages import Frontend, StreamSpec
from sedsdk.types import Features, FrameGrid

RECIPE_CHUNK = 150
"""Frames per chunk that the recipes decode with."""


class TdnnfEmbeddingConfig(PartConfig):
    """Options of `TdnnfEmbedding`."""

    model: str = Field(
        description="Kaldi acoustic model: its folder as a recipe leaves it, or a .mdl or .raw file"
    )
    extractor: str | None = Field(
        None,
        description="i-vector extractor: its folder or its conf; null: looked for around the "
        "model, if that takes i-vectors",
    )
    feature_conf: str | None = Field(
        None, description="conf of the features; null: looked for around the model"
    )
    digest: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        validate_default=True,
        description="SHA-256 that the model's files must have together; null: of those that are "
        "found, which a saved detector keeps",
    )
    node: str = Field(
        "prefinal-l", description="node whose activations are given; `sedsdk kaldi info` lists them"
    )
    subsampling: int | None = Field(
        None, ge=1, description="frames of features per row; null: the model's own, often 3"
    )
    frames_per_chunk: int | None = Field(
        RECIPE_CHUNK,
        ge=1,
        description="frames of features that share an i-vector, as in nnet3-compute; null: all",
    )
    hop_seconds: float | None = Field(
        None,
        gt=0,
        description="pools rows to this hop: the mean of those whose centres lie in a cell, else "
        "the nearest; null: rows as they are",
    )
    cache: str | None = Field(
        None, description="folder that keeps embeddings by the content of the audio; null: none"
    )
    backend: Literal["native", "pykaldi"] = Field("native", description="what computes")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="arithmetic of the network; the stream itself is float32"
    )

    @field_validator("model", "extractor", "feature_conf")
    @classmethod
    def _holds_from_any_folder(cls, path: str | None) -> str | None:
        """Makes the path of what is there absolute, so that a saved detector finds it again."""
        here = None if path is None else Path(path).expanduser()
        return os.path.abspath(here) if here is not None and here.exists() else path

    @field_validator("digest")
    @classmethod
    def _names_what_is_there(cls, digest: str | None, info: ValidationInfo) -> str | None:
        given = info.data
        if digest is not None or not {"model", "extractor", "feature_conf"} <= given.keys():
            return digest
        return known_digest(given["model"], given["extractor"], given["feature_conf"])

    @model_validator(mode="after")
    def _kaldi_computes_in_single_precision(self) -> TdnnfEmbeddingConfig:
        if self.backend == "pykaldi" and self.precision != "float32":
            raise ValueError(f"precision = {self.precision} needs backend = native")
        return self


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

    Buffers: `model_digest` uint8 [32], the SHA-256 of the model's files.
    """

    Config = TdnnfEmbeddingConfig
    config: TdnnfEmbeddingConfig
    model_digest: Tensor

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
        except (KaldiError, ConfigError) as error:
            raise ConfigError(f"frontend tdnnf_embedding: {error}") from error
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

    @torch.no_grad()
    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Computes embeddings: float64 for float64 waveforms, else float32.

        Args:
            waveforms: float [B, N] in [-1, 1]; samples at and after a clip's length are ignored.
            lengths: int64 [B], samples per clip, each from 1 to N.

        Returns:
            Features [B, T, D] with zero padding.

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
        return Features(values, n_rows, self.spec.grid)

    def _clip(self, samples: NDArray[np.float32]) -> Tensor:
        """Samples [n] → rows float32 [T, D] of one clip."""
        rows = torch.from_numpy(self._kept(samples))
        hop = self.config.hop_seconds
        return (
            rows if hop is None else pooled(rows, self._grid, self.frame_count(len(samples)), hop)
        )

    def _kept(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows before pooling: from the cache, else computed."""
        if self._cache is None:
            return self._computed(samples)
        config = self.config
        parts = key_parts(
            self._digest,
            audio_digest(samples, self.sample_rate),
            self.acoustic_model,
            config.node,
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
                node=config.node,
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
            raise ConfigError(
                "frontend tdnnf_embedding: these weights were trained on the embeddings of another "
                f"model, whose files have the SHA-256 {bytes(saved.tolist()).hex()}; those of "
                f"{self.config.model} have {self._digest}. Set model to the other one."
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
