"""Conditioner `feature_weighting`: features at several time scales, weighted by importance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from sedsdk import Conditioner, ConditionerConfig, StreamSpec
from sedsdk.layers import masked_mean
from sedsdk.types import Features, Inputs, Targets
from sedsdk_edc.streams import check_streams

VARIANCE_FLOOR = 1e-8
"""Added to a band's variance, so that its root has a gradient in a clip of one frame."""
SHORTEST_SHARE = 0.7
"""Of all importance, what the shortest scale begins with; the others share the rest alike."""
FIRST_SCORES = 0.01
"""Standard deviation of the last layer's first weights: the clip hardly matters to begin with."""


class FeatureWeightingConfig(ConditionerConfig):
    """Options of `FeatureWeighting`."""

    scales: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 5, 15, 45), min_length=1, description="lengths of the averaging windows, odd, in frames"
    )
    hidden: int = Field(32, gt=0, description="hidden units of the net that scores the scales")

    @field_validator("scales")
    @classmethod
    def _windows_have_a_centre(cls, scales: tuple[int, ...]) -> tuple[int, ...]:
        even = [scale for scale in scales if scale % 2 == 0]
        if even:
            raise ValueError(f"a window of {even[0]} frames has no centre frame; give odd lengths")
        if len(set(scales)) < len(scales):
            raise ValueError(f"give every scale once, got {scales}")
        return scales


class FeatureWeighting(Conditioner):
    """Averages a stream over windows of several lengths and mixes them band by band; learnable.

    With m_s(t) the mean of a clip's frames in the window of s frames centred on t, cut at the
    clip's borders, and importance scores q [S, F] of the clip:

        y(t) = Σ_s softmax_s(q_s) ⊙ m_s(t)
        q = W₂ relu(W₁ LayerNorm([mean_t x, std_t x]) + b₁) + b₂

    An interpretation: the EDC paper only says of the compared method that it weights global
    features in different scales by their importance and aggregates them over scales. "Global" is
    read as the clip's statistics, "scales" as the window lengths.

    It begins near the identity: seven tenths of every band come from the shortest window. So
    training starts from about what it would see without conditioning, onsets stay sharp until blur
    is found to help, and the softmax is far enough from saturation for every scale to be tried.
    The statistics are normalised, so this holds whether the features are decibels or natural
    logarithms. Targets stay.

    Raises:
        ConfigError: a stream is not there.
    """

    Config: ClassVar[type[FeatureWeightingConfig]] = FeatureWeightingConfig
    config: FeatureWeightingConfig
    when = "always"

    def __init__(self, config: FeatureWeightingConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        check_streams("feature_weighting", config.streams, streams)
        self.importance = nn.ModuleDict(
            {name: _Importance(streams[name].size, config) for name in config.streams}
        )

    def forward(
        self, inputs: Inputs, targets: Targets | None, generator: torch.Generator
    ) -> tuple[Inputs, Targets | None]:
        """Weights the named streams; lengths, grids and targets stay as they are.

        Args:
            inputs: all streams.
            targets: returned as they are.
            generator: not used.
        """
        for name in self.config.streams:
            features = inputs[name].zero_padded()
            weights = self.importance[name](features)  # [B, S, F]
            values = torch.zeros_like(features.values)
            for index, scale in enumerate(self.config.scales):
                weight = weights[:, index].unsqueeze(1).to(values.dtype)
                values = values + weight * centred_means(features, scale)
            inputs = inputs.with_stream(name, replace(features, values=values).zero_padded())
        return inputs, targets


class _Importance(nn.Module):
    """Global statistics of a clip → importance of every scale in every band."""

    def __init__(self, size: int, config: FeatureWeightingConfig) -> None:
        super().__init__()
        self.shape = (len(config.scales), size)
        self.normalise = nn.LayerNorm(2 * size)
        self.hidden = nn.Linear(2 * size, config.hidden)
        self.scores = nn.Linear(config.hidden, len(config.scales) * size)
        nn.init.normal_(self.scores.weight, std=FIRST_SCORES)
        nn.init.zeros_(self.scores.bias)
        if others := len(config.scales) - 1:
            shortest = config.scales.index(min(config.scales))
            head_start = math.log(SHORTEST_SHARE / (1 - SHORTEST_SHARE) * others)
            self.scores.bias.data.view(self.shape)[shortest] = head_start

    def forward(self, features: Features) -> Tensor:
        """Features [B, T, F] → weights [B, S, F] that sum to 1 over the scales."""
        hidden = torch.relu(self.hidden(self.normalise(global_statistics(features))))
        return self.scores(hidden).unflatten(1, self.shape).softmax(1)  # type: ignore[no-any-return]


def global_statistics(features: Features) -> Tensor:
    """Returns each band's mean and standard deviation over the clip's frames, [B, 2F].

    Args:
        features: [B, T, F], zero on padding.
    """
    values, lengths = features.values, features.lengths
    mean = masked_mean(values, lengths)
    variance = masked_mean((values - mean.unsqueeze(1)).square(), lengths)
    return torch.cat([mean, (variance + VARIANCE_FLOOR).sqrt()], 1)


def centred_means(features: Features, scale: int) -> Tensor:
    """Returns every frame's mean over a window centred on it, cut at the clip's borders.

    Args:
        features: [B, T, F], zero on padding.
        scale: odd length of the window, in frames.

    Returns:
        [B, T, F]; undefined on padding.
    """
    values, lengths = features.values, features.lengths
    if scale == 1:
        return values
    side = scale // 2
    pooled = F.avg_pool1d(values.transpose(1, 2), scale, stride=1, padding=side).transpose(1, 2)
    place = torch.arange(values.shape[1], device=values.device)
    count = (place + side + 1).minimum(lengths.unsqueeze(1)) - (place - side).clamp(min=0)  # [B, T]
    return pooled * scale / count.clamp(min=1).unsqueeze(2)
