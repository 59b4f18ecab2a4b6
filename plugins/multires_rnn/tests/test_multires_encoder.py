"""The encoder against a plain NumPy twin that is written as Section 3 of the paper reads."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sedsdk_multires_rnn.encoder import MultiresGru, MultiresGruConfig

from sedsdk import ConfigError, Encoded, Features, FrameGrid, Inputs, StreamSpec
from sedsdk.config import read_model
from sedsdk.testing import check_part

GRID = FrameGrid(0.02, 0.01)
BANDS, UNITS = 5, 4
CONFIGURATIONS = [
    {"direction": direction, "multi_resolution": multi_resolution, "layers": layers}
    for direction, multi_resolution, layers in product(("uni", "bi"), (False, True), (1, 2, 3, 4))
]

Array = NDArray[np.float64]


def named(options: dict[str, Any]) -> str:
    kind = "multi" if options["multi_resolution"] else "plain"
    return f"{options['direction']}-{kind}-{options['layers']}"


every_configuration = pytest.mark.parametrize("options", CONFIGURATIONS, ids=named)


def encoder(bands: int = BANDS, **options: Any) -> MultiresGru:
    torch.manual_seed(3)
    config = MultiresGruConfig(**{"units": UNITS, **options})
    return MultiresGru(config, {"main": StreamSpec(bands, GRID)}).eval()


def frames(n: int, bands: int = BANDS) -> Array:
    return np.random.default_rng(n).normal(size=(n, bands))


def batch(clips: list[Array], padding: float = 0.0) -> Inputs:
    values = np.full((len(clips), max(map(len, clips)), clips[0].shape[1]), padding)
    for row, clip in zip(values, clips, strict=True):
        row[: len(clip)] = clip
    lengths = torch.tensor([len(clip) for clip in clips])
    return Inputs({"main": Features(torch.from_numpy(values), lengths, GRID)})


# The twin


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def run_cell(weights: dict[str, Array], x: Array, backward: bool) -> Array:
    """A gated recurrent unit, frame by frame: [T, F] → [T, units]."""
    end = "_l0_reverse" if backward else "_l0"
    w, u = weights[f"weight_ih{end}"], weights[f"weight_hh{end}"]
    b, c = weights[f"bias_ih{end}"], weights[f"bias_hh{end}"]
    n = u.shape[1]
    reset, update, new = slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)
    h = np.zeros(n)
    out = np.zeros((len(x), n))
    for t in range(len(x))[:: -1 if backward else 1]:
        r = sigmoid(w[reset] @ x[t] + b[reset] + u[reset] @ h + c[reset])
        z = sigmoid(w[update] @ x[t] + b[update] + u[update] @ h + c[update])
        candidate = np.tanh(w[new] @ x[t] + b[new] + r * (u[new] @ h + c[new]))
        h = (1 - z) * candidate + z * h
        out[t] = h
    return out


def run_layer(model: MultiresGru, number: int, x: Array) -> Array:
    state = model.layers[number].state_dict()
    weights = {name.removeprefix("gru."): value.double().numpy() for name, value in state.items()}
    directions = [False, True] if model.config.direction == "bi" else [False]
    return np.concatenate([run_cell(weights, x, backward) for backward in directions], axis=1)


def subsampled(y: Array) -> Array:
    return np.array([np.mean(y[first : first + 2], axis=0) for first in range(0, len(y), 2)])


def twin(model: MultiresGru, x: Array) -> tuple[Array, list[Array]]:
    """Returns the frames [T, H] and every layer's subsampled output."""
    n_frames, sequences = len(x), []
    for number in range(model.config.layers):
        x = run_layer(model, number, x)
        if model.config.multi_resolution:
            x = subsampled(x)
            sequences.append(x)
    if not sequences:
        return x, []
    total = np.zeros((n_frames, x.shape[1]))
    for t in range(n_frames):
        for level, sequence in enumerate(sequences, 1):
            total[t] += sequence[t // 2**level]
    return total, sequences


def check_against_twin(model: MultiresGru, clips: list[Array], encoded: Encoded) -> None:
    for row, clip in enumerate(clips):
        wanted, sequences = twin(model, clip)
        found = encoded.frames.values[row].detach().numpy()
        np.testing.assert_allclose(found[: len(clip)], wanted, atol=1e-12)
        assert not found[len(clip) :].any()
        assert int(encoded.frames.lengths[row]) == len(clip)
        assert len(encoded.scales) == len(sequences)
        for scale, sequence in zip(encoded.scales, sequences, strict=True):
            length = int(scale.lengths[row])
            assert length == len(sequence)
            np.testing.assert_allclose(scale.values[row, :length].detach(), sequence, atol=1e-12)
            assert not scale.values[row, length:].any()


class TestTwin:
    @every_configuration
    @pytest.mark.parametrize("n_frames", [1, 2, 3, 5, 8, 11, 16, 17, 20])
    def test_a_clip_alone(self, options: dict[str, Any], n_frames: int) -> None:
        model = encoder(**options).double()
        clips = [frames(n_frames)]
        check_against_twin(model, clips, model(batch(clips)))

    @every_configuration
    def test_clips_of_1_to_20_frames_in_one_batch(self, options: dict[str, Any]) -> None:
        model = encoder(**options).double()
        clips = [frames(n) for n in range(20, 0, -1)]
        check_against_twin(model, clips, model(batch(clips)))

    def test_padding_is_never_read(self) -> None:
        model = encoder().double()
        clips = [frames(n) for n in (6, 13, 9)]
        check_against_twin(model, clips, model(batch(clips, padding=np.nan)))

    def test_a_clip_without_frames_leaves_the_others_alone(self) -> None:
        model = encoder().double()
        clips = [frames(7), frames(0).reshape(0, BANDS)]
        encoded = model(batch(clips))
        check_against_twin(model, clips[:1], encoded)
        assert not encoded.frames.values[1].any()
        assert [scale.lengths.tolist() for scale in encoded.scales] == [[4, 0], [2, 0], [1, 0]]


class TestGradients:
    @pytest.mark.parametrize("lengths", [(7,), (5, 2)])
    def test_they_are_those_of_finite_differences(self, lengths: tuple[int, ...]) -> None:
        model = encoder(units=2).double()
        given = batch([frames(n) for n in lengths]).main
        leaf = given.values.requires_grad_()
        parameters = list(model.parameters())

        def run(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            values = model(Inputs({"main": Features(x, given.lengths, GRID)})).frames.values
            return values.square().sum((1, 2))

        assert torch.autograd.gradcheck(run, (leaf, *parameters), atol=1e-7)


class TestScales:
    def test_a_joined_frame_lies_between_those_that_it_joins(self) -> None:
        model = encoder(layers=4)
        times = GRID.times(32)
        for level, spec in enumerate(model.spec.scales, 1):
            size = 2**level
            wanted = times.reshape(-1, size).mean(axis=1)
            assert spec.size == 2 * UNITS
            np.testing.assert_allclose(spec.grid.times(32 // size), wanted)

    def test_they_carry_the_grids_that_the_spec_states(self) -> None:
        model = encoder(layers=4)
        encoded = model.float()(batch([frames(9)]).to(dtype=torch.float32))
        assert [scale.grid for scale in encoded.scales] == [spec.grid for spec in model.spec.scales]
        assert [scale.values.shape[1] for scale in encoded.scales] == [5, 3, 2, 1]
        assert encoded.frames.grid == GRID

    def test_there_are_none_without_multiple_resolutions(self) -> None:
        model = encoder(multi_resolution=False)
        assert model.spec.scales == ()
        assert model(batch([frames(4)]).to(dtype=torch.float32)).scales == ()


def gru_parameters(inputs: int, units: int) -> int:
    """Three gates, each with weights on the input and on the state, and two biases."""
    return 3 * (units * inputs + units * units + units + units)


@pytest.mark.parametrize("multi_resolution", [False, True])
@pytest.mark.parametrize(
    ("direction", "layers", "by_hand"),
    [
        ("uni", 3, gru_parameters(64, 256) + 2 * gru_parameters(256, 256)),
        ("uni", 4, gru_parameters(64, 256) + 3 * gru_parameters(256, 256)),
        ("bi", 3, 2 * (gru_parameters(64, 256) + 2 * gru_parameters(512, 256))),
        ("bi", 4, 2 * (gru_parameters(64, 256) + 3 * gru_parameters(512, 256))),
    ],
)
def test_size_at_the_papers_input(
    direction: str, layers: int, by_hand: int, multi_resolution: bool
) -> None:
    """Averaging, replication and summing learn nothing."""
    model = encoder(
        64, units=256, direction=direction, layers=layers, multi_resolution=multi_resolution
    )
    assert sum(parameter.numel() for parameter in model.parameters()) == by_hand
    written = {("uni", 3): 1_036_800, ("uni", 4): 1_431_552, ("bi", 3): 2_860_032}
    assert by_hand == {**written, ("bi", 4): 4_042_752}[direction, layers]


def test_shapes_at_the_papers_input() -> None:
    model = encoder(64, units=256, layers=4)
    with torch.no_grad():
        encoded = model(batch([frames(1305, 64)]).to(dtype=torch.float32))
    assert encoded.frames.values.shape == (1, 1305, 512)
    shapes = [tuple(scale.values.shape) for scale in encoded.scales]
    assert shapes == [(1, 653, 512), (1, 327, 512), (1, 164, 512), (1, 82, 512)]


def test_dropout_acts_behind_every_layer_in_training_alone() -> None:
    """Survivors are scaled by 1 / (1 − p), so an output is either 0 or that multiple of it."""
    model = encoder(multi_resolution=False, layers=1, dropout=0.75).double()
    clips = [frames(40)]
    plain = model(batch(clips)).frames.values
    check_against_twin(model, clips, model(batch(clips)))
    dropped = model.train()(batch(clips)).frames.values
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 4 * plain[kept])
    assert 0.1 < kept.double().mean() < 0.4


def test_bfloat16_autocast_stays_close() -> None:
    model = encoder(layers=3, units=32)
    given = batch([frames(50), frames(31)]).to(dtype=torch.float32)
    with torch.no_grad():
        wide = model(given).frames.values
        with torch.autocast("cpu", torch.bfloat16):
            narrow = model(given).frames.values.float()
    assert float((narrow - wide).abs().max()) < 0.05


@every_configuration
def test_it_keeps_every_law(options: dict[str, Any]) -> None:
    check_part("encoder", "multires-rnn/multires_gru", {"units": UNITS, **options})


def test_it_keeps_every_law_with_dropout() -> None:
    check_part("encoder", "multires-rnn/multires_gru", {"units": 8, "dropout": 0.3})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "both"}, "'uni' or 'bi'"),
        ({"layers": 0}, "greater than or equal to 1"),
        ({"units": 0}, "greater than 0"),
        ({"dropout": 1.0}, "less than 1"),
        ({"unit": 3}, 'unknown field "unit". Did you mean "units"?'),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_model(MultiresGruConfig, options, "encoder multires_gru")
    assert message in str(caught.value)
