from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sedsdk.training.brain import AveragedWeights, append_curve, learning_rate, read_curves
from sedsdk.training.recipe import TrainingConfig


@given(step=st.integers(0, 500), warmup=st.integers(0, 60))
def test_cosine_falls_to_a_thousandth_over_all_epochs(step, warmup):
    config = TrainingConfig(epochs=10, learning_rate=0.2, warmup_steps=warmup)
    rise = min(1, (step + 1) / warmup) if warmup else 1
    fall = max((1 + math.cos(math.pi * min(step, 300) / 300)) / 2, 1e-3)
    assert learning_rate(config, step, 30) == pytest.approx(0.2 * rise * fall)


def test_steps_divide_at_their_epochs():
    config = TrainingConfig(schedule="step", step_epochs=2, learning_rate=1.0, warmup_steps=0)
    rates = [learning_rate(config, step, 5) for step in (0, 9, 10, 19, 20)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_constant_stays():
    config = TrainingConfig(schedule="constant", learning_rate=0.3, warmup_steps=4)
    rates = [learning_rate(config, step, 5) for step in (0, 1, 3, 4, 1000)]
    assert rates == pytest.approx([0.075, 0.15, 0.3, 0.3, 0.3])


def test_averages_follow_the_recursion():
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    module = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        module.weight.zero_()
    averaged = AveragedWeights(module, 0.8)
    expected = np.zeros(3)
    for n, value in enumerate(values):
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(value)[None])
        averaged.update()
        decay = min(0.8, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    with averaged.applied():
        np.testing.assert_allclose(module.weight.detach()[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(module.weight.detach()[0], values[-1])
    averaged.apply_for_good()
    np.testing.assert_allclose(module.weight.detach()[0], expected, rtol=1e-5)


def test_the_module_gets_its_weights_back_after_an_error():
    module = nn.Linear(2, 1)
    averaged = AveragedWeights(module, 0.9)
    with torch.no_grad():
        module.weight.add_(1.0)
    kept = module.weight.detach().clone()
    with pytest.raises(RuntimeError), averaged.applied():
        raise RuntimeError
    assert torch.equal(module.weight, kept)


def test_an_epoch_done_again_replaces_its_row_and_later_ones(tmp_path):
    path = tmp_path / "curves.csv"
    for epoch in (1, 2, 3):
        append_curve(path, {"epoch": epoch, "train_loss": float(epoch)})
    append_curve(path, {"epoch": 2, "train_loss": 9.0})
    assert read_curves(path) == [
        {"epoch": 1, "train_loss": 1.0},
        {"epoch": 2, "train_loss": 9.0},
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["curves.csv"]


def test_no_curves_before_the_first_epoch(tmp_path):
    assert read_curves(tmp_path / "curves.csv") == []
