"""Online i-vectors: a summary of who speaks and where, every few frames, from the past alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.ivectors.files import ExtractorFiles
from kaldi_bridge.ivectors.lda import SplicedLda
from kaldi_bridge.ivectors.state import SpeakerState, packed_positions
from kaldi_bridge.ivectors.statistics import ProjectedModel
from kaldi_bridge.ivectors.stream import IvectorStream

Rows = NDArray[np.float32]


class IvectorExtractor:
    """What ivector-extract-online2 computes, without Kaldi.

    Runs on the CPU in float64 (results are float32): the work that counts is a chain of small
    systems, each starting from the last one's solution, which an accelerator would only slow down.

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

    @classmethod
    def load(cls, path: Path | str) -> IvectorExtractor:
        """Reads an `ivector_extractor.conf` and what it names, or the folder of an extractor.

        Paths in the conf file may be of another machine: see `paths.find_named`.

        Raises:
            MissingFile: a file is not there; the message says where it was looked for.
            KaldiFileError: a file is damaged or an option wrong.
            NotSupported: an extractor of a kind that Kaldi has no online i-vectors for.
            ShapeError: sound files that do not belong together.
        """
        return cls(ExtractorFiles.load(path))

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

    def extract(
        self, features: ArrayLike, state: SpeakerState | None = None
    ) -> tuple[Rows, SpeakerState]:
        """Returns the i-vectors of a recording, and what is then known of its speaker.

        Args:
            features: the network's features without mean normalisation, [T, F], T at least 1.
            state: what is known of the speaker from earlier recordings; nothing, if None.

        Returns:
            I-vectors [ceil(T / period), K], row k from frames 0 to k × period; and the new state.

        Raises:
            ShapeError: no frames, another feature dimension, NaN or infinity, or a state of
                another extractor.
        """
        stream = IvectorStream(self, state)
        ivectors = np.concatenate([stream.push(features), stream.finish()])
        if not len(ivectors):
            raise ShapeError("features of 0 frames: an i-vector needs at least one frame.")
        return ivectors, stream.state

    def repeat(self, ivectors: ArrayLike, n_frames: int) -> Rows:
        """Returns one row for every frame, as `ivector-extract-online2 --repeat` does.

        Args:
            ivectors: [ceil(n_frames / period), K].
            n_frames: T.

        Raises:
            ShapeError: there are not as many rows as that.
        """
        rows = np.asarray(ivectors, np.float32)
        expected = (-(-n_frames // self.period), self.ivector_dim)
        if rows.shape != expected:
            raise ShapeError(
                f"i-vectors {list(rows.shape)} for {n_frames} frames: expected {list(expected)}, "
                f"one for every {self.period} frames."
            )
        return rows[np.arange(n_frames) // self.period]

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
