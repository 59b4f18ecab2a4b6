"""What is carried from one recording of a speaker to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import ShapeError

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SpeakerState:
    """Statistics of a speaker's recordings so far; never changed, a new one comes out of each.

    Attributes:
        cmvn_sums: sums of the features and their count, then sums of squares, [2, F + 1].
        linear: linear term of the i-vector's objective, prior included, [K].
        quadratic: quadratic term, prior included, lower triangle row by row, [K (K + 1) / 2].
        count: frames behind `linear` and `quadratic`, times the posterior scale.
        prior_offset: first element of the i-vector before anything was heard.
        max_count: count from which the prior grows with the data; 0 for never.
    """

    cmvn_sums: Doubles
    linear: Doubles
    quadratic: Doubles
    count: float
    prior_offset: float
    max_count: float

    @classmethod
    def unheard(
        cls, feature_dim: int, ivector_dim: int, prior_offset: float, max_count: float
    ) -> SpeakerState:
        """Returns the state of somebody of whom nothing is known: the prior alone."""
        linear, quadratic = np.zeros(ivector_dim), np.zeros(packed_size(ivector_dim))
        linear[0] = prior_offset
        quadratic[packed_diagonal(ivector_dim)] = 1.0
        cmvn_sums = np.zeros((2, feature_dim + 1))
        return cls(cmvn_sums, linear, quadratic, 0.0, prior_offset, max_count)

    def prior_scale(self, count: float) -> float:
        """Returns the weight of the prior beside `count` frames of data."""
        return max(count, self.max_count) / self.max_count if self.max_count > 0 else 1.0

    def limited(self, max_remembered_frames: float, posterior_scale: float) -> SpeakerState:
        """Returns the state with no more weight than so many frames have.

        Args:
            max_remembered_frames: limit, in frames.
            posterior_scale: what a frame counts in the statistics of the i-vector.
        """
        cmvn_sums = self.cmvn_sums
        if (frames := float(cmvn_sums[0, -1])) > max_remembered_frames:
            cmvn_sums = cmvn_sums * (max_remembered_frames / frames)
        limit = max_remembered_frames * posterior_scale
        if self.count <= limit:
            return replace(self, cmvn_sums=cmvn_sums)
        scale = limit / self.count
        count = self.count * scale
        missing = self.prior_scale(count) - scale * self.prior_scale(self.count)
        linear, quadratic = self.linear * scale, self.quadratic * scale
        linear[0] += self.prior_offset * missing
        quadratic[packed_diagonal(linear.size)] += missing
        return replace(self, cmvn_sums=cmvn_sums, linear=linear, quadratic=quadratic, count=count)

    def to_arrays(self) -> dict[str, Doubles]:
        """Returns the state as arrays of float64, for `numpy.savez`, safetensors or a database."""
        return {field.name: np.array(getattr(self, field.name), float) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> SpeakerState:
        """Returns the state that `to_arrays` gave.

        Raises:
            ShapeError: an array is missing, of the wrong shape, or holds NaN or infinity.
        """
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in arrays]:
            raise ShapeError(f"no state of a speaker: it lacks {', '.join(missing)}.")
        values = {name: np.array(arrays[name], np.float64) for name in names}
        k = values["linear"].size
        shapes = {
            "cmvn_sums": (2, values["cmvn_sums"].size // 2),
            "linear": (k,),
            "quadratic": (packed_size(k),),
        }
        for name, value in values.items():
            if value.shape != shapes.get(name, ()) or value.size == 0:
                expected = f"; expected {list(shapes.get(name, ()))}"
                raise ShapeError(f"no state of a speaker: {name} is {list(value.shape)}{expected}.")
            if not np.isfinite(value).all():
                raise ShapeError(f"no state of a speaker: {name} holds NaN or infinity.")
        if min(values["count"], values["max_count"], values["cmvn_sums"][0, -1]) < 0:
            raise ShapeError("no state of a speaker: a count in it is negative.")
        scalars = {name: float(values[name]) for name in ("count", "prior_offset", "max_count")}
        return cls(values["cmvn_sums"], values["linear"], values["quadratic"], **scalars)


def packed_size(dim: int) -> int:
    """Returns how many numbers the lower triangle of a [dim, dim] matrix has."""
    return dim * (dim + 1) // 2


def packed_diagonal(dim: int) -> NDArray[np.int64]:
    """Returns where the diagonal lies in a lower triangle stored row by row, [dim]."""
    rows = np.arange(dim)
    return rows * (rows + 3) // 2


def packed_positions(dim: int) -> NDArray[np.int64]:
    """Returns where each element of the full matrix lies in the triangle, [dim, dim]."""
    rows, columns = np.indices((dim, dim))
    high, low = np.maximum(rows, columns), np.minimum(rows, columns)
    positions: NDArray[np.int64] = high * (high + 1) // 2 + low
    return positions
