"""Online i-vectors: a summary of who speaks and where, every few frames, from the past alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.ivectors.files import ExtractorFiles
from kaldi_bridge.ivectors.prepared import PreparedExtractor, Rows
from kaldi_bridge.ivectors.state import SpeakerState
from kaldi_bridge.ivectors.stream import IvectorStream


class IvectorExtractor(PreparedExtractor):
    """What ivector-extract-online2 computes, without Kaldi.

    Runs on the CPU in float64 (results are float32): the work that counts is a chain of small
    systems, each starting from the last one's solution, which an accelerator would only slow down.

    What it is made of stands at `PreparedExtractor`.
    """

    @classmethod
    def load(cls, path: Path | str) -> IvectorExtractor:
        """Reads an `ivector_extractor.conf` and what it names, or the folder of an extractor.

        Paths in the conf file may be of another machine: see `rerooting`.

        Raises:
            MissingFile: a file is not there; the message says where it was looked for.
            KaldiFileError: a file is damaged or an option wrong.
            NotSupported: an extractor of a kind that Kaldi has no online i-vectors for.
            ShapeError: sound files that do not belong together.
        """
        return cls(ExtractorFiles.load(path))

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
