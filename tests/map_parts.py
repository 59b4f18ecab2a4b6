"""An encoder whose attention maps are known in closed form, at four scales. A plugin for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from sedsdk.contract import PartConfig
from sedsdk.hooks import PartSpec, hookimpl
from sedsdk.stages import EncodedSpec, Encoder, StreamSpec
from sedsdk.types import Encoded, Features, Inputs

SEDSDK_API = (1, 1)


@hookimpl
def sedsdk_encoders() -> Iterator[PartSpec]:
    yield PartSpec("levels", "map_parts:Levels", "band levels, joined at several scales", "mean")


class LevelsConfig(PartConfig):
    scales: tuple[int, ...] = Field((1, 2, 4, 8), description="frames and bands joined per map")
    curve: bool = Field(False, description="give the mean level of each frame, too")


class Levels(Encoder):
    """Passes the stream through; its maps are σ(level / 4) after averaging k × k cells."""

    Config = LevelsConfig
    config: LevelsConfig

    def __init__(self, config: LevelsConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        self.spec = EncodedSpec(streams["main"])

    def forward(self, inputs: Inputs) -> Encoded:
        main = inputs.main.zero_padded()
        maps = {
            "mask 1" if k == 1 else f"mask 1/{k}": self._joined(main, k) for k in self.config.scales
        }
        if self.config.curve:
            maps["level"] = replace(main, values=main.values.mean(2, keepdim=True))
        return Encoded(main, attention=maps)

    @staticmethod
    def _joined(main: Features, k: int) -> Features:
        counts = main.mask().unsqueeze(2).to(main.values.dtype).expand_as(main.values)
        values = _cell_sums(main.values, k) / _cell_sums(counts, k).clamp(min=1.0)
        joined = Features((values / 4).sigmoid(), -(-main.lengths // k), main.grid.reduced(k))
        return joined.zero_padded()


def _cell_sums(values: Tensor, k: int) -> Tensor:
    """Sums cells of k frames and k bands, [B, T, F] → [B, ⌈T / k⌉, ⌈F / k⌉]."""
    padded = F.pad(values, (0, -values.shape[2] % k, 0, -values.shape[1] % k))
    return F.avg_pool2d(padded.unsqueeze(1), k).squeeze(1) * k * k
