"""`condition` and `effective_range`: equations, what they may not depend on, what they take."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import sedsdk_edc
import torch
from edc_twin import made_clip, plain_edc
from hypothesis import given, settings
from hypothesis import strategies as st
from sedsdk_edc import offsets, scaled

ALPHAS = st.floats(math.log(0.5), math.log(500)).map(math.exp)
SEEDS = st.integers(0, 2**31)


@contextmanager
def tiles_of(side: int) -> Iterator[None]:
    """Makes every clip span many small tiles, scaled piece by piece."""
    with (
        mock.patch.object(offsets, "SMALLEST_TILE", side),
        mock.patch.dict(offsets.TILE_ELEMENTS, cpu=side * side),
        mock.patch.dict(scaled.HELD_ELEMENTS, cpu=0),
    ):
        yield


def assert_like_twin(x: Any, alpha: float, atol: float) -> None:
    """Compares one clip; frames whose edge is decided by rounding may have another window."""
    expected = plain_edc(x, alpha)
    clear = expected.clear
    first, last = sedsdk_edc.effective_range(x, alpha)
    np.testing.assert_array_equal(first[clear], expected.first[clear])
    np.testing.assert_array_equal(last[clear], expected.last[clear])
    result = sedsdk_edc.condition(x, alpha)
    np.testing.assert_allclose(result[clear], expected.output[clear], rtol=0, atol=atol)


class TestEquations:
    @given(SEEDS, st.integers(1, 40), st.integers(1, 80), ALPHAS, st.sampled_from([64, 1, 5, 16]))
    @settings(max_examples=60, deadline=None)
    def test_like_the_plain_twin(
        self, seed: int, n_frames: int, bands: int, alpha: float, side: int
    ) -> None:
        x = made_clip(seed, n_frames, bands)
        with tiles_of(side):
            assert_like_twin(x, alpha, 1e-12)
            assert_like_twin(x.astype(np.float32), alpha, 2e-7)

    @pytest.mark.parametrize("alpha", [0.5, 7.0, 60.0, 500.0])
    def test_like_one_matrix_of_all_pairs(self, alpha: float) -> None:
        """1500 frames in tiles of 64, of which α = 0.5 and 7 have far ones, against T × T."""
        clips = np.stack([made_clip(seed, 1500, 24) for seed in range(3)])
        x = torch.from_numpy(clips)
        with tiles_of(64):
            result = sedsdk_edc.condition(x, alpha)
        torch.testing.assert_close(result, by_matrices(x, alpha), rtol=0, atol=1e-11)

    def test_one_event_on_silence_in_closed_form(self) -> None:
        """Frames of ones are alike (λ = 64), any other pair is not (λ = 0)."""
        alpha, begin, end, n_frames = 7.0, 30, 50, 90
        x = np.full((n_frames, 64), -3.0)
        x[begin:end] = 5.0
        first, last = sedsdk_edc.effective_range(x, alpha)

        def mean_decayed(n: int, among: int) -> float:
            """Returns Σ_{d < n} d exp(−d/α) / among, by the derivative of a geometric series."""
            q = math.exp(-1 / alpha)
            return q * (1 - n * q ** (n - 1) + (n - 1) * q**n) / (1 - q) ** 2 / among

        for i in range(n_frames):
            is_event = begin <= i < end
            before = i - begin + 1 if is_event else i + 1
            after = end - i if is_event else n_frames - i
            assert first[i] == math.floor(i - mean_decayed(before, before))
            assert last[i] == math.floor(i + mean_decayed(after, after))
        result = sedsdk_edc.condition(x, alpha)
        np.testing.assert_allclose(result[begin:end], 1.0, rtol=0, atol=1e-15)
        for i in (0, begin - 1, begin - 2, end, n_frames - 1):
            window = np.arange(first[i], last[i] + 1)
            share = ((window >= begin) & (window < end)).mean()
            np.testing.assert_allclose(result[i], share, rtol=1e-14)

    def test_silent_frames_beside_the_loudest_of_1300_bands(self) -> None:
        """The widest range of similarities, 0 … 1300, whose exponentials span 564 decades."""
        x = np.zeros((40, offsets.MOST_FEATURES))
        x[::3] = 1.0
        x[1::6, :900] = 0.7
        assert_like_twin(x, 7.0, 1e-12)

    @given(SEEDS, st.integers(1, 60), ALPHAS)
    @settings(max_examples=40, deadline=None)
    def test_a_window_reaches_no_farther_than_alpha_over_e(
        self, seed: int, n_frames: int, alpha: float
    ) -> None:
        x = made_clip(seed, n_frames, 8)
        first, last = sedsdk_edc.effective_range(x, alpha)
        place = np.arange(n_frames)
        farthest = math.floor(alpha / math.e) + 1
        assert ((first >= np.maximum(0, place - farthest)) & (first <= place)).all()
        assert ((last <= np.minimum(n_frames - 1, place + farthest)) & (last >= place)).all()

    def test_without_decay_the_range_is_the_mean_offset_of_equation_6(self) -> None:
        """Three frames alike, 0, 149 and 300; the others have nothing in common with any."""
        x = np.zeros((301, 64))
        x[[0, 149, 300]] = 1.0
        first, last = sedsdk_edc.effective_range(x, alpha=1e18)
        assert first[[0, 149, 300]].tolist() == [0, 149 - 75, 300 - 151]  # ⌈149/2⌉, ⌈451/3⌉
        assert last[[0, 149, 300]].tolist() == [149, 149 + 75, 300]  # ⌊449/3⌋, ⌊151/2⌋
        assert (first >= 0).all()
        assert (last <= 300).all()

    @given(SEEDS, st.floats(0.01, 100), st.floats(-1000, 1000))
    @settings(max_examples=30, deadline=None)
    def test_level_and_unit_do_not_matter(self, seed: int, factor: float, shift: float) -> None:
        x = made_clip(seed, 50, 8)
        result = sedsdk_edc.condition(x)
        other = sedsdk_edc.condition(factor * x + shift)
        clear = plain_edc(x, 7.0).clear
        np.testing.assert_allclose(other[clear], result[clear], rtol=0, atol=1e-8)
        assert result.min() >= 0
        assert result.max() <= 1


def by_matrices(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """EDC with T × T matrices: [B, T, F] → [B, T, F]."""
    lowest, highest = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
    x = (x - lowest) / (highest - lowest)
    place = torch.arange(x.shape[1])
    distance = place - place.unsqueeze(1)  # [T, T], j − i
    similarity = x @ x.transpose(1, 2)
    decayed = distance.abs() * torch.exp(-distance.abs() / alpha)
    before = similarity.masked_fill(distance > 0, -math.inf).softmax(2)
    after = similarity.masked_fill(distance < 0, -math.inf).softmax(2)
    first = (place - (before * decayed).sum(2)).floor()
    last = (place + (after * decayed).sum(2)).floor()
    outside = (place < first.unsqueeze(2)) | (place > last.unsqueeze(2))
    return similarity.masked_fill(outside, -math.inf).softmax(2) @ x


class TestIndependence:
    @given(SEEDS, st.lists(st.integers(0, 90), min_size=1, max_size=6), ALPHAS)
    @settings(max_examples=40, deadline=None)
    def test_padding_and_neighbours_do_not_matter(
        self, seed: int, lengths: list[int], alpha: float
    ) -> None:
        clips = [made_clip(seed + k, max(n, 1), 6)[:n] for k, n in enumerate(lengths)]
        batch = np.full((len(clips), max(lengths) + 3, 6), np.nan)
        for row, clip in zip(batch, clips, strict=True):
            row[: len(clip)] = clip
        result = sedsdk_edc.condition(batch, alpha, lengths)
        first, last = sedsdk_edc.effective_range(batch, alpha, lengths)
        for k, clip in enumerate(clips):
            n = len(clip)
            alone_first, alone_last = sedsdk_edc.effective_range(clip, alpha)
            np.testing.assert_array_equal(first[k, :n], alone_first)
            np.testing.assert_array_equal(last[k, :n], alone_last)
            alone = sedsdk_edc.condition(clip, alpha)
            np.testing.assert_allclose(result[k, :n], alone, rtol=0, atol=1e-13)
            assert not result[k, n:].any()
            assert not first[k, n:].any()
            assert (last[k, n:] == -1).all()

    def test_more_clips_than_are_computed_at_once(self) -> None:
        clips = np.stack([made_clip(seed, 70, 5) for seed in range(45)])
        lengths = [70 - seed for seed in range(45)]
        result = sedsdk_edc.condition(clips, lengths=lengths)
        for clip, n, got in zip(clips, lengths, result, strict=True):
            alone = sedsdk_edc.condition(clip[:n])
            np.testing.assert_allclose(got[:n], alone, rtol=0, atol=1e-13)

    def test_twice_the_same(self) -> None:
        x = made_clip(3, 400, 16).astype(np.float32)
        np.testing.assert_array_equal(sedsdk_edc.condition(x), sedsdk_edc.condition(x))

    def test_the_input_is_kept(self) -> None:
        x = made_clip(0, 50, 4)
        for given_ in (x, torch.from_numpy(x.copy())):
            sedsdk_edc.condition(given_)
            np.testing.assert_array_equal(np.asarray(given_), made_clip(0, 50, 4))

    def test_half_precision_around_it_does_not_matter(self) -> None:
        x = torch.from_numpy(made_clip(0, 50, 4)).float()
        with torch.autocast("cpu", torch.bfloat16):
            inside = sedsdk_edc.condition(x)
        assert torch.equal(inside, sedsdk_edc.condition(x))


class TestSmallClips:
    def test_one_value_only_becomes_zeros(self) -> None:
        result = sedsdk_edc.condition(np.full((20, 4), -5.0))
        np.testing.assert_array_equal(result, np.zeros((20, 4)))

    def test_a_single_frame_is_scaled(self) -> None:
        result = sedsdk_edc.condition(np.array([[1.0, 3.0, 2.0]]))
        np.testing.assert_array_equal(result, [[0.0, 1.0, 0.5]])
        assert [edge.tolist() for edge in sedsdk_edc.effective_range(np.ones((1, 3)))] == [[0], [0]]

    @pytest.mark.parametrize("shape", [(0, 4), (0, 5, 4), (3, 0, 4)])
    def test_nothing_stays_nothing(self, shape: tuple[int, ...]) -> None:
        assert sedsdk_edc.condition(np.zeros(shape, np.float32)).shape == shape
        first, last = sedsdk_edc.effective_range(np.zeros(shape, np.float32))
        assert first.shape == last.shape == shape[:-1]


class TestKinds:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
    def test_numpy(self, dtype: str) -> None:
        x = made_clip(0, 60, 5).astype(dtype)
        result = sedsdk_edc.condition(x)
        assert isinstance(result, np.ndarray)
        assert result.dtype == np.dtype(dtype)
        expected = plain_edc(x.astype(np.float64), 7.0).output
        np.testing.assert_allclose(result.astype(float), expected, rtol=1e-3, atol=1e-7)
        first, last = sedsdk_edc.effective_range(x)
        assert first.dtype == last.dtype == np.int64

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
    def test_torch(self, dtype: torch.dtype) -> None:
        x = torch.from_numpy(made_clip(0, 60, 5)).to(dtype)
        result = sedsdk_edc.condition(x)
        assert result.dtype == dtype
        expected = plain_edc(x.double().numpy(), 7.0).output
        rtol = 1e-7 if dtype in (torch.float32, torch.float64) else 1e-2
        np.testing.assert_allclose(result.double().numpy(), expected, rtol=rtol, atol=1e-7)
        first, last = sedsdk_edc.effective_range(x)
        assert first.dtype == last.dtype == torch.int64

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_gpu(self, dtype: torch.dtype) -> None:
        clips = np.stack([made_clip(seed, 700, 32) for seed in range(4)])
        x, lengths = torch.from_numpy(clips).to(dtype), torch.tensor([700, 3, 650, 0])
        there = sedsdk_edc.condition(x.cuda(), lengths=lengths)
        assert there.is_cuda
        assert there.dtype == dtype
        here = sedsdk_edc.condition(x, lengths=lengths)
        torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-7)
        for mine, other in zip(
            sedsdk_edc.effective_range(x.cuda(), lengths=lengths.cuda()),
            sedsdk_edc.effective_range(x, lengths=lengths),
            strict=True,
        ):
            assert torch.equal(mine.cpu(), other)

    def test_views_and_what_may_not_be_written(self) -> None:
        x = made_clip(0, 60, 6)
        frozen = x.copy()
        frozen.flags.writeable = False
        backwards = np.asfortranarray(x)[::-1][::-1]
        for view in (frozen, backwards, x.T.copy().T):
            np.testing.assert_array_equal(sedsdk_edc.condition(view), sedsdk_edc.condition(x))
        transposed = torch.from_numpy(x.T.copy()).T
        np.testing.assert_array_equal(
            sedsdk_edc.condition(transposed).numpy(), sedsdk_edc.condition(x)
        )

    @pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, np.int32])
    def test_lengths_of_any_kind(self, kind: Any) -> None:
        batch = np.stack([made_clip(seed, 40, 4) for seed in range(2)])
        result = sedsdk_edc.condition(batch, lengths=kind([40, 25]))
        np.testing.assert_allclose(result[1, :25], sedsdk_edc.condition(batch[1, :25]), atol=1e-14)

    def test_no_gradient_flows(self) -> None:
        x = torch.from_numpy(made_clip(0, 30, 4)).requires_grad_()
        assert not sedsdk_edc.condition(x).requires_grad


BATCH = np.stack([made_clip(seed, 10, 4) for seed in range(3)])


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        ([[1.0, 2.0]], {}, TypeError, "x is a list; give a NumPy array or a torch tensor"),
        (np.ones((3, 4), int), {}, TypeError, r"x holds int64; give floats, as x\.astype"),
        (np.ones((3, 4), complex), {}, TypeError, "x holds complex128"),
        (torch.ones(3, 4, dtype=torch.int32), {}, TypeError, r"torch\.int32; give floats, as x\.f"),
        (np.ones(5), {}, ValueError, r"x has shape \(5,\); give one clip \[T, F\] or a batch"),
        (np.ones((2, 3, 4, 5)), {}, ValueError, r"x has shape \(2, 3, 4, 5\)"),
        (np.ones((5, 0)), {}, ValueError, "x has 0 features per frame; EDC takes 1 to 1300"),
        (np.ones((5, 1301)), {}, ValueError, "1301 features per frame; .* Group them into bands"),
        (BATCH, {"alpha": 0}, ValueError, "alpha is a number of frames above 0, such as 7; got 0"),
        (BATCH, {"alpha": -1.0}, ValueError, "got -1.0"),
        (BATCH, {"alpha": math.nan}, ValueError, "got nan"),
        (BATCH, {"alpha": math.inf}, ValueError, "got inf"),
        (BATCH[0], {"lengths": [10]}, ValueError, r"lengths go with a batch \[B, T, F\]; cut"),
        (BATCH, {"lengths": [10, 10]}, ValueError, r"of shape \(2,\); .* per clip, shape \(3,\)"),
        (BATCH, {"lengths": [1.5, 2, 3]}, ValueError, r"lengths are torch\.float32 of shape"),
        (BATCH, {"lengths": [1, 11, 3]}, ValueError, r"lengths\[1\] is 11; x has 10 frames"),
        (BATCH, {"lengths": [1, 2, -1]}, ValueError, r"lengths\[2\] is -1; .* give 0 to 10"),
    ],
)
def test_refusals(x: Any, options: Any, error: type[Exception], message: str) -> None:
    for function in (sedsdk_edc.condition, sedsdk_edc.effective_range):
        with pytest.raises(error, match=message):
            function(x, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_unless_they_are_padding(value: float) -> None:
    batch = BATCH.copy()
    batch[1, 7, 2] = value
    with pytest.raises(ValueError, match="clip 1 holds a value that is NaN or infinite"):
        sedsdk_edc.condition(batch)
    result = sedsdk_edc.condition(batch, lengths=[10, 7, 10])
    np.testing.assert_allclose(result[1, :7], sedsdk_edc.condition(BATCH[1, :7]), atol=1e-14)


MEASURE = r"""
import re, sys
from pathlib import Path
import numpy as np
import sedsdk_edc

def peak():
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])

x = np.random.default_rng(0).normal(size=(int(sys.argv[1]), 16)).astype(np.float32)
sedsdk_edc.condition(x[:1000])
before = peak()
sedsdk_edc.condition(x, float(sys.argv[2]))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux: reads VmHWM")
@pytest.mark.parametrize("alpha", [7.0, 2000.0])
def test_memory_grows_with_the_frames_not_with_their_square(alpha: float) -> None:
    """Of 20 000 frames a T × T matrix in float64 takes 3.2 GB; a fiftieth is allowed."""
    n_frames = 20_000
    command = [sys.executable, "-c", MEASURE, str(n_frames), str(alpha)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0 < int(run.stdout) * 1024 < n_frames * n_frames * 8 / 50
