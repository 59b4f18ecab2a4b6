"""The encoders keep every law in each of their configurations, and listing them is cheap."""

from __future__ import annotations

from typing import Any

import pytest

from sedsdk import FrameGrid, StreamSpec
from sedsdk.testing import Setting, check_import_cost, check_part

MAIN = StreamSpec(7, FrameGrid(0.05, 0.02))
RARE = StreamSpec(5, FrameGrid(0.21, 0.1))
DENSE = StreamSpec(5, FrameGrid(0.03, 0.0125))
SMALL: dict[str, Any] = {
    "channels": 3,
    "spectral_units": 4,
    "spectral_window": 6,
    "temporal_units": 5,
    "rnn_units": 3,
}
CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"activation": "relu", "attention_activation": "sigmoid", "spectral_window": 600},
    {"spectral_attention": False, "rnn_layers": 1},
    {"temporal_attention": False, "spectral_window": 1},
    {"spectral_attention": False, "temporal_attention": False, "dropout": 0.0},
]


@pytest.mark.parametrize("options", CONFIGURATIONS)
def test_cbrnn_keeps_every_law(options: dict[str, Any]) -> None:
    check_part("encoder", "cbrnn", {**SMALL, **options}, setting=Setting(streams={"main": MAIN}))


@pytest.mark.parametrize(
    ("speech", "options"),
    [
        (DENSE, {}),
        (DENSE, {"asr_norm": False, "spectral_attention": False}),
        (RARE, {"temporal_attention": False, "rnn_layers": 1}),
        (RARE, {"asr_norm": False, "activation": "relu", "attention_activation": "sigmoid"}),
    ],
)
def test_gradual_keeps_every_law(speech: StreamSpec, options: dict[str, Any]) -> None:
    setting = Setting(streams={"main": MAIN, "asr": speech})
    check_part("encoder", "gradual", {**SMALL, **options}, setting=setting)


@pytest.mark.parametrize(
    ("streams", "options"),
    [
        ({"main": MAIN, "asr": DENSE}, {}),
        ({"main": MAIN, "asr": RARE}, {"asr_norm": False}),
        ({"main": MAIN, "words": DENSE}, {"stream": "words", "frame_seconds": 0.15}),
        ({"main": StreamSpec(5, FrameGrid(0.1, 0.05))}, {}),
        ({"main": StreamSpec(5, FrameGrid(0.02, 0.01))}, {"asr_norm": False}),
        ({"main": MAIN, "asr": DENSE}, {"stream": "main", "frame_seconds": 0.05}),
    ],
)
def test_asr_finetune_keeps_every_law(
    streams: dict[str, StreamSpec], options: dict[str, Any]
) -> None:
    check_part("encoder", "asr_finetune", options, setting=Setting(streams=streams))


def test_listing_the_plugin_imports_nothing_heavy() -> None:
    check_import_cost("gradual")
