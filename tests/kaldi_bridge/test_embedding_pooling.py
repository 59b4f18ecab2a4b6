"""Pooling to a wanted grid, against a plain loop in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kaldi_bridge.plugin.pooling import cell_count, cell_grid, pooled
from sedsdk.types import FrameGrid

KALDI_FIRST = Fraction(125, 10000)
HOPS = ["1/50", "1/100", "1/80", "3/100", "1/40", "512/44100", "1/3", "1/1000", "7", "9/200"]


def plain(rows: np.ndarray, step: Fraction, hop: Fraction, n_cells: int) -> np.ndarray:
    """Every cell's mean, or the nearest row, by the definition."""
    centres = [KALDI_FIRST + step * k for k in range(len(rows))]
    result = []
    for cell in range(n_cells):
        last = cell == n_cells - 1
        members = [
            row
            for row, centre in zip(rows, centres, strict=True)
            if cell * hop <= centre and (centre < (cell + 1) * hop or last)
        ]
        if not members:
            middle = cell * hop + hop / 2
            distance = [abs(centre - middle) for centre in centres]
            members = [rows[distance.index(min(distance))]]
        result.append(np.mean(members, 0))
    return np.array(result)


@given(
    n_rows=st.integers(1, 60),
    factor=st.sampled_from([1, 2, 3]),
    hop=st.sampled_from([Fraction(hop) for hop in HOPS]),
    n_cells=st.integers(1, 80),
)
def test_a_cell_is_the_mean_of_the_rows_inside_or_the_nearest(n_rows, factor, hop, n_cells):
    step = Fraction(factor, 100)
    rows = np.random.default_rng(n_rows).standard_normal((n_rows, 3))
    grid = FrameGrid(float(step), float(KALDI_FIRST))
    got = pooled(torch.from_numpy(rows), grid, n_cells, float(hop))
    np.testing.assert_allclose(got.numpy(), plain(rows, step, hop, n_cells), atol=1e-12)


@given(st.integers(1, 10**6), st.sampled_from([160, 320, 186, 441, 16000]))
def test_cells_cover_the_clip_and_no_more(n_samples, hop_samples):
    count = cell_count(n_samples / 16000, hop_samples / 16000)
    assert count == max(1, -(-n_samples // hop_samples))


def test_cells_begin_with_the_clip():
    grid = cell_grid(0.02)
    assert grid.start(0) == 0
    assert grid.start(50) == pytest.approx(1.0)


def test_a_day_at_a_hop_that_centres_lie_on_has_no_gap_and_no_shift():
    """Centres 0.0125 + 0.01 k at hop 0.0125: every border that a centre lies on is its cell's."""
    n_rows = 400_000
    rows = torch.arange(n_rows, dtype=torch.float64).unsqueeze(1)
    got = pooled(rows, FrameGrid(0.01, 0.0125), n_rows * 4 // 5, 0.0125).squeeze(1).numpy()
    cells = np.arange(5, n_rows * 4 // 5 - 1)
    doubled = cells % 4 == 1  # centres at 1.0, 1.8, 2.6, 3.4, 4.2, 5.0, 5.8 hops
    first = -((5 - 5 * cells) // 4)
    assert np.array_equal(got[cells], np.where(doubled, first + 0.5, first))
