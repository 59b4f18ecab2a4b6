"""Conditioner `edc`: event-related data conditioning in a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field

from sedsdk import Conditioner, ConditionerConfig, ConfigError, StreamSpec
from sedsdk.types import Inputs, Targets
from sedsdk_edc.conditioning import conditioned
from sedsdk_edc.offsets import MOST_FEATURES
from sedsdk_edc.streams import check_streams


class EdcConfig(ConditionerConfig):
    """Options of `Edc`."""

    alpha: float = Field(
        7.0,
        gt=0,
        description="α, attenuation factor in frames: a frame's range ends within α / e frames of "
        "it. The paper's best: 7 (10 s clips), 10 (4 s clips) at a hop of 20 ms",
    )


class Edc(Conditioner):
    """Replaces every frame by a similarity-weighted mean over its event-related range.

    Deterministic, so it runs at inference too; what an appending one feeds there is `inference`.
    The stream's values become [0, 1], whatever they were. Targets stay: a range is as short as the
    event that its frame belongs to. Nothing is learnt and no gradient flows to what lies in front.
    A clip with NaN or infinity comes out as NaN; the other clips are left alone.

    Source: Hou and Botteldooren 2022, Section 2.2; `sedsdk_edc.condition` does the same for arrays.

    Raises:
        ConfigError: a stream is not there, or has more features than the sums can hold.
    """

    Config: ClassVar[type[EdcConfig]] = EdcConfig
    config: EdcConfig
    when = "always"

    def __init__(self, config: EdcConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        check_streams("edc", config.streams, streams)
        for name in config.streams:
            if streams[name].size > MOST_FEATURES:
                raise ConfigError(
                    f'edc: stream "{name}" has {streams[name].size} features per frame, EDC takes '
                    f"up to {MOST_FEATURES}. Give its frontend fewer bands."
                )

    def forward(
        self, inputs: Inputs, targets: Targets | None, generator: torch.Generator
    ) -> tuple[Inputs, Targets | None]:
        """Conditions the named streams; lengths, grids and targets stay as they are.

        Args:
            inputs: all streams.
            targets: returned as they are.
            generator: not used.
        """
        for name in self.config.streams:
            features = inputs[name]
            values = conditioned(features.values, features.lengths, self.config.alpha)
            inputs = inputs.with_stream(name, replace(features, values=values))
        return inputs, targets
