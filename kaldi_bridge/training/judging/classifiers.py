"""What can be judged: anything that gives phone posteriors for a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.errors import ShapeError
from kaldi_bridge.features import FeatureOptions, compute_features
from kaldi_bridge.nnet3.reading import read_model
from kaldi_bridge.phones import PhoneMap, phone_posteriors
from kaldi_bridge.training.inventory import CLASS_OF, CLASSES, SILENCE, fold

Array = NDArray[np.float32]
Posteriors = tuple[Array, float, float]
"""Posteriors [T, 41], seconds from frame to frame, and the centre of frame 0 in seconds."""


class Classifier(Protocol):
    """What gives phone posteriors.

    Attributes:
        name: for tables.
        priors: share of each class that the posteriors presume, [41]; None if unknown.
    """

    @property
    def name(self) -> str:
        """For tables."""

    @property
    def priors(self) -> Array | None:
        """Share of each class that the posteriors presume, [41]."""

    def posteriors(self, samples: Array, sample_rate: int) -> Posteriors:
        """Classifies a recording.

        Args:
            samples: float32 [N] in [-1, 1], at any rate.
            sample_rate: hertz.
        """


def resampled(samples: Array, sample_rate: int, wanted: int) -> Array:
    """Returns samples at another rate, band-limited (soxr, high quality)."""
    if sample_rate == wanted:
        return samples
    moved = soxr.resample(samples, sample_rate, wanted, quality="HQ")
    return np.clip(np.asarray(moved, np.float32), -1.0, 1.0)


def first_centre_seconds(options: FeatureOptions) -> float:
    """Returns the centre of the first frame's window, in seconds."""
    return (options.first_sample(0) + options.window_samples / 2) / options.sample_rate


class OfFeatures:
    """A classifier of frames of features, such as a network that is being trained."""

    def __init__(
        self,
        name: str,
        log_posteriors: Callable[[Array], NDArray[Any]],
        options: FeatureOptions,
        *,
        subsampling: int = 1,
        priors: NDArray[Any] | None = None,
    ) -> None:
        """Args:
        name: for tables.
        log_posteriors: features [T, F] → log posteriors [ceil(T / subsampling), 41], of the frames
            0, subsampling, ...
        options: of the features.
        subsampling: frames of features per row of posteriors.
        priors: share of each class [41].
        """
        self.name, self._log_posteriors = name, log_posteriors
        self._options, self._subsampling = options.without_dither(), subsampling
        self.priors = None if priors is None else np.asarray(priors, np.float32)

    def posteriors(self, samples: Array, sample_rate: int) -> Posteriors:
        """See `Classifier.posteriors`; recordings shorter than a frame give no rows."""
        options = self._options
        features = compute_features(resampled(samples, sample_rate, options.sample_rate), options)
        rows = np.zeros((0, len(CLASSES)), np.float32)
        if len(features):
            rows = np.exp(np.asarray(self._log_posteriors(features), np.float32))
        hop = options.frame_shift_seconds * self._subsampling
        return rows, hop, first_centre_seconds(options)


class OfModel:
    """An acoustic model in Kaldi's format, its phones folded into the 41 classes."""

    def __init__(
        self,
        model: AcousticModel | Path | str,
        *,
        subsampling: int | None = None,
        node: str = "output",
        name: str = "",
    ) -> None:
        """Args:
        model: a model, or its folder.
        subsampling: frames of features per row; None: as the model was trained.
        node: output of the network, chain or cross-entropy.
        name: for tables; the folder's, if not given.

        Raises:
            MissingFile: no model, or no phones.txt beside it.
            ShapeError: a model without a transition model, or one made in Python without files.
            UnknownPhone: a phone of the model is none of the known inventories.
        """
        self.model = model if isinstance(model, AcousticModel) else AcousticModel.load(model)
        files, transitions = self.model.files, self.model.transitions
        if files is None or transitions is None:
            raise ShapeError(
                "phones come from a model folder with a final.mdl and phones.txt: load() one."
            )
        table = files.phones or files.model.with_name("phones.txt")
        phones = PhoneMap.of(transitions, table)
        numbers = [CLASS_OF[fold(name) or SILENCE] for name in phones.names]
        folding = np.zeros((len(numbers), len(CLASSES)), np.float32)
        folding[np.arange(len(numbers)), numbers] = 1
        weights = phones.weights @ folding
        self._map = PhoneMap(CLASSES, weights)
        self._factor = subsampling or self.model.frame_subsampling_factor
        self._node = node
        self.name = name or files.model.parent.name
        priors = read_model(files.model).priors
        self.priors: Array | None = None
        if len(priors) == len(weights):
            self.priors = np.asarray(priors @ weights, np.float32)

    def posteriors(self, samples: Array, sample_rate: int) -> Posteriors:
        """See `Classifier.posteriors`; recordings shorter than a frame give no rows."""
        model, options = self.model, self.model.feature_options
        with torch.inference_mode():
            rows = model.embed(
                resampled(samples, sample_rate, model.sample_rate),
                node=self._node,
                subsampling=self._factor,
            )
        scores = rows.float().cpu().numpy()
        hop = model.frame_shift_seconds * self._factor
        return phone_posteriors(scores, self._map), hop, first_centre_seconds(options)
