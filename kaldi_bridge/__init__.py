"""Kaldi's acoustic models in torch, number for number, without Kaldi.

    from kaldi_bridge import AcousticModel

    model = AcousticModel.load("exp/chain/tdnn_1d_sp", extractor="exp/nnet3/extractor")
    rows = model.embed(waveform, node="prefinal-l")  # [T', D]

Names are imported when they are asked for: reading and describing model files needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaldi_bridge.acoustic_model import AcousticModel
    from kaldi_bridge.archives import read_archive, read_matrix, read_scp, write_archive
    from kaldi_bridge.bundled import bundled_model
    from kaldi_bridge.directory import ModelFiles, find_model
    from kaldi_bridge.errors import (
        KaldiError,
        KaldiFileError,
        MissingFile,
        MissingLibrary,
        NotSupported,
        ShapeError,
    )
    from kaldi_bridge.features import FeatureOptions, FeatureStream, compute_features
    from kaldi_bridge.ivectors import IvectorExtractor, IvectorStream, SpeakerState
    from kaldi_bridge.nnet3.reading import read_model, read_nnet
    from kaldi_bridge.nnet3.writing import write_model

_MODULES = {
    "AcousticModel": "acoustic_model",
    "FeatureOptions": "features",
    "FeatureStream": "features",
    "IvectorExtractor": "ivectors",
    "IvectorStream": "ivectors",
    "KaldiError": "errors",
    "KaldiFileError": "errors",
    "MissingFile": "errors",
    "MissingLibrary": "errors",
    "ModelFiles": "directory",
    "NotSupported": "errors",
    "ShapeError": "errors",
    "SpeakerState": "ivectors",
    "bundled_model": "bundled",
    "compute_features": "features",
    "find_model": "directory",
    "read_archive": "archives",
    "read_matrix": "archives",
    "read_model": "nnet3.reading",
    "read_nnet": "nnet3.reading",
    "read_scp": "archives",
    "write_archive": "archives",
    "write_model": "nnet3.writing",
}

__all__ = [
    "AcousticModel",
    "FeatureOptions",
    "FeatureStream",
    "IvectorExtractor",
    "IvectorStream",
    "KaldiError",
    "KaldiFileError",
    "MissingFile",
    "MissingLibrary",
    "ModelFiles",
    "NotSupported",
    "ShapeError",
    "SpeakerState",
    "bundled_model",
    "compute_features",
    "find_model",
    "read_archive",
    "read_matrix",
    "read_model",
    "read_nnet",
    "read_scp",
    "write_archive",
    "write_model",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
