"""Every head's prediction and loss against plain NumPy, clip by clip, and Equations 4 to 11."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mmnet_twin import (
    Array,
    array,
    classified,
    convolved,
    cross_entropy,
    randomised,
    scores,
    sigmoid,
    softmax,
    weights,
)
from sedsdk_mmnet.class_weights import WeightedHeadConfig, class_weights
from sedsdk_mmnet.macro import Macro, MacroConfig
from sedsdk_mmnet.macro_micro import MacroMicro, MacroMicroConfig, MacroMicroMs
from sedsdk_mmnet.mixing import log_equal_shares, log_softmax_over_time, mixed
from sedsdk_mmnet.plat import Plat, PlatConfig, extrapolated_labels
from sedsdk_mmnet.segment_heads import Att, Slat, Wlat
from sedsdk_mmnet.spda import Spda, SpdaConfig

from sedsdk import (
    ConfigError,
    Encoded,
    EncodedSpec,
    Features,
    FrameGrid,
    Prediction,
    StreamSpec,
    Targets,
    TrainingError,
    compose,
    part,
)

GRID = FrameGrid(0.16, 0.08)
FINE = FrameGrid(0.04, 0.02)
SIZE, FINE_SIZE, CLASSES, UNITS = 6, 4, 3, 7
SHARE = torch.tensor([0.5, 0.1, 0.02], dtype=torch.float64)
W = weights(SHARE.numpy(), 0.3)
LENGTHS = (9, 1, 5, 7)
FINE_LENGTHS = (38, 4, 20, 28)
TOLERANCE = 1e-10


def spec(scales: bool = False) -> EncodedSpec:
    further = (StreamSpec(FINE_SIZE, FINE), StreamSpec(SIZE, GRID)) if scales else ()
    return EncodedSpec(StreamSpec(SIZE, GRID), further)


def head(made: type[Any], config: type[Any], seed: int = 0, scales: bool = False, **options: Any):
    torch.manual_seed(seed)
    found = made(config(units=UNITS, **options), spec(scales), CLASSES).double()
    if found.needs_fit:
        found.fit(SHARE)
    return randomised(found, seed)


def maps(seed: int = 5) -> list[list[Array]]:
    """Three feature maps of four clips, [T, K] each: X, a finer one, and one like X."""
    random = np.random.default_rng(seed)
    kinds = ((SIZE, LENGTHS), (FINE_SIZE, FINE_LENGTHS), (SIZE, LENGTHS))
    return [[random.normal(size=(n, size)) for n in lengths] for size, lengths in kinds]


def encoded(given: list[list[Array]], scales: bool = False) -> Encoded:
    """The maps as a batch, with noise in the padding."""
    found = []
    for clips, grid in zip(given, (GRID, FINE, GRID), strict=True):
        lengths = [len(clip) for clip in clips]
        values = torch.full((len(clips), max(lengths) + 2, clips[0].shape[1]), torch.nan).double()
        for row, clip in enumerate(clips):
            values[row, : len(clip)] = torch.from_numpy(clip)
        found.append(Features(values, torch.tensor(lengths), grid))
    return Encoded(found[0], tuple(found[1:]) if scales else ())


def targets(n_frames: int) -> Targets:
    clip = torch.tensor([[1, 0, 1], [0, 0, 0], [0.3, 1, 0], [1, 1, 1]]).double()
    known = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 0, 0]]).bool()
    nothing = torch.zeros(4, n_frames, CLASSES)
    return Targets(clip, known, nothing, nothing.bool(), GRID)


Y = targets(1).clip.numpy()
KNOWN = targets(1).clip_mask.numpy()


@torch.no_grad()
def check(made: Any, given: list[list[Array]], twin: Any, scales: bool = False) -> None:
    """Compares with a twin that takes a clip's maps and row, and gives ŷ, d̂ and the loss."""
    prediction: Prediction = made(encoded(given, scales))
    losses = made.loss(prediction, targets(prediction.frames.shape[1]))
    for row in range(len(LENGTHS)):
        clip, segments, loss = twin([clips[row] for clips in given], row)
        length = LENGTHS[row]
        np.testing.assert_allclose(array(prediction.clip[row]), clip, atol=TOLERANCE)
        np.testing.assert_allclose(array(prediction.frames[row, :length]), segments, atol=TOLERANCE)
        assert not prediction.frames[row, length:].any()
        assert float(losses[row]) == pytest.approx(loss, abs=TOLERANCE)
    assert float(losses[3]) == 0.0  # nothing is known of it
    assert prediction.grid == GRID
    assert prediction.lengths.tolist() == list(LENGTHS)


def xi(row: int, p: Array, y: Array | None = None) -> float:
    return cross_entropy(Y[row] if y is None else y, p, W, KNOWN[row])


# Heads without a micro subnet


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_macro(pooling: str) -> None:
    made = head(Macro, MacroConfig, pooling=pooling)

    def twin(clip: list[Array], row: int) -> tuple[Array, Array, float]:
        x = clip[0]
        read = x.mean(axis=0) if pooling == "mean" else x.max(axis=0)
        y = sigmoid(classified(read[None], made.classifier))[0]
        return y, sigmoid(classified(x, made.classifier)), xi(row, y)

    check(made, maps(), twin)


def test_wlat() -> None:
    made = head(Wlat, WeightedHeadConfig)

    def twin(clip: list[Array], row: int) -> tuple[Array, Array, float]:
        d = sigmoid(classified(clip[0], made.classifier))
        y = d.mean(axis=0)
        return y, d, xi(row, y)

    check(made, maps(), twin)


def test_slat() -> None:
    made = head(Slat, WeightedHeadConfig)

    def twin(clip: list[Array], row: int) -> tuple[Array, Array, float]:
        d = sigmoid(classified(clip[0], made.classifier))
        return d.mean(axis=0), d, sum(xi(row, d_t) for d_t in d) / len(d)

    check(made, maps(), twin)


def test_att() -> None:
    made = head(Att, WeightedHeadConfig)

    def twin(clip: list[Array], row: int) -> tuple[Array, Array, float]:
        d = sigmoid(classified(clip[0], made.classifier))
        alpha = softmax(scores(clip[0], made.attention))
        y = sum(alpha_t * d_t for alpha_t, d_t in zip(alpha, d, strict=True))
        return y, d, xi(row, y)

    check(made, maps(), twin)


def test_spda() -> None:
    made = head(Spda, SpdaConfig, parts=2)

    def twin(clip: list[Array], row: int) -> tuple[Array, Array, float]:
        x = clip[0]
        parts = softmax(convolved(x, made.attention.conv))  # [T, P]
        read = np.concatenate([x.mean(axis=0), parts[:, 0] @ x, parts[:, 1] @ x])
        y = sigmoid(classified(read[None], made.classifier))[0]
        alone = np.concatenate([x, x, x], axis=1)
        return y, sigmoid(classified(alone, made.classifier)), xi(row, y)

    check(made, maps(), twin)


def test_spda_weights_are_extras() -> None:
    made = head(Spda, SpdaConfig, parts=2)
    extras = made(encoded(maps())).extras
    for row, x in enumerate(maps()[0]):
        parts = softmax(convolved(x, made.attention.conv))
        np.testing.assert_allclose(array(extras["part_attention"][row, : len(x)]), parts)
        mean = parts.mean(axis=1)
        np.testing.assert_allclose(array(extras["attention"][row, : len(x), 0]), mean)


# PLAT


@pytest.mark.parametrize(("threshold", "micro_weight"), [(0.2, 1.0), (0.6, 2.5)])
def test_plat(threshold: float, micro_weight: float) -> None:
    made = head(Plat, PlatConfig, threshold=threshold, micro_weight=micro_weight)

    def twin(clip: list[Array], row: int) -> tuple[Array, Array, float]:
        x = clip[0]
        y = sigmoid(classified(x.mean(axis=0)[None], made.classifier))[0]
        d = sigmoid(convolved(x, made.detection))
        s = classified(x, made.classifier)
        total = 0.0
        for t in range(len(x)):
            labels = np.zeros(CLASSES)
            for c in range(CLASSES):
                low, high = s[:, c].min(), s[:, c].max()
                share = 1.0 if high == low else (s[t, c] - low) / (high - low)
                labels[c] = Y[row, c] if share >= threshold else 0.0
            total += xi(row, d[t], labels)
        return y, d, xi(row, y) + micro_weight * total / len(x)

    check(made, maps(), twin)


def test_extrapolated_labels_by_hand() -> None:
    activation = torch.tensor([[0.0, 5], [1, 5], [4, 5], [10, 5], [-90, 90]]).unsqueeze(0)
    labels = torch.tensor([[1.0, 0.5]])
    found = extrapolated_labels(activation, labels, torch.tensor([4]), 0.4)
    assert found[0, :4].tolist() == [[0, 0.5], [0, 0.5], [1, 0.5], [1, 0.5]]
    none = extrapolated_labels(activation, torch.zeros(1, 2), torch.tensor([4]), 0.4)
    assert not none.any()


# M&mnet


def micro(x: Array, net: Any) -> tuple[Array, Array, Array]:
    """d̂, a and α of a feature map."""
    a = scores(x, net.attention)
    return sigmoid(convolved(x, net.detection)), a, softmax(a)


def logit(p: Any) -> Any:
    return np.log(p) - np.log(1 - p)


def m_and_m(made: Any, clip: list[Array], row: int) -> tuple[Array, Array, float]:
    config = made.config
    y = sigmoid(classified(clip[0].mean(axis=0)[None], made.classifier))[0]
    loss, attended = 0.0, []
    for x, net in zip(clip, made.micro, strict=False):
        d, a, alpha = micro(x, net)
        m = net.attention.conv.conv.out_channels
        assert a.sum() == pytest.approx(m)
        scale = {"printed": 1.0, "segments": 1 / len(x), "mean": 1 / m}[config.micro_scale]
        loss += scale * sum(a_t * xi(row, d_t) for a_t, d_t in zip(a, d, strict=True))
        read = d if config.mixing == "probabilities" else logit(d)
        attended.append(sum(alpha_t * d_t for alpha_t, d_t in zip(alpha, read, strict=True)))
    y_att = sum(attended) / len(attended)
    mu = config.macro_share
    if config.mixing == "probabilities":
        y_ens = mu * y + (1 - mu) * y_att
    else:
        y_ens = sigmoid(mu * logit(y) + (1 - mu) * y_att)
    read = y_ens if config.clip_loss == "ensemble" else y
    total = xi(row, read) + config.micro_weight * loss
    segments = micro(clip[0], made.micro[0])[0]
    return (y_ens if config.ensemble_prediction else y), segments, total


OPTIONS: list[dict[str, Any]] = [
    {},
    {"micro_scale": "printed", "clip_loss": "macro", "scores": 5},
    {"micro_scale": "mean", "micro_weight": 0.4},
    {"mixing": "logits", "macro_share": 0.3},
    {"macro_share": 0.0},
    {"macro_share": 1.0},
    {"ensemble_prediction": False},
    {"micro_weight": 0.0},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_macro_micro(options: dict[str, Any]) -> None:
    made = head(MacroMicro, MacroMicroConfig, **options)
    assert len(made.micro) == 1
    check(made, maps(), lambda clip, row: m_and_m(made, clip, row))


@pytest.mark.parametrize("options", OPTIONS)
def test_macro_micro_ms(options: dict[str, Any]) -> None:
    made = head(MacroMicroMs, MacroMicroConfig, scales=True, **options)
    assert len(made.micro) == 3
    check(made, maps(), lambda clip, row: m_and_m(made, clip, row), scales=True)


def test_attention_and_segments_of_every_map_are_extras() -> None:
    made = head(MacroMicroMs, MacroMicroConfig, scales=True)
    extras = made(encoded(maps(), scales=True)).extras
    names = [("segment_logits", "attention", None)]
    names += [
        (f"segment_logits_{i}", f"segment_weights_{i}", f"segment_lengths_{i}") for i in (1, 2)
    ]
    for clips, net, (logits, shares, lengths) in zip(maps(), made.micro, names, strict=True):
        for row, x in enumerate(clips):
            d, a, _ = micro(x, net)
            np.testing.assert_allclose(sigmoid(array(extras[logits][row, : len(x)])), d)
            found = array(extras[shares][row])
            np.testing.assert_allclose(found[: len(x), 0], a / a.sum())
            assert not found[len(x) :].any()
        if lengths:
            assert extras[lengths].tolist() == [len(x) for x in clips]


def test_without_ensemble_prediction_the_same_weights_are_trained_alike() -> None:
    """Table 1's last row differs in what it predicts, not in how it learns."""
    one = head(MacroMicro, MacroMicroConfig)
    other = head(MacroMicro, MacroMicroConfig, ensemble_prediction=False)
    given = encoded(maps())
    first, second = one(given), other(given)
    assert not torch.allclose(first.clip, second.clip)
    torch.testing.assert_close(
        one.loss(first, targets(11)), other.loss(second, targets(11)), rtol=0, atol=0
    )


def test_the_multi_scale_head_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match="pyramid: true"):
        compose(["car"], "log_mel", part("mmnet_resnet"), "macro_micro_ms")


# Training mode


def test_dense_layers_are_normalised_over_clips_or_over_segments() -> None:
    """The macro net sees one vector per clip, a segment net every valid segment of the batch."""
    given = maps()

    def batch_normed(x: Array, net: Any) -> Array:
        for dense, norm in ((net.first, net.first_norm), (net.second, net.second_norm)):
            x = x @ array(dense.weight).T
            x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
            x = np.maximum(x * array(norm.weight) + array(norm.bias), 0)
        return x @ array(net.output.weight).T + array(net.output.bias)

    made = head(Macro, MacroConfig).train()
    vectors = np.stack([x.mean(axis=0) for x in given[0]])
    wanted = batch_normed(vectors, made.classifier)
    found = made(encoded(given)).extras["clip_logits"]
    np.testing.assert_allclose(array(found), wanted, atol=1e-9)

    segments = head(Slat, WeightedHeadConfig).train()
    wanted = batch_normed(np.concatenate(given[0]), segments.classifier)
    logits = segments(encoded(given)).extras["segment_logits"]
    got = np.concatenate([array(logits[row, :n]) for row, n in enumerate(LENGTHS)])
    np.testing.assert_allclose(got, wanted, atol=1e-9)


def test_the_class_activation_leaves_the_running_statistics_alone() -> None:
    """One clip-level pass moves them by a tenth towards the clips' own statistics, no more."""
    made = head(Macro, MacroConfig).train()
    norm = made.classifier.first_norm
    before = array(norm.running_mean)
    made(encoded(maps()))
    vectors = np.stack([x.mean(axis=0) for x in maps()[0]]) @ array(made.classifier.first.weight).T
    wanted = 0.9 * before + 0.1 * vectors.mean(axis=0)
    np.testing.assert_allclose(array(norm.running_mean), wanted, atol=1e-12)


# Class weights, Equation 11


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_class_weights_are_those_of_equation_11(beta: float) -> None:
    random = np.random.default_rng(0)
    for share in (SHARE.numpy(), random.uniform(0.001, 0.9, size=17), np.array([0.25])):
        found = array(class_weights(torch.from_numpy(share), beta))
        np.testing.assert_allclose(found, weights(share, beta), rtol=1e-12)


def test_class_weights_by_hand() -> None:
    """p = 0.1 and 0.3, p̄ = 0.2: odds 1/9, 3/7 and 1/4, so w = 9/4 and 7/12 for β = 1."""
    found = class_weights(torch.tensor([0.1, 0.3], dtype=torch.float64), 1.0)
    assert found.tolist() == pytest.approx([9 / 4, 7 / 12], rel=1e-9)


def test_a_class_in_no_clip_or_in_every_clip_has_a_finite_weight() -> None:
    found = class_weights(torch.tensor([0.0, 0.2, 1.0]), 0.3)
    assert bool(found.isfinite().all())
    assert bool((found > 0).all())
    assert found[0] > found[1] > found[2]


def test_a_class_of_which_nothing_is_known_weighs_one_and_counts_not() -> None:
    known = class_weights(torch.tensor([0.1, 0.3]), 0.3)
    found = class_weights(torch.tensor([0.1, float("nan"), 0.3]), 0.3)
    assert found.tolist() == pytest.approx([float(known[0]), 1.0, float(known[1])])


def test_a_loss_before_fitting_is_refused_in_words() -> None:
    made = Macro(MacroConfig(units=UNITS), spec(), CLASSES).double()
    prediction = made(encoded(maps()))
    assert made.needs_fit
    with pytest.raises(TrainingError, match=r"beta = 0.3.*Call fit"):
        made.loss(prediction, targets(11))
    made.fit(SHARE)
    assert not made.needs_fit
    assert bool(made.loss(prediction, targets(11)).isfinite().all())


@pytest.mark.parametrize("share", [[0.1, 0.2], [0.1, 0.2, 1.5], [-0.1, 0.2, 0.3]])
def test_shares_that_are_none_are_refused(share: list[float]) -> None:
    made = Macro(MacroConfig(units=UNITS), spec(), CLASSES)
    with pytest.raises(TrainingError, match="3 classes"):
        made.fit(torch.tensor(share))
    assert made.needs_fit


def test_class_weights_are_saved_with_the_model() -> None:
    made = Macro(MacroConfig(units=UNITS), spec(), CLASSES)
    made.fit(SHARE)
    again = Macro(MacroConfig(units=UNITS), spec(), CLASSES)
    again.load_state_dict(made.state_dict())
    assert not again.needs_fit
    np.testing.assert_allclose(again.class_weight.numpy(), W, rtol=1e-6)


def test_beta_zero_weighs_all_classes_alike_and_needs_no_fit() -> None:
    made = head(Macro, MacroConfig, beta=0.0)
    prediction = made(encoded(maps()))
    losses = made.loss(prediction, targets(11)).detach()
    clip = array(prediction.clip)
    for row in range(4):
        wanted = cross_entropy(Y[row], clip[row], np.ones(CLASSES), KNOWN[row])
        assert float(losses[row]) == pytest.approx(wanted, abs=TOLERANCE)


# Means of probabilities through logits


def test_a_mean_of_probabilities_keeps_its_gradient_where_they_underflow() -> None:
    """All p_t = e^−800: the mean's logarithm is −800, and each segment gets its share of it."""
    logits = torch.full((1, 4, 1), -800.0, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4])
    found = mixed(logits, log_equal_shares(logits, lengths), dim=1)
    assert float(found.detach()) == pytest.approx(-800.0)
    found.sum().backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([0.25] * 4)


def test_padding_has_no_weight() -> None:
    logs = log_softmax_over_time(torch.zeros(2, 5, 1), torch.tensor([2, 5]))
    np.testing.assert_allclose(
        array(logs.exp())[..., 0], [[0.5, 0.5, 0, 0, 0], [0.2] * 5], atol=1e-7
    )
