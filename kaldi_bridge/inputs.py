"""What an acoustic model is fed: features, i-vectors and the normalisation of its folder."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kaldi_bridge.backends.pykaldi_inputs import PyKaldiIvectors, pykaldi_features
from kaldi_bridge.chunks import DEFAULT_PERIOD
from kaldi_bridge.conf import read_conf
from kaldi_bridge.directory import ModelFiles
from kaldi_bridge.errors import ShapeError
from kaldi_bridge.features import FeatureOptions, compute_features
from kaldi_bridge.ivectors import ExtractorFiles, IvectorExtractor, SpeakerState
from kaldi_bridge.ivectors.cmvn import OnlineCmvn
from kaldi_bridge.ivectors.files import CONF_NAME, read_cmvn_sums
from kaldi_bridge.ivectors.options import IvectorOptions, cmvn_options


class ModelInputs:
    """Makes a model's inputs from audio; files are read when they are first needed.

    Attributes:
        files: what was found around the model; None for a model made in Python.
        feature_dim: values per frame that the network takes.
        ivector_dim: dimension of the i-vector that it takes; 0 if it takes none.
        by_pykaldi: whether Kaldi's own code computes features and i-vectors.
    """

    def __init__(
        self,
        files: ModelFiles | None,
        feature_dim: int,
        ivector_dim: int,
        *,
        options: FeatureOptions | None = None,
        extractor: IvectorExtractor | None = None,
        by_pykaldi: bool = False,
    ) -> None:
        """Args:
        files: where options and extractor come from if they are not given.
        feature_dim: of the network.
        ivector_dim: of the network.
        options: features to compute.
        extractor: i-vectors to compute.
        by_pykaldi: whether Kaldi's own code computes.
        """
        self.files, self.feature_dim, self.ivector_dim = files, feature_dim, ivector_dim
        self.by_pykaldi = by_pykaldi
        self._options = options.without_dither() if options else None
        self._extractor = extractor
        self._known_period: int | None = None

    @property
    def options(self) -> FeatureOptions:
        """Options of the features, without dither.

        Raises:
            MissingFile: no conf was found.
            ShapeError: a model made in Python without them.
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
    def ivector_period(self) -> int:
        """Frames from one online i-vector to the next; reads no more than the extractor's conf."""
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

    def features(self, waveform: ArrayLike | Tensor) -> Tensor:
        """Waveform [N], float in [-1, 1] → features float32 [T, F], not normalised.

        Raises:
            MissingFile: no conf of the features was found.
            ShapeError: not one channel of finite floats, or the conf of another network.
        """
        samples = waveform.detach().cpu().numpy() if isinstance(waveform, Tensor) else waveform
        compute = pykaldi_features if self.by_pykaldi else compute_features
        rows = torch.from_numpy(compute(samples, self.options))
        if rows.shape[1] != self.feature_dim:
            raise ShapeError(
                f"the feature conf gives {rows.shape[1]} values per frame, the network takes "
                f"{self.feature_dim}. Give the conf that the model was trained with."
            )
        return rows

    def ivectors(self, features: Tensor, state: SpeakerState | None) -> Tensor:
        """Features [T, F], not normalised → online i-vectors float32 [ceil(T / period), K].

        Raises:
            ShapeError: the network takes no i-vectors, or the features do not fit.
        """
        extractor = self.extractor
        if extractor is None:
            raise ShapeError("the network takes no i-vectors.")
        rows = features.detach().float().cpu().numpy()
        if self.by_pykaldi and self.files is not None and state is None:
            files = ExtractorFiles.load(self.files.require("extractor"))
            return torch.from_numpy(PyKaldiIvectors(files).extract(rows)[0])
        return torch.from_numpy(extractor.extract(rows, state)[0])

    def online_cmvn(self) -> OnlineCmvn | None:
        """Returns a fresh online mean normalisation, if the model was trained on such features.

        Raises:
            MissingFile: its statistics or its options were not found.
            KaldiFileError: they are damaged, or an option is unknown or out of range.
            ShapeError: statistics of other features.
        """
        if self.files is None or not self.files.online_cmvn:
            return None
        path = self.files.require("global_cmvn_stats")
        sums = read_cmvn_sums(path)
        dim = sums.shape[1] - 1
        if dim != self.feature_dim:
            raise ShapeError(
                f"{path} is of features of {dim} values, the network takes {self.feature_dim}. "
                "Give the folder the statistics that the model was trained with."
            )
        options = cmvn_options(self.files.require_cmvn_settings(), dim)
        return OnlineCmvn(options, sums, np.zeros_like(sums))

    def normalised(self, features: Tensor) -> Tensor:
        """Features [T, F] → as the network takes them, float32 [T, F]."""
        cmvn = self.online_cmvn()
        if cmvn is None:
            return features
        return torch.from_numpy(cmvn.push(features.double().numpy()).astype(np.float32))
