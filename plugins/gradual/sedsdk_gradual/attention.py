"""Spectral attention on the input and temporal attention on the convolutions' output."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedsdk.types import Features, frame_mask

Activation = Literal["softmax", "sigmoid"]


class TemporalAttention(nn.Module):
    """Weighs frames: a dense layer on each frame, whose largest activation is the frame's weight.

        h_t = W C_t + b  [units]        Â_t = max_n σ(h_t)_n  (5)        output = Â_t h_t

    C_t is the frame's stacked map, channels × bands; the maximum is over the axis that its
    frequencies were on. The text multiplies the weights with "the output of the fully connected
    layer", here h_t before the activation. A softmax runs over the units, as it does in a dense
    layer of Keras, so weights are between 1 / units and 1.

    Args:
        size: channels × bands.
        units: Nt.
        activation: σ.

    Source: Section 2.3.2, Equation 5.
    """

    def __init__(self, size: int, units: int, activation: Activation) -> None:
        super().__init__()
        self.dense = nn.Linear(size, units)
        self.activation: Activation = activation

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Weighs the frames of each clip.

        Args:
            x: [B, T, size].
            lengths: int64 [B], frames.

        Returns:
            Weighted frames [B, T, units] and weights [B, T] in (0, 1], both zero on padding.
        """
        hidden = self.dense(x)
        weights = activated(hidden, self.activation).amax(2)
        weights = weights.masked_fill(~frame_mask(lengths, x.shape[1]), 0.0)
        return hidden * weights.unsqueeze(2), weights


class SpectralAttention(nn.Module):
    """Weighs frequency components: a dense layer along the time of each, then a maximum.

        Â_f = max_{w,n} σ(W s_{w,f} + b)_n  (6)        Ŝ_t = S_t ⊗ Â  (7)

    This is the structure of temporal attention with both axes exchanged: there the layer reads a
    frame's frequencies, here s_{w,f}, the values over time of component f in the w-th window of
    `window` frames. The maximum is over the units, which took the place of time, and over the
    windows, which lie end to end from the clip's start on; the last one is moved back to end with
    the clip. Only a clip shorter than a window is filled up with zeros. Each clip has one weight
    per component, however far it is padded.

    The paper's clips all have 600 frames, one window, and then this is Equation 6. Its index also
    allows a layer on the frequencies of each frame with the maximum over time, but that leaves
    one weight per unit, 32, for 200 components.

    Args:
        window: frames that the dense layer reads.
        units: Ns.
        activation: σ; a softmax runs over the units.

    Source: Section 2.3.2, Equations 6 and 7; the idea is that of the paper's reference [8].
    """

    def __init__(self, window: int, units: int, activation: Activation) -> None:
        super().__init__()
        self.dense = nn.Linear(window, units)
        self.activation: Activation = activation

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Weighs the components of each clip.

        Args:
            features: [B, T, F], zero on padding.

        Returns:
            Weighted values [B, T, F] and weights [B, F] in (0, 1].
        """
        pieces = windows_of(features, self.dense.in_features)  # [B, W, window, F]
        units = self.dense(pieces.transpose(2, 3))  # [B, W, F, units]
        weights = activated(units, self.activation).amax((1, 3))
        return features.values * weights.unsqueeze(1), weights


def windows_of(features: Features, window: int) -> Tensor:
    """Cuts every clip into windows of equal length, the last of which ends with the clip.

    A clip with fewer windows than another of the batch has its last one again.

    Args:
        features: [B, T, F], zero on padding.
        window: frames.

    Returns:
        [B, ⌈T / window⌉, window, F], zero behind a clip shorter than a window.
    """
    values, device = features.values, features.values.device
    batch, n_frames, size = values.shape
    if n_frames <= window:
        return F.pad(values, (0, 0, 0, window - n_frames)).unsqueeze(1)
    last = (features.lengths - window).clamp(min=0).view(-1, 1)
    starts = torch.arange(0, n_frames, window, device=device).minimum(last)  # [B, W]
    place = starts.unsqueeze(2) + torch.arange(window, device=device)  # [B, W, window]
    pieces = values.gather(1, place.view(batch, -1, 1).expand(-1, -1, size))
    return pieces.view(batch, -1, window, size)


def activated(values: Tensor, activation: Activation) -> Tensor:
    """Applies a sigmoid to every value, or a softmax along the last axis."""
    return torch.sigmoid(values) if activation == "sigmoid" else values.softmax(-1)
