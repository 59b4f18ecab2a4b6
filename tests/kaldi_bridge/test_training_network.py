"""The network that is trained: what it sees, at which rate, and what training does to it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from made_tdnnf import SMALL, made_classes, made_tdnnf, moving_features
from torch import nn

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.training.model.layers import BatchNorm, ReluLayer
from kaldi_bridge.training.model.lda import parts
from kaldi_bridge.training.model.network import Tdnnf, TdnnfConfig
from kaldi_bridge.training.model.orthonormal import constrain

STRIDES = [(1, 1, 1, 0, 3, 3), (3, 0, 3), (1, 2), (3, 1, 0, 6), (), (0,), (2, 3, 1)]


class TestRate:
    @pytest.mark.parametrize("strides", STRIDES)
    @pytest.mark.parametrize("window", [None, 9])
    def test_three_phases_interleaved_are_the_full_rate(self, strides, window):
        module = made_tdnnf(strides=strides, mean_window=window)
        features = module.padded(moving_features(3, 50, 10, seed=1))
        full = module(features, None)
        assert full.shape == (3, 50, 7)
        for phase in range(3):
            assert torch.allclose(module(features, phase), full[:, phase::3], atol=1e-5)

    @pytest.mark.parametrize("frames", [1, 2, 3, 4, 29, 30, 31])
    def test_rows_are_those_of_every_third_frame(self, frames):
        module = made_tdnnf(strides=(1, 0, 3))
        features = module.padded(moving_features(1, frames, 10))
        for phase in range(min(frames, 3)):
            assert module(features, phase).shape[1] == len(range(phase, frames, 3))

    def test_layers_run_at_a_third_of_the_rate_as_soon_as_strides_allow(self):
        seen = {}
        module = made_tdnnf(strides=(1, 1, 1, 0, 3, 3))
        for name, layer in module.named_modules():
            if isinstance(layer, BatchNorm):
                layer.register_forward_hook(
                    lambda _, __, out, name=name: seen.update({name: out.shape[1]})
                )
        module(module.padded(moving_features(1, 300, 10)))
        assert [seen[f"tdnnf.{k}.outer.batchnorm"] > 150 for k in range(6)] == [True] * 2 + 4 * [
            False
        ]
        assert seen["tdnnf.5.outer.batchnorm"] == seen["prefinal.batchnorm"] == 100

    def test_gradients_are_those_of_the_full_rate(self):
        module = made_tdnnf(strides=(1, 1, 0, 3, 3))
        features = module.padded(moving_features(2, 31, 10))
        grads = []
        for rows in (module(features, 1), module(features, None)[:, 1::3]):
            module.zero_grad()
            rows.square().sum().backward()
            grads.append([p.grad.clone() for p in module.parameters()])
        for one, other in zip(*grads, strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


class TestContext:
    @pytest.mark.parametrize(
        ("sizes", "reach"),
        [({}, 21), ({"mean_window": 81}, 61), ({"strides": (0, 1, 6)}, 8), ({"strides": ()}, 1)],
    )
    def test_is_exactly_what_an_output_depends_on(self, sizes, reach):
        module = made_tdnnf(**{**sizes, "dim": 48})
        assert module.context == (reach, reach)
        features = moving_features(1, 2 * reach + 3, 10).requires_grad_()
        module(features, None)[0, 1].square().sum().backward()
        touched = features.grad[0].abs().sum(1) > 0
        assert touched[1:-1].any()
        assert touched.nonzero()[[0, -1], 0].tolist() == [1, 2 * reach + 1]

    def test_padding_repeats_the_edge_frames(self):
        module = made_tdnnf(strides=(1,))
        features = moving_features(2, 4, 10)
        want = np.pad(features.numpy(), ((0, 0), (2, 2), (0, 0)), mode="edge")
        assert np.array_equal(module.padded(features), want)

    @pytest.mark.parametrize("frames", [3, 27, 81])
    def test_mean_window_is_the_mean_of_a_box(self, frames):
        module = Tdnnf(TdnnfConfig(**SMALL, mean_window=frames))
        features = moving_features(2, 200, 10)
        mean = nn.functional.avg_pool1d(features.mT, frames, stride=1).mT
        half = frames // 2
        want = features[:, half:-half] - mean
        spliced = module._spliced(features)
        assert torch.allclose(spliced[..., 10:20], want[:, 1:-1], atol=1e-4)
        assert torch.allclose(spliced[..., :10], want[:, :-2], atol=1e-4)

    def test_a_constant_added_to_the_features_goes_with_the_mean(self):
        module = made_tdnnf(mean_window=27, strides=(1, 3)).double()
        features = module.padded(moving_features(1, 30, 10).double())
        moved = features + torch.linspace(-9, 9, 10, dtype=torch.float64)
        assert torch.allclose(module(features), module(moved), atol=1e-9)


class TestInput:
    def test_discriminants_solve_the_generalised_eigenvalue_problem(self):
        module = Tdnnf(TdnnfConfig(**SMALL, mean_window=9))
        clips = [moving_features(1, n, 10, seed=n)[0] for n in (90, 200, 311)]
        labelled = [(clip, made_classes(clip, 7)) for clip in clips]
        module.fit_input(labelled)
        rows, numbers = [], []
        for clip, classes in labelled:  # 4 frames of the mean's window and 1 of the splice
            rows.append(module._spliced(clip[None])[0].double().numpy())
            numbers.append(3 * classes[5:-5].numpy())
            numbers[-1] = numbers[-1] + parts(classes[5:-5]).numpy()
        x, y = np.concatenate(rows), np.concatenate(numbers)
        total = np.cov(x.T, bias=True)
        centre = x.mean(0)
        between = sum(
            (y == k).mean() * np.outer(x[y == k].mean(0) - centre, x[y == k].mean(0) - centre)
            for k in np.unique(y)
        )
        values, vectors = scipy.linalg.eigh(between, total - between)
        values, vectors = values[::-1], vectors[:, ::-1]
        weights = module.lda_weights.double().numpy()
        moved = weights @ total @ weights.T
        expected = (values + 1e-3) / (values + 1) * (1 + values)
        assert np.allclose(np.diag(moved), expected / expected.mean(), rtol=1e-3, atol=1e-5)
        assert np.allclose(moved, np.diag(np.diag(moved)), atol=1e-3)
        first = vectors[:, 0] / np.linalg.norm(vectors[:, 0])
        assert abs(weights[0] @ first) / np.linalg.norm(weights[0]) == pytest.approx(1, abs=1e-4)
        assert np.allclose(weights @ centre + module.lda_bias.double().numpy(), 0, atol=1e-3)

    def test_a_frame_knows_its_third_of_a_phone(self):
        classes = torch.tensor([4, 4, 4, 4, 4, 4, 1, 1, 2, 4, 4, 4])
        assert parts(classes).tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 0, 0, 1, 2]
        assert parts(torch.zeros(0, dtype=torch.int64)).tolist() == []

    def test_clips_shorter_than_the_window_of_the_mean_are_left_out(self):
        module, other = (Tdnnf(TdnnfConfig(**SMALL, mean_window=81)) for _ in range(2))
        clip = moving_features(1, 300, 10)[0]
        short = [moving_features(1, n, 10)[0] for n in (1, 30, 60, 80, 82)]
        module.fit_input([(each, made_classes(each, 7)) for each in (clip, *short)])
        other.fit_input([(clip, made_classes(clip, 7))])
        assert torch.equal(module.lda_weights, other.lda_weights)

    @pytest.mark.parametrize(
        ("clips", "message"),
        [([], "0 frames"), ([torch.randn(32, 10)], "30 frames"), ([torch.ones(99, 10)], "vary")],
    )
    def test_too_little_to_fit_by(self, clips, message):
        with pytest.raises(ShapeError, match=message):
            Tdnnf(TdnnfConfig(**SMALL)).fit_input((clip, made_classes(clip, 7)) for clip in clips)


class TestBatchNorm:
    def test_statistics_are_kaldis(self):
        """Mean and biased variance; torch's own running variance is 5 / 4 of it here."""
        norm = BatchNorm(3)
        norm.momentum = None
        rows = np.random.default_rng(0).normal(2, 3, (2, 4, 5, 3)).astype(np.float32)
        for batch in rows:
            made = norm(torch.from_numpy(batch))
            flat = batch.reshape(-1, 3)
            want = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-3)
            assert np.allclose(made.reshape(-1, 3), want, atol=1e-5)
        flat = rows.reshape(2, 20, 3)
        assert np.allclose(norm.running_mean, flat.mean((0, 1)), atol=1e-5)
        assert np.allclose(norm.running_var, flat.var(1).mean(0), rtol=1e-5)
        norm.eval()
        want = (rows[0] - flat.mean((0, 1))) / np.sqrt(flat.var(1).mean(0) + 1e-3)
        assert np.allclose(norm(torch.from_numpy(rows[0])), want, atol=1e-5)

    def test_trains_in_double_precision(self):
        module = made_tdnnf().double().train()
        features = moving_features(2, 60, 10).double()
        before = module.tdnn1.batchnorm.running_mean.clone()
        assert module(features).dtype == torch.float64
        assert not torch.equal(module.tdnn1.batchnorm.running_mean, before)

    def test_statistics_follow_with_the_momentum(self):
        norm = BatchNorm(1)
        norm(torch.tensor([[[1.0], [3.0]]]))
        assert norm.running_mean.item() == pytest.approx(0.1 * 2)
        assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 1)


class TestDropout:
    def test_one_factor_per_clip_and_dimension(self):
        torch.manual_seed(0)
        layer = ReluLayer(4, 500, dropout=0.2)
        rows = torch.randn(3, 20, 4)
        plain = layer.train()(rows)
        layer.dropout = 0.0
        factors = plain / layer(rows)
        assert torch.allclose(factors, factors[:, :1].expand_as(factors), atol=1e-4)
        factors = factors[:, 0]
        assert 0.6 <= factors.min() < 0.63
        assert 1.37 < factors.max() <= 1.4
        assert factors.mean().item() == pytest.approx(1, abs=0.03)
        assert not torch.allclose(factors[0], factors[1], atol=0.1)

    def test_none_at_test(self):
        with_dropout, without = made_tdnnf(dropout=0.4), made_tdnnf(dropout=0.4)
        without.load_state_dict(with_dropout.state_dict())
        for layer in without.modules():
            if isinstance(layer, ReluLayer):
                layer.dropout = 0.0
        features = with_dropout.padded(moving_features(1, 20, 10))
        assert torch.equal(with_dropout(features), without(features))


class TestConstraint:
    def test_is_the_published_step(self):
        """Equation 1 to 3 of Povey et al. (2018), one matrix at a time in NumPy."""
        random = np.random.default_rng(0)
        matrices = [random.normal(size=shape) for shape in ((6, 40), (9, 4), (6, 40), (5, 5))]
        matrices.append(np.linalg.qr(random.normal(size=(30, 7)))[0].T + 1e-3)
        wanted = []
        for matrix in matrices:
            wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
            singular = np.linalg.svd(wide, compute_uv=False)
            alpha2 = (singular**4).sum() / (singular**2).sum()
            spread = len(singular) * (singular**4).sum() / (singular**2).sum() ** 2
            speed = 0.125 * (0.5 if spread > 1.02 else 1) * (0.5 if spread > 1.1 else 1)
            q = wide @ wide.T - alpha2 * np.eye(len(wide))
            step = wide - 4 * speed / alpha2 * q @ wide
            wanted.append(step if wide is matrix else step.T)
        made = [torch.from_numpy(matrix.copy()) for matrix in matrices]
        constrain(made)
        for one, other in zip(made, wanted, strict=True):
            assert np.allclose(one, other, atol=1e-12)

    def test_the_step_is_orthogonal_to_the_matrix(self):
        """What makes the scale float: the length of the matrix is left alone, to first order."""
        before = torch.randn(12, 40, dtype=torch.float64)
        after = before.clone()
        constrain([after])
        assert not torch.allclose(before, after)
        assert ((after - before) * before).sum().item() == pytest.approx(0, abs=1e-9)

    def test_every_factor_becomes_semi_orthogonal(self):
        torch.manual_seed(0)
        module = Tdnnf(TdnnfConfig(dim=64, bottleneck=16, prefinal=24))
        free = {
            name: value.clone()
            for name, value in module.named_parameters()
            if "linear" not in name and "prefinal_l" not in name
        }
        for _ in range(200):
            module.constrain_()
        factors = [layer.linear.weight for layer in module.tdnnf]
        factors += [module.prefinal_l.weight, module.prefinal_linear.weight]
        for factor in factors:
            singular = np.linalg.svd(factor.detach().numpy(), compute_uv=False)
            assert singular.max() / singular.min() < 1.001
            assert 0.2 < singular.mean() < 5
        for name, value in module.named_parameters():
            assert name not in free or torch.equal(free[name], value)


class TestLearning:
    def test_a_rule_over_frames_is_learnt(self):
        """The class is the sign of one feature four frames earlier, in noise without memory."""
        torch.manual_seed(0)
        module = Tdnnf(TdnnfConfig(**{**SMALL, "classes": 2}, strides=(1, 0, 3)))
        left, right = module.context
        features = torch.randn(80, 100, 10)
        labels = (features[:, left - 4 : -right - 4, 4] > 0).long()
        module.fit_input((clip, made_classes(clip, 7)) for clip in features)
        optimiser = torch.optim.Adam(module.parameters(), 1e-2)
        for step in range(60):
            rows = module.train()(features[:60], step % 3)
            loss = nn.functional.nll_loss(rows.mT, labels[:60, step % 3 :: 3])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % 4 == 0:
                module.constrain_()
        right_answers = module.eval()(features[60:], None).argmax(2) == labels[60:]
        assert right_answers.float().mean() > 0.9

    def test_starts_from_equal_posteriors(self):
        module = Tdnnf(TdnnfConfig(**SMALL))
        rows = module(module.padded(moving_features(2, 9, 10)))
        assert np.allclose(rows.detach(), np.log(1 / 7), atol=1e-6)

    def test_whole_state_comes_back(self):
        module, other = made_tdnnf(1, mean_window=9), Tdnnf(TdnnfConfig(**SMALL, mean_window=9))
        other.load_state_dict(module.state_dict())
        features = module.padded(moving_features(1, 20, 10))
        assert torch.equal(module(features), other.eval()(features))


class TestMistakes:
    @pytest.mark.parametrize("window", [0, 1, 2, 80, 82, -3, 100])
    def test_windows_that_are_no_power_of_three(self, window):
        with pytest.raises(ShapeError, match=f"mean_window is {window}; give a power of three"):
            TdnnfConfig(mean_window=window)

    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ({"dim": 0}, "dim is 0"),
            ({"strides": (1, -1)}, "strides"),
            ({"dropout": 0.6}, "dropout is 0.6"),
        ],
    )
    def test_sizes_that_cannot_be(self, sizes, message):
        with pytest.raises(ShapeError, match=message):
            TdnnfConfig(**sizes)

    @pytest.mark.parametrize(
        ("shape", "phase", "message"),
        [
            ((1, 60, 9), 0, "expected \\[B, T, 10\\]"),
            ((60, 10), 0, "expected \\[B, T, 10\\]"),
            ((1, 42, 10), 0, "42 frames where 43 are the least"),
            ((1, 44, 10), 2, "44 frames where 45 are the least"),
            ((1, 60, 10), 3, "phase is 3"),
        ],
    )
    def test_features_that_do_not_fit(self, shape, phase, message):
        with pytest.raises(ShapeError, match=message):
            made_tdnnf()(torch.zeros(shape), phase)
