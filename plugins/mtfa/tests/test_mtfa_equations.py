"""The paper's Section 2.2 in plain NumPy, beside the modules, on random weights and statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sedsdk_mtfa.encoder import Mtfa, MtfaConfig
from sedsdk_mtfa.masks import Hourglass, MaskBranch, ResNetMask, upsampled_sum
from sedsdk_mtfa.residual import ResidualBlock
from torch import Tensor, nn

from sedsdk import FrameGrid, StreamSpec
from sedsdk.types import Features, Inputs

Array = NDArray[np.float64]

GRID = FrameGrid(0.02)
SMALL: dict[str, Any] = {"channels": 3, "rnn_units": 4, "frequency_bins": 2, "dropout": 0.0}
CONFIGURATIONS: list[dict[str, Any]] = [
    {"mask": "hourglass"},
    {"mask": "hourglass", "poolings": 1, "feature_blocks": 1},
    {"mask": "hourglass", "poolings": 2, "stem_stride": 2},
    {"mask": "resnet"},
    {"mask": "resnet", "mask_blocks": 3, "stem_stride": 3},
    {"mask": "none"},
]


# The twin: a clip is an array [C, T, D].


def convolved(x: Array, weight: Array) -> Array:
    _, frames, bands = x.shape
    rows, columns = weight.shape[2:]
    padded = np.pad(x, ((0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2)))
    y = np.zeros((len(weight), frames, bands))
    for i in range(rows):
        for j in range(columns):
            seen = padded[:, i : i + frames, j : j + bands]
            y += np.einsum("oc,ctd->otd", weight[:, :, i, j], seen)
    return y


def normed(x: Array, layer: Any) -> Array:
    """Convolution and batch normalisation with the running statistics."""
    norm = layer.norm
    mean, var = per_channel(norm.running_mean), per_channel(norm.running_var)
    scaled = (convolved(x, array(layer.conv.weight)) - mean) / np.sqrt(var + 1e-5)
    return scaled * per_channel(norm.weight) + per_channel(norm.bias)


def residual(x: Array, block: Any) -> Array:
    inner = np.maximum(normed(x, block.first), 0)
    return np.maximum(x + normed(inner, block.second), 0)


def halved(x: Array) -> Array:
    channels, frames, bands = x.shape
    pooled: Array = x.reshape(channels, frames // 2, 2, bands // 2, 2).max((2, 4))
    return pooled


def doubled(x: Array) -> Array:
    return x.repeat(2, axis=1).repeat(2, axis=2)


def hourglass_scales(x: Array, downs: list[Any], skips: list[Any]) -> list[Array]:
    """Merged maps from this scale to the lowest: an hourglass holds a smaller one."""
    x = residual(x, downs[0])
    if not skips:
        return [x]
    coarser = hourglass_scales(halved(x), downs[1:], skips[1:])
    return [doubled(coarser[0]) + residual(x, skips[0]), *coarser]


def mask_of(merged: Array, branch: Any) -> Array:
    logits = convolved(merged, array(branch.output.weight)) + per_channel(branch.output.bias)
    return 1 / (1 + np.exp(-logits))


def attention_aware(clip: Array, encoder: Any) -> tuple[Array, list[Array]]:
    """A = (1 + M) ⊗ F of features [T, bands], cut to T frames, and the masks of every scale."""
    frames = len(clip)
    if encoder.config.mask == "hourglass":
        while len(clip) % 2**encoder.config.poolings:
            clip = np.concatenate([clip, clip[-1:]])
    x = np.maximum(normed(clip[None], encoder.stem)[:, :, :: encoder.config.stem_stride], 0)
    while x.shape[2] < encoder.bands:
        x = np.concatenate([x, x[:, :, -1:]], 2)
    feature = x
    for block in encoder.features:
        feature = residual(feature, block)
    if encoder.mask is None:
        return feature[:, :frames], []
    body = encoder.mask.body
    if encoder.config.mask == "hourglass":
        scales = hourglass_scales(x, list(body.down), list(body.skip))
    else:
        scales = [x]
        for block in body.blocks:
            scales = [residual(scales[0], block)]
    masks = [mask_of(merged, encoder.mask) for merged in scales]
    return ((1 + masks[0]) * feature)[:, :frames], masks


def array(values: Tensor) -> Array:
    return values.detach().double().numpy()


def per_channel(values: Tensor) -> Array:
    return array(values)[:, None, None]


# The modules


def randomised(module: nn.Module, seed: int = 0) -> Any:
    """The module in float64 and evaluation mode, with random weights and running statistics."""
    generator = torch.Generator().manual_seed(seed)
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        fresh = torch.randn(values.shape, generator=generator) * 0.5
        values.data.copy_(fresh.abs() + 0.5 if name.endswith("running_var") else fresh)
    return module.double().eval()


def encoder_of(bands: int = 8, seed: int = 0, **options: Any) -> Mtfa:
    config = MtfaConfig(**{**SMALL, **options})
    made: Mtfa = randomised(Mtfa(config, {"main": StreamSpec(bands, GRID)}), seed)
    return made


def inputs(*lengths: int, bands: int = 8, seed: int = 1) -> Inputs:
    values = np.random.default_rng(seed).normal(size=(len(lengths), max(lengths), bands))
    features = Features(torch.from_numpy(values), torch.tensor(lengths), GRID)
    return Inputs({"main": features.zero_padded()})


def whole(x: Tensor) -> Tensor:
    return torch.full((len(x),), x.shape[2])


def random_map(frames: int, bands: int, channels: int = 3) -> Tensor:
    values = np.random.default_rng(2).normal(size=(1, channels, frames, bands))
    return torch.from_numpy(values)


def test_a_residual_block_is_the_twin() -> None:
    block = randomised(ResidualBlock(3))
    x = random_map(6, 5)
    found = block(x, whole(x))
    np.testing.assert_allclose(array(found[0]), residual(array(x[0]), block), atol=1e-12)


@pytest.mark.parametrize("poolings", [1, 2, 3])
@pytest.mark.parametrize("gradients", [True, False])
def test_the_hourglass_is_the_twin_on_every_scale(poolings: int, gradients: bool) -> None:
    hourglass = randomised(Hourglass(3, poolings))
    x = random_map(16, 8)
    with torch.set_grad_enabled(gradients):
        found = hourglass(x, whole(x))
    wanted = hourglass_scales(array(x[0]), list(hourglass.down), list(hourglass.skip))
    assert len(found) == len(wanted) == poolings + 1
    for merged, twin in zip(found, wanted, strict=True):
        np.testing.assert_allclose(array(merged[0]), twin, atol=1e-11)


class Passes(nn.Module):
    """In the place of a residual block."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return x.clone()


@pytest.mark.parametrize("gradients", [True, False])
def test_pooling_and_upsampling_by_hand(gradients: bool) -> None:
    hourglass = Hourglass(1, 1)
    hourglass.down, hourglass.skip = nn.ModuleList([Passes(), Passes()]), nn.ModuleList([Passes()])
    x = torch.tensor([[1.0, 5, 0, -1], [2, 3, -2, -4], [0, 0, 7, 8], [-9, 1, 9, 6]])[None, None]
    with torch.set_grad_enabled(gradients):
        full, half = hourglass(x, whole(x))
    assert half[0, 0].tolist() == [[5, 0], [1, 9]]
    assert full[0, 0].tolist() == [[6, 10, 0, -1], [7, 8, -2, -4], [1, 1, 16, 17], [-8, 2, 18, 15]]


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_sum_in_place_is_the_same_to_the_bit(channels_last: bool) -> None:
    coarse, fine = random_map(3, 2).float(), random_map(6, 4).float()
    if channels_last:
        coarse = coarse.contiguous(memory_format=torch.channels_last)
        fine = fine.contiguous(memory_format=torch.channels_last)
    wanted = doubled(array(coarse[0])).astype(np.float32) + fine[0].numpy()
    kept = upsampled_sum(coarse, fine)
    np.testing.assert_array_equal(kept[0], wanted)
    with torch.no_grad():
        np.testing.assert_array_equal(upsampled_sum(coarse, fine)[0], wanted)


def test_the_1x1_convolution_commutes_with_upsampling() -> None:
    """So the mask of a coarse scale is its share of the logits of the whole mask."""
    branch = randomised(MaskBranch(ResNetMask(3), 3))
    x = random_map(4, 6)
    first = F.interpolate(branch.output(x), scale_factor=2, mode="nearest")
    last = branch.output(F.interpolate(x, scale_factor=2, mode="nearest"))
    torch.testing.assert_close(first, last)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_without_the_finer_scales_the_mask_is_the_coarse_map_upsampled(scale: int) -> None:
    encoder = encoder_of()
    assert encoder.mask is not None
    body: Any = encoder.mask.body
    for skip in body.skip[:scale]:
        skip.second.norm.bias.data.fill_(-1e6)  # its ReLU then lets nothing through
    with torch.no_grad():
        maps = encoder(inputs(16)).attention
    coarse = maps[f"mask 1/{2**scale}"].values[0]
    wanted = coarse.repeat_interleave(2**scale, 0).repeat_interleave(2**scale, 1)
    assert float(coarse.std()) > 0.01
    torch.testing.assert_close(maps["mask 1"].values[0], wanted)


@pytest.mark.parametrize("options", CONFIGURATIONS)
@pytest.mark.parametrize("bands", [8, 13])
@pytest.mark.parametrize("gradients", [True, False])
def test_the_encoder_is_the_twin(options: dict[str, Any], bands: int, gradients: bool) -> None:
    """What the GRU reads is A, averaged over frequency; the maps are the masks' channel means."""
    encoder = encoder_of(bands, **options)
    read: list[Tensor] = []
    encoder.recurrent.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    given = inputs(11, 16, 3, bands=bands)
    with torch.set_grad_enabled(gradients):
        maps = encoder(given).attention
    for index, length in enumerate(given.main.lengths.tolist()):
        clip = array(given.main.values[index, :length])
        wanted, masks = attention_aware(clip, encoder)
        bins = wanted.reshape(3, length, 2, -1).mean(3)  # [C, T, bins]
        sequence = np.stack([bins[:, t].reshape(-1) for t in range(length)])
        np.testing.assert_allclose(array(read[0][index, :length]), sequence, atol=1e-10)
        assert len(maps) == len(masks)
        for scale, (found, mask) in enumerate(zip(maps.values(), masks, strict=True)):
            frames = -(-length // 2**scale)
            assert int(found.lengths[index]) == frames
            np.testing.assert_allclose(
                array(found.values[index, :frames]), mask.mean(0)[:frames], atol=1e-12
            )


@pytest.mark.parametrize("options", CONFIGURATIONS)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_finite_differences(options: dict[str, Any], training: bool) -> None:
    sizes = {**options, "channels": 2, "rnn_units": 2, "frequency_bins": 1}
    encoder = encoder_of(3, seed=3, **{**sizes, "poolings": min(2, options.get("poolings", 2))})
    encoder.train(training)
    given = inputs(5, 3, bands=3)
    names = [name for name, _ in encoder.named_parameters()]

    def run(values: Tensor, *parameters: Tensor) -> Tensor:
        again = Inputs({"main": Features(values, given.main.lengths, GRID)})
        state = dict(zip(names, parameters, strict=True))
        frames: Tensor = torch.func.functional_call(encoder, state, (again,)).frames.values
        return frames

    values = given.main.values.clone().requires_grad_()
    parameters = [p.detach().clone().requires_grad_() for p in encoder.parameters()]
    assert torch.autograd.gradcheck(lambda x: run(x, *parameters), (values,))
    assert torch.autograd.gradcheck(run, (values, *parameters), fast_mode=True)
