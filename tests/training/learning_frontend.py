"""A plugin with frontends that learn: one from the samples on, one from what it stores on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from sedsdk.hooks import PartSpec, hookimpl
from sedsdk.stages import Frontend, StreamSpec
from sedsdk.types import Features, FrameGrid

SEDSDK_API = (1, 1)
HOP = 320
SIZE = 8


@hookimpl
def sedsdk_frontends() -> Iterator[PartSpec]:
    yield PartSpec("gained", "learning_frontend:Gained", "levels times a gain", "closed form")
    yield PartSpec("split", "learning_frontend:Split", "the same, the levels stored", "closed form")


class Gained(Frontend):
    """Mean magnitude of frames of 20 ms, times a gain per feature that learns."""

    computed = 0

    def __init__(self, config) -> None:
        super().__init__(config)
        self.sample_rate = 16000
        self.spec = StreamSpec(SIZE, FrameGrid(0.02, 0.01))
        self.gain = nn.Parameter(torch.linspace(-1.0, 1.0, SIZE))

    def frame_count(self, n_samples: int) -> int:
        return n_samples // HOP

    def levels(self, waveforms: Tensor, lengths: Tensor) -> Features:
        type(self).computed += len(waveforms)
        frames = waveforms[:, : waveforms.shape[1] // HOP * HOP]
        levels = frames.reshape(len(waveforms), -1, HOP).abs().mean(2, keepdim=True)
        return Features(levels.expand(-1, -1, SIZE), lengths // HOP, self.spec.grid).zero_padded()

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        levels = self.levels(waveforms, lengths)
        return replace(levels, values=levels.values * self.gain)


class Split(Gained):
    """The same numbers, of which the levels are stored."""

    @property
    def stored_spec(self) -> StreamSpec:
        return self.spec

    def store(self, waveforms: Tensor, lengths: Tensor) -> Features:
        return self.levels(waveforms, lengths)

    def finish(self, stored: Features) -> Features:
        return replace(stored, values=stored.values * self.gain)
