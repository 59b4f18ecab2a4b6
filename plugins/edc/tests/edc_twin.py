"""EDC as the equations of Section 2.2 read, frame by frame in NumPy float64, and its golden files.

`plain_edc` also returns the expected offsets, so that a test can tell which edges lie so near to a
whole frame that rounding decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).resolve().parents[3] / "../shared/golden/edc"
WITHOUT_GOLDEN = "needs the golden files in ../shared/golden/edc"
DECIDED_BY_ROUNDING = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlainEdc:
    """What the twin finds for one clip.

    Attributes:
        output: [T, F].
        first, last: inclusive windows, int [T].
        forward, backward: expected offsets in frames, [T].
    """

    output: Floats
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    forward: Floats
    backward: Floats

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Frames neither of whose edges is decided by rounding, [T]; an offset of 0 is exact."""
        unclear = np.zeros(len(self.first), dtype=bool)
        for offset in (self.forward, self.backward):
            distance = np.abs(offset - np.round(offset))
            unclear |= (distance < DECIDED_BY_ROUNDING) & (offset != 0)
        return ~unclear


def plain_edc(x: NDArray[Any], alpha: float) -> PlainEdc:
    """Conditions one clip [T, F]."""
    x = x.astype(np.float64)
    spread = x.max() - x.min()
    scaled = (x - x.min()) / spread if spread > 0 else np.zeros_like(x)
    n_frames = len(scaled)
    output = np.zeros_like(scaled)
    first, last = np.zeros(n_frames, dtype=np.int64), np.zeros(n_frames, dtype=np.int64)
    forward, backward = np.zeros(n_frames), np.zeros(n_frames)
    for i in range(n_frames):
        similarity = np.array([scaled[i] @ scaled[j] for j in range(n_frames)])  # Ω's row i
        for n, probability in enumerate(softmax(similarity[: i + 1])):
            offset = i - n
            forward[i] += offset * probability * np.exp(-offset / alpha)
        for offset, probability in enumerate(softmax(similarity[i:])):
            backward[i] += offset * probability * np.exp(-offset / alpha)
        first[i], last[i] = np.floor(i - forward[i]), np.floor(i + backward[i])
        kept = slice(first[i], last[i] + 1)
        for weight, frame in zip(softmax(similarity[kept]), scaled[kept], strict=True):
            output[i] += weight * frame
    return PlainEdc(output, first, last, forward, backward)


def softmax(values: Floats) -> Floats:
    """Returns exponentials that sum to 1."""
    exponentials = np.exp(values - values.max())
    return np.asarray(exponentials / exponentials.sum())


def made_clip(seed: int, n_frames: int, bands: int) -> Floats:
    """Returns a clip like log-mel features: noise, and events with a spectrum of their own."""
    random = np.random.default_rng(seed)
    clip = random.normal(-8, random.uniform(0.05, 2.0), (n_frames, bands))
    for _ in range(random.integers(0, 4)):
        begin = int(random.integers(0, n_frames))
        end = begin + 1 + int(random.integers(0, n_frames))
        spectrum = random.exponential(random.uniform(0.1, 8.0), bands)
        clip[begin:end] += spectrum * np.exp(-0.05 * np.arange(len(clip[begin:end])))[:, None]
    return clip
