"""The fifteen steps: where they stop, and what happens where they do harm."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from plain_ivectors import plain_conjugate_gradients

from kaldi_bridge.ivectors.conjugate_gradients import improve, improve_from_afar


def system(dim, condition, seed=0):
    """Returns a matrix of this condition, a right-hand side and a start."""
    random = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(random.standard_normal((dim, dim)))
    a = basis * np.geomspace(1, condition, dim) @ basis.T
    return (a + a.T) / 2, random.standard_normal(dim) * condition, random.standard_normal(dim)


def residual(a, b, x):
    return np.linalg.norm(a @ x - b)


@pytest.mark.parametrize("dim", [1, 2, 5, 15])
def test_few_dimensions_are_solved(dim):
    a, b, x = system(dim, 10)
    np.testing.assert_allclose(improve(a, b, x), np.linalg.solve(a, b), rtol=1e-6)


@pytest.mark.parametrize(("dim", "condition"), [(30, 50), (100, 100), (100, 1000)])
def test_many_dimensions_stop_where_the_plain_steps_stop(dim, condition):
    a, b, x = system(dim, condition)
    found, solution = improve(a, b, x), np.linalg.solve(a, b)
    expected = plain_conjugate_gradients(a, b, x)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    assert np.abs(found - solution).max() > 1e-4 * np.abs(solution).max()


def test_the_first_steps_are_exact():
    """Against conjugate gradients in fractions, without any rounding."""
    a = np.array([[4, 1, 0, 1], [1, 5, 2, 0], [0, 2, 6, 1], [1, 0, 1, 7]])
    b, x = np.array([1, -2, 3, 5]), np.array([1, 0, 0, 0])
    exact = [[Fraction(int(value)) for value in row] for row in a]
    point = [Fraction(int(value)) for value in x]

    def dot(u, v):
        return sum((p * q for p, q in zip(u, v, strict=True)), Fraction(0))

    r = [dot(row, point) - int(value) for row, value in zip(exact, b, strict=True)]
    p = [-value for value in r]
    for _ in range(4):  # in as many steps as dimensions, the solution
        ap = [dot(row, p) for row in exact]
        alpha = dot(r, r) / dot(p, ap)
        point = [value + alpha * step for value, step in zip(point, p, strict=True)]
        after = [value + alpha * step for value, step in zip(r, ap, strict=True)]
        beta = dot(after, after) / dot(r, r)
        r, p = after, [beta * s - v for s, v in zip(p, after, strict=True)]
    assert dot(r, r) == 0
    found = improve(a.astype(float), b.astype(float), x.astype(float))
    np.testing.assert_allclose(found, [float(value) for value in point], rtol=1e-12)


def test_a_start_that_is_the_solution_stays():
    a = np.diag([1.0, 2.0, 4.0])
    x = np.array([3.0, 1.0, -2.0])
    np.testing.assert_array_equal(improve(a, a @ x, x), x)
    zero = np.zeros(3)
    np.testing.assert_array_equal(improve(a, zero, zero), zero)


def test_the_start_is_not_changed():
    a, b, x = system(20, 10)
    before = x.copy()
    improve(a, b, x)
    np.testing.assert_array_equal(x, before)


def harmful():
    """A system whose squared residual is larger after fifteen steps than before them.

    The steps bring the error down, not the residual: from a start that is right but for the
    directions of small eigenvalues, they first stir up the large ones.
    """
    dim = 200
    values = np.geomspace(1, 5e3, dim)
    error = 1 / np.sqrt(values)
    a = np.diag(values)
    solution = np.ones(dim)
    return a, a @ solution, solution + error * np.where(np.arange(dim) % 2, 1, -1) / values**0.5


def test_where_the_steps_do_harm_the_exact_solution_is_taken():
    a, b, x = harmful()
    steps = plain_conjugate_gradients(a, b, x)
    assert residual(a, b, steps) > residual(a, b, x)
    np.testing.assert_allclose(improve(a, b, x), np.linalg.solve(a, b), rtol=1e-9)


def test_the_exact_solution_hardly_moves_along_directions_that_say_nothing():
    """Eigenvalues below a ten-thousandth of the largest count as that much."""
    a, b, x = harmful()
    a[0, 0] = 1e-3
    b[0] = 1.0
    assert residual(a, b, plain_conjugate_gradients(a, b, x)) > residual(a, b, x)
    found = improve(a, b, x)
    floor = a.max() / 1e4
    assert found[0] == pytest.approx(x[0] + (1 - 1e-3 * x[0]) / floor)
    np.testing.assert_allclose(found[1:], b[1:] / np.diag(a)[1:], rtol=1e-9)


@pytest.mark.parametrize("dim", [4, 20, 100])
def test_from_afar_is_the_same_where_rounding_does_not_matter(dim):
    a, b, x = system(dim, 5)
    expected = improve(a, b, x)
    found = improve_from_afar(a, b, x)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(improve_from_afar(a, b, x), found)


def test_from_afar_is_steadier_where_rounding_decides():
    a, b, x = system(20, 800)
    random = np.random.default_rng(5)
    shaken = [b * (1 + 1e-9 * random.standard_normal(b.size)) for _ in range(20)]
    spread = np.std([improve(a, some, x) for some in shaken], axis=0)
    steadied = np.std([improve_from_afar(a, some, x) for some in shaken], axis=0)
    assert np.linalg.norm(steadied) < 0.5 * np.linalg.norm(spread)
