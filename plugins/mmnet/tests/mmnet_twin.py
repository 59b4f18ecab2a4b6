"""The paper in plain NumPy, float64, one clip at a time; what the tests hold the modules against.

A feature map is [T, K]. Written as Section 2 reads, with loops where the paper has sums.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
EPS = 1e-5


def array(values: Tensor) -> Array:
    return values.detach().double().numpy().copy()


def randomised(module: nn.Module, seed: int = 0, spread: float = 0.5) -> Any:
    """The module in float64 and evaluation mode, with random weights and running statistics."""
    generator = torch.Generator().manual_seed(seed)
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        if not values.is_floating_point() or name == "class_weight":
            continue
        fresh = torch.randn(values.shape, generator=generator) * spread
        values.data.copy_(fresh.abs() + 0.5 if name.endswith("running_var") else fresh)
    return module.double().eval()


# Layers


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x)))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    """Over the first axis."""
    e = np.exp(x - x.max(axis=0))
    shares: Array = e / e.sum(axis=0)
    return shares


def normed(x: Array, layer: Any) -> Array:
    """Batch normalisation by the running statistics."""
    scaled = (x - array(layer.running_mean)) / np.sqrt(array(layer.running_var) + EPS)
    return scaled * array(layer.weight) + array(layer.bias)


def convolved(x: Array, layer: Any) -> Array:
    """A `TimeConv`: y_t = b + Σ_j W_j x_(t + j − 1), zeros beyond the ends."""
    weight = array(layer.conv.weight)[:, :, 0]  # [C, K, 3]
    padded = np.pad(x, ((1, 1), (0, 0)))
    y = np.zeros((len(x), len(weight)))
    for j in range(3):
        y += padded[j : j + len(x)] @ weight[:, :, j].T
    return y if layer.conv.bias is None else y + array(layer.conv.bias)


def dense(x: Array, layer: Any) -> Array:
    y: Array = x @ array(layer.weight).T
    return y if layer.bias is None else y + array(layer.bias)


def normed_conv(x: Array, layer: Any) -> Array:
    return normed(convolved(x, layer.conv), layer.norm)


def pooled(x: Array, factor: int) -> Array:
    windows = len(x) // factor
    largest: Array = x[: windows * factor].reshape(windows, factor, x.shape[1]).max(axis=1)
    return largest


def residual(x: Array, block: Any) -> Array:
    y = convolved(relu(normed(x, block.norm)), block.first.conv)
    y = convolved(relu(normed(y, block.first.norm)), block.second)
    return y + dense(x, block.shortcut)


def plain(x: Array, stage: Any) -> Array:
    for layer in stage.convolutions:
        x = relu(normed_conv(x, layer))
    return x


def upsampled(x: Array, layer: Any) -> Array:
    """Transposed convolution with a kernel as long as its stride s: y_(s t + j) = W_j x_t."""
    weight = array(layer.dense.weight).reshape(layer.factor, layer.channels, -1)
    y = np.zeros((len(x) * layer.factor, layer.channels))
    for t in range(len(x)):
        for j in range(layer.factor):
            y[layer.factor * t + j] = weight[j] @ x[t]
    return relu(normed(y, layer.norm))


def encoded(x: Array, encoder: Any) -> list[Array]:
    """X, and with a pyramid the earlier maps and the upsampled ones."""
    is_residual = type(encoder).__name__ == "MmnetResnet"
    x = normed(x, encoder.norm)
    x = convolved(x, encoder.stem) if is_residual else plain(x, encoder.stem)
    maps = []
    pooling = (*encoder.config.pooling, 1)
    for index, (stage, factor) in enumerate(zip(encoder.stages, pooling, strict=True)):
        x = residual(x, stage) if is_residual else plain(x, stage)
        if encoder.config.pyramid or index == len(pooling) - 1:
            activation = encoder.activations[len(maps)]
            maps.append(relu(normed(x, activation.norm)) if is_residual else x)
        x = pooled(x, factor)
    found = [maps.pop(), *maps]
    x = found[0]
    for layer in encoder.upsamplings:
        x = upsampled(x, layer)
        found.append(x)
    return found


# Heads


def classified(x: Array, net: Any) -> Array:
    """Logits of f_cls: [N, K] → [N, C]."""
    x = relu(normed(dense(x, net.first), net.first_norm))
    x = relu(normed(dense(x, net.second), net.second_norm))
    return dense(x, net.output)


def scores(x: Array, attention: Any) -> Array:
    """Equations 5 and 6: a_t, which sum to m."""
    v = convolved(x, attention.conv)
    a = np.zeros(len(x))
    for m in range(v.shape[1]):
        for t in range(len(x)):
            a[t] += np.exp(v[t, m]) / np.exp(v[:, m]).sum()
    return a


def cross_entropy(y: Array, p: Array, w: Array, known: NDArray[np.bool_]) -> float:
    """ξ(y, p): Equation 3 with y and ŷ in their places, class weights, mean over known classes."""
    if not known.any():
        return 0.0
    terms = [
        -(w[c] * y[c] * math.log(p[c]) + (1 - y[c]) * math.log(1 - p[c]))
        for c in range(len(y))
        if known[c]
    ]
    return sum(terms) / len(terms)


def weights(p: Array, beta: float) -> Array:
    """Equation 11."""
    mean = sum(p) / len(p)
    return np.array([(mean / p_c * (1 - p_c) / (1 - mean)) ** beta for p_c in p])
