"""Parts whose output is known in closed form, or whose grids are awkward. A plugin for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from sedsdk.contract import PartConfig
from sedsdk.hooks import PartSpec, hookimpl
from sedsdk.pipeline import Pipeline
from sedsdk.stages import EncodedSpec, Encoder, Frontend, StreamSpec
from sedsdk.types import Encoded, Features, FrameGrid, Inputs, frame_mask

SEDSDK_API = (1, 1)

SLOPE = 80.0
LOUD = 0.25
"""Level at which the toy detector's probability is one half."""

MakePipeline = Callable[..., Pipeline]


@hookimpl
def sedsdk_frontends() -> Iterator[PartSpec]:
    yield PartSpec("level", "toy_parts:Level", "root mean square of each frame", "closed form")


@hookimpl
def sedsdk_encoders() -> Iterator[PartSpec]:
    yield PartSpec("smooth", "toy_parts:Smooth", "moving average, then joins frames", "closed form")


class LevelConfig(PartConfig):
    sample_rate: int = Field(8000, gt=0)
    hop_samples: float = Field(80, gt=0, description="need not be whole")
    window_samples: int = Field(80, gt=0)


class Level(Frontend):
    """Root mean square of windows that start at floor(i · hop); frames need a whole window."""

    Config = LevelConfig

    def __init__(self, config: LevelConfig) -> None:
        super().__init__(config)
        self.sample_rate = config.sample_rate
        hop = config.hop_samples / config.sample_rate
        middle = config.window_samples / 2 / config.sample_rate
        self.spec = StreamSpec(1, FrameGrid(hop, middle))

    def _starts(self, n_samples: int) -> Tensor:
        last = n_samples - self.config.window_samples
        starts = torch.arange(int(last / self.config.hop_samples) + 2) * self.config.hop_samples
        starts = starts.floor().long()
        return starts[starts <= last]

    def frame_count(self, n_samples: int) -> int:
        return 0 if n_samples < self.config.window_samples else len(self._starts(n_samples))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        counts = torch.tensor([self.frame_count(int(length)) for length in lengths])
        window = torch.arange(self.config.window_samples)
        starts = self._starts(max(waveforms.shape[1], self.config.window_samples))[
            : int(counts.max())
        ]
        picked = waveforms[:, starts.unsqueeze(1) + window]  # [B, T, window]
        level = picked.square().mean(2).sqrt().unsqueeze(2)
        return Features(
            level * frame_mask(counts, level.shape[1]).unsqueeze(2), counts, self.spec.grid
        )


class SmoothConfig(PartConfig):
    frames: int = Field(1, gt=0, description="odd width of the moving average")
    join: int = Field(1, gt=0, description="frames joined into one")
    also: str = Field("", description="a second stream, laid beside the first frame by frame")


class Smooth(Encoder):
    Config = SmoothConfig

    def __init__(self, config: SmoothConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        self.time_reduction = config.join
        size = 2 if config.also else 1
        self.spec = EncodedSpec(StreamSpec(size, streams["main"].grid.reduced(config.join)))

    def forward(self, inputs: Inputs) -> Encoded:
        x, lengths = inputs.main.values, inputs.main.lengths
        if self.config.also:
            other = inputs[self.config.also]
            times = torch.as_tensor(inputs.main.grid.times(x.shape[1]))
            nearest = ((times - other.grid.first_seconds) / other.grid.hop_seconds).round().long()
            nearest = nearest.clamp(0, other.values.shape[1] - 1)
            x = torch.cat([x, other.values[:, nearest]], dim=2)
        width, join = self.config.frames, self.config.join
        x = F.avg_pool1d(x.transpose(1, 2), width, stride=1, padding=width // 2)
        x = F.avg_pool1d(x, join).transpose(1, 2)
        return Encoded(Features(x, lengths // join, self.spec.frames.grid))
