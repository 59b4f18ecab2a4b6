"""Encoder `multires_gru`: recurrent layers that look at ever coarser time resolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sedsdk import EncodedSpec, Encoder, PartConfig, StreamSpec
from sedsdk.layers import MaskedGru
from sedsdk.types import Encoded, Features, Inputs


class MultiresGruConfig(PartConfig):
    """Options of `MultiresGru`; the defaults are the paper's for 5000 mixtures."""

    direction: Literal["uni", "bi"] = Field("bi", description="direction of every GRU layer")
    multi_resolution: bool = Field(
        True, description="halve the frame rate after every layer and sum all layers' outputs"
    )
    layers: int = Field(3, ge=1, le=8, description="GRU layers; 4 for 15000 mixtures")
    units: int = Field(256, gt=0, description="GRU units per direction")
    dropout: float = Field(0.0, ge=0, lt=1, description="behind every layer; the paper has none")


class MultiresGru(Encoder):
    """Stacked GRU layers, with or without multiple resolutions.

    With `multi_resolution`, the outputs of two neighbouring frames are averaged after every layer
    and go into the next one, so layer l works at 1 / 2^(l−1) of the input's frame rate. At the end
    every layer's averaged output is replicated back to the input's rate, and all are summed:

        h_t = Σ_l  z^l_⌊t / 2^l⌋,   z^l_s = mean(y^l_2s, y^l_2s+1),   y^l = GRU_l(z^(l−1)).

    The last frame of an odd number of frames stands for its pair alone. `Encoded.scales` holds
    z^1, z^2, ... Without `multi_resolution` the frames are the last layer's output.

    Source: Wang et al. 2019, Section 3 and Figure 2; `direction` and `multi_resolution` select a
    row of Table 1.
    """

    Config = MultiresGruConfig
    config: MultiresGruConfig

    def __init__(self, config: MultiresGruConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        source = streams["main"]
        both = config.direction == "bi"
        size = config.units * (2 if both else 1)
        self.layers = nn.ModuleList(
            MaskedGru(size if layer else source.size, config.units, bidirectional=both)
            for layer in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        scales = range(1, config.layers + 1) if config.multi_resolution else range(0)
        self.spec = EncodedSpec(
            StreamSpec(size, source.grid),
            tuple(StreamSpec(size, source.grid.reduced(2**scale)) for scale in scales),
        )

    def forward(self, inputs: Inputs) -> Encoded:
        """Encodes stream "main": Features [B, T, F] → frames [B, T, H] on the same grid."""
        features = inputs.main.zero_padded()
        x, lengths = features.values, features.lengths
        scales: list[Features] = []
        for number, layer in enumerate(self.layers, 1):
            x = self.dropout(layer(x, lengths))
            if self.config.multi_resolution:
                x, lengths = averaged_pairs(x, lengths)
                scales.append(Features(x, lengths, features.grid.reduced(2**number)))
        if scales:
            x = _summed([scale.values for scale in scales], features.values.shape[1])
        frames = Features(x, features.lengths, features.grid).zero_padded()
        return Encoded(frames, tuple(scales))


def averaged_pairs(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Averages neighbouring frames; a last frame without a neighbour stays as it is.

    Args:
        x: [B, T, H], zero on padding.
        lengths: int64 [B], valid frames.

    Returns:
        [B, ⌈T / 2⌉, H], zero on padding, and the halved lengths, rounded up.
    """
    first, second = x[:, 0::2], x[:, 1::2]
    sums = first + F.pad(second, (0, 0, 0, first.shape[1] - second.shape[1]))
    halved = (lengths + 1) // 2
    frame = torch.arange(sums.shape[1], device=x.device)
    alone = (lengths % 2 == 1).unsqueeze(1) & (frame == halved.unsqueeze(1) - 1)  # [B, ⌈T / 2⌉]
    return sums * (0.5 + 0.5 * alone.to(x.dtype)).unsqueeze(2), halved


def _summed(scales: list[Tensor], frames: int) -> Tensor:
    """Replicates every scale's frames to the input's rate and sums: [B, ⌈T / 2^l⌉, H] → [B, T, H].

    Goes up one octave at a time: replicating twice by two is replicating once by four.
    """
    total = scales[-1]
    for finer in [*reversed(scales[:-1]), None]:
        length = frames if finer is None else finer.shape[1]
        total = total.repeat_interleave(2, dim=1)[:, :length]
        if finer is not None:
            total = total + finer
    return total
