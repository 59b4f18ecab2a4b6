from __future__ import annotations

from typing import Any

import pytest
import torch
from sedsdk_mtfa.encoder import Mtfa, MtfaConfig, continued
from torch import Tensor

from sedsdk import ConfigError, FrameGrid, StreamSpec, compose, part
from sedsdk.types import Encoded, Features, Inputs

GRID = FrameGrid(0.02, 0.01)
SMALL: dict[str, Any] = {"channels": 4, "rnn_units": 3, "frequency_bins": 2}
MASKS = ["hourglass", "resnet", "none"]
NOISE = 30.0


def mtfa(bands: int = 16, seed: int = 0, **options: Any) -> Mtfa:
    torch.manual_seed(seed)
    return Mtfa(MtfaConfig(**{**SMALL, **options}), {"main": StreamSpec(bands, GRID)}).eval()


def inputs(values: Tensor, *lengths: int) -> Inputs:
    return Inputs({"main": Features(values, torch.tensor(lengths), GRID)})


def clips(*lengths: int, bands: int = 16, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, bands, generator=generator) for length in lengths]


def batch(given: list[Tensor], extra: int = 0) -> Inputs:
    """Clips beside each other, noise in the padding."""
    lengths = [len(clip) for clip in given]
    values = NOISE * torch.randn(len(given), max(lengths) + extra, given[0].shape[1])
    for row, clip in enumerate(given):
        values[row, : len(clip)] = clip
    return inputs(values, *lengths)


def doubled(given: Inputs) -> Inputs:
    return given.to(dtype=torch.float64)


@torch.no_grad()
def run(encoder: Mtfa, given: Inputs) -> Encoded:
    encoded: Encoded = encoder(given)
    return encoded


# Size

STEM = 64 * 1 * 9 + 2 * 64
BLOCK = 2 * (64 * 64 * 9 + 2 * 64)
MASK_OUTPUT = 64 * 64 + 64


def gru_parameters(input_size: int, units: int = 64) -> int:
    gates = 3 * units
    return 2 * (gates * input_size + gates * units + 2 * gates)  # two directions


RECURRENT = gru_parameters(64 * 8) + gru_parameters(2 * 64)


@pytest.mark.parametrize(
    ("mask", "blocks", "total"),
    [("hourglass", 2 + 4 + 3, 967_168), ("resnet", 2 + 2, 597_248), ("none", 2, 445_120)],
)
def test_the_papers_sizes_by_the_layer_table(mask: Any, blocks: int, total: int) -> None:
    encoder = Mtfa(MtfaConfig(mask=mask), {"main": StreamSpec(128, GRID)})
    output = 0 if mask == "none" else MASK_OUTPUT
    assert STEM + blocks * BLOCK + output + RECURRENT == total
    assert sum(p.numel() for p in encoder.parameters()) == total


def test_shapes_at_the_papers_size() -> None:
    """30 s: 1501 × 128 in, 1501 × 2U out, masks of four scales."""
    torch.manual_seed(0)
    encoder = Mtfa(MtfaConfig(), {"main": StreamSpec(128, GRID)}).eval()
    encoded = run(encoder, batch(clips(1501, bands=128)))
    assert encoded.frames.values.shape == (1, 1501, 128)
    assert encoder.spec.frames == StreamSpec(128, GRID)
    shapes = {name: tuple(found.values.shape) for name, found in encoded.attention.items()}
    assert shapes == {
        "mask 1": (1, 1501, 128),
        "mask 1/2": (1, 751, 64),
        "mask 1/4": (1, 376, 32),
        "mask 1/8": (1, 188, 16),
    }


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("bands", [1, 5, 13, 16, 40])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_number_of_bands(mask: str, bands: int, stride: int) -> None:
    encoder = mtfa(bands, mask=mask, stem_stride=stride)
    encoded = run(encoder, batch(clips(9, 4, bands=bands)))
    assert encoded.frames.values.shape == (2, 9, 6)
    assert encoded.frames.lengths.tolist() == [9, 4]
    if mask != "none":
        width = encoded.attention["mask 1"].values.shape[2]
        needed = -(-bands // stride)
        assert needed <= width < needed + (8 if mask == "hourglass" else 2)


# The law of lengths


@pytest.mark.parametrize("mask", MASKS)
def test_every_length_from_1_to_40_alone_and_in_a_batch(mask: str) -> None:
    encoder = mtfa(mask=mask).double()
    alone = clips(*range(1, 41))
    together = run(encoder, doubled(batch(alone, extra=5)))
    for index, clip in enumerate(alone):
        single = run(encoder, doubled(batch([clip])))
        for one, many in outputs(single, together):
            length = int(one.lengths[0])
            assert int(many.lengths[index]) == length
            assert one.values.shape[1] == length
            torch.testing.assert_close(many.values[index, :length], one.values[0])
            assert not many.values[index, length:].any()


def outputs(one: Encoded, other: Encoded) -> list[tuple[Features, Features]]:
    assert list(one.attention) == list(other.attention)
    maps = [(one.attention[name], other.attention[name]) for name in one.attention]
    return [(one.frames, other.frames), *maps]


@pytest.mark.parametrize("length", [1, 5, 7, 8, 9, 17])
def test_a_clip_is_padded_with_its_last_frame(length: int) -> None:
    """One that goes on with its last frame of its own has the same masks."""
    encoder = mtfa()
    (clip,) = clips(length)
    longer = torch.cat([clip, clip[-1:].expand(-length % 8, -1)])
    short, long = run(encoder, batch([clip])), run(encoder, batch([longer]))
    for mine, other in outputs(short, long)[1:]:
        torch.testing.assert_close(mine.values, other.values[:, : mine.values.shape[1]])
    if length % 8:
        shaken = torch.cat([clip, NOISE * torch.randn(-length % 8, 16)])
        unlike = run(encoder, batch([shaken])).attention["mask 1/8"].values
        assert not torch.allclose(short.attention["mask 1/8"].values, unlike, atol=1e-3)


def test_continued_clips_by_hand() -> None:
    values = torch.tensor([[1.0, 2, 3, 4, 5], [6, 7, 99, 99, 99], [99, 99, 99, 99, 99]])[..., None]
    found, lengths = continued(Features(values, torch.tensor([5, 2, 0]), GRID), 4)
    assert lengths.tolist() == [8, 4, 0]
    assert found[..., 0].tolist() == [
        [1, 2, 3, 4, 5, 5, 5, 5],
        [6, 7, 7, 7, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("mask", MASKS)
def test_an_empty_clip_beside_others_gives_nothing(mask: str) -> None:
    encoded = run(mtfa(mask=mask), inputs(torch.randn(2, 6, 16), 6, 0))
    for found in (encoded.frames, *encoded.attention.values()):
        assert found.lengths[1] == 0
        assert found.values[0].any()
        assert not found.values[1].any()


# Attention maps


def test_maps_lie_on_their_own_grids() -> None:
    maps = run(mtfa(), batch(clips(21, 10))).attention
    # a map frame of scale k stands for 2^k frames and is centred on them
    wanted = {
        "mask 1": (0.02, 0.01, [21, 10]),
        "mask 1/2": (0.04, 0.02, [11, 5]),
        "mask 1/4": (0.08, 0.04, [6, 3]),
        "mask 1/8": (0.16, 0.08, [3, 2]),
    }
    assert list(maps) == list(wanted)
    for name, (hop, first, lengths) in wanted.items():
        grid = maps[name].grid
        assert (grid.hop_seconds, grid.first_seconds) == pytest.approx((hop, first))
        assert maps[name].lengths.tolist() == lengths
        valid = maps[name].values[maps[name].mask()]
        assert 0 < float(valid.min()) < float(valid.max()) < 1


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"poolings": 1}, ["mask 1", "mask 1/2"]),
        ({"mask": "resnet"}, ["mask 1"]),
        ({"mask": "none"}, []),
    ],
)
def test_each_configuration_has_its_maps(options: dict[str, Any], names: list[str]) -> None:
    assert list(run(mtfa(**options), batch(clips(6))).attention) == names


@pytest.mark.parametrize("mask", MASKS)
def test_there_are_no_maps_in_training(mask: str) -> None:
    assert not run(mtfa(mask=mask).train(), batch(clips(6, 9))).attention


# Modes


@pytest.mark.parametrize("mask", MASKS)
def test_gradients_switched_off_change_nothing(mask: str) -> None:
    """Without them, sums are made in place: not in the input, and not to another result."""
    encoder, given = mtfa(mask=mask), batch(clips(13, 6))
    before = given.main.values.clone()
    for one, other in outputs(run(encoder, given), encoder(given)):
        assert torch.equal(one.values, other.values)
    assert torch.equal(given.main.values, before)
    assert torch.equal(run(encoder, given).frames.values, encoder(given).frames.values)


def test_dropout_is_on_the_input_of_every_gru_layer_and_of_the_head() -> None:
    encoder = mtfa(dropout=0.5, rnn_layers=2).train()
    read: list[Tensor] = []
    encoder.recurrent.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    given = batch(clips(200))
    hidden = run(encoder, given).frames.values
    # a GRU's output is 0 nowhere, A only where its ReLU is shut on a whole bin
    assert 0.45 < float((hidden == 0).float().mean()) < 0.55
    encoder.dropout.p = 0.0
    run(encoder, given)
    open_bins = read[1] != 0
    assert 0.45 < float((read[0] == 0)[open_bins].float().mean()) < 0.55
    assert encoder.recurrent.gru.dropout == 0.5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mask": "hour"}, "hourglass"),
        ({"frequency_bins": 65}, "64"),
        ({"poolings": 0}, "1"),
        ({"dropout": 1.0}, "less than 1"),
        ({"chanels": 3}, 'Did you mean "channels"'),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        compose(["babycry"], "log_mel", part("mtfa", **options), "frame_bce")
