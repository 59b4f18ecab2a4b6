from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sedsdk.layers import (
    MaskedBatchNorm,
    MaskedGru,
    NormedConv2d,
    masked_binary_cross_entropy,
    masked_max,
    masked_mean,
    masked_softmax,
    probability_logit,
    time_mask,
)

RAGGED = st.lists(st.integers(1, 7), min_size=1, max_size=4)


def batch_of(lengths: list[int], *rest: int, seed: int = 0, padding: float = 1e3) -> Tensor:
    """Random clips [B, T, *rest] whose padding would show wherever it is read."""
    values = torch.randn(
        len(lengths), max(lengths), *rest, generator=torch.Generator().manual_seed(seed)
    )
    for row, length in enumerate(lengths):
        values[row, length:] = padding
    return values


def channels_first(values: Tensor) -> Tensor:
    return values.movedim(-1, 1).contiguous()


class TestMaskedBatchNorm:
    @given(RAGGED, st.booleans())
    @settings(max_examples=30, deadline=None)
    def test_statistics_are_those_of_the_valid_frames(self, lengths: list[int], flat: bool) -> None:
        rest = (3,) if flat else (5, 3)
        clips = batch_of(lengths, *rest)
        norm = MaskedBatchNorm(3, momentum=0.25)
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
            norm.bias.copy_(torch.tensor([0.0, -1.0, 3.0]))
        y = norm(channels_first(clips), torch.tensor(lengths))

        valid = np.concatenate(
            [
                clips[row, :length].double().numpy().reshape(-1, 3)
                for row, length in enumerate(lengths)
            ]
        )
        mean, var = valid.mean(0), valid.var(0)
        unbiased = valid.var(0, ddof=1) if len(valid) > 1 else np.zeros(3)
        np.testing.assert_allclose(norm.running_mean, 0.25 * mean, atol=1e-5)
        np.testing.assert_allclose(norm.running_var, 0.75 + 0.25 * unbiased, rtol=1e-4)
        scaled = (clips.double().numpy() - mean) / np.sqrt(var + 1e-5)
        wanted = scaled * np.array([1, 2, 0.5]) + np.array([0, -1, 3])
        for row, length in enumerate(lengths):
            got = y.movedim(1, -1)[row].detach().numpy()
            np.testing.assert_allclose(got[:length], wanted[row, :length], rtol=1e-3, atol=2e-3)
            assert not got[length:].any()

    @pytest.mark.parametrize("train", [True, False])
    def test_full_clips_are_normalised_as_torch_does(self, train: bool) -> None:
        ours, theirs = MaskedBatchNorm(3).train(train), nn.BatchNorm2d(3).train(train)
        lengths = torch.tensor([6, 6])
        for seed in range(3):
            x = channels_first(batch_of([6, 6], 4, 3, seed=seed))
            torch.testing.assert_close(ours(x, lengths), theirs(x))
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)

    @pytest.mark.parametrize("train", [True, False])
    def test_the_masked_path_agrees_with_the_full_one(self, train: bool) -> None:
        x = channels_first(batch_of([6, 6], 4, 3))
        full, masked = MaskedBatchNorm(3).train(train), MaskedBatchNorm(3).train(train)
        for norm in (full, masked):
            norm.running_mean.copy_(torch.tensor([0.1, 0.2, 0.3]))
        padded = torch.cat([x, torch.full_like(x[:, :, :2], 77.0)], 2)
        lengths = torch.tensor([6, 6])
        y, z = full(x, lengths), masked(padded, lengths)
        torch.testing.assert_close(z[:, :, :6], y)
        assert not z[:, :, 6:].any()
        torch.testing.assert_close(masked.running_mean, full.running_mean)
        torch.testing.assert_close(masked.running_var, full.running_var)

    @pytest.mark.parametrize("lengths", [[4, 2], [4, 4]])
    def test_gradients_are_right(self, lengths: list[int]) -> None:
        norm = MaskedBatchNorm(2).double()
        x = channels_first(batch_of(lengths, 3, 2, padding=1.0)).double().requires_grad_()

        def run(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            state = {"weight": weight, "bias": bias}
            result: Tensor = torch.func.functional_call(
                norm, state, (values, torch.tensor(lengths))
            )
            return result

        weight, bias = (p.detach().clone().requires_grad_() for p in (norm.weight, norm.bias))
        assert torch.autograd.gradcheck(run, (x, weight, bias))

    def test_a_batch_without_valid_frames_changes_nothing(self) -> None:
        norm = MaskedBatchNorm(2)
        y = norm(torch.ones(2, 2, 3), torch.tensor([0, 0]))
        assert not y.any()
        assert norm.running_mean.tolist() == [0, 0]
        assert norm.running_var.tolist() == [1, 1]

    def test_two_processes_see_the_whole_batch(self, tmp_path: Path) -> None:
        """Statistics and gradients of both halves are those of one process with the batch."""
        pieces = [tmp_path / f"{rank}.pt" for rank in range(2)]
        torch.multiprocessing.spawn(  # type: ignore[no-untyped-call]
            _normalise_half, (str(tmp_path / "meet"), [str(piece) for piece in pieces]), nprocs=2
        )
        norm = MaskedBatchNorm(3)
        x = channels_first(batch_of(SPREAD, 2, 3)).requires_grad_()
        y = norm(x, torch.tensor(SPREAD))
        (y**3).sum().backward()
        halves = [torch.load(piece) for piece in pieces]
        torch.testing.assert_close(torch.cat([half["y"] for half in halves]), y.detach())
        assert x.grad is not None
        torch.testing.assert_close(torch.cat([half["grad"] for half in halves]), x.grad)
        for half in halves:
            torch.testing.assert_close(half["mean"], norm.running_mean)
            torch.testing.assert_close(half["var"], norm.running_var)


SPREAD = [5, 3, 4, 5]


def _normalise_half(rank: int, meet: str, pieces: list[str]) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
    half = slice(0, 1) if rank == 0 else slice(1, 4)
    norm = MaskedBatchNorm(3)
    x = channels_first(batch_of(SPREAD, 2, 3))[half].clone().requires_grad_()
    y = norm(x, torch.tensor(SPREAD[half]))
    (y**3).sum().backward()
    kept = {"y": y.detach(), "grad": x.grad, "mean": norm.running_mean, "var": norm.running_var}
    torch.save(kept, pieces[rank])
    dist.barrier()  # leaving while the other still talks aborts it
    dist.destroy_process_group()


class TestNormedConv2d:
    SIZES = (((3, 3), (1, 1)), ((5, 1), (1, 1)), ((1, 1), (1, 1)), ((3, 3), (1, 2)))

    def layer(
        self, kernel_size: tuple[int, int] = (3, 3), stride: tuple[int, int] = (1, 1)
    ) -> NormedConv2d:
        """Two channels to three, float64, with weights and statistics unlike the initial ones."""
        torch.manual_seed(0)
        layer = NormedConv2d(2, 3, kernel_size, stride).double()
        norm = layer.norm
        with torch.no_grad():
            for values in (norm.weight, norm.bias, norm.running_mean):
                values.normal_()
            norm.running_var.uniform_(0.5, 2.0)
        return layer

    def clips(self, lengths: list[int], bands: int = 5) -> Tensor:
        """[B, 2, T, bands], zero on padding, as the layer asks for."""
        return channels_first(batch_of(lengths, bands, 2, padding=0.0)).double()

    def convolved(self, layer: NormedConv2d, x: Tensor, lengths: list[int]) -> list[np.ndarray]:
        """Each clip alone through the plain convolution: [C, length, F']."""
        rows, columns = layer.conv.kernel_size
        padding = (rows // 2, columns // 2)
        weight, stride = layer.conv.weight, layer.conv.stride
        return [
            nn.functional.conv2d(x[[row], :, :length], weight, None, stride, padding)[0]
            .detach()
            .numpy()
            for row, length in enumerate(lengths)
        ]

    @pytest.mark.parametrize(("kernel_size", "stride"), SIZES)
    @pytest.mark.parametrize("lengths", [[6, 6], [6, 4, 1]])
    @pytest.mark.parametrize("train", [True, False])
    def test_it_is_convolution_then_normalisation_of_the_valid_frames(
        self,
        kernel_size: tuple[int, int],
        stride: tuple[int, int],
        lengths: list[int],
        train: bool,
    ) -> None:
        layer = self.layer(kernel_size, stride).train(train)
        x = self.clips(lengths)
        clips = self.convolved(layer, x, lengths)
        every = np.concatenate([clip.reshape(3, -1) for clip in clips], 1)
        mean, var = layer.norm.running_mean.numpy().copy(), layer.norm.running_var.numpy().copy()
        wanted_mean, wanted_var = mean, var
        if train:
            wanted_mean = 0.9 * mean + 0.1 * every.mean(1)
            wanted_var = 0.9 * var + 0.1 * every.var(1, ddof=1)
            mean, var = every.mean(1), every.var(1)
        scale = layer.norm.weight.detach().numpy() / np.sqrt(var + 1e-5)
        bias = layer.norm.bias.detach().numpy()

        y = layer(x, torch.tensor(lengths))
        assert y.shape == (len(lengths), 3, 6, -(-5 // stride[1]))
        for row, clip in enumerate(clips):
            wanted = (clip - mean[:, None, None]) * scale[:, None, None] + bias[:, None, None]
            got = y[row].detach().numpy()
            np.testing.assert_allclose(got[:, : lengths[row]], wanted, atol=1e-12)
            assert not got[:, lengths[row] :].any()
        np.testing.assert_allclose(layer.norm.running_mean, wanted_mean, atol=1e-12)
        np.testing.assert_allclose(layer.norm.running_var, wanted_var, atol=1e-12)

    def test_folded_weights_agree_with_the_two_steps(self) -> None:
        layer = self.layer().float().eval()
        lengths = torch.tensor([7, 3])
        x = self.clips([7, 3]).float()
        torch.testing.assert_close(layer(x, lengths), layer.norm(layer.conv(x), lengths))

    @pytest.mark.parametrize("train", [True, False])
    @pytest.mark.parametrize("lengths", [[4, 4], [4, 2]])
    def test_gradients_are_right(self, train: bool, lengths: list[int]) -> None:
        layer = self.layer().train(train)
        names = [name for name, _ in layer.named_parameters()]

        def run(values: Tensor, *parameters: Tensor) -> Tensor:
            state = dict(zip(names, parameters, strict=True))
            given = (values, torch.tensor(lengths))
            result: Tensor = torch.func.functional_call(layer, state, given)
            return result

        x = self.clips(lengths, 3).requires_grad_()
        parameters = [p.detach().clone().requires_grad_() for p in layer.parameters()]
        assert torch.autograd.gradcheck(run, (x, *parameters))

    @pytest.mark.parametrize("train", [True, False])
    def test_maps_stay_in_channels_last_order(self, train: bool) -> None:
        layer = self.layer().train(train)
        x = self.clips([6, 6]).contiguous(memory_format=torch.channels_last)
        y = layer(x, torch.tensor([6, 6]))
        assert y.is_contiguous(memory_format=torch.channels_last)

    @pytest.mark.parametrize(
        ("kernel_size", "stride"), [((2, 3), (1, 1)), ((3, 4), (1, 1)), ((3, 3), (2, 1))]
    )
    def test_sizes_that_would_move_frames_are_refused(
        self, kernel_size: tuple[int, int], stride: tuple[int, int]
    ) -> None:
        with pytest.raises(ValueError, match="stride over time must be 1"):
            NormedConv2d(1, 1, kernel_size, stride)


class TestMaskedGru:
    @given(RAGGED, st.booleans(), st.integers(1, 2))
    @settings(max_examples=15, deadline=None)
    def test_a_clip_runs_as_if_alone(self, lengths: list[int], both: bool, layers: int) -> None:
        torch.manual_seed(0)
        gru = MaskedGru(3, 4, layers, both)
        x = batch_of(lengths, 3)
        y = gru(x, torch.tensor(lengths))
        assert y.shape == (len(lengths), max(lengths), gru.output_size)
        for row, length in enumerate(lengths):
            alone, _ = gru.gru(x[row : row + 1, :length])
            torch.testing.assert_close(y[row, :length], alone[0], atol=1e-6, rtol=1e-5)
            assert not y[row, length:].any()

    def test_an_empty_clip_gives_zeros(self) -> None:
        y = MaskedGru(3, 4)(batch_of([4, 4], 3), torch.tensor([4, 0]))
        assert y[0].any()
        assert not y[1].any()

    @given(RAGGED, st.booleans())
    @settings(max_examples=10, deadline=None)
    def test_gradients_are_those_of_a_packed_sequence(self, lengths: list[int], both: bool) -> None:
        torch.manual_seed(0)
        gru = MaskedGru(3, 4, 2, both).double()
        x = batch_of([*lengths, max(lengths) + 1], 3, padding=float("nan")).double()
        counts = torch.tensor([*lengths, max(lengths) + 1])
        x[-1, -1] = 0.0
        weight = torch.randn(len(counts), x.shape[1], gru.output_size).double()
        (gru(x, counts) * weight).sum().backward()
        found = [parameter.grad.clone() for parameter in gru.parameters()]  # type: ignore[union-attr]
        gru.zero_grad()
        packed = pack_padded_sequence(x, counts, batch_first=True, enforce_sorted=False)
        wanted, _ = pad_packed_sequence(gru.gru(packed)[0], batch_first=True)
        (wanted * weight).sum().backward()
        for own, parameter in zip(found, gru.parameters(), strict=True):
            torch.testing.assert_close(own, parameter.grad)


class TestMaskedPooling:
    @given(RAGGED, st.integers(0, 99))
    @settings(max_examples=30, deadline=None)
    def test_only_valid_frames_count(self, lengths: list[int], seed: int) -> None:
        x, counts = batch_of(lengths, 3, seed=seed), torch.tensor(lengths)
        soft = masked_softmax(x, counts)
        for row, length in enumerate(lengths):
            clip = x[row, :length].double().numpy()
            np.testing.assert_allclose(masked_max(x, counts)[row], clip.max(0), rtol=1e-6)
            np.testing.assert_allclose(masked_mean(x, counts)[row], clip.mean(0), atol=1e-5)
            wanted = np.exp(clip) / np.exp(clip).sum(0)
            np.testing.assert_allclose(soft[row, :length], wanted, atol=1e-6)
            assert not soft[row, length:].any()

    def test_gradients_are_right_and_none_reaches_padding(self) -> None:
        lengths = torch.tensor([4, 2])
        x = batch_of([4, 2], 2, padding=0.5).double().requires_grad_()
        for pool in (masked_max, masked_mean, masked_softmax):
            assert torch.autograd.gradcheck(lambda v, pool=pool: pool(v, lengths), (x,))
            x.grad = None
            (pool(x, lengths) ** 2).sum().backward()
            assert x.grad is not None
            assert not x.grad[1, 2:].any()

    def test_the_mask_broadcasts_over_channels_and_bands(self) -> None:
        lengths = torch.tensor([2, 1])
        assert time_mask(lengths, torch.ones(2, 3, 2)).tolist() == [[[1, 1]], [[1, 0]]]
        assert time_mask(lengths, torch.ones(2, 3, 2, 5)).shape == (2, 1, 2, 1)


def plain_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, known: np.ndarray, weight: float
) -> list[float]:
    p = 1 / (1 + np.exp(-logits))
    losses = -(weight * labels * np.log(p) + (1 - labels) * np.log(1 - p))
    return [float(a[k].mean()) if k.any() else 0.0 for a, k in zip(losses, known, strict=True)]


class TestMaskedBinaryCrossEntropy:
    @given(st.integers(0, 999), st.floats(0.1, 10))
    @settings(max_examples=30, deadline=None)
    def test_it_is_the_mean_over_known_labels(self, seed: int, weight: float) -> None:
        rng = np.random.default_rng(seed)
        logits, labels = rng.normal(0, 3, (3, 4, 2)), rng.random((3, 4, 2))
        known = rng.random((3, 4, 2)) < 0.5
        known[2] = False
        got = masked_binary_cross_entropy(
            *(torch.from_numpy(a) for a in (logits, labels, known)), positive_weight=weight
        )
        np.testing.assert_allclose(got, plain_cross_entropy(logits, labels, known, weight))
        assert got[2] == 0

    def test_unknown_labels_do_not_matter_even_as_nan(self) -> None:
        logits = torch.zeros(1, 3, requires_grad=True)
        labels = torch.tensor([[1.0, float("nan"), 0.0]])
        loss = masked_binary_cross_entropy(logits, labels, torch.tensor([[True, False, True]]))
        assert loss.item() == pytest.approx(np.log(2))
        loss.sum().backward()
        assert logits.grad is not None
        assert logits.grad.tolist() == [[-0.25, 0.0, 0.25]]

    def test_extreme_logits_stay_finite(self) -> None:
        logits = torch.tensor([[1e4, -1e4, 1e4, -1e4]], requires_grad=True)
        labels = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
        loss = masked_binary_cross_entropy(logits, labels, torch.ones(1, 4).bool(), 3.0)
        assert loss.item() == pytest.approx((0 + 0 + 1e4 + 3e4) / 4)
        loss.sum().backward()
        assert logits.grad is not None
        assert logits.grad.tolist() == [[0.0, 0.0, 0.25, -0.75]]

    def test_gradients_are_right(self) -> None:
        logits = batch_of([3, 3], 2).double().requires_grad_()
        labels, known = torch.rand(2, 3, 2).double(), torch.rand(2, 3, 2) < 0.7
        assert torch.autograd.gradcheck(
            lambda x: masked_binary_cross_entropy(x, labels, known, 2.0), (logits,)
        )


class TestProbabilityLogit:
    @given(st.floats(1e-6, 1 - 1e-6))
    @settings(deadline=None)
    def test_it_undoes_the_sigmoid(self, p: float) -> None:
        got = probability_logit(torch.tensor(p, dtype=torch.float64))
        assert got.item() == pytest.approx(np.log(p / (1 - p)), rel=1e-9, abs=1e-9)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
    def test_the_ends_are_finite_in_every_precision(self, dtype: torch.dtype) -> None:
        ends = probability_logit(torch.tensor([0.0, 1.0], dtype=dtype))
        assert bool(torch.isfinite(ends).all())
        assert ends[0] == pytest.approx(-16.118, abs=0.01)
        assert ends[1] == pytest.approx(16.0, abs=0.2)
