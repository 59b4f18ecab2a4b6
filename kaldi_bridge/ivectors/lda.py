"""Joins neighbouring frames and projects them: splice and LDA."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.ivectors.options import SpliceOptions

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


class SplicedLda:
    """The matrix of final.mat on spliced frames; the edge frames of a recording are repeated."""

    def __init__(self, matrix: Doubles, splice: SpliceOptions, feature_dim: int) -> None:
        """Args:
        matrix: [D, width × F], or one column more: an offset.
        splice: frames joined.
        feature_dim: F.
        """
        spliced = splice.width * feature_dim
        self._matrix = np.ascontiguousarray(matrix[:, :spliced].T)
        self._offset = matrix[:, spliced:].sum(axis=1)
        self._around = np.arange(-splice.left_context, splice.right_context + 1)

    def project(self, rows: Doubles, frames: Integers, last: int, first: int = 0) -> Doubles:
        """Returns the projection of some frames, [n, P, D].

        Each of the n products stands for itself: it does not depend on how many others there are.

        Args:
            rows: features of the frames from `first` on, [m, F].
            frames: wanted, [n, P].
            last: last frame of the recording, or of what is there of it.
            first: frame that is row 0.
        """
        wanted = np.clip(frames[..., None] + self._around, 0, last) - first
        spliced = rows[wanted].reshape(*frames.shape, -1)
        projected: Doubles = spliced @ self._matrix
        projected += self._offset
        return projected
