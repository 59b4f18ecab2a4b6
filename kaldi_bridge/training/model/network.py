"""A factored TDNN that learns in torch and leaves in Kaldi's format (`exporting`).

Layout, names and arithmetic are those of LibriSpeech's run_tdnn_1d without i-vectors:
egs/librispeech/s5/local/chain/tuning/run_tdnn_1d.sh of Kaldi 5.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.training.model.layers import BatchNorm, FactoredLayer, ReluLayer, linear
from kaldi_bridge.training.model.lda import InputStatistics
from kaldi_bridge.training.model.orthonormal import constrain

SPLICE = (-1, 0, 1)
"""Frames that the first layer reads."""
SUBSAMPLING = 3
"""Frames of features per row of the output."""


@dataclass(frozen=True)
class TdnnfConfig:
    """Sizes of a network.

    Attributes:
        features: values per frame of the input.
        dim: of the layers.
        bottleneck: of the linear half of each factored layer.
        strides: frames between the two that each half of a factored layer reads; 0 for one frame.
        bypass: scale of the layer below in the sum with the layer.
        prefinal: dimension of "prefinal-l", whose activations serve as an embedding.
        classes: columns of the output.
        dropout: how far values are scaled in training, from 0 to 0.5; see `ReluLayer`.
        mean_window: frames, a power of three, over whose mean the features are centred before
            all else; None for features as they are.
    """

    features: int = 40
    dim: int = 320
    bottleneck: int = 80
    strides: tuple[int, ...] = (1, 1, 3, 3, 3, 3, 3, 3)
    bypass: float = 0.66
    prefinal: int = 128
    classes: int = 41
    dropout: float = 0.0
    mean_window: int | None = None

    def __post_init__(self) -> None:
        for name in ("features", "dim", "bottleneck", "prefinal", "classes"):
            if getattr(self, name) < 1:
                raise ShapeError(f"{name} is {getattr(self, name)}; give 1 or more.")
        if any(stride < 0 for stride in self.strides):
            raise ShapeError(f"strides are {list(self.strides)}; give 0 or more for each layer.")
        if not 0 <= self.dropout <= 0.5:
            raise ShapeError(f"dropout is {self.dropout:g}; give a number from 0 to 0.5.")
        window = self.mean_window
        if window is not None and (window < 3 or 3 ** round(math.log(window, 3)) != window):
            raise ShapeError(
                f"mean_window is {window}; give a power of three, such as 27, 81 or 243 frames "
                "(the mean is built of sums of three), or None."
            )

    @property
    def mean_offsets(self) -> tuple[int, ...]:
        """Offsets d of the means of frames t − d, t and t + d that make the window: 1, 3, 9, …"""
        levels = round(math.log(self.mean_window or 1, 3))
        return tuple(3**level for level in range(levels))

    @property
    def reach(self) -> int:
        """Frames that the network sees on either side of an output's own."""
        return sum(self.mean_offsets) + SPLICE[-1] + sum(self.strides)


class Tdnnf(nn.Module):
    """Features in, log posteriors out, at every third frame.

    Attributes:
        config: the sizes.
        context: frames before the first and behind the last output that the input must have.
        lda_weights: fixed affine map of three frames, [3 F, 3 F]; see `fit_input`.
        lda_bias: [3 F].
    """

    lda_weights: Tensor
    lda_bias: Tensor

    def __init__(self, config: TdnnfConfig | None = None) -> None:
        """Args:
        config: the sizes; None for the defaults.
        """
        super().__init__()
        self.config = config = config or TdnnfConfig()
        self.context = (config.reach, config.reach)
        spliced = len(SPLICE) * config.features
        self.register_buffer("lda_weights", torch.eye(spliced))
        self.register_buffer("lda_bias", torch.zeros(spliced))
        self.tdnn1 = ReluLayer(spliced, config.dim, config.dropout)
        self.tdnnf = nn.ModuleList(
            FactoredLayer(
                config.dim,
                config.bottleneck,
                stride,
                bypass=config.bypass,
                dropout=config.dropout,
            )
            for stride in config.strides
        )
        self.prefinal_l = linear(config.dim, config.prefinal)
        self.prefinal = ReluLayer(config.prefinal, config.dim)
        self.prefinal_linear = linear(config.dim, config.prefinal)
        self.prefinal_batchnorm2 = BatchNorm(config.prefinal)
        self.output = nn.Linear(config.prefinal, config.classes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Tensor, phase: int | None = 0) -> Tensor:
        """Computes log posteriors.

        Args:
            features: [B, T, F] with `context` frames on either side of those that are asked for.
            phase: the first frame that is asked for, 0, 1 or 2, every third one following; None
                for all frames.

        Returns:
            [B, ⌈(T − left − right − phase) / 3⌉, classes].

        Raises:
            ShapeError: another number of features, too few frames, or another phase.
        """
        rows = self.prefinal(self.embed(features, phase))
        rows = self.prefinal_batchnorm2(self.prefinal_linear(rows))
        return F.log_softmax(self.output(rows), dim=-1)

    def embed(self, features: Tensor, phase: int | None = 0) -> Tensor:
        """Returns the activations of "prefinal-l" [B, T', prefinal]; see `forward`."""
        self._check(features, phase)
        steps = self.steps(1 if phase is None else SUBSAMPLING)
        first = phase or 0
        rows = F.linear(self._spliced(features), self.lda_weights, self.lda_bias)
        if steps[0] > 1:
            rows = rows[:, first :: steps[0]]
        rows = self.tdnn1(rows)  # [B, T at steps[0], dim]
        for layer, (step, after) in zip(self._layers(), pairwise(steps), strict=True):
            rows = layer(rows, step, after, first)
        return cast(Tensor, self.prefinal_l(rows))

    def steps(self, subsampling: int) -> tuple[int, ...]:
        """Returns the frames from row to row behind "tdnn1" and behind each factored layer.

        From where on all strides are multiples of `subsampling`, that is how often layers are
        computed; below, every frame is needed.
        """
        steps = [subsampling]
        for stride in reversed(self.config.strides):
            steps.insert(0, steps[0] if stride % steps[0] == 0 else 1)
        return tuple(steps)

    def padded(self, features: Tensor) -> Tensor:
        """Features [B, T, F] → [B, left + T + right, F], the edge frames repeated as Kaldi does."""
        left, right = self.context
        before = features[:, :1].expand(-1, left, -1)
        return torch.cat([before, features, features[:, -1:].expand(-1, right, -1)], dim=1)

    @torch.no_grad()
    def fit_input(self, clips: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Sets the fixed affine map to the linear discriminants of three frames; see `lda`.

        Args:
            clips: features [T, F] and classes [T] of each; frames without the mean's window around
                them are left out.

        Raises:
            ShapeError: too few frames to estimate a covariance, or features that do not vary.
        """
        statistics = InputStatistics(len(self.lda_bias), self.config.classes)
        reach = sum(self.config.mean_offsets) + SPLICE[-1]
        for features, classes in clips:
            if len(features) > 2 * reach:
                statistics.add(self._spliced(features[None])[0], classes[reach:-reach])
        weights, bias = statistics.transform()
        self.lda_weights.copy_(weights)
        self.lda_bias.copy_(bias)

    @torch.no_grad()
    def constrain_(self) -> None:
        """Takes one step towards semi-orthogonal factors; Kaldi does on one batch in four."""
        factors = [layer.linear.weight for layer in self._layers()]
        constrain([*factors, self.prefinal_l.weight, self.prefinal_linear.weight])

    def _layers(self) -> list[FactoredLayer]:
        return [cast(FactoredLayer, layer) for layer in self.tdnnf]

    def _spliced(self, features: Tensor) -> Tensor:
        """Features [B, T, F] → [B, T − 2 · (reach of the mean + 1), 3 F]."""
        mean, reach = features, 0
        for offset in self.config.mean_offsets:
            mean = (mean[:, : -2 * offset] + mean[:, offset:-offset] + mean[:, 2 * offset :]) / 3
            reach += offset
        if reach:
            features = features[:, reach:-reach] - mean
        return torch.cat([features[:, :-2], features[:, 1:-1], features[:, 2:]], dim=2)

    def _check(self, features: Tensor, phase: int | None) -> None:
        if features.dim() != 3 or features.shape[2] != self.config.features:
            raise ShapeError(
                f"features of {list(features.shape)}: expected [B, T, {self.config.features}]."
            )
        if phase is not None and not 0 <= phase < SUBSAMPLING:
            raise ShapeError(f"phase is {phase}; give 0, 1, 2, or None for all frames.")
        needed = sum(self.context) + (phase or 0) + 1
        if features.shape[1] < needed:
            raise ShapeError(
                f"{features.shape[1]} frames where {needed} are the least: add the context with "
                "padded()."
            )
