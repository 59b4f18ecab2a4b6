"""EDC of real features, against what the authors' program returns and against the twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sedsdk_edc
import torch
from edc_twin import GOLDEN, WITHOUT_GOLDEN, plain_edc

CASES = [
    (path.name, name.removeprefix("edc_alpha_"))
    for path in sorted(GOLDEN.glob("*.npz"))
    for name in np.load(path).files
    if name.startswith("edc_alpha_")
]

pytestmark = pytest.mark.skipif(not CASES, reason=WITHOUT_GOLDEN)


def golden(clip: str, alpha: str) -> tuple[Any, Any]:
    """Returns a clip's log-mel features and what the authors' program makes of them, [T, 64]."""
    arrays = np.load(GOLDEN / clip)
    return arrays["x"], arrays[f"edc_alpha_{alpha}"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("clip", "alpha"), CASES)
def test_every_frame_is_the_authors(clip: str, alpha: str, dtype: str) -> None:
    x, expected = golden(clip, alpha)
    result = sedsdk_edc.condition(x.astype(dtype), float(alpha))
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("alpha", sorted({alpha for _, alpha in CASES}))
def test_all_clips_in_one_padded_batch(alpha: str, dtype: torch.dtype) -> None:
    clips = [golden(clip, alpha) for clip, other in CASES if other == alpha]
    lengths = [len(x) for x, _ in clips]
    batch = torch.full((len(clips), max(lengths), 64), float("nan"), dtype=dtype)
    for row, (x, _) in zip(batch, clips, strict=True):
        row[: len(x)] = torch.from_numpy(x)
    result = sedsdk_edc.condition(batch, float(alpha), lengths)
    assert result.dtype == dtype
    for row, (x, expected) in zip(result, clips, strict=True):
        np.testing.assert_allclose(row[: len(x)].numpy(), expected, rtol=0, atol=1e-7)
        assert not row[len(x) :].any()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.3, 50.0, 500.0])
@pytest.mark.parametrize(("begin", "n_frames"), [(0, 3), (40, 90), (100, 200)])
def test_real_features_beyond_the_golden_files(alpha: float, begin: int, n_frames: int) -> None:
    x = golden(*CASES[0])[0][begin : begin + n_frames]
    expected = plain_edc(x, alpha)
    first, last = sedsdk_edc.effective_range(x, alpha)
    assert expected.clear.all()
    np.testing.assert_array_equal(first, expected.first)
    np.testing.assert_array_equal(last, expected.last)
    result = sedsdk_edc.condition(x.astype(np.float64), alpha)
    np.testing.assert_allclose(result, expected.output, rtol=0, atol=1e-12)
