"""Conditioner `spec_augment`: time masks, frequency masks and time warp, drawn by SpeechBrain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from sedsdk.errors import ConfigError, missing_dependency
from sedsdk.stages import Conditioner, ConditionerConfig, StreamSpec
from sedsdk.types import Features, Inputs, Targets

LARGEST_SEED = 2**63 - 1
POSITION_DECIMALS = 6
"""Warped positions are rounded to a millionth of a frame, so that whole frames stay whole."""


class SpecAugmentConfig(ConditionerConfig):
    """Options of `SpecAugment`; each of the three changes is off at a count or width of 0."""

    time_masks: int = Field(2, ge=0, description="time masks per clip; 0: none")
    time_mask_frames: int = Field(20, ge=1, description="longest time mask, in frames")
    time_mask_share: float = Field(
        0.2, gt=0, le=1, description="longest time mask as a share of the clip's own length"
    )
    frequency_masks: int = Field(2, ge=0, description="frequency masks per clip; 0: none")
    frequency_mask_bands: int = Field(8, ge=1, description="widest frequency mask, in bands")
    time_warp_frames: int = Field(
        0,
        ge=0,
        description="farthest that the time warp moves a frame, in frames; 0: no warp. Clips of up "
        "to twice this length stay as they are",
    )
    fill: Literal["mean", "zero"] = Field(
        "mean", description="what masks are filled with: the clip's mean, or 0"
    )


class SpecAugment(Conditioner):
    """Augmentation on features [B, T, F] of training clips: time warp, then masks.

    Every clip has draws of its own, from a seed that the generator gives it: they depend on that
    seed and on the clip's own length, never on padding or on the clips beside it. Masks of uniform
    width from 0 to the widest begin anywhere in the clip and may end early at its end. The warp
    picks a frame and moves it by up to `time_warp_frames`; what lies before and behind it is
    stretched or squeezed linearly. Frame targets and their masks are warped the same way: labels
    become fractions at the edges of events, and a frame is known where all it is made of is. Clip
    targets stay.

    Several streams are masked independently. A warp would tear streams apart in time, so it is
    for pipelines with one stream only.

    Source: Park et al. 2019 (arXiv:1904.08779); masks and warp are those of SpeechBrain's
    `SpectrogramDrop` and `Warping`, applied to a ruler of frames and bands, whose marks then say
    what to do with the features on their device. The eight combinations of the three changes are
    the rows of the EDC paper's Table 2.

    Raises:
        ConfigError: a stream is not there or has fewer bands than the widest mask, or a time warp
            is asked for in a pipeline of several streams.
    """

    Config: ClassVar[type[SpecAugmentConfig]] = SpecAugmentConfig
    config: SpecAugmentConfig
    when = "training"

    def __init__(self, config: SpecAugmentConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        for name in config.streams:
            if name not in streams:
                raise ConfigError(
                    f'spec_augment: streams names "{name}", the pipeline has: {", ".join(streams)}.'
                )
            widest, bands = config.frequency_mask_bands, streams[name].size
            if config.frequency_masks and widest > bands:
                raise ConfigError(
                    f'spec_augment: frequency_mask_bands = {widest}, but stream "{name}" has '
                    f"{bands} bands. Give at most that, or frequency_masks = 0."
                )
        if config.time_warp_frames and len(streams) > 1:
            raise ConfigError(
                f"spec_augment: time_warp_frames = {config.time_warp_frames} would move the frames "
                f"of one stream against those of the others ({', '.join(streams)}). Set it to 0."
            )

    def forward(
        self, inputs: Inputs, targets: Targets | None, generator: torch.Generator
    ) -> tuple[Inputs, Targets | None]:
        """Augments a batch; lengths, grids and clip targets stay as they are.

        Args:
            inputs: all streams.
            targets: frame targets are warped along.
            generator: CPU generator; the global random state is left alone.

        Raises:
            MissingDependency: speechbrain is not installed.
        """
        speechbrain = _speechbrain()
        seeds = torch.randint(LARGEST_SEED, (inputs.batch_size,), generator=generator).tolist()
        rulers = {name: _Ruler.of(inputs[name]) for name in self.config.streams}
        with torch.random.fork_rng(devices=[]):
            for clip, seed in enumerate(seeds):
                torch.default_generator.manual_seed(seed)
                for ruler in rulers.values():
                    self._draw(speechbrain, ruler, clip)
        for name, ruler in rulers.items():
            features = inputs[name]
            if self.config.time_warp_frames:
                features = replace(features, values=ruler.warped(features.values))
                targets = None if targets is None else _warped_targets(targets, ruler)
            inputs = inputs.with_stream(name, self._masked(features, ruler))
        return inputs, targets

    def _draw(self, speechbrain: Any, ruler: _Ruler, clip: int) -> None:
        """Marks one clip's ruler with its warped positions and its masks."""
        config, length = self.config, ruler.lengths[clip]
        if config.time_warp_frames:
            warp = speechbrain.Warping(config.time_warp_frames, "bilinear")
            marks = ruler.positions[clip, :length].clone().view(1, -1, 1)
            ruler.positions[clip, :length] = warp(marks).flatten()
        for count, widest, masked, axis in (
            (config.frequency_masks, config.frequency_mask_bands, ruler.masked_bands[clip], 2),
            (
                config.time_masks,
                min(config.time_mask_frames, int(config.time_mask_share * length)),
                ruler.masked_frames[clip, :length],
                1,
            ),
        ):
            if count and widest:
                drop = speechbrain.SpectrogramDrop(0, widest + 1, count, count, dim=axis)
                shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
                masked |= drop(torch.ones(len(masked)).view(shape)).flatten() == 0

    def _masked(self, features: Features, ruler: _Ruler) -> Features:
        values, valid = features.values, features.mask().unsqueeze(-1)
        masked = ruler.masked_frames.unsqueeze(2) | ruler.masked_bands.unsqueeze(1)  # [B, T, F]
        fill = values.new_zeros(())
        if self.config.fill == "mean":
            total = values.masked_fill(~valid, 0.0).sum((1, 2), keepdim=True)
            fill = total / (features.lengths.clamp(min=1).view(-1, 1, 1) * values.shape[2])
        values = torch.where(masked.to(values.device), fill, values)
        return replace(features, values=values.masked_fill(~valid, 0.0))


@dataclass(frozen=True)
class _Ruler:
    """What happens to the frames and bands of one stream; drawn on the CPU.

    Attributes:
        lengths: valid frames per clip.
        positions: float64 [B, T], where in the clip each frame comes from.
        masked_frames: bool [B, T].
        masked_bands: bool [B, F].
    """

    lengths: list[int]
    positions: Tensor
    masked_frames: Tensor
    masked_bands: Tensor

    @classmethod
    def of(cls, features: Features) -> _Ruler:
        """Returns a ruler that changes nothing."""
        batch, n_frames, bands = features.values.shape
        return cls(
            features.lengths.tolist(),
            torch.arange(n_frames, dtype=torch.float64).repeat(batch, 1),
            torch.zeros(batch, n_frames, dtype=torch.bool),
            torch.zeros(batch, bands, dtype=torch.bool),
        )

    def sources(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Returns on a device: clip [B, 1], lower and upper source frame [B, T]."""
        positions = self.positions.round(decimals=POSITION_DECIMALS)
        clip = torch.arange(len(positions), device=device).unsqueeze(1)
        return clip, positions.floor().long().to(device), positions.ceil().long().to(device)

    def warped(self, values: Tensor) -> Tensor:
        """Returns values [B, T, ...] read between the frames that the positions name."""
        clip, lower, upper = self.sources(values.device)
        weight = self.positions.round(decimals=POSITION_DECIMALS).frac().to(values.dtype)
        weight = weight.unsqueeze(-1).to(values.device)
        return torch.lerp(values[clip, lower], values[clip, upper], weight)


def _warped_targets(targets: Targets, ruler: _Ruler) -> Targets:
    """Warps frame labels [B, T, C]; known where every frame that a label is made of is known."""
    known = targets.frame_mask
    clip, lower, upper = ruler.sources(known.device)
    labels = ruler.warped(targets.frames.masked_fill(~known, 0.0))
    return replace(targets, frames=labels, frame_mask=known[clip, lower] & known[clip, upper])


def _speechbrain() -> Any:
    try:
        from speechbrain.augment import freq_domain
    except ImportError as error:
        raise missing_dependency("speechbrain", "augmenting with spec_augment", "train") from error
    return freq_domain
