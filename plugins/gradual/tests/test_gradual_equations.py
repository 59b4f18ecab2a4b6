"""The modules beside the plain NumPy twin, on random weights and statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gradual_twin import (
    Array,
    aligned_rows,
    array,
    cbrnn,
    convolutions,
    equation_5,
    equation_6,
    pooled,
    spectral_weights,
)
from sedsdk_gradual.attention import SpectralAttention, TemporalAttention, windows_of
from sedsdk_gradual.convolutions import Convolutions, same_max_pool
from sedsdk_gradual.encoder import Cbrnn, CbrnnConfig, Gradual, GradualConfig
from torch import Tensor, nn

from sedsdk import Features, FrameGrid, Inputs, StreamSpec

GRID = FrameGrid(0.05, 0.02)
SPEECH_GRID = FrameGrid(0.03, 0.0125)
BANDS, SIZE = 5, 3
SMALL: dict[str, Any] = {
    "channels": 3,
    "spectral_units": 4,
    "spectral_window": 6,
    "temporal_units": 5,
    "rnn_units": 3,
}
CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"activation": "relu", "attention_activation": "sigmoid"},
    {"spectral_window": 40, "rnn_layers": 1},
    {"spectral_attention": False},
    {"temporal_attention": False, "activation": "relu"},
]
KINDS = ["softmax", "sigmoid"]


def randomised(module: nn.Module, seed: int = 0) -> Any:
    """The module in float64 and evaluation mode, with random weights and running statistics."""
    generator = torch.Generator().manual_seed(seed)
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        fresh = torch.randn(values.shape, generator=generator) * 0.5
        values.data.copy_(fresh.abs() + 0.5 if name.endswith("running_var") else fresh)
    return module.double().eval()


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def features(*lengths: int, size: int = BANDS, grid: FrameGrid = GRID, seed: int = 1) -> Features:
    values = random(len(lengths), max(lengths), size, seed=seed)
    return Features(values, torch.tensor(lengths), grid).zero_padded()


def inputs(*lengths: int) -> Inputs:
    """Clips of so many frames, and as long a stream of speech embeddings."""
    rows = [max(1, round(length * 0.05 / 0.03)) for length in lengths]
    speech = features(*rows, size=SIZE, grid=SPEECH_GRID, seed=2)
    return Inputs({"main": features(*lengths), "asr": speech})


# Attention


@pytest.mark.parametrize("kind", KINDS)
def test_temporal_attention_is_equation_5(kind: Any) -> None:
    attention = randomised(TemporalAttention(7, 4, kind))
    x, lengths = random(2, 6, 7), torch.tensor([6, 3])
    output, weights = attention(x, lengths)
    for index, length in enumerate(lengths.tolist()):
        wanted = equation_5(
            array(x[index, :length]),
            array(attention.dense.weight),
            array(attention.dense.bias),
            kind,
        )
        np.testing.assert_allclose(array(output[index, :length]), wanted[0], atol=1e-13)
        np.testing.assert_allclose(array(weights[index, :length]), wanted[1], atol=1e-13)
        assert not output[index, length:].any()
        assert not weights[index, length:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_spectral_attention_of_a_clip_as_long_as_its_window_is_equation_6(kind: Any) -> None:
    """The paper's case: every clip has the frames that the dense layer reads."""
    attention = randomised(SpectralAttention(9, 4, kind))
    given = features(9, 9)
    output, weights = attention(given)
    assert weights.shape == (2, BANDS)
    for index in range(2):
        clip = array(given.values[index])
        wanted = equation_6(clip, array(attention.dense.weight), array(attention.dense.bias), kind)
        np.testing.assert_allclose(array(weights[index]), wanted, atol=1e-13)
        np.testing.assert_allclose(array(output[index]), clip * wanted, atol=1e-13)  # Equation 7


@pytest.mark.parametrize("kind", KINDS)
def test_spectral_attention_of_any_clip_is_the_largest_of_its_windows(kind: Any) -> None:
    attention = randomised(SpectralAttention(4, 3, kind))
    given = features(1, 3, 4, 5, 8, 11)
    _, weights = attention(given)
    for index, length in enumerate(given.lengths.tolist()):
        clip = array(given.values[index, :length])
        wanted = spectral_weights(
            clip, array(attention.dense.weight), array(attention.dense.bias), kind
        )
        np.testing.assert_allclose(array(weights[index]), wanted, atol=1e-13)


def test_weights_by_hand() -> None:
    """A softmax over n units is at least 1 / n; a clip's best window decides."""
    spectral = randomised(SpectralAttention(2, 2, "softmax"))
    spectral.dense.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    spectral.dense.bias.data.zero_()
    three, four, nine = np.log([3.0, 4.0, 9.0])
    values = torch.tensor([[three, four], [0.0, 0.0], [nine, 0.0]]).double()
    given = Features(values.unsqueeze(0), torch.tensor([3]), GRID)
    # frames 0 and 1: 3 : 1 and 4 : 1; frames 1 and 2, the last window: 1 : 9 and 1 : 1
    assert spectral(given)[1].tolist() == [pytest.approx([0.9, 0.8])]
    temporal = randomised(TemporalAttention(1, 2, "softmax"))
    temporal.dense.weight.data = torch.tensor([[1.0], [0.0]]).double()
    temporal.dense.bias.data.zero_()
    output, weights = temporal(torch.tensor([[[np.log(4.0)], [0.0]]]), torch.tensor([2]))
    assert weights.tolist() == [pytest.approx([0.8, 0.5])]
    assert output[0].tolist() == [pytest.approx([0.8 * np.log(4.0), 0.0]), [0.0, 0.0]]


def test_windows_cover_a_clip_from_end_to_end() -> None:
    values = torch.arange(1.0, 8.0).reshape(1, 7, 1).repeat(3, 1, 1)
    given = Features(values, torch.tensor([7, 4, 2]), GRID).zero_padded()
    assert windows_of(given, 3)[..., 0].tolist() == [
        [[1, 2, 3], [4, 5, 6], [5, 6, 7]],
        [[1, 2, 3], [2, 3, 4], [2, 3, 4]],
        [[1, 2, 0], [1, 2, 0], [1, 2, 0]],
    ]
    assert windows_of(given, 9)[2, :, :, 0].tolist() == [[1, 2, 0, 0, 0, 0, 0, 0, 0]]


# Convolutions


@pytest.mark.parametrize("kernel", [(4, 2), (4, 1), (3, 3), (1, 1)])
def test_pooling_is_the_twin_and_stops_at_a_clips_end(kernel: tuple[int, int]) -> None:
    x, lengths = random(3, 2, 9, 4) - 5.0, torch.tensor([9, 4, 1])
    for index, length in enumerate(lengths.tolist()):
        x[index, :, length:] = 0.0
    found = same_max_pool(x, lengths, kernel)
    assert found.shape == x.shape
    for index, length in enumerate(lengths.tolist()):
        wanted = pooled(array(x[index, :, :length]), kernel)
        np.testing.assert_array_equal(found[index, :, :length], wanted)
        assert not found[index, :, length:].any()


def test_pooling_by_hand() -> None:
    x = torch.tensor([[5.0, 1], [2, 9], [3, 0], [-1, -4], [-7, -8], [-6, -9]])[None, None]
    whole = torch.tensor([6])
    # frame t sees t − 1 to t + 2, band f sees f and f + 1
    assert same_max_pool(x, whole, (4, 1))[0, 0].tolist() == [
        [5, 9],
        [5, 9],
        [3, 9],
        [3, 0],
        [-1, -4],
        [-6, -8],
    ]
    assert same_max_pool(x, whole, (4, 2))[0, 0].tolist() == [
        [9, 9],
        [9, 9],
        [9, 9],
        [3, 0],
        [-1, -4],
        [-6, -8],
    ]


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_the_convolutions_are_the_twin(activation: Any) -> None:
    part = randomised(Convolutions(3, activation, 0.25))
    given = features(11, 8, 1)
    found, lengths = part(given.values, given.lengths)
    assert lengths.tolist() == [6, 4, 1]
    assert found.shape == (3, 3, 6, BANDS)
    for index, length in enumerate(given.lengths.tolist()):
        wanted = convolutions(array(given.values[index, :length]), part)
        frames = wanted.shape[1]
        np.testing.assert_allclose(array(found[index, :, :frames]), wanted, atol=1e-11)
        assert not found[index, :, frames:].any()


def test_residuals_pass_where_the_convolutions_let_nothing_through() -> None:
    """With the later three silent, the first pool comes through two more poolings over time."""
    part = randomised(Convolutions(2, "linear", 0.0))
    for block in (part.second, part.third, part.fourth):
        block.norm.weight.data.zero_()
        block.norm.bias.data.zero_()
    given = features(20)
    found, _ = part(given.values, given.lengths)
    x = array(part.first(given.values.unsqueeze(1), given.lengths)[0])
    np.testing.assert_allclose(
        array(found[0]), pooled(pooled(pooled(x, (4, 2)), (4, 1)), (4, 1)), atol=1e-12
    )


# Encoders


def cbrnn_of(seed: int = 0, **options: Any) -> Cbrnn:
    encoder = Cbrnn(CbrnnConfig(**{**SMALL, **options}), {"main": StreamSpec(BANDS, GRID)})
    made: Cbrnn = randomised(encoder, seed)
    return made


def gradual_of(seed: int = 0, **options: Any) -> Gradual:
    streams = {"main": StreamSpec(BANDS, GRID), "asr": StreamSpec(SIZE, SPEECH_GRID)}
    made: Gradual = randomised(Gradual(GradualConfig(**{**SMALL, **options}), streams), seed)
    return made


@pytest.mark.parametrize("options", CONFIGURATIONS)
def test_cbrnn_is_the_twin(options: dict[str, Any]) -> None:
    encoder = cbrnn_of(**options)
    given = inputs(15, 2, 8, 1)
    encoded = encoder(given)
    for index, length in enumerate(given.main.lengths.tolist()):
        wanted, weights = cbrnn(array(given.main.values[index, :length]), encoder)
        frames = -(-length // 2)
        assert len(wanted) == frames == int(encoded.frames.lengths[index])
        np.testing.assert_allclose(array(encoded.frames.values[index, :frames]), wanted, atol=1e-10)
        assert set(encoded.attention) == set(weights)
        if "spectral attention" in weights:
            found = array(encoded.attention["spectral attention"].values[index, :frames])
            every = np.tile(weights["spectral attention"], (frames, 1))
            np.testing.assert_allclose(found, every, atol=1e-12)
        if "temporal attention" in weights:
            found = array(encoded.attention["temporal attention"].values[index, :frames, 0])
            np.testing.assert_allclose(found, weights["temporal attention"], atol=1e-12)


@pytest.mark.parametrize("asr_norm", [True, False])
def test_gradual_is_the_cbrnn_beside_the_aligned_embeddings(asr_norm: bool) -> None:
    encoder = gradual_of(asr_norm=asr_norm)
    given = inputs(15, 2, 8, 1)
    encoded = encoder(given)
    for index, length in enumerate(given.main.lengths.tolist()):
        sound, _ = cbrnn(array(given.main.values[index, :length]), encoder)
        rows = array(given["asr"].clip(index).values[0])
        # in units of 0.5 ms; pairs of frames at 20 and 70 ms are centred on 45 ms
        speech = aligned_rows(rows, (60, 25), (200, 90), len(sound))
        if asr_norm:
            norm: Any = encoder.speech.norm
            deviation = np.sqrt(array(norm.running_var) + 1e-5)
            scaled = (speech - array(norm.running_mean)) / deviation
            speech = scaled * array(norm.weight) + array(norm.bias)
        wanted = np.concatenate([sound, speech], 1)
        np.testing.assert_allclose(
            array(encoded.frames.values[index, : len(sound)]), wanted, atol=1e-10
        )
        assert not encoded.frames.values[index, len(sound) :].any()


def test_standardised_embeddings_have_the_batchs_mean_and_deviation() -> None:
    encoder = gradual_of().train()
    streams = {"main": StreamSpec(BANDS, GRID), "asr": StreamSpec(SIZE, SPEECH_GRID)}
    fresh = Gradual(GradualConfig(**SMALL), streams).double().train()
    given = inputs(30, 12, 21)
    found = fresh(given).frames
    speech = array(found.values[found.mask()])[:, -SIZE:]
    raw = np.concatenate(
        [
            aligned_rows(array(given["asr"].clip(i).values[0]), (60, 25), (200, 90), frames)
            for i, frames in enumerate(found.lengths.tolist())
        ]
    )
    wanted: Array = (raw - raw.mean(0)) / np.sqrt(raw.var(0) + 1e-5)
    np.testing.assert_allclose(speech, wanted, atol=1e-10)
    trainable = [name for name, p in encoder.named_parameters() if p.requires_grad]
    assert not any(name.startswith("speech") for name in trainable)


@pytest.mark.parametrize("options", CONFIGURATIONS)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_finite_differences(options: dict[str, Any], training: bool) -> None:
    """With respect to both streams and every weight; so a frontend may be trained along."""
    sizes = {"channels": 2, "rnn_units": 2, "temporal_units": 3, "spectral_units": 2}
    encoder = gradual_of(3, **{**options, **sizes, "dropout": 0.0}).train(training)
    given = inputs(7, 4)
    named = {name: p for name, p in encoder.named_parameters() if p.requires_grad}

    def run(main: Tensor, asr: Tensor, *parameters: Tensor) -> Tensor:
        again = Inputs(
            {
                "main": Features(main, given.main.lengths, GRID),
                "asr": Features(asr, given["asr"].lengths, SPEECH_GRID),
            }
        )
        state = dict(zip(named, parameters, strict=True))
        frames: Tensor = torch.func.functional_call(encoder, state, (again,)).frames.values
        return frames

    streams = [given[name].values.clone().requires_grad_() for name in ("main", "asr")]
    parameters = [p.detach().clone().requires_grad_() for p in named.values()]
    assert torch.autograd.gradcheck(run, (*streams, *parameters), fast_mode=True)
