from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sedsdk.builtin.bce_heads import ClipBce, ClipBceConfig, FrameBce, FrameBceConfig
from sedsdk.stages import EncodedSpec, StreamSpec
from sedsdk.types import Encoded, Features, FrameGrid, Prediction, Targets

GRID = FrameGrid(0.02)
LOGITS = torch.tensor([[[0.0, 2.0], [1.0, -3.0], [-2.0, 0.5], [9.0, 9.0]], [[1.0, -1.0]] * 4])
LENGTHS = (3, 4)
"""The last frame of clip 0 is padding, with the largest logits of all."""
SCORES = torch.tensor([[[0.3, 1.0], [-1.0, 0.0], [2.0, 0.5], [99.0, 99.0]], [[0.0, 1.0]] * 4])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def encoded(values: Tensor) -> Encoded:
    return Encoded(Features(values, torch.tensor(LENGTHS), GRID))


def identity(layer: torch.nn.Linear, first: int) -> None:
    """Makes a layer pass on the inputs `first` and `first + 1`."""
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, first : first + 2] = torch.eye(2)
        layer.bias.zero_()


def clip_bce(**options: Any) -> tuple[ClipBce, Prediction]:
    head = ClipBce(ClipBceConfig(**options), EncodedSpec(StreamSpec(4, GRID)), 2).eval()
    identity(head.output[-1], 0)  # type: ignore[arg-type]
    if head.score is not None:
        identity(head.score, 2)
    return head, head(encoded(torch.cat([LOGITS, SCORES], 2)))


def frame_bce(**options: Any) -> tuple[FrameBce, Prediction]:
    head = FrameBce(FrameBceConfig(**options), EncodedSpec(StreamSpec(2, GRID)), 2).eval()
    identity(head.output[-1], 0)  # type: ignore[arg-type]
    return head, head(encoded(LOGITS))


def targets(frames_known: bool = True, clip_known: bool = True) -> Targets:
    frames = torch.tensor([[[1.0, 0], [0, 0], [0, 1], [1, 1]], [[0, 1]] * 4])
    return Targets(
        torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
        torch.full((2, 2), clip_known),
        frames,
        torch.full((2, 4, 2), frames_known),
        GRID,
    )


def cross_entropy(p: np.ndarray, y: np.ndarray, weight: float = 1.0) -> np.ndarray:
    return -(weight * y * np.log(p) + (1 - y) * np.log(1 - p))


def pooled(kind: str, row: int) -> np.ndarray:
    length = LENGTHS[row]
    y = sigmoid(LOGITS[row, :length].double().numpy())
    w = np.exp(SCORES[row, :length].double().numpy())
    formulas = {
        "max": y.max(0),
        "average": y.mean(0),
        "linear_softmax": (y**2).sum(0) / y.sum(0),
        "attention": (w * y).sum(0) / w.sum(0),
    }
    return formulas[kind]


KINDS = ("max", "average", "linear_softmax", "attention")


class TestClipBce:
    @pytest.mark.parametrize("kind", KINDS)
    def test_pooling_is_its_closed_form(self, kind: str) -> None:
        _, prediction = clip_bce(pooling=kind)
        for row in range(2):
            np.testing.assert_allclose(prediction.clip[row].detach(), pooled(kind, row), rtol=1e-5)
            logit = np.log(pooled(kind, row) / (1 - pooled(kind, row)))
            np.testing.assert_allclose(
                prediction.extras["clip_logits"][row].detach(), logit, atol=1e-5
            )

    @pytest.mark.parametrize("kind", KINDS)
    def test_frames_are_sigmoids_and_padding_is_zero(self, kind: str) -> None:
        _, prediction = clip_bce(pooling=kind)
        frames = prediction.frames.detach().numpy()
        np.testing.assert_allclose(frames[0, :3], sigmoid(LOGITS[0, :3].numpy()), rtol=1e-6)
        assert not frames[0, 3].any()
        assert prediction.lengths.tolist() == list(LENGTHS)
        assert prediction.grid == GRID

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("weight", [1.0, 4.0])
    def test_the_loss_is_that_of_the_clip(self, kind: str, weight: float) -> None:
        head, prediction = clip_bce(pooling=kind, positive_weight=weight)
        found = head.loss(prediction, targets(frames_known=False)).detach()
        for row in range(2):
            wanted = cross_entropy(pooled(kind, row), targets().clip[row].numpy(), weight).mean()
            assert found[row].item() == pytest.approx(wanted, rel=1e-5)
        assert head.loss(prediction, targets(clip_known=False)).tolist() == [0, 0]

    def test_attention_is_shown(self) -> None:
        _, prediction = clip_bce(pooling="attention")
        weights = prediction.extras["attention"]
        torch.testing.assert_close(weights.sum(1), torch.ones(2, 2))
        assert not weights[0, 3].any()
        assert "attention" not in clip_bce(pooling="max")[1].extras

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("level", [-80.0, 80.0])
    @pytest.mark.parametrize("half", [False, True])
    def test_sure_frames_give_finite_losses_and_gradients(
        self, kind: str, level: float, half: bool
    ) -> None:
        head, _ = clip_bce(pooling=kind)
        values = torch.full((2, 4, 4), level).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            prediction = head(encoded(values))
            loss = head.loss(prediction, targets())
        assert prediction.frames.dtype == prediction.clip.dtype == torch.float32
        loss.sum().backward()
        assert bool(torch.isfinite(loss).all())
        assert values.grad is not None
        assert bool(torch.isfinite(values.grad).all())


class TestFrameBce:
    def test_the_clip_is_its_largest_frame(self) -> None:
        _, prediction = frame_bce()
        np.testing.assert_allclose(prediction.clip[0].detach(), sigmoid(np.array([1.0, 2.0])), 1e-6)
        assert not prediction.frames[0, 3].any()

    @pytest.mark.parametrize(("positive", "clip"), [(1.0, 0.0), (3.0, 0.0), (1.0, 0.7)])
    def test_the_loss_is_its_closed_form(self, positive: float, clip: float) -> None:
        head, prediction = frame_bce(positive_weight=positive, clip_weight=clip)
        found = head.loss(prediction, targets()).detach()
        for row, length in enumerate(LENGTHS):
            p = sigmoid(LOGITS[row, :length].double().numpy())
            wanted = cross_entropy(p, targets().frames[row, :length].numpy(), positive).mean()
            wanted += clip * cross_entropy(p.max(0), targets().clip[row].numpy()).mean()
            assert found[row].item() == pytest.approx(wanted, rel=1e-5)

    def test_what_is_unknown_adds_nothing(self) -> None:
        head, prediction = frame_bce(clip_weight=0.5)
        both = head.loss(prediction, targets())
        frames = head.loss(prediction, targets(clip_known=False))
        clips = head.loss(prediction, targets(frames_known=False))
        torch.testing.assert_close(frames + clips, both)
        assert head.loss(prediction, targets(False, False)).tolist() == [0, 0]

    def test_one_known_label_decides_alone(self) -> None:
        head, prediction = frame_bce()
        known = torch.zeros(2, 4, 2).bool()
        known[0, 1, 0] = True  # logit 1, label 0
        some = targets()
        some = Targets(some.clip, some.clip_mask, some.frames, known, GRID)
        assert head.loss(prediction, some)[0].item() == pytest.approx(math.log(1 + math.e))

    def test_a_hidden_layer_and_dropout_are_there_when_asked_for(self) -> None:
        head = FrameBce(FrameBceConfig(hidden=7, dropout=0.5), EncodedSpec(StreamSpec(2, GRID)), 2)
        assert [type(layer).__name__ for layer in head.output] == [
            "Linear", "ReLU", "Dropout", "Linear",
        ]  # fmt: skip
        assert sum(p.numel() for p in head.parameters()) == 2 * 7 + 7 + 7 * 2 + 2

    def test_gradients_are_right(self) -> None:
        head, _ = frame_bce(clip_weight=0.5, positive_weight=2.0)
        head = head.double()
        untied = torch.arange(16).view(2, 4, 2) / 8  # the largest frame has to be one alone
        values = (LOGITS.double() + untied).requires_grad_()
        truth = targets().to(dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda x: head.loss(head(encoded(x)), truth), (values,))
