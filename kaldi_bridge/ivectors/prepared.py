"""An extractor's files in the form that the arithmetic needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.ivectors.files import ExtractorFiles
from kaldi_bridge.ivectors.lda import SplicedLda
from kaldi_bridge.ivectors.state import SpeakerState, packed_positions
from kaldi_bridge.ivectors.statistics import ProjectedModel

Rows = NDArray[np.float32]


class PreparedExtractor:
    """An extractor ready for use, and what fits it: features, states of speakers.

    Attributes:
        paths: option's key (as `ivector-extractor`) → file that it was read from.
        options: numbers of ivector_extractor.conf.
        cmvn: options of the normalisation.
        splice: frames joined before the LDA.
        global_sums: statistics of the training data, [2, F + 1].
        lda: splice and projection.
        ubm: Gaussians that say which frames are alike.
        projected: the subspace model in the form that the sums need.
        prior_offset: mean of an i-vector's first element before anything is heard.
        unpacking: places of the elements of a K × K matrix in its lower triangle, [K, K].
    """

    def __init__(self, files: ExtractorFiles) -> None:
        """Args:
        files: what `ExtractorFiles.load` read; its model is not kept.
        """
        self.paths, self.options = files.paths, files.options
        self.cmvn, self.splice = files.cmvn, files.splice
        self.global_sums, self.ubm = files.global_sums, files.ubm
        self.lda = SplicedLda(files.lda, files.splice, files.feature_dim)
        with np.errstate(over="ignore", invalid="ignore"):  # shows in i-vectors, if any use it
            self.projected = ProjectedModel(files.model)
        self.prior_offset = files.model.prior_offset
        self.unpacking = packed_positions(self.ivector_dim)

    @property
    def ivector_dim(self) -> int:
        """Dimension K of the i-vectors."""
        return self.projected.ivector_dim

    @property
    def feature_dim(self) -> int:
        """Dimension F of the features."""
        return int(self.global_sums.shape[1]) - 1

    @property
    def period(self) -> int:
        """Frames from one i-vector to the next."""
        return self.options.ivector_period

    def initial_state(self) -> SpeakerState:
        """Returns the state of a speaker who has not been heard yet."""
        offset = float(np.float32(self.prior_offset))  # Kaldi passes it on as a float
        max_count = self.options.max_count
        return SpeakerState.unheard(self.feature_dim, self.ivector_dim, offset, max_count)

    def checked(self, state: SpeakerState) -> SpeakerState:
        """Returns the state.

        Raises:
            ShapeError: it is not of this extractor.
        """
        fresh = self.initial_state()
        for what in ("cmvn_sums", "linear", "quadratic"):
            given, expected = getattr(state, what).shape, getattr(fresh, what).shape
            if given != expected:
                raise ShapeError(
                    f"the speaker's state is of another extractor: {what} is {list(given)}, "
                    f"expected {list(expected)}."
                )
        for what in ("prior_offset", "max_count"):
            if getattr(state, what) != getattr(fresh, what):
                raise ShapeError(
                    f"the speaker's state is of another extractor: {what} is "
                    f"{getattr(state, what):g}, expected {getattr(fresh, what):g}."
                )
        return state

    def checked_features(self, features: ArrayLike, first: int = 0) -> Rows:
        """Returns the features as an array [n, F] of float32, as Kaldi has them.

        Args:
            features: [n, F].
            first: number of their first frame, for messages.

        Raises:
            ShapeError: another shape, or NaN or infinity in them.
        """
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
            values = np.asarray(features, np.float32)
        if values.ndim != 2 or values.shape[1] != self.feature_dim:
            raise ShapeError(
                f"features {list(values.shape)}: this extractor needs [frames, "
                f"{self.feature_dim}], as {self.paths['global-cmvn-stats']} says. Compute "
                "them with the feature conf of the model that the extractor belongs to."
            )
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            raise ShapeError(f"features of frame {first + int(bad[0])} hold NaN or infinity.")
        return values
