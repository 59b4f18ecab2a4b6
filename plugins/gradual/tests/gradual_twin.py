"""The network of Sections 2.3.1, 2.3.2 and 3 in plain NumPy, one clip at a time, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


def array(values: Tensor) -> Array:
    return values.detach().double().numpy()


# Attention


def activated(values: Array, kind: str) -> Array:
    """Along the last axis."""
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-values))
    shares = np.exp(values - values.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def equation_6(clip: Array, weight: Array, bias: Array, kind: str) -> Array:
    """Spectral weights [F] of a clip [T, F], one dense layer [N, T] along all of its time."""
    weights = []
    for over_time in clip.T:
        units = np.array([row @ over_time for row in weight]) + bias
        weights.append(activated(units, kind).max())
    return np.array(weights)


def spectral_weights(clip: Array, weight: Array, bias: Array, kind: str) -> Array:
    """The largest of Equation 6 over windows of the layer; the last ends with the clip."""
    window = weight.shape[1]
    found = []
    for start in range(0, len(clip), window):
        start = min(start, max(0, len(clip) - window))
        piece = clip[start : start + window]
        filled = np.concatenate([piece, np.zeros((window - len(piece), clip.shape[1]))])
        found.append(equation_6(filled, weight, bias, kind))
    largest: Array = np.max(found, axis=0)
    return largest


def equation_5(frames: Array, weight: Array, bias: Array, kind: str) -> tuple[Array, Array]:
    """Weighted dense output [T, N] and temporal weights [T] of stacked maps [T, C · F]."""
    outputs, weights = [], []
    for frame in frames:
        units = weight @ frame + bias
        weights.append(activated(units, kind).max())
        outputs.append(weights[-1] * units)
    return np.array(outputs), np.array(weights)


# Convolutions: a map is [C, T, F]


def convolved(x: Array, weight: Array, stride: int = 1) -> Array:
    _, frames, bands = x.shape
    rows, columns = weight.shape[2:]
    padded = np.pad(x, ((0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2)))
    y = np.zeros((len(weight), frames, bands))
    for i in range(rows):
        for j in range(columns):
            seen = padded[:, i : i + frames, j : j + bands]
            y += np.einsum("oc,ctd->otd", weight[:, :, i, j], seen)
    return y[:, ::stride]


def normed(x: Array, layer: Any, stride: int = 1) -> Array:
    """Convolution and batch normalisation with the running statistics."""
    norm = layer.norm
    mean, var = per_channel(norm.running_mean), per_channel(norm.running_var)
    scaled = (convolved(x, array(layer.conv.weight), stride) - mean) / np.sqrt(var + 1e-5)
    return scaled * per_channel(norm.weight) + per_channel(norm.bias)


def per_channel(values: Tensor) -> Array:
    return array(values)[:, None, None]


def pooled(x: Array, kernel: Sequence[int]) -> Array:
    """The largest value from (k − 1) // 2 before to k // 2 behind, of those that are there."""
    _, frames, bands = x.shape
    time, frequency = kernel
    y = np.empty_like(x)
    for t in range(frames):
        rows = slice(max(0, t - (time - 1) // 2), t + time // 2 + 1)
        for f in range(bands):
            columns = slice(max(0, f - (frequency - 1) // 2), f + frequency // 2 + 1)
            y[:, t, f] = x[:, rows, columns].max((1, 2))
    return y


def convolutions(clip: Array, part: Any) -> Array:
    """Features [T, F] → map [C, ⌈T / 2⌉, F] of `Convolutions` in evaluation."""

    def active(x: Array) -> Array:
        return np.maximum(x, 0) if part.activation == "relu" else x

    x = active(normed(clip[None], part.first, stride=2))
    first = pooled(x, (4, 2))
    x = active(normed(first, part.second))
    x = active(normed(x, part.third) + first)
    second = pooled(x, (4, 1))
    x = active(normed(second, part.fourth) + second)
    return pooled(x, (4, 1))


# Recurrent layers


def gated(x: Array, weights: Sequence[Array]) -> Array:
    """One layer in one direction (Cho et al. 2014, as torch writes it): [T, I] → [T, U]."""
    w_in, w_hidden, b_in, b_hidden = weights
    units = w_hidden.shape[1]
    hidden, found = np.zeros(units), []
    for frame in x:
        given = np.split(w_in @ frame + b_in, 3)
        kept = np.split(w_hidden @ hidden + b_hidden, 3)
        reset, update = (1 / (1 + np.exp(-given[i] - kept[i])) for i in (0, 1))
        candidate = np.tanh(given[2] + reset * kept[2])
        hidden = (1 - update) * candidate + update * hidden
        found.append(hidden)
    return np.array(found)


def recurrent(x: Array, gru: Any) -> Array:
    for layer in range(gru.num_layers):
        there, back = (
            [
                array(getattr(gru, f"{name}_l{layer}{direction}"))
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            for direction in ("", "_reverse")
        )
        x = np.concatenate([gated(x, there), gated(x[::-1], back)[::-1]], 1)
    return x


# The whole encoder


def cbrnn(clip: Array, encoder: Any) -> tuple[Array, dict[str, Array]]:
    """Frames [⌈T / 2⌉, H] and attention weights of features [T, F]."""
    kind, weights = encoder.config.attention_activation, {}
    if encoder.spectral is not None:
        dense = encoder.spectral.dense
        found = spectral_weights(clip, array(dense.weight), array(dense.bias), kind)
        weights["spectral attention"] = found
        clip = clip * found
    x = convolutions(clip, encoder.convolutions)
    frames = np.stack([x[:, t].T.reshape(-1) for t in range(x.shape[1])])
    if encoder.temporal is not None:
        dense = encoder.temporal.dense
        frames, found = equation_5(frames, array(dense.weight), array(dense.bias), kind)
        weights["temporal attention"] = found
    return recurrent(frames, encoder.recurrent.gru), weights


# Alignment


def aligned_rows(
    rows: Array, row_grid: tuple[int, int], frame_grid: tuple[int, int], n_frames: int
) -> Array:
    """Means over cells by comparing whole numbers; a grid is (hop, first centre)."""
    hop, first = frame_grid
    centres = [row_grid[1] + k * row_grid[0] for k in range(len(rows))]
    found = np.zeros((n_frames, rows.shape[1]))
    for frame in range(n_frames if len(rows) else 0):
        centre = first + frame * hop
        inside = [k for k, c in enumerate(centres) if -hop <= 2 * (c - centre) < hop]
        if not inside:
            distances = [abs(c - centre) for c in centres]
            inside = [distances.index(min(distances))]
        found[frame] = rows[inside].mean(0)
    return found
