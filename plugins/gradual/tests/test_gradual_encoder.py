"""Sizes, times, maps, clips of any length and refusals of the encoders."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sedsdk_gradual.encoder import Cbrnn, CbrnnConfig, Gradual, GradualConfig
from torch import Tensor

from sedsdk import ConfigError, Encoded, Features, FrameGrid, Inputs, StreamSpec, compose, part

GRID = FrameGrid(0.05, 0.02)
SPEECH_GRID = FrameGrid(0.03, 0.0125)
PAPER = {"main": StreamSpec(200, GRID), "asr": StreamSpec(256, SPEECH_GRID)}
SMALL: dict[str, Any] = {"channels": 4, "spectral_window": 10, "temporal_units": 6, "rnn_units": 3}
NOISE = 30.0


def cbrnn(bands: int = 8, seed: int = 0, **options: Any) -> Cbrnn:
    torch.manual_seed(seed)
    config = CbrnnConfig(**{**SMALL, **options})
    return Cbrnn(config, {"main": StreamSpec(bands, GRID)}).eval()


def gradual(bands: int = 8, seed: int = 0, **options: Any) -> Gradual:
    torch.manual_seed(seed)
    streams = {"main": StreamSpec(bands, GRID), "asr": StreamSpec(5, SPEECH_GRID)}
    return Gradual(GradualConfig(**{**SMALL, **options}), streams).eval()


def clips(*lengths: int, size: int = 8, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, size, generator=generator) for length in lengths]


def stream(given: list[Tensor], grid: FrameGrid = GRID, extra: int = 0) -> Features:
    """Clips beside each other, noise in the padding."""
    lengths = torch.tensor([len(clip) for clip in given])
    values = NOISE * torch.randn(len(given), int(lengths.max()) + extra, given[0].shape[1])
    for row, clip in zip(values, given, strict=True):
        row[: len(clip)] = clip
    return Features(values, lengths, grid)


def both(*lengths: int, extra: int = 0, bands: int = 8) -> Inputs:
    rows = [max(1, round(length * 0.05 / 0.03)) for length in lengths]
    return Inputs(
        {
            "main": stream(clips(*lengths, size=bands), GRID, extra),
            "asr": stream(clips(*rows, size=5, seed=2), SPEECH_GRID, 2 * extra),
        }
    )


@torch.no_grad()
def run(encoder: Cbrnn, given: Inputs) -> Encoded:
    encoded: Encoded = encoder(given)
    return encoded


# Size


def gru_parameters(input_size: int, units: int = 32) -> int:
    gates = 3 * units
    return 2 * (gates * input_size + gates * units + 2 * gates)  # two directions


CONVOLUTIONS = sum(
    size * size * before * 64 + 2 * 64 for size, before in ((7, 1), (5, 64), (3, 64), (3, 64))
)
SPECTRAL = 600 * 32 + 32
TEMPORAL = 64 * 200 * 200 + 200
WITH_TEMPORAL = gru_parameters(200) + gru_parameters(64)
WITHOUT_TEMPORAL = gru_parameters(64 * 200) + gru_parameters(64)


@pytest.mark.parametrize(
    ("options", "by_hand", "total"),
    [
        ({}, SPECTRAL + CONVOLUTIONS + TEMPORAL + WITH_TEMPORAL, 2_822_952),
        (
            {"spectral_attention": False},
            CONVOLUTIONS + TEMPORAL + WITH_TEMPORAL,
            2_803_720,
        ),
        (
            {"spectral_attention": False, "temporal_attention": False},
            CONVOLUTIONS + WITHOUT_TEMPORAL,
            2_662_720,
        ),
    ],
)
def test_the_papers_sizes_by_the_layer_table(
    options: dict[str, Any], by_hand: int, total: int
) -> None:
    assert by_hand == total
    for encoder in (
        Cbrnn(CbrnnConfig(**options), PAPER),
        Gradual(GradualConfig(**options), PAPER),
    ):
        assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == total


def test_shapes_at_the_papers_size() -> None:
    """30 s: 600 frames of 200 values and 1000 embeddings in, 300 frames of 100 ms out."""
    encoder = Gradual(GradualConfig(), PAPER).eval()
    given = Inputs(
        {
            "main": stream(clips(600, size=200)),
            "asr": stream(clips(1000, size=256), SPEECH_GRID),
        }
    )
    encoded = run(encoder, given)
    assert encoded.frames.values.shape == (1, 300, 2 * 32 + 256)
    assert encoder.spec.frames == StreamSpec(320, GRID.reduced(2))
    assert encoder.spec.frames.grid.hop_seconds == pytest.approx(0.1)
    shapes = {name: tuple(found.values.shape) for name, found in encoded.attention.items()}
    assert shapes == {"spectral attention": (1, 300, 200), "temporal attention": (1, 300, 1)}


@pytest.mark.parametrize("bands", [1, 2, 7, 40])
@pytest.mark.parametrize("temporal", [True, False])
def test_any_number_of_bands(bands: int, temporal: bool) -> None:
    encoder = cbrnn(bands, temporal_attention=temporal)
    encoded = run(encoder, Inputs({"main": stream(clips(9, 4, size=bands))}))
    assert encoded.frames.values.shape == (2, 5, 6)
    assert encoded.frames.lengths.tolist() == [5, 2]


# The law of lengths


@pytest.mark.parametrize(
    "options",
    [{}, {"attention_activation": "sigmoid", "activation": "relu"}, {"temporal_attention": False}],
)
def test_neither_padding_nor_neighbours_change_a_clip(options: dict[str, Any]) -> None:
    encoder, lengths = gradual(**options), (41, 10, 23, 1)
    alone = [run(encoder, one) for one in _each_alone(both(*lengths))]
    for extra in (0, 1, 7, 40):
        together = run(encoder, both(*lengths, extra=extra))
        for index, single in enumerate(alone):
            found = together.frames.clip(index).values
            torch.testing.assert_close(found, single.frames.values, atol=1e-5, rtol=0)
            assert not together.frames.values[index, found.shape[1] :].any()


def _each_alone(given: Inputs) -> list[Inputs]:
    return [
        Inputs({name: given[name].clip(index) for name in given})
        for index in range(given.batch_size)
    ]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_shortest_clips_have_finite_frames_and_gradients(length: int, training: bool) -> None:
    encoder, given = gradual().train(training), both(length)
    leaves = {name: given[name].values.clone().requires_grad_() for name in given}
    moved = {name: Features(leaves[name], given[name].lengths, given[name].grid) for name in given}
    encoded = encoder(Inputs(moved))
    assert encoded.frames.lengths.tolist() == [-(-length // 2)]
    assert bool(encoded.frames.values.isfinite().all())
    encoded.frames.values.square().sum().backward()
    for leaf in leaves.values():
        assert leaf.grad is not None
        assert bool(leaf.grad.isfinite().all())
    for parameter in encoder.parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all())


def test_an_empty_clip_beside_others_gives_nothing() -> None:
    given = Inputs(
        {
            "main": Features(torch.randn(2, 6, 8), torch.tensor([6, 0]), GRID),
            "asr": Features(torch.randn(2, 10, 5), torch.tensor([10, 0]), SPEECH_GRID),
        }
    )
    encoded = run(gradual(), given)
    assert encoded.frames.lengths.tolist() == [3, 0]
    for found in (encoded.frames, *encoded.attention.values()):
        assert found.values[0].any()
        assert not found.values[1].any()


def test_an_event_is_heard_where_it_lies() -> None:
    """A click at frame 2t changes the convolutions' output around frame t."""
    encoder = cbrnn(spectral_attention=False, temporal_attention=False)
    quiet = clips(80)[0] * 0.01
    clicked = quiet.clone()
    clicked[40] += 5.0
    lengths = torch.tensor([80])
    with torch.no_grad():
        outputs = [encoder.convolutions(x.unsqueeze(0), lengths)[0] for x in (quiet, clicked)]
    change = (outputs[0] - outputs[1]).abs().amax((0, 1, 3))
    heard = change.nonzero().flatten().tolist()
    # kernels of 7 (at half the rate), 5, 3, 3 and three poolings, 2 back and 1 on: 20 − 11 … 20 + 8
    assert heard == list(range(heard[0], heard[-1] + 1))
    assert 20 - 11 <= heard[0] < 20 < heard[-1] <= 20 + 8


# Attention maps


def test_maps_lie_on_the_encoders_frames() -> None:
    encoder = cbrnn()
    maps = run(encoder, Inputs({"main": stream(clips(21, 10))})).attention
    assert list(maps) == ["spectral attention", "temporal attention"]
    for name, size, units in (("spectral attention", 8, 32), ("temporal attention", 1, 6)):
        found = maps[name]
        assert found.grid == encoder.spec.frames.grid
        assert found.lengths.tolist() == [11, 5]
        assert found.values.shape == (2, 11, size)
        valid = found.values[found.mask()]
        # the largest share of a softmax over so many units
        assert 1 / units <= float(valid.min()) < float(valid.max()) < 1
    spectral = maps["spectral attention"].values
    assert torch.equal(spectral[0], spectral[0, :1].expand(11, -1))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"spectral_attention": False}, ["temporal attention"]),
        ({"temporal_attention": False}, ["spectral attention"]),
        ({"spectral_attention": False, "temporal_attention": False}, []),
    ],
)
def test_each_configuration_has_its_maps(options: dict[str, Any], names: list[str]) -> None:
    given = both(9)
    assert list(run(cbrnn(**options), given).attention) == names
    assert list(run(gradual(**options), given).attention) == names


def test_there_are_no_maps_in_training() -> None:
    assert not run(gradual().train(), both(9, 4)).attention


# Modes


def test_gradients_switched_off_change_nothing() -> None:
    encoder, given = gradual(activation="relu"), both(13, 6)
    before = {name: given[name].values.clone() for name in given}
    assert torch.equal(run(encoder, given).frames.values, encoder(given).frames.values)
    for name, values in before.items():
        assert torch.equal(given[name].values, values)


def test_dropout_is_behind_every_convolution_and_behind_the_gru() -> None:
    encoder = gradual(dropout=0.5).train()
    shares: list[float] = []

    def keep(module: Any, given: Any, output: Tensor) -> None:
        shares.append(float((output == 0).float().mean() - (given[0] == 0).float().mean()))

    encoder.convolutions.dropout.register_forward_hook(keep)
    encoder.dropout.register_forward_hook(keep)
    encoded = run(encoder, both(400))
    assert shares == [pytest.approx(0.5, abs=0.05)] * 5
    assert bool((encoded.frames.values[..., -5:] != 0).all())  # the embeddings have none


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"attention_activation": "relu"}, "softmax"),
        ({"activation": "tanh"}, "linear"),
        ({"dropout": 1.0}, "less than 1"),
        ({"spectral_window": 0}, "greater than 0"),
        ({"temporal_unit": 3}, 'Did you mean "temporal_units"'),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        compose(["babycry"], "log_mel", part("cbrnn", **options), "frame_bce")


def test_a_missing_stream_is_named_with_the_cure() -> None:
    with pytest.raises(ConfigError, match=r'"asr".*has: main\..*frontend.*asr_stream'):
        compose(["babycry"], "log_mel", "gradual", "frame_bce")
    with pytest.raises(ConfigError, match='Did you mean "speech"'):
        compose(
            ["babycry"],
            {"main": "log_mel", "speech": "log_mel"},
            part("gradual", asr_stream="speach"),
            "frame_bce",
        )
