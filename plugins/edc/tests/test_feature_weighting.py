"""Conditioner `feature_weighting`: equations, gradients, and what it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sedsdk_edc.feature_weighting import FeatureWeighting, FeatureWeightingConfig
from torch.func import functional_call

from sedsdk import ConfigError, Features, FrameGrid, Inputs, StreamSpec
from sedsdk.config import read_model

GRID = FrameGrid(0.02)


def weighting(bands: int, seed: int = 0, **options: Any) -> FeatureWeighting:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = FeatureWeightingConfig(**options)
        return FeatureWeighting(config, {"main": StreamSpec(bands, GRID)}).double()


def spread_out(made: FeatureWeighting) -> FeatureWeighting:
    """Moves every weight well away from where it begins."""
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return made


def clips(seed: int, *lengths: int, bands: int = 4) -> Features:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths), bands)
    values = 5 * torch.randn(shape, generator=generator, dtype=torch.float64) - 3
    return Features(values, torch.tensor(lengths), GRID).zero_padded()


def run(made: FeatureWeighting, features: Features) -> torch.Tensor:
    return made(Inputs({"main": features}), None, torch.Generator())[0].main.values


def plain_weighting(made: FeatureWeighting, clip: Any) -> Any:
    """Returns what becomes of one clip [T, F], as the class's equations read."""
    weights = {name: value.numpy() for name, value in made.state_dict().items()}
    n_frames, bands = clip.shape
    statistics = np.concatenate([clip.mean(0), np.sqrt(clip.var(0) + 1e-8)])
    normal = (statistics - statistics.mean()) / np.sqrt(statistics.var() + 1e-5)
    normal = (
        normal * weights["importance.main.normalise.weight"]
        + weights["importance.main.normalise.bias"]
    )
    hidden = weights["importance.main.hidden.weight"] @ normal
    hidden = np.maximum(0, hidden + weights["importance.main.hidden.bias"])
    scores = weights["importance.main.scores.weight"] @ hidden
    scores += weights["importance.main.scores.bias"]
    scores = scores.reshape(len(made.config.scales), bands)
    importance = np.exp(scores) / np.exp(scores).sum(0)
    result = np.zeros_like(clip)
    for t in range(n_frames):
        for s, scale in enumerate(made.config.scales):
            window = [clip[u] for u in range(n_frames) if abs(u - t) <= scale // 2]
            result[t] += importance[s] * np.mean(window, axis=0)
    return result


@given(
    st.integers(0, 1000),
    st.lists(st.integers(1, 50), min_size=1, max_size=3),
    st.sampled_from([(1, 5, 15, 45), (1,), (3, 1), (99, 7)]),
)
@settings(max_examples=25, deadline=None)
def test_like_the_plain_twin(seed: int, lengths: list[int], scales: tuple[int, ...]) -> None:
    made = spread_out(weighting(4, seed, scales=scales, hidden=6))
    features = clips(seed, *lengths)
    with torch.no_grad():
        result = run(made, features)
    for got, clip, length in zip(result, features.values, lengths, strict=True):
        expected = plain_weighting(made, clip[:length].numpy())
        np.testing.assert_allclose(got[:length].numpy(), expected, rtol=1e-9, atol=1e-9)
        assert not got[length:].any()


def test_gradients_are_those_of_finite_differences() -> None:
    made = spread_out(weighting(3, scales=(1, 5), hidden=4))
    features = clips(0, 9, 4, bands=3)
    names = [name for name, _ in made.named_parameters()]

    def values(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        inputs = Inputs({"main": Features(x, features.lengths, GRID)})
        moved = dict(zip(names, parameters, strict=True))
        changed, _ = functional_call(made, moved, (inputs, None, torch.Generator()))
        return changed.main.values

    leaves = [features.values.clone().requires_grad_(), *made.parameters()]
    assert torch.autograd.gradcheck(values, leaves)
    values(*leaves).square().sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.any()), f"{name} learns nothing"


def test_a_single_frame_has_finite_gradients() -> None:
    made, features = weighting(3), clips(0, 1, bands=3)
    leaf = features.values.clone().requires_grad_()
    run(made, Features(leaf, features.lengths, GRID)).sum().backward()
    for tensor in (leaf, *made.parameters()):
        assert tensor.grad is not None
        assert bool(tensor.grad.isfinite().all())


@pytest.mark.parametrize("unit", [1.0, 4.34, 100.0])
def test_it_begins_near_the_identity_in_any_unit(unit: float) -> None:
    made, features = weighting(16, scales=(5, 1, 15, 45)), clips(0, 80, 50, bands=16)
    with torch.no_grad():
        weights = made.importance["main"](Features(unit * features.values, features.lengths, GRID))
    assert weights.shape == (2, 4, 16)
    begun = torch.tensor([0.1, 0.7, 0.1, 0.1]).double().view(1, 4, 1).expand_as(weights)
    torch.testing.assert_close(weights, begun, rtol=0.1, atol=0)


def test_it_learns_which_scale_matters() -> None:
    """Wanted: the mean over 5 frames in even bands, the frames themselves in odd ones."""
    made = weighting(4, scales=(1, 5), hidden=8)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.02)
    for step in range(150):
        features = clips(step, 60, 40)
        wanted = features.values.clone()
        for index, length in enumerate((60, 40)):
            for t in range(2, length - 2):
                wanted[index, t, ::2] = features.values[index, t - 2 : t + 3, ::2].mean(0)
        error = (run(made, features) - wanted)[:, 2:38].square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    features = clips(1000, 50)
    with torch.no_grad():
        weights = made.importance["main"](features)[0]
    assert bool((weights[1, ::2] > 0.95).all())
    assert bool((weights[0, 1::2] > 0.95).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": (1, 4)}, "a window of 4 frames has no centre frame; give odd lengths"),
        ({"scales": (3, 3)}, "give every scale once"),
        ({"scales": ()}, "scales"),
        ({"scales": (-1,)}, "scales"),
        ({"hidden": 0}, "hidden"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_model(FeatureWeightingConfig, options, "feature_weighting")


def test_streams_are_checked() -> None:
    with pytest.raises(ConfigError, match=r'feature_weighting: streams names "asr"'):
        weighting(4, streams=("asr",))
