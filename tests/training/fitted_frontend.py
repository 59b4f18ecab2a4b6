"""A plugin whose frontend does not add and needs fitting: what it gives depends on its state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from sedsdk.hooks import PartSpec, hookimpl
from sedsdk.stages import Frontend, StreamSpec
from sedsdk.types import Features, FrameGrid

SEDSDK_API = (1, 1)
HOP = 320


@hookimpl
def sedsdk_frontends() -> Iterator[PartSpec]:
    yield PartSpec("centred", "fitted_frontend:Centred", "level less its mean", "closed form")


class Centred(Frontend):
    """Mean magnitude of frames of 20 ms, less the mean over the training set."""

    mean: Tensor
    fits = 0

    def __init__(self, config) -> None:
        super().__init__(config)
        self.sample_rate = 16000
        self.spec = StreamSpec(1, FrameGrid(0.02, 0.01))
        self.register_buffer("mean", torch.tensor(float("nan")))

    @property
    def needs_fit(self) -> bool:
        return bool(self.mean.isnan())

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        Centred.fits += 1
        levels = [self._levels(waveforms).flatten() for waveforms, _ in batches]
        self.mean.copy_(torch.cat(levels).mean())

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        levels = self._levels(waveforms).unsqueeze(2)
        counts = lengths // HOP
        return Features(levels - self.mean, counts, self.spec.grid).zero_padded()

    def frame_count(self, n_samples: int) -> int:
        return n_samples // HOP

    def _levels(self, waveforms: Tensor) -> Tensor:
        frames = waveforms[:, : waveforms.shape[1] // HOP * HOP]
        return frames.reshape(len(waveforms), -1, HOP).abs().mean(2)
