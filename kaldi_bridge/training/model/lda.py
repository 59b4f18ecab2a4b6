"""The fixed transform of the input: linear discriminants of the classes, scaled as Kaldi does.

Source: Kaldi 5.5, transform/lda-estimate.cc and nnet3-get-feature-transform.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kaldi_bridge.errors import ShapeError

PARTS = 3
"""Parts of a phone, begin, middle and end, that count as classes of their own."""
WITHIN_CLASS_FACTOR = 1e-3
"""Variance that is kept of a direction in which classes do not differ at all; where they do, it is
close to 1. So noise stays small, which whitening would blow up."""
LEAST_VARIANCE = 1e-6
"""Added to the variances within classes, relative to their mean."""


class InputStatistics:
    """Sums over frames, from which the transform follows.

    Args:
        size: values per frame.
        classes: C.
    """

    def __init__(self, size: int, classes: int) -> None:
        self._squares = torch.zeros(size, size, dtype=torch.float64)
        self._sums = torch.zeros(classes * PARTS, size, dtype=torch.float64)
        self._counts = torch.zeros(classes * PARTS, dtype=torch.float64)

    def add(self, rows: Tensor, classes: Tensor) -> None:
        """Takes in a clip.

        Args:
            rows: [T, size].
            classes: [T], 0 to C - 1.
        """
        rows = rows.to("cpu", torch.float64)
        numbers = classes.to("cpu", torch.int64) * PARTS + parts(classes)
        self._squares += rows.T @ rows
        self._sums.index_add_(0, numbers, rows)
        self._counts += torch.bincount(numbers, minlength=len(self._counts))

    def transform(self) -> tuple[Tensor, Tensor]:
        """Returns weights [size, size] and bias [size] of the transform, float64.

        With W and B the covariances within and between classes, its rows are the directions v that
        diagonalise both, vᵀ W v = 1 and vᵀ B v = λ, scaled to a variance of
        (λ + WITHIN_CLASS_FACTOR) and then together to a mean variance of 1; the largest λ first.

        Raises:
            ShapeError: fewer frames than values, or values that do not vary or are not finite.
        """
        size, count = self._squares.shape[0], float(self._counts.sum())
        if count <= size:
            raise ShapeError(f"{count:g} frames to fit the input by; give more than {size}.")
        mean = self._sums.sum(0) / count
        total = self._squares / count - torch.outer(mean, mean)
        if not (torch.isfinite(total).all() and total.diagonal().min() > 0):
            raise ShapeError("features that do not vary, or are not finite: check the audio.")
        centres = self._sums / self._counts.clamp_min(1)[:, None] - mean
        between = (centres.T * (self._counts / count)) @ centres
        within = total - between
        floor = LEAST_VARIANCE * float(within.diagonal().mean())
        factor = torch.linalg.cholesky(within + floor * torch.eye(size, dtype=torch.float64))
        whitening = torch.linalg.inv(factor)
        ratios, directions = torch.linalg.eigh(whitening @ between @ whitening.T)
        ratios, directions = ratios.flip(0).clamp_min(0), directions.flip(1)
        scales = ((ratios + WITHIN_CLASS_FACTOR) / (ratios + 1)).sqrt()
        weights = scales[:, None] * (directions.T @ whitening)
        weights /= (weights @ total @ weights.T).diagonal().mean().sqrt()
        return weights, -weights @ mean


def parts(classes: Tensor) -> Tensor:
    """Returns which third of its run of equal classes each frame lies in: int64 [T], 0, 1 or 2."""
    if len(classes) == 0:
        return torch.zeros(0, dtype=torch.int64)
    _, lengths = torch.unique_consecutive(classes.cpu(), return_counts=True)
    starts = lengths.cumsum(0) - lengths
    place = torch.arange(len(classes)) - starts.repeat_interleave(lengths)
    thirds: Tensor = place * PARTS // lengths.repeat_interleave(lengths)
    return thirds
