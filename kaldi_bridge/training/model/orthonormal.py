"""Keeps matrices nearly semi-orthogonal while they learn.

Povey et al., "Semi-orthogonal low-rank matrix factorization for deep neural networks" (Interspeech
2018), sections 2.1 and 2.3; step sizes as in nnet3/nnet-utils.cc of Kaldi 5.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SPEED = 0.125
"""Step size; the fastest convergence near the solution."""
CAREFUL = (1.02, 1.1)
"""Spreads of the singular values above each of which the step is halved."""


@torch.no_grad()
def constrain(matrices: Sequence[Tensor]) -> None:
    """Takes one step on each matrix, in place, towards rows that are orthogonal and equally long.

    The length floats (`orthonormal-constraint=-1`): it is chosen so that the step is orthogonal to
    the matrix. A matrix with more rows than columns is handled as its transpose.

    Args:
        matrices: [rows, columns] each, any sizes.
    """
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for matrix in matrices:
        wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        by_shape.setdefault(wide.shape, []).append(wide)
    for group in by_shape.values():
        updates = steps(torch.stack(group))
        for matrix, update in zip(group, updates, strict=True):
            matrix += update


def steps(wide: Tensor) -> Tensor:
    """Returns the changes of matrices M [N, rows, columns], rows ≤ columns.

    With P = M Mᵀ and α² = tr(P Pᵀ) / tr(P), M changes by −4 (ν / α²) (P − α² I) M.
    """
    products = wide @ wide.mT  # [N, rows, rows]
    trace = products.diagonal(dim1=1, dim2=2).sum(1)
    trace_of_square = products.square().sum((1, 2))
    squared_scale = trace_of_square / trace
    spread = trace_of_square * wide.shape[1] / trace.square()  # 1 where all are equal
    speed = torch.full_like(spread, SPEED)
    for limit in CAREFUL:
        speed = torch.where(spread > limit, speed / 2, speed)
    products.diagonal(dim1=1, dim2=2).sub_(squared_scale[:, None])
    return (-4 * speed / squared_scale)[:, None, None] * (products @ wide)
