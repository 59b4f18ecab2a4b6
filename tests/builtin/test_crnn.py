from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sedsdk.builtin.crnn import Crnn, CrnnConfig
from sedsdk.config import read_model
from sedsdk.errors import ConfigError
from sedsdk.stages import StreamSpec
from sedsdk.types import Encoded, Features, FrameGrid, Inputs

GRID = FrameGrid(0.02, 0.01)
SMALL: dict[str, Any] = {"channels": (3, 5), "frequency_pooling": (2, 2), "rnn_units": 4}


def crnn(bands: int = 8, **options: Any) -> Crnn:
    torch.manual_seed(0)
    config = CrnnConfig(**{**SMALL, **options})
    return Crnn(config, {"main": StreamSpec(bands, GRID)}).eval()


def inputs(*lengths: int, bands: int = 8) -> Inputs:
    values = torch.randn(
        len(lengths), max(lengths), bands, generator=torch.Generator().manual_seed(1)
    )
    return Inputs({"main": Features(values, torch.tensor(lengths), GRID)})


def check_shape(encoder: Crnn, encoded: Encoded, wanted: int) -> None:
    assert encoded.frames.values.shape == (2, 6, wanted)
    assert encoder.spec.frames == StreamSpec(wanted, GRID)
    assert encoded.frames.grid == GRID
    assert encoded.frames.lengths.tolist() == [6, 3]
    assert not encoded.frames.values[1, 3:].any()


@pytest.mark.parametrize(
    ("bands", "options", "size"),
    [
        (8, {}, 8),
        (8, {"bidirectional": False}, 4),
        (8, {"rnn_layers": 2}, 8),
        (8, {"rnn_layers": 0}, 5 * 2),
        (9, {"rnn_layers": 0}, 5 * 3),  # 9 → 5 → 3
        (1, {"rnn_layers": 0}, 5),
        (7, {"rnn_layers": 0, "frequency_pooling": (3, 5)}, 5),  # 7 → 3 → 1
        (8, {"rnn_layers": 0, "frequency_pooling": (1, 1)}, 5 * 8),
        (8, {"rnn_layers": 0, "kernel_size": (1, 5), "batch_norm": False}, 5 * 2),
        (8, {"self_attention": True, "pooling": "average", "dropout": 0.0}, 8),
    ],
)
def test_it_gives_what_its_spec_says(bands: int, options: dict[str, Any], size: int) -> None:
    encoder = crnn(bands, **options)
    check_shape(encoder, encoder(inputs(6, 3, bands=bands)), size)


@pytest.mark.parametrize("kind", ["max", "average"])
def test_one_block_is_convolution_relu_and_padded_pooling(kind: str) -> None:
    options = {"channels": (2,), "frequency_pooling": (3,), "rnn_layers": 0, "batch_norm": False}
    encoder = crnn(8, pooling=kind, **options)
    given = inputs(6, 6)
    conv = encoder.blocks[0].conv
    x = F.relu(F.conv2d(given.main.values[:, None], conv.weight, conv.bias, padding=1))
    groups = torch.cat([x, torch.zeros(2, 2, 6, 1)], 3).unflatten(3, (3, 3))
    pooled = groups.amax(4) if kind == "max" else groups.mean(4)
    wanted = torch.stack([pooled[:, :, t].flatten(1) for t in range(6)], 1)  # [B, T, C·F']
    torch.testing.assert_close(encoder(given).frames.values, wanted)


@pytest.mark.parametrize("options", [{}, {"self_attention": True}, {"rnn_layers": 0}])
@pytest.mark.parametrize("train", [True, False])
def test_every_parameter_learns(options: dict[str, Any], train: bool) -> None:
    encoder = crnn(**options, dropout=0.0).train(train)
    given = encoder(inputs(6, 3)).frames.values
    (given * torch.randn(given.shape)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        # softmax over keys ignores what the key bias adds to all scores of a row
        if name != "attention.key.bias":
            assert bool(parameter.grad.any()), name


class TestSelfAttention:
    def test_weights_are_a_distribution_over_valid_frames(self) -> None:
        found = crnn(self_attention=True)(inputs(6, 3)).attention["self_attention"]
        assert found.lengths.tolist() == [6, 3]
        assert found.grid == GRID
        weights = found.values
        assert weights.shape == (2, 6, 6)
        torch.testing.assert_close(weights[0].sum(1), torch.ones(6))
        torch.testing.assert_close(weights[1, :3, :3].sum(1), torch.ones(3))
        assert not weights[1, 3:].any()
        assert not weights[1, :, 3:].any()

    def test_it_is_scaled_dot_product_attention(self) -> None:
        layer = crnn(self_attention=True).attention
        assert layer is not None
        x = torch.randn(2, 6, 10)
        wanted = F.scaled_dot_product_attention(layer.query(x), layer.key(x), layer.value(x))
        found, _ = layer(x, torch.tensor([6, 6]))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)

    def test_half_precision_works(self) -> None:
        encoder = crnn(self_attention=True).train()
        with torch.autocast("cpu", torch.bfloat16):
            encoded = encoder(inputs(6, 3))
        assert bool(torch.isfinite(encoded.frames.values).all())


def test_padding_is_never_read() -> None:
    for options in ({}, {"self_attention": True}):
        encoder = crnn(**options)
        given = inputs(6, 3)
        odd = given.main.values.clone()
        odd[1, 3:] = float("nan")
        again = Inputs({"main": Features(odd, given.main.lengths, GRID)})
        torch.testing.assert_close(encoder(again).frames.values, encoder(given).frames.values)


def test_time_is_kept() -> None:
    """A change in one frame reaches, without the GRU, as far as the kernels do: ±2 frames."""
    encoder = crnn(rnn_layers=0)
    given = inputs(9, 9)
    changed = given.main.values.clone()
    changed[:, 4] += 1
    other = encoder(Inputs({"main": Features(changed, given.main.lengths, GRID)}))
    moved = (other.frames.values - encoder(given).frames.values).abs().amax((0, 2)) > 0
    assert not moved[:2].any()
    assert not moved[7:].any()
    assert moved[4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": (4,)}, "frequency_pooling has 2 entries, channels 1"),
        ({"channels": (4, 0)}, "at least 1"),
        ({"frequency_pooling": (0, 1)}, "at least 1"),
        ({"kernel_size": (2, 3)}, r"must be odd, got \(2, 3\)"),
        ({"channels": (), "frequency_pooling": ()}, "at least 1 item"),
        ({"rnn_units": 0}, "greater than 0"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_model(CrnnConfig, {**SMALL, **options}, "encoder crnn")
