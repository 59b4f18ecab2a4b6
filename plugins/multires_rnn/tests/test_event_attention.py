"""The head against plain NumPy twins that are written as Section 2 of the paper reads."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sedsdk_multires_rnn.head import EventAttention, EventAttentionConfig, event_weights

from sedsdk import (
    ConfigError,
    Encoded,
    EncodedSpec,
    Features,
    FrameGrid,
    Prediction,
    StreamSpec,
    Targets,
)
from sedsdk.config import read_model
from sedsdk.testing import Setting, check_part

GRID = FrameGrid(0.023)
SIZE = 6

Array = NDArray[np.float64]


def head(n_classes: int = 1, size: int = SIZE, **options: Any) -> EventAttention:
    torch.manual_seed(2)
    spec = EncodedSpec(StreamSpec(size, GRID))
    return EventAttention(EventAttentionConfig(**options), spec, n_classes).double()


def hidden(*lengths: int, scale: float = 1.0, seed: int = 0) -> Encoded:
    values = np.random.default_rng(seed).normal(size=(len(lengths), max(lengths), SIZE)) * scale
    return Encoded(Features(torch.from_numpy(values), torch.tensor(lengths), GRID))


def targets(frames: Array, lengths: tuple[int, ...] | None = None) -> Targets:
    """Fully known targets; the clip label is the largest frame label."""
    labels = torch.from_numpy(frames)
    known = torch.ones_like(labels, dtype=torch.bool)
    for row, length in enumerate(lengths or ()):
        known[row, length:] = False
    clip = labels.amax(1)
    return Targets(clip, torch.ones_like(clip, dtype=torch.bool), labels, known, GRID)


def with_logits(made: EventAttention, logits: Array) -> Prediction:
    """Predicts from frames [B, T, 1] whose logits are given: w is 1."""
    with torch.no_grad():
        made.event.weight.fill_(1.0)
    lengths = torch.full((len(logits),), logits.shape[1])
    return made(Encoded(Features(torch.from_numpy(logits), lengths, GRID)))


# The twins


def sigmoid(x: Array | float) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x)))


def predict(w: Array, h: Array) -> tuple[float, Array, Array]:
    """Returns p, p_1 … p_T and a_1 … a_T of one clip [T, H] and one event [H]."""
    p_t = np.array([sigmoid(w @ h_t) for h_t in h])
    a = p_t / p_t.sum()
    utterance = sum(a_t * h_t for a_t, h_t in zip(a, h, strict=True))
    return float(sigmoid(w @ utterance)), p_t, a


def cross_entropy(y: float, p: float) -> float:
    return -(y * math.log(p) + (1 - y) * math.log(1 - p))


def frame_loss(y: Array, p: Array, window: int) -> float:
    """−L_frame of one clip: 0 without the event, else over the frames around its occurrences."""
    if not y.any():
        return 0.0
    on = np.flatnonzero(y)
    near = [t for t in range(len(y)) if window < 0 or np.abs(on - t).min() <= window]
    return sum(cross_entropy(y[t], p[t]) for t in near) / len(near)


def joint_loss(w: Array, h: Array, y: Array, alpha: float, window: int) -> float:
    p, p_t, _ = predict(w, h)
    return cross_entropy(float(y.any()), p) + alpha * frame_loss(y, p_t, window)


def labels_of(*lengths: int, n_classes: int = 1, **events: list[tuple[int, int, int]]) -> Array:
    """Returns frame labels; clip0=[(2, 5, 0)] puts class 0 on frames 2 to 4 of clip 0."""
    y = np.zeros((len(lengths), max(lengths), n_classes))
    for row in range(len(lengths)):
        for onset, offset, column in events.get(f"clip{row}", []):
            y[row, onset:offset, column] = 1.0
    return y


class TestPrediction:
    def test_it_is_the_papers(self) -> None:
        made, lengths = head(n_classes=3), (1, 2, 9, 30)
        given = hidden(*lengths)
        found = made(given)
        for row, length in enumerate(lengths):
            h = given.frames.values[row, :length].numpy()
            for column, w in enumerate(made.event.weight.detach().numpy()):
                p, p_t, a = predict(w, h)
                assert float(found.clip[row, column].detach()) == pytest.approx(p, abs=1e-13)
                for name, values in (("frames", found.frames), ("a", found.extras["attention"])):
                    wanted = p_t if name == "frames" else a
                    got = values[row, :, column].detach().numpy()
                    np.testing.assert_allclose(got[:length], wanted, atol=1e-13, err_msg=name)
                    assert not got[length:].any()

    def test_the_clips_logit_is_the_attended_mean_of_the_frames_logits(self) -> None:
        """wᵀ Σ a_t h_t = Σ a_t wᵀ h_t, with w and h on the left and their products on the right."""
        made, given = head(), hidden(25, scale=3.0)
        found = made(given)
        w, h = made.event.weight.detach().numpy()[0], given.frames.values[0].numpy()
        a = found.extras["attention"][0, :, 0].detach().numpy()
        left = w @ (a[:, None] * h).sum(axis=0)
        right = (a * (h @ w)).sum()
        assert left == pytest.approx(right, abs=1e-12)
        assert float(found.extras["clip_logits"].detach()) == pytest.approx(left, abs=1e-12)

    def test_classes_do_not_see_each_other(self) -> None:
        made, given = head(n_classes=3), hidden(9, 4)
        alone = head()
        with torch.no_grad():
            alone.event.weight.copy_(made.event.weight[1:2])
        torch.testing.assert_close(made(given).clip[:, 1:2], alone(given).clip)
        torch.testing.assert_close(made(given).frames[:, :, 1:2], alone(given).frames)

    def test_it_has_one_vector_per_class(self) -> None:
        assert sum(p.numel() for p in head(n_classes=3, size=512).parameters()) == 3 * 512
        biased = head(n_classes=3, size=512, bias=True)
        assert sum(p.numel() for p in biased.parameters()) == 3 * 512 + 3

    def test_padding_is_never_read(self) -> None:
        made, given = head(n_classes=2), hidden(9, 4)
        values = given.frames.values.clone()
        values[1, 4:] = math.nan
        again = made(Encoded(replace(given.frames, values=values)))
        for name in ("clip", "frames"):
            torch.testing.assert_close(getattr(again, name), getattr(made(given), name))

    def test_a_clip_without_frames_has_no_event_and_no_loss(self) -> None:
        made, given = head(), hidden(5, 0)
        found = made(given)
        assert found.clip[1].tolist() == [0.0]
        assert not found.extras["attention"][1].any()
        losses = made.loss(found, targets(labels_of(5, 0, clip0=[(1, 3, 0)]), (5, 0)))
        assert float(losses[1].detach()) == 0.0
        made.zero_grad()
        losses.sum().backward()
        assert bool(made.event.weight.grad.isfinite().all())


class TestLoss:
    Y = labels_of(400, 300, 120, clip0=[(150, 190, 0)], clip1=[(10, 30, 0), (200, 260, 0)])
    LENGTHS = (400, 300, 120)

    def losses(self, given: Encoded | None = None, **options: Any) -> list[float]:
        made = head(**options)
        found = made(given or hidden(*self.LENGTHS))
        return made.loss(found, targets(self.Y, self.LENGTHS)).tolist()

    @pytest.mark.parametrize("window", [50, 0, 7, 1000, -1])
    @pytest.mark.parametrize("alpha", [0.0, 0.1, 1.0, 10.0])
    def test_it_is_the_papers(self, alpha: float, window: int) -> None:
        given, w = hidden(*self.LENGTHS), head().event.weight.detach().numpy()[0]
        found = self.losses(given, alpha=alpha, window_frames=window)
        for row, length in enumerate(self.LENGTHS):
            h, y = given.frames.values[row, :length].numpy(), self.Y[row, :length, 0]
            wanted = joint_loss(w, h, y, alpha, window)
            assert found[row] == pytest.approx(wanted, abs=1e-12)

    def test_the_window_ends_fifty_frames_from_the_event(self) -> None:
        """Event on 150 … 189: the frames 100 … 239 count, 140 in all."""
        labels = targets(self.Y, self.LENGTHS)
        weights = event_weights(labels.frames, labels.frame_mask, 50)[..., 0]
        assert weights[0].nonzero().flatten().tolist() == list(range(100, 240))
        assert weights[1].nonzero().flatten().tolist() == [*range(80), *range(150, 300)]
        assert not weights[2].any()

    def test_it_is_the_sum_of_the_utterance_loss_and_alpha_frame_losses(self) -> None:
        none, one, four = (np.array(self.losses(alpha=alpha)) for alpha in (0.0, 1.0, 4.0))
        np.testing.assert_allclose(four - none, 4 * (one - none), atol=1e-12)
        assert ((one - none) > 0).tolist() == [True, True, False]

    def test_a_clip_without_the_event_has_no_frame_loss(self) -> None:
        """Its gradient by the frames' logits, with the clip's logit held fixed."""
        made = head(size=1)
        with torch.no_grad():
            found = with_logits(made, np.linspace(-3, 3, 40).reshape(1, 40, 1))
        for events, some in (([], False), ([(0, 1, 0)], True)):
            logits = found.extras["frame_logits"].clone().requires_grad_()
            apart = replace(found, extras={**found.extras, "frame_logits": logits})
            loss = made.loss(apart, targets(labels_of(40, clip0=events)))
            (gradient,) = torch.autograd.grad(loss.sum(), logits)
            assert bool(gradient.any()) == some

    def test_it_is_the_mean_over_the_classes(self) -> None:
        lengths = (60, 33)
        y = labels_of(*lengths, n_classes=3, clip0=[(5, 9, 0), (30, 50, 2)], clip1=[(1, 20, 1)])
        made, given = head(n_classes=3, window_frames=10), hidden(*lengths)
        found = made.loss(made(given), targets(y, lengths)).tolist()
        vectors = made.event.weight.detach().numpy()
        for row, length in enumerate(lengths):
            h = given.frames.values[row, :length].numpy()
            each = [joint_loss(w, h, y[row, :length, c], 1.0, 10) for c, w in enumerate(vectors)]
            assert found[row] == pytest.approx(np.mean(each), abs=1e-12)

    @pytest.mark.parametrize("window", [3, -1])
    def test_its_gradient_is_that_of_finite_differences(self, window: int) -> None:
        lengths = (17, 9, 12)
        y = labels_of(*lengths, n_classes=2, clip0=[(5, 9, 0), (15, 17, 1)], clip1=[(0, 2, 1)])
        made, given = head(n_classes=2, alpha=2.0, window_frames=window), hidden(*lengths)
        leaf = given.frames.values.requires_grad_()

        def loss(values: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            frames = replace(given.frames, values=values)
            return made.loss(made(Encoded(frames)), targets(y, lengths))

        assert torch.autograd.gradcheck(loss, (leaf, made.event.weight), atol=1e-8)

    def test_its_gradient_is_that_of_the_papers_formula(self) -> None:
        """Central differences of the twin: attention is differentiated, not held fixed."""
        made, given = head(alpha=1.0, window_frames=4), hidden(20)
        y = labels_of(20, clip0=[(8, 12, 0)])
        made.loss(made(given), targets(y)).sum().backward()
        w, h = made.event.weight.detach().numpy()[0], given.frames.values[0].numpy()
        step = 1e-6
        wanted = [
            (
                joint_loss(w + step * unit, h, y[0, :, 0], 1.0, 4)
                - joint_loss(w - step * unit, h, y[0, :, 0], 1.0, 4)
            )
            / (2 * step)
            for unit in np.eye(SIZE)
        ]
        np.testing.assert_allclose(made.event.weight.grad[0], wanted, atol=1e-8)


class TestExtremes:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("level", [1e4, -1e4])
    @pytest.mark.parametrize("present", [True, False])
    def test_losses_and_gradients_stay_finite(
        self, dtype: torch.dtype, level: float, present: bool
    ) -> None:
        made = head(size=1).to(dtype)
        with torch.no_grad():
            made.event.weight.fill_(1.0)
        values = torch.full((1, 30, 1), level, dtype=dtype).requires_grad_()
        found = made(Encoded(Features(values, torch.tensor([30]), GRID)))
        y = labels_of(30, clip0=[(10, 20, 0)] if present else [])
        loss = made.loss(found, targets(y).to(dtype=dtype))
        loss.sum().backward()
        assert bool(values.grad.isfinite().all())
        assert bool(made.event.weight.grad.isfinite().all())
        utterance = 1e4 if present != (level > 0) else 0.0
        on_frames = 1e4 * (20 if level > 0 else 10) / 30 if present else 0.0
        assert float(loss.detach()) == pytest.approx(utterance + on_frames, rel=1e-6, abs=1e-9)

    def test_attention_sums_to_one_where_every_probability_underflows(self) -> None:
        """For wᵀh_t ≪ 0 log p_t = wᵀh_t, so a is their softmax; p_t / Σ p_t would be 0 / 0."""
        offsets = np.array([0.0, 1.0, 3.0, -2.0])
        logits = (offsets - 2000.0).reshape(1, 4, 1)
        assert sigmoid(-700.0) > 0
        with np.errstate(over="ignore"):
            assert not sigmoid(logits).any()
        a = with_logits(head(size=1), logits).extras["attention"][0, :, 0].detach().numpy()
        assert a.sum() == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_allclose(a, np.exp(offsets) / np.exp(offsets).sum(), atol=1e-9)

    def test_attention_is_even_where_every_probability_is_one(self) -> None:
        a = with_logits(head(size=1), np.array([50.0, 900.0, 1e4]).reshape(1, 3, 1))
        np.testing.assert_allclose(a.extras["attention"][0, :, 0].detach(), 1 / 3, atol=1e-12)

    def test_half_precision_frames_get_wide_logits(self) -> None:
        made = head().float()
        with torch.autocast("cpu", torch.bfloat16):
            given = hidden(12)
            found = made(Encoded(given.frames.to(dtype=torch.float32)))
            loss = made.loss(
                found, targets(labels_of(12, clip0=[(3, 5, 0)])).to(dtype=torch.float32)
            )
        assert found.extras["frame_logits"].dtype == torch.float32
        assert found.clip.dtype == torch.float32
        assert bool(loss.isfinite().all())


class TestWhatIsKnown:
    def test_unknown_frames_and_padding_add_nothing(self) -> None:
        """Frames 0 … 59 are known, of which 40 … 44 are the event: as if the clip ended there."""
        made, given = head(window_frames=10), hidden(80)
        y = labels_of(80, clip0=[(40, 45, 0)])
        y[0, 60:] = 1.0
        partly = targets(y, (60,))
        h = given.frames.values[0].numpy()
        w = made.event.weight.detach().numpy()[0]
        p, p_t, _ = predict(w, h)
        wanted = cross_entropy(1.0, p) + frame_loss(y[0, :60, 0], p_t[:60], 10)
        found = made.loss(made(given), partly)
        assert float(found.detach()) == pytest.approx(wanted, abs=1e-12)
        labels = torch.where(partly.frame_mask, partly.frames, torch.nan)
        again = made.loss(made(given), replace(partly, frames=labels))
        torch.testing.assert_close(again, found)

    def test_labels_behind_the_clips_end_add_nothing(self) -> None:
        """An encoder that reduces time may end before the last label does."""
        made, lengths = head(window_frames=10), (80, 60)
        together = targets(labels_of(80, 80, clip1=[(40, 45, 0), (60, 61, 0)]))
        alone = targets(labels_of(60, clip0=[(40, 45, 0)]))
        given = hidden(*lengths)
        wanted = made.loss(made(Encoded(given.frames.clip(1))), alone)[0]
        torch.testing.assert_close(made.loss(made(given), together)[1], wanted)

    def test_an_unknown_class_adds_nothing(self) -> None:
        made, given = head(n_classes=2), hidden(30)
        both = targets(labels_of(30, n_classes=2, clip0=[(3, 9, 0), (3, 9, 1)]))
        both.clip_mask[0, 1] = False
        both.frame_mask[0, :, 1] = False
        w, h = made.event.weight.detach().numpy()[0], given.frames.values[0].numpy()
        wanted = joint_loss(w, h, both.frames[0, :, 0].numpy(), 1.0, 50)
        assert float(made.loss(made(given), both).detach()) == pytest.approx(wanted, abs=1e-12)

    @pytest.mark.parametrize("window", [50, -1])
    def test_weak_labels_give_the_utterance_loss_alone(self, window: int) -> None:
        made, given = head(window_frames=window), hidden(30)
        weak = targets(labels_of(30, clip0=[(3, 9, 0)]))
        weak.frame_mask[:] = False
        p, _, _ = predict(made.event.weight.detach().numpy()[0], given.frames.values[0].numpy())
        wanted = cross_entropy(1.0, p)
        assert float(made.loss(made(given), weak).detach()) == pytest.approx(wanted, abs=1e-12)

    def test_nothing_known_costs_nothing(self) -> None:
        made, given = head(), hidden(30)
        nothing = targets(labels_of(30, clip0=[(3, 9, 0)]))
        nothing.frame_mask[:] = False
        nothing.clip_mask[:] = False
        assert float(made.loss(made(given), nothing).detach()) == 0.0


class TestFractionalLabels:
    """What mixup leaves: a clip whose event was mixed in at a share of λ."""

    WHOLE = labels_of(60, clip0=[(20, 30, 0)])

    def loss(self, y: Array, alpha: float = 1.0) -> float:
        made = head(alpha=alpha, window_frames=5)
        return float(made.loss(made(hidden(60)), targets(y)).detach())

    @pytest.mark.parametrize("share", [0.9, 0.3])
    def test_the_frame_loss_counts_by_the_share(self, share: float) -> None:
        made, given = head(window_frames=5), hidden(60)
        p, p_t, _ = predict(made.event.weight.detach().numpy()[0], given.frames.values[0].numpy())
        y = share * self.WHOLE
        each = [cross_entropy(y[0, t, 0], p_t[t]) for t in range(15, 35)]
        wanted = cross_entropy(share, p) + share * np.mean(each)
        assert self.loss(y) == pytest.approx(wanted, abs=1e-12)

    def test_a_trace_of_an_event_costs_what_none_costs(self) -> None:
        assert self.loss(1e-9 * self.WHOLE) == pytest.approx(self.loss(0 * self.WHOLE), abs=1e-7)
        smallest = float(np.finfo(np.float64).smallest_subnormal) * self.WHOLE
        assert math.isfinite(self.loss(smallest))

    def test_a_trace_beside_an_event_changes_nothing(self) -> None:
        trace = self.WHOLE + 1e-9 * labels_of(60, clip0=[(45, 50, 0)])
        assert self.loss(trace) == pytest.approx(self.loss(self.WHOLE), abs=1e-7)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"alpha": 0.0},
    {"alpha": 10.0},
    {"window_frames": -1},
    {"window_frames": 0},
    {"bias": True},
]
ENCODER = ("multires-rnn/multires_gru", {"units": 4, "layers": 2})


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("setting", [Setting(), Setting(encoder=ENCODER)], ids=["alone", "encoder"])
def test_it_keeps_every_law(options: dict[str, Any], setting: Setting) -> None:
    check_part("head", "multires-rnn/event_attention", options, setting=setting)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1}, "greater than or equal to 0"),
        ({"window_frames": -2}, "greater than or equal to -1"),
        ({"window": 3}, 'unknown field "window". Did you mean "window_frames"?'),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_model(EventAttentionConfig, options, "head event_attention")
    assert message in str(caught.value)
