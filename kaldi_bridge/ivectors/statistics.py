"""Adds up what frames say about the i-vector, period by period.

The objective is x·Q x/2 - l·x: each frame adds to l its features, projected by the Gaussians that
it belongs to, and to Q those Gaussians' U = M' S M. Kept packed, only rows of Gaussians that occur
are read: the sums are bags of rows (embedding bags). Source: ivector/ivector-extractor.cc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import embedding_bag

from kaldi_bridge.ivectors.files import SubspaceModel
from kaldi_bridge.ivectors.state import packed_size

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

GAUSSIANS_AT_ONCE = 32


@dataclass(frozen=True)
class PeriodSums:
    """Sums over each of n periods.

    Attributes:
        linear: [n, K].
        quadratic: lower triangles, [n, K (K + 1) / 2].
        count: posteriors, [n].
    """

    linear: Doubles
    quadratic: Doubles
    count: Doubles


class ProjectedModel:
    """The subspace model in the form in which the sums need it.

    Attributes:
        dim: features, D.
        ivector_dim: K.
    """

    def __init__(self, model: SubspaceModel) -> None:
        """Args:
        model: what final.ie holds.
        """
        gaussians, self.dim, self.ivector_dim = map(int, model.matrices.shape)
        projections = model.precisions @ model.matrices  # S M, [G, D, K]
        self._projections = torch.from_numpy(projections.reshape(-1, self.ivector_dim))
        quadratic = np.empty((gaussians, packed_size(self.ivector_dim)))
        rows, columns = np.tril_indices(self.ivector_dim)
        for start in range(0, gaussians, GAUSSIANS_AT_ONCE):
            some = slice(start, start + GAUSSIANS_AT_ONCE)
            full = model.matrices[some].transpose(0, 2, 1) @ projections[some]
            quadratic[some] = full[:, rows, columns]
        self._quadratic = torch.from_numpy(quadratic)
        self._gaussians = gaussians

    def sums(self, features: Doubles, gaussians: Integers, posteriors: Doubles) -> PeriodSums:
        """Returns the sums over each period.

        Args:
            features: [n, P, D].
            gaussians: Gaussians of each frame, [n, P, k].
            posteriors: theirs, scaled; 0 for none, [n, P, k].
        """
        n, frames, k = gaussians.shape
        entries = np.flatnonzero(posteriors)  # in order of time
        weights = posteriors.reshape(-1)[entries]
        pairs = entries // (frames * k) * self._gaussians + gaussians.reshape(-1)[entries]
        order = np.argsort(pairs, kind="stable")
        entries, weights = entries[order], weights[order]
        pairs, starts = np.unique(pairs[order], return_index=True)  # (period, Gaussian) that occur
        period, gaussian = np.divmod(pairs, self._gaussians)
        begins = np.searchsorted(period, np.arange(n))

        weighted = _bags(features.reshape(-1, self.dim), entries // k, weights, starts)
        rows = gaussian[:, None] * self.dim + np.arange(self.dim)
        counts = np.add.reduceat(weights, starts) if len(starts) else np.zeros(0)
        linear = _bags(self._projections, rows, weighted, begins * self.dim)
        quadratic = _bags(self._quadratic, gaussian, counts, begins)
        totals = np.bincount(period, counts, minlength=n).astype(np.float64)
        return PeriodSums(linear, quadratic, totals)


def _bags(
    table: torch.Tensor | Doubles, rows: Integers, weights: Doubles, begins: Integers
) -> Doubles:
    """Returns weighted sums of a table's rows, one for each run of `rows`, [len(begins), width]."""
    if isinstance(table, np.ndarray):
        table = torch.from_numpy(np.ascontiguousarray(table))
    summed: Doubles = embedding_bag(
        torch.from_numpy(rows.reshape(-1)),
        table,
        torch.from_numpy(begins),
        per_sample_weights=torch.from_numpy(weights.reshape(-1)),
        mode="sum",
    ).numpy()
    return summed
