"""Small factored TDNNs in torch, as if trained: with statistics, an input transform, an output."""

from __future__ import annotations

import torch
from torch import nn

from kaldi_bridge.training.model.network import Tdnnf, TdnnfConfig

SMALL = {"features": 10, "dim": 24, "bottleneck": 6, "prefinal": 8, "classes": 7}


def moving_features(clips: int, frames: int, features: int, seed: int = 0) -> torch.Tensor:
    """Makes features [clips, frames, features] that change slowly and are far from zero."""
    random = torch.Generator().manual_seed(seed)
    steps = torch.randn(clips, frames, features, generator=random)
    return 10 + steps.cumsum(1) + 2 * torch.randn(clips, frames, features, generator=random)


def made_tdnnf(seed: int = 0, **sizes: object) -> Tdnnf:
    """Makes a network in evaluation mode whose every number differs from where it starts."""
    config = TdnnfConfig(**{**SMALL, **sizes})
    torch.manual_seed(seed)
    module = Tdnnf(config)
    for value in module.parameters():
        if value.dim() == 1:
            nn.init.normal_(value, std=0.3)
    nn.init.normal_(module.output.weight, std=0.3)
    features = moving_features(6, 300, config.features, seed)
    module.fit_input((clip, made_classes(clip, config.classes)) for clip in features)
    module.train()
    with torch.no_grad():
        for phase in (0, 1, 2) * 7:
            module(module.padded(features), phase)
    return module.eval()


def made_classes(features: torch.Tensor, classes: int) -> torch.Tensor:
    """Makes classes [T] in runs of some frames, by the level of the first feature [T, F]."""
    levels = features[:, 0].reshape(1, 1, -1)
    smooth = nn.functional.avg_pool1d(levels, 21, 1, 10)[0, 0]
    return (smooth - smooth.min()).long() % classes
