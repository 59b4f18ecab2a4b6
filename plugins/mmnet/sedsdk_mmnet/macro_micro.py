"""Heads `macro_micro` (M&mnet) and `macro_micro_ms` (M&mnet-MS)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sedsdk import ConfigError, Encoded, EncodedSpec, Features, Prediction, StreamSpec, Targets
from sedsdk_mmnet.macro import MacroConfig, MacroHead, prediction
from sedsdk_mmnet.mixing import Mixing, mixed
from sedsdk_mmnet.nets import Attended, MicroNet


class MacroMicroConfig(MacroConfig):
    """Options of `MacroMicro` and `MacroMicroMs`."""

    scores: int = Field(
        0, ge=0, description="m, attention scores per segment; 0: as many as the map has channels"
    )
    micro_weight: float = Field(1.0, ge=0, description="λ, weight of the micro loss")
    micro_scale: Literal["segments", "printed", "mean"] = Field(
        "segments",
        description="what the attention that weighs the segments' losses sums to. printed: m "
        "(Equation 7); segments: m / T, as in the authors' code; mean: 1",
    )
    clip_loss: Literal["ensemble", "macro"] = Field(
        "ensemble",
        description="clip prediction that the clip loss reads. macro: ŷ, as Equation 8 prints, "
        "with which the attention never learns; ensemble: that of Equation 9",
    )
    ensemble_prediction: bool = Field(
        True, description="predict clips by Equation 9; false: by the macro net alone"
    )
    macro_share: float = Field(
        0.5, ge=0, le=1, description="μ, share of the macro net in the ensemble prediction"
    )
    mixing: Mixing = Field(
        "probabilities",
        description="what Equation 9 averages: probabilities, as printed, or logits, as in the "
        "authors' code",
    )


class MacroMicro(MacroHead):
    """M&mnet: a macro net, and a micro net whose segments are taught with attention.

    With ŷ of the macro net (Equation 2) and d̂, a, α of the micro net (`MicroNet`):

        ŷ_att = Σ_t α_t d̂_t,   ŷ_ens = μ ŷ + (1 − μ) ŷ_att                              (9)
        loss  = ξ(y, ŷ_ens) + λ s Σ_t a_t ξ(y, d̂_t)                                  (7, 8)

    No gradient flows through a_t of the second term: it would teach the attention to look where
    the loss is small already. So the attention learns through ŷ_ens alone, and that is what the
    first term reads by default, where Equation 8 prints ŷ; `clip_loss` is "macro" for that.
    ξ is the mean over the classes (Equation 3 prints the sum, which scales both terms alike). As
    Σ_t a_t = m = 384, the printed sum (s = 1) would leave the clip loss 1/385 of the whole;
    `micro_scale` has s = 1/T by default, as in the authors' code, which averages over segments.

    Frame probabilities are d̂. Extras: "clip_logits" [B, C] of the prediction, "macro_logits" and
    "ensemble_logits" [B, C], "segment_logits" [B, T, C], "attention" [B, T, 1] = a_t / m.

    Source: Chou et al. 2018, Sections 2.2 to 2.4.
    """

    Config = MacroMicroConfig
    config: MacroMicroConfig

    def __init__(self, config: MacroMicroConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        sizes = [spec.size for spec in self._map_specs(encoded)]
        self.scores = [config.scores or size for size in sizes]
        self.micro = nn.ModuleList(
            MicroNet(size, scores, n_classes)
            for size, scores in zip(sizes, self.scores, strict=True)
        )

    def _map_specs(self, encoded: EncodedSpec) -> list[StreamSpec]:
        return [encoded.frames]

    def _maps(self, encoded: Encoded) -> list[Features]:
        return [encoded.frames]

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: segments [B, T, K] → clip [B, C] and segment [B, T, C] probabilities."""
        frames = encoded.frames.zero_padded()
        macro = self.macro_logits(frames)
        nets: list[Attended] = [
            net(map_) for net, map_ in zip(self.micro, self._maps(encoded), strict=True)
        ]
        ensemble = self._ensemble(macro, nets)
        extras = {"macro_logits": macro, "ensemble_logits": ensemble, "attention": nets[0].shares}
        for index, net in enumerate(nets[1:], 1):
            extras[f"segment_logits_{index}"] = net.logits
            extras[f"segment_weights_{index}"] = net.shares
            extras[f"segment_lengths_{index}"] = net.lengths
        clip = ensemble if self.config.ensemble_prediction else macro
        return prediction(frames, clip, nets[0].logits, **extras)

    def _ensemble(self, macro: Tensor, nets: list[Attended]) -> Tensor:
        """Returns the logits of ŷ_ens, [B, C]; several nets count alike in ŷ_att."""
        mixing, share = self.config.mixing, self.config.macro_share
        attended = [mixed(net.logits, net.log_weights, 1, mixing) for net in nets]
        even = macro.new_full((len(nets), 1, 1), -math.log(len(nets)))
        both = torch.stack([macro, mixed(torch.stack(attended), even, 0, mixing)])
        shares = macro.new_tensor([share, 1 - share]).log().view(2, 1, 1)
        return mixed(both, shares, 0, mixing)

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns the clip loss and λ times the micro loss of every feature map: [B]."""
        extras = prediction.extras
        loss = self.clip_cross_entropy(extras[f"{self.config.clip_loss}_logits"], targets)
        if self.config.micro_weight == 0:
            return loss
        micro = self._micro_loss(
            extras["segment_logits"], extras["attention"], prediction.lengths, targets, 0
        )
        for index in range(1, len(self.micro)):
            micro = micro + self._micro_loss(
                extras[f"segment_logits_{index}"],
                extras[f"segment_weights_{index}"],
                extras[f"segment_lengths_{index}"],
                targets,
                index,
            )
        return loss + self.config.micro_weight * micro

    def _micro_loss(
        self, logits: Tensor, shares: Tensor, lengths: Tensor, targets: Targets, index: int
    ) -> Tensor:
        """Returns s Σ_t a_t ξ(y, d̂_t) of one feature map: [B]."""
        losses = self.segment_cross_entropy(logits, targets)
        mean = (shares.detach().squeeze(2) * losses).sum(1)
        if self.config.micro_scale == "mean":
            return mean
        total = self.scores[index] * mean
        return total / lengths.clamp(min=1) if self.config.micro_scale == "segments" else total


class MacroMicroMs(MacroMicro):
    """M&mnet-MS: M&mnet with a micro net on each of the 2L − 1 feature maps.

    The micro losses of all maps are summed (Equation 10); ŷ_att is the mean of the maps' own.
    Frame probabilities are those of X, the encoder's frames.

    Extras beside those of `MacroMicro`, for each further map l = 1, 2, … in the order of
    `Encoded.scales` and on its grid: "segment_logits_l" [B, T_l, C], "segment_weights_l"
    [B, T_l, 1] = a_t / m, "segment_lengths_l" int64 [B].

    Raises:
        ConfigError: the encoder gives no further feature maps.

    Source: Chou et al. 2018, Section 2.5.
    """

    def _map_specs(self, encoded: EncodedSpec) -> list[StreamSpec]:
        if not encoded.scales:
            raise ConfigError(
                "head macro_micro_ms reads several feature maps, and the encoder gives one. Set "
                "pyramid: true on mmnet_resnet or mmnet_convnet, or take the head macro_micro."
            )
        return [encoded.frames, *encoded.scales]

    def _maps(self, encoded: Encoded) -> list[Features]:
        return [encoded.frames, *encoded.scales]
