"""Fifteen conjugate-gradient steps, as Kaldi takes them: the i-vector is where they stop.

At K = 100 dimensions they have not converged, so the solution of the system is not Kaldi's
i-vector: start, step lengths and the moments at which the residual is recomputed all count.
Source: matrix/optimization.cc (LinearCgd) and matrix/sp-matrix.cc of Kaldi 5.5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

ITERATIONS = 15
RECOMPUTE_BELOW = 1e-4  # change of the squared residual since it was last computed from x itself
TINY = float(np.finfo(np.float64).tiny)
WORSE_BY = 1e-10  # of b·b: how much worse than the start makes the result useless
ROUNDING = 6e-8  # of a float32
SYSTEMS = 32
LARGEST_CONDITION = 1e4  # smaller eigenvalues are raised in the exact solution


def improve(a: Doubles, b: Doubles, x: Doubles) -> Doubles:
    """Returns the next estimate of the solution of a x = b, starting from `x`.

    Where the steps have made the squared residual worse than at the start, Kaldi drops them and
    takes the exact solution, and so does this.

    Args:
        a: symmetric positive definite, [K, K].
        b: right-hand side, [K].
        x: start, [K]; not changed.
    """
    start = x
    x = start.copy()
    direction = b - a.dot(x)  # p
    residual = -direction  # r = a x - b
    product = np.empty_like(b)  # a p
    first = now = recomputed = float(residual.dot(residual))
    for _ in range(min(ITERATIONS, b.size + 5)):
        np.dot(a, direction, out=product)
        curvature = float(direction.dot(product))
        if curvature == 0.0:  # the start is the solution already
            break
        step = -float(direction.dot(residual)) / curvature
        x += step * direction
        residual += step * product
        after = float(residual.dot(residual))
        if after < RECOMPUTE_BELOW * recomputed or after > recomputed / RECOMPUTE_BELOW:
            residual = a.dot(x) - b
            after = recomputed = float(residual.dot(residual))
        if after <= TINY:
            break
        direction *= after / now
        direction -= residual
        now = after
    if now > first + WORSE_BY * float(b.dot(b)):
        return _solution(a, b, start)
    return x


def improve_from_afar(a: Doubles, b: Doubles, x: Doubles) -> Doubles:
    """Returns the first estimate for a speaker who has been heard before.

    The start is far off then, and the system as badly conditioned as a long recording makes it: the
    fifteenth step hangs on the last bit of every product, enough to move the i-vector by some 3e-4
    of its size from one build of Kaldi to another. This is the mean over systems that differ as
    much as the rounding of float32 features makes them differ; it is nearer to any of Kaldi's
    answers than they are to one another, and hardly depends on the machine.

    Args:
        a: as for `improve`.
        b: as for `improve`.
        x: as for `improve`.
    """
    generator = np.random.default_rng(0)
    estimates = np.empty((SYSTEMS, b.size))
    for estimate in estimates:
        noise = generator.uniform(-ROUNDING, ROUNDING, a.shape)
        shaken = b * (1 + generator.uniform(-ROUNDING, ROUNDING, b.size))
        estimate[:] = improve(a * (1 + noise + noise.T), shaken, x)
    mean: Doubles = estimates.mean(axis=0)
    return mean


def _solution(a: Doubles, b: Doubles, start: Doubles) -> Doubles:
    """Returns the minimiser of x·a·x/2 - x·b, small eigenvalues raised; `start` if it is better."""
    try:
        values, vectors = np.linalg.eigh(a)
    except np.linalg.LinAlgError:  # numbers beyond reason: the caller sees that x is not finite
        return np.full_like(b, np.nan)
    raised = np.maximum(values, values[-1] / LARGEST_CONDITION)
    x: Doubles = start + vectors.dot(vectors.T.dot(b - a.dot(start)) / raised)

    def gain(point: Doubles) -> float:
        return float(point.dot(b) - 0.5 * point.dot(a.dot(point)))

    return x if gain(x) >= gain(start) else start.copy()
