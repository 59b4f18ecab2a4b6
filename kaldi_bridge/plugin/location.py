"""Where a Kaldi model is, also after it or the detector has moved; which one it is: its digest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from kaldi_bridge.bundled import bundled_model
from kaldi_bridge.cache import digest_of, file_digest
from kaldi_bridge.directory import ModelFiles, find_model
from kaldi_bridge.errors import KaldiError
from kaldi_bridge.ivectors import ExtractorFiles
from kaldi_bridge.ivectors.options import cmvn_options
from sedsdk.errors import ConfigError

MODELS_VARIABLE = "SEDSDK_KALDI_MODELS"
"""Folders in which models are looked for that are not where a config says."""
SHOWN_DIGITS = 12
KEPT_DIGESTS = 64


@dataclass(frozen=True)
class ModelAt:
    """A model that was found.

    Attributes:
        model: its folder or file.
        extractor: what was given as its i-vector extractor.
        feature_conf: what was given as the conf of its features.
        digest: SHA-256 of all that decides what it computes, in hexadecimal.
    """

    model: Path
    extractor: Path | None
    feature_conf: Path | None
    digest: str

    @classmethod
    def find(
        cls,
        model: str | None,
        extractor: str | None = None,
        feature_conf: str | None = None,
        digest: str | None = None,
    ) -> ModelAt:
        """Finds a model where a config says, or else in the folders of `SEDSDK_KALDI_MODELS`.

        Args:
            model: folder or file; None for the one that comes with the package.
            extractor: folder or conf of its extractor, if one is named.
            feature_conf: conf of its features, if one is named.
            digest: what its digest must be; None for any.

        Raises:
            ConfigError: it is not there, lacks a file, cannot be read, or is another one.
        """
        given = {"model": model, "extractor": extractor, "feature_conf": feature_conf}
        places = {name: None if path is None else located(path) for name, path in given.items()}
        for name, path in given.items():
            if path is not None and places[name] is None:
                raise ConfigError(_not_there(name, path, digest))
        try:
            found = places["model"] or bundled_model()
            files = find_model(
                found, extractor=places["extractor"], feature_conf=places["feature_conf"]
            )
            here = model_digest(files)
        except KaldiError as error:
            raise ConfigError(str(error)) from error
        if digest is not None and here != digest:
            raise ConfigError(_another(model, found, here, digest))
        return cls(found, places["extractor"], places["feature_conf"], here)


def known_digest(model: str | None, extractor: str | None, feature_conf: str | None) -> str | None:
    """Returns the digest of a model, or None if it cannot be had now."""
    try:
        return ModelAt.find(model, extractor, feature_conf).digest
    except (ConfigError, OSError):
        return None


def located(path: str) -> Path | None:
    """Returns where a file or folder is: as named, or by its last parts in the models' folders.

    Args:
        path: relative to the working folder, absolute, or beginning with `~`.
    """
    named = Path(path).expanduser()
    return next((place for place in (named, *_elsewhere(named)) if place.exists()), None)


def model_digest(files: ModelFiles) -> str:
    """Returns the SHA-256, in hexadecimal, of all that decides the numbers of a model.

    That are the bytes of the network, of the extractor's files and of the normalisation's
    statistics, and the options that the conf files set; not where they lie, and no comments.

    Raises:
        KaldiError: the features' conf or the extractor is missing or cannot be read.
        OSError: a file cannot be read.
    """
    options = files.require_features().options().without_dither()
    parts: dict[str, object] = {
        "network": _digest_at(files.model),
        "features": asdict(options),
        "frame_subsampling_factor": files.frame_subsampling_factor,
        "online_cmvn": files.online_cmvn,
    }
    if files.ivector_dim:
        extractor = ExtractorFiles.load(files.require("extractor"))
        parts["extractor"] = {
            "options": asdict(extractor.options),
            **{key: _digest_at(path) for key, path in extractor.paths.items()},
        }
    if files.online_cmvn:
        parts["global_cmvn_stats"] = _digest_at(files.require("global_cmvn_stats"))
        parts["cmvn"] = asdict(cmvn_options(files.require_cmvn_settings(), files.feature_dim))
    return digest_of(parts)


def _elsewhere(named: Path) -> Iterator[Path]:
    """The path's ends, longest first, in every folder of the variable."""
    parts = [part for part in named.parts if part not in (named.anchor, "..", ".")]
    for folder in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep):
        if folder:
            yield from (Path(folder, *parts[start:]) for start in range(len(parts)))


def _digest_at(path: Path) -> str:
    status = path.stat()
    return _digest_of_content(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=KEPT_DIGESTS)
def _digest_of_content(path: Path, _size: int, _changed: int) -> str:
    return file_digest(path)


def _another(model: str | None, found: Path, here: str, digest: str) -> str:
    which = f"{found} is another model than the one asked for"
    cure = "Put the right files there, or say where they are"
    if model is None:
        which = "the model that comes with this sedsdk is another one than that asked for"
        cure = "Install the version of sedsdk that had it, or set model to a copy of that model"
    return (
        f"{which}. Its network, features and i-vector extractor have the SHA-256 {here}, digest "
        f"says {digest}. {cure}; to train with these, take digest out of the recipe."
    )


def _not_there(name: str, path: str, digest: str | None) -> str:
    which = f" (SHA-256 of its files: {digest})" if digest else ""
    what = {"model": "Kaldi model", "extractor": "i-vector extractor"}.get(name, "feature conf")
    return (
        f'the {what} "{Path(path).name}"{which} is not at {path}. Set '
        f"{name} to where it is (of a saved detector in its config.json), or the variable "
        f"{MODELS_VARIABLE} to a folder that holds {Path(path).name}."
    )
