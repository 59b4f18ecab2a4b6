"""Conditioner `mixup`: blends every clip with another one, features and targets alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from sedsdk.errors import ConfigError
from sedsdk.stages import Conditioner, ConditionerConfig, StreamSpec
from sedsdk.types import Features, Inputs, Targets

LARGEST_SEED = 2**63 - 1


class MixupConfig(ConditionerConfig):
    """Options of `Mixup`."""

    alpha: float = Field(0.2, gt=0, description="both parameters of the Beta distribution of λ")
    probability: float = Field(1.0, ge=0, le=1, description="chance that a clip is mixed")
    draw: Literal["pair", "batch"] = Field(
        "pair", description="draw λ and the chance anew for every pair, or once per batch"
    )


class Mixup(Conditioner):
    """Mixes clip i with clip π(i): λ x_i + (1 − λ) x_π(i), λ ~ Beta(α, α), π a permutation.

    Zhang et al. 2018 (arXiv:1710.09412). Features are mixed as they are, so log-mel energies in the
    log domain, as in the papers that compare with mixup; mixing sounds as sounds is the job of the
    data part's mixers. Clip i keeps its own length: a longer partner is cut, and behind the end
    of a shorter one clip i goes on alone, features and frame labels unmixed.

    Targets are mixed with the same λ, frame labels where they were mixed. A mixed label is known
    only where both are. A cut partner's clip label is that of the frames which are left, if these
    are known; else its absent classes stay absent and its present ones become unknown.

    The targets of a batch are mixed once, so all streams of the pipeline have to be mixed.

    Raises:
        ConfigError: `streams` does not name exactly the streams of the pipeline.
    """

    Config: ClassVar[type[MixupConfig]] = MixupConfig
    config: MixupConfig
    when = "training"

    def __init__(self, config: MixupConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        if set(config.streams) != set(streams):
            raise ConfigError(
                f"mixup mixes the targets, so it has to mix every stream: streams names "
                f"{', '.join(config.streams) or 'none'}, the pipeline has {', '.join(streams)}."
            )

    def forward(
        self, inputs: Inputs, targets: Targets | None, generator: torch.Generator
    ) -> tuple[Inputs, Targets | None]:
        """Mixes a batch; lengths and grids stay as they are.

        Args:
            inputs: all streams.
            targets: mixed along.
            generator: CPU generator that the permutation and every λ are drawn from.
        """
        pairs = self._draw(inputs.batch_size, generator)
        mixed = {name: _mixed_features(inputs[name], pairs) for name in inputs}
        if targets is None:
            return Inputs(mixed), None
        return Inputs(mixed), _mixed_targets(targets, inputs.main, pairs)

    def _draw(self, batch: int, generator: torch.Generator) -> _Pairs:
        config = self.config
        seed = int(torch.randint(LARGEST_SEED, (), generator=generator))
        random = np.random.default_rng(seed)
        draws = batch if config.draw == "pair" else 1
        own = random.beta(config.alpha, config.alpha, draws)
        own[random.random(draws) >= config.probability] = 1.0
        shares = torch.from_numpy(np.broadcast_to(own, batch).copy())
        return _Pairs(torch.from_numpy(random.permutation(batch)), shares)


@dataclass(frozen=True)
class _Pairs:
    """Who is mixed with whom.

    Attributes:
        partner: int64 [B].
        share: float64 [B], λ: what clip i keeps of itself; 1 leaves it as it is.
    """

    partner: Tensor
    share: Tensor

    def shares(self, like: Tensor) -> Tensor:
        """Returns λ [B, 1, ...] for a tensor [B, ...], with its dtype and device."""
        return self.share.to(like).view(-1, *[1] * (like.dim() - 1))


def _mixed_features(features: Features, pairs: _Pairs) -> Features:
    own = features.zero_padded().values
    partner = pairs.partner.to(own.device)
    both = features.mask() & features.mask()[partner]  # [B, T]
    own_share = pairs.shares(own)
    values = torch.where(both.unsqueeze(-1), torch.lerp(own[partner], own, own_share), own)
    return replace(features, values=values)


def _mixed_targets(targets: Targets, main: Features, pairs: _Pairs) -> Targets:
    partner = pairs.partner.to(targets.clip.device)
    mixed = pairs.share.to(targets.clip.device) < 1  # [B]
    valid = main.mask()
    both = (valid & valid[partner] & mixed.unsqueeze(1)).unsqueeze(-1)  # [B, T, 1]
    frames, known = _mixed_labels(
        targets.frames,
        targets.frame_mask,
        targets.frames[partner],
        targets.frame_mask[partner],
        pairs,
    )
    clip, clip_known = _mixed_labels(
        targets.clip, targets.clip_mask, *_partner_clip_targets(targets, main, partner), pairs
    )
    return replace(
        targets,
        clip=torch.where(mixed.unsqueeze(1), clip, targets.clip),
        clip_mask=torch.where(mixed.unsqueeze(1), clip_known, targets.clip_mask),
        frames=torch.where(both, frames, targets.frames),
        frame_mask=torch.where(both, known, targets.frame_mask),
    )


def _mixed_labels(
    own: Tensor, own_known: Tensor, other: Tensor, other_known: Tensor, pairs: _Pairs
) -> tuple[Tensor, Tensor]:
    return torch.lerp(other, own, pairs.shares(own)), own_known & other_known


def _partner_clip_targets(
    targets: Targets, main: Features, partner: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the partners' clip labels and what is known of them [B, C], cut to the clips."""
    label, known = targets.clip[partner], targets.clip_mask[partner]
    left = (main.mask() & main.mask()[partner]).unsqueeze(-1)  # [B, T, 1]
    frames_known = (targets.frame_mask[partner] | ~left).all(1)
    frames_label = targets.frames[partner].masked_fill(~left, 0.0).amax(1)
    cut = (main.lengths[partner] > main.lengths).unsqueeze(1)
    label = torch.where(cut & frames_known, frames_label, label)
    known = torch.where(cut, frames_known | (known & (label == 0)), known)
    return label, known
