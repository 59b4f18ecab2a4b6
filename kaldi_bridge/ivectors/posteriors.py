"""Which Gaussians of the universal background model a frame belongs to.

Source: gmm/diag-gmm.cc and hmm/posterior.cc of Kaldi 5.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DiagonalGmm:
    """Gaussians with diagonal covariances, in the form in which Kaldi stores them.

    Attributes:
        weights: [G].
        means_over_variances: [G, D].
        inverse_variances: [G, D].
    """

    weights: Doubles
    means_over_variances: Doubles
    inverse_variances: Doubles

    @property
    def count(self) -> int:
        """Number of Gaussians, G."""
        return len(self.weights)

    @property
    def dim(self) -> int:
        """Feature dimension, D."""
        return int(self.inverse_variances.shape[1])

    @cached_property
    def constants(self) -> Doubles:
        """The part of the log likelihoods that does not depend on the features, [G]."""
        with np.errstate(divide="ignore"):  # a Gaussian of weight 0 is never chosen
            log_weights = np.log(self.weights)
        squares = self.means_over_variances**2 / self.inverse_variances
        terms = np.log(self.inverse_variances) - squares - math.log(2 * math.pi)
        constants: Doubles = log_weights + 0.5 * terms.sum(axis=1)
        return constants

    @cached_property
    def _projection(self) -> Doubles:
        joined = np.concatenate([self.means_over_variances, -0.5 * self.inverse_variances], axis=1)
        return np.ascontiguousarray(joined.T)

    def log_likelihoods(self, features: Doubles) -> Doubles:
        """Returns ln(w_g N(x; g)) of each frame, [n, P, G].

        Args:
            features: [n, P, D]; each of the n products stands for itself, so that a row does not
                depend on how many others there are.
        """
        joined = np.concatenate([features, features**2], axis=-1)
        likelihoods: Doubles = joined @ self._projection
        likelihoods += self.constants
        return likelihoods


def pruned_posteriors(
    log_likelihoods: Doubles, num_gselect: int, min_post: float
) -> tuple[NDArray[np.int64], Doubles]:
    """Returns the best Gaussians of each frame and their posteriors, best first.

    A posterior is exactly 0 where the Gaussian was pruned; the others of a frame add up to 1.

    Args:
        log_likelihoods: [N, G].
        num_gselect: largest number of Gaussians per frame, k = min(num_gselect, G).
        min_post: smaller posteriors are dropped, relative to the best one and to the sum of the k.

    Returns:
        Indices [N, k] and posteriors [N, k].
    """
    k = min(num_gselect, log_likelihoods.shape[1])
    best, indices = torch.topk(torch.from_numpy(log_likelihoods), k, dim=1)
    relative = best.numpy() - best.numpy()[:, :1]
    posteriors = np.exp(relative)
    if min_post > 0:
        posteriors[relative <= math.log(min_post)] = 0.0
        posteriors[:, 0] = 1.0
        weak = posteriors < min_post * posteriors.sum(axis=1, keepdims=True)
        weak[:, 0] = False
        posteriors[weak] = 0.0
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    return indices.numpy(), posteriors
