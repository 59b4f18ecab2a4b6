"""Options of the frontend `tdnnf_embedding`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from kaldi_bridge.plugin.location import known_digest
from sedsdk.contract import PartConfig

RECIPE_CHUNK = 150
"""Frames per chunk that the recipes decode with."""


class TdnnfEmbeddingConfig(PartConfig):
    """Options of `TdnnfEmbedding`."""

    model: str | None = Field(
        None,
        description="Kaldi acoustic model: its folder as a recipe leaves it, or a .mdl or .raw "
        "file; null: the one that comes with the package",
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
    unfreeze_last: int = Field(
        0,
        ge=0,
        description="layers that learn with the detector, counted from `node` downwards: those of "
        "the recipe that have parameters, such as prefinal-l, then tdnnf9, then tdnnf8; 0: none",
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
    def _files_belong_to_a_model(self) -> TdnnfEmbeddingConfig:
        for name in ("extractor", "feature_conf"):
            if self.model is None and getattr(self, name) is not None:
                raise ValueError(f"{name} belongs to a model of your own: set model, too")
        return self

    @model_validator(mode="after")
    def _kaldi_computes_in_single_precision_and_learns_nothing(self) -> TdnnfEmbeddingConfig:
        for name, plain in (("precision", "float32"), ("unfreeze_last", 0)):
            if self.backend == "pykaldi" and getattr(self, name) != plain:
                raise ValueError(f"{name} = {getattr(self, name)} needs backend = native")
        return self
