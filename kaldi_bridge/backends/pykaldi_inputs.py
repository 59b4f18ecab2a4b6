"""Features and online i-vectors by PyKaldi, for those who want all of it from Kaldi's own code.

| call | declared in github.com/pykaldi/pykaldi |
|---|---|
| `MfccOptions`, `Mfcc.compute_features`; `FbankOptions`, `Fbank.compute_features` | kaldi/feat/feature-mfcc.clif, kaldi/feat/feature-fbank.clif |
| `ParseOptions`, `.read_config_file` | kaldi/util/options.py, kaldi/util/options-ext.clif |
| `OnlineMatrixFeature` | kaldi/feat/online-feature.clif |
| `OnlineIvectorExtractionConfig`, `OnlineIvectorExtractionInfo`, `OnlineIvectorExtractorAdaptationState`, `OnlineIvectorFeature` | kaldi/online2/online-ivector-feature.clif, kaldi/online2/_online_ivector.py |

The i-vectors follow online2bin/ivector-extract-online2.cc step by step.
"""  # noqa: E501

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.backends.pykaldi import kaldi_errors, load, plain_name
from kaldi_bridge.errors import ShapeError
from kaldi_bridge.features.options import FeatureOptions
from kaldi_bridge.ivectors.files import ExtractorFiles

INT16_SCALE = 32768.0
"""Kaldi takes samples at the scale of 16-bit integers."""

_ONLY = {
    "mfcc": {"num_ceps", "cepstral_lifter"},
    "fbank": {"use_log_fbank", "use_power"},
}


def pykaldi_features(waveform: ArrayLike, options: FeatureOptions) -> NDArray[np.float32]:
    """Returns MFCC or filterbank features by PyKaldi.

    Args:
        waveform: [N], float in [-1, 1], at the options' sample rate.
        options: kind and settings.

    Returns:
        [T, F].

    Raises:
        MissingLibrary: PyKaldi is not there; the message says how to install it.
        ShapeError: not one channel.
        KaldiError: Kaldi refuses the options.
    """
    samples = np.ascontiguousarray(waveform, np.float32)
    if samples.ndim != 1:
        raise ShapeError(f"waveform of shape {list(samples.shape)}: expected [N].")
    module = load(f"feat.{options.kind}")
    prefix = "Mfcc" if options.kind == "mfcc" else "Fbank"
    matrix = load("matrix")
    absent = _ONLY["fbank" if options.kind == "mfcc" else "mfcc"] | {"kind"}
    settings = {key: value for key, value in asdict(options).items() if key not in absent}
    with kaldi_errors(f"compute {options.kind} features"):
        kaldi_options = getattr(module, f"{prefix}Options")()
        _configure(kaldi_options, settings)
        computer = getattr(module, prefix)(kaldi_options)
        wave = matrix.Vector(samples * np.float32(INT16_SCALE))
        rows = computer.compute_features(wave, float(options.sample_frequency), 1.0)
        return np.array(rows.numpy(), np.float32)


class PyKaldiIvectors:
    """Online i-vectors by PyKaldi.

    Attributes:
        period: frames from one i-vector to the next.
    """

    def __init__(self, files: ExtractorFiles) -> None:
        """Args:
        files: a sound extractor; its paths are handed to Kaldi as they were found.

        Raises:
            MissingLibrary: PyKaldi is not there; the message says how to install it.
            KaldiError: Kaldi cannot read a file, or its version lacks an option.
        """
        online2 = load("online2")
        options = asdict(files.options)
        self.period = files.options.ivector_period
        if not options["online_cmvn_iextractor"]:
            del options["online_cmvn_iextractor"]  # unknown to the Kaldi of older PyKaldis
        with tempfile.TemporaryDirectory(prefix="kaldi_bridge-") as folder:
            splice = Path(folder) / "splice.conf"
            splice.write_text(_conf_text(asdict(files.splice)))  # one option per line
            paths = {key: plain_name(path) for key, path in files.paths.items()}
            paths["splice-config"] = plain_name(splice)
            config = online2.OnlineIvectorExtractionConfig()
            settings = {**options, **paths, "use_most_recent_ivector": False}
            with kaldi_errors("read the i-vector extractor"):
                _configure(config, settings)
                self._info = online2.OnlineIvectorExtractionInfo.from_config(config)

    def extract(
        self, features: ArrayLike, state: Any | None = None
    ) -> tuple[NDArray[np.float32], Any]:
        """Returns the i-vectors of one utterance, and what is now known of its speaker.

        Args:
            features: [T, F], without mean normalisation.
            state: what an earlier utterance of the speaker returned.

        Returns:
            [ceil(T / period), K], and the state for the speaker's next utterance.

        Raises:
            ShapeError: no frames.
            KaldiError: Kaldi refuses, as it does with features of another dimension.
        """
        x = np.ascontiguousarray(features, np.float32)
        if x.ndim != 2 or len(x) == 0:
            raise ShapeError(f"features of shape {list(x.shape)}: expected [T, F], T at least 1.")
        online2, matrix = load("online2"), load("matrix")
        states = online2.OnlineIvectorExtractorAdaptationState
        with kaldi_errors("compute i-vectors"):
            after = states.from_info(self._info) if state is None else states.from_other(state)
            # Kaldi keeps references to these, so they have names until the last row is read
            rows = matrix.Matrix(x)
            source = load("feat.online").OnlineMatrixFeature(rows)
            feature = online2.OnlineIvectorFeature(self._info, source)
            feature.set_adaptation_state(after)
            result = matrix.Matrix(-(-len(x) // self.period), feature.dim())
            for index in range(len(result)):
                feature.get_frame(index * self.period, result[index])
            feature.get_adaptation_state(after)
            return np.array(result.numpy(), np.float32), after


def _configure(options: Any, settings: Mapping[str, Any]) -> None:
    """Sets options through a conf file, which every option of Kaldi can be set by."""
    parser = load("util.options").ParseOptions("")
    options.register(parser)
    with tempfile.TemporaryDirectory(prefix="kaldi_bridge-") as folder:
        conf = Path(folder) / "options.conf"
        conf.write_text(_conf_text(settings))
        parser.read_config_file(plain_name(conf))


def _conf_text(settings: Mapping[str, Any]) -> str:
    lines = []
    for key, value in settings.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(f"--{key.replace('_', '-')}={text}\n")
    return "".join(lines)
