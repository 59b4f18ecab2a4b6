"""Encoders and heads keep every law in each of their configurations; listing them is cheap."""

from __future__ import annotations

from typing import Any

import pytest

from sedsdk import FrameGrid, StreamSpec
from sedsdk.testing import Setting, check_import_cost, check_part, parts_of

SMALL: dict[str, Any] = {"channels": (6, 8, 10, 10)}
STREAMS = {"main": StreamSpec(7, FrameGrid(0.02, 0.01))}
ENCODERS = ("mmnet_convnet", "mmnet_resnet")
HEADS = ("macro", "macro_micro", "macro_micro_ms", "wlat", "slat", "plat", "att", "spda")
NEVER_LEARNS = "Equation 8 as printed leaves f_att without a gradient: see test_mmnet_gradients.py"


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    ("options", "shortest"),
    [
        ({}, 16),
        ({"pyramid": True}, 16),
        ({"pooling": (2, 2), "pyramid": True, "dropout": 0.2}, 4),
        ({"pooling": (1, 1)}, 1),
        ({"pooling": (1, 1), "pyramid": True}, 1),
        ({"channels": (4, 6), "pooling": ()}, 1),
        ({"channels": (4, 6, 6), "pooling": (3,), "pyramid": True}, 3),
    ],
)
def test_an_encoder_keeps_every_law(name: str, options: dict[str, Any], shortest: int) -> None:
    check_part(
        "encoder", name, {**SMALL, **options}, setting=Setting(streams=STREAMS, shortest=shortest)
    )


@pytest.mark.parametrize(
    ("name", "options", "encoder", "pooling"),
    [
        ("macro", {"pooling": "mean"}, "mmnet_convnet", (2, 2)),
        ("macro", {"pooling": "max", "beta": 0.0}, "mmnet_resnet", (4, 4)),
        ("wlat", {}, "mmnet_resnet", (2, 2)),
        ("slat", {}, "mmnet_resnet", (2, 2)),
        ("plat", {}, "mmnet_resnet", (2, 2)),
        ("att", {}, "mmnet_resnet", (2, 2)),
        ("spda", {"parts": 3}, "mmnet_resnet", (2, 2)),
        ("macro_micro", {}, "mmnet_resnet", (4, 4)),
        ("macro_micro", {"mixing": "logits", "micro_scale": "mean"}, "mmnet_convnet", (1, 1)),
        ("macro_micro", {"ensemble_prediction": False, "scores": 5}, "mmnet_resnet", (2, 2)),
        ("macro_micro", {"micro_weight": 0.0, "pooling": "max"}, "mmnet_resnet", (2, 2)),
        ("macro_micro_ms", {}, "mmnet_resnet", (2, 2)),
        ("macro_micro_ms", {"mixing": "logits"}, "mmnet_convnet", (1, 1)),
    ],
)
def test_a_head_keeps_every_law_behind_an_encoder(
    name: str, options: dict[str, Any], encoder: str, pooling: tuple[int, ...]
) -> None:
    given = {**SMALL, "pooling": pooling, "pyramid": name == "macro_micro_ms"}
    shortest = pooling[0] * pooling[1]
    setting = Setting(streams=STREAMS, shortest=shortest, encoder=(encoder, given))
    check_part("head", name, {"units": 12, **options}, setting=setting)


def test_the_printed_loss_keeps_every_law_but_one() -> None:
    """With Equation 8's ŷ and the printed sum nothing teaches the attention."""
    setting = Setting(streams=STREAMS, shortest=16, encoder=("mmnet_resnet", SMALL))
    options = {"units": 12, "clip_loss": "macro", "micro_scale": "printed"}
    exempt = {"gradients": NEVER_LEARNS}
    check_part("head", "macro_micro", options, setting=setting, exempt=exempt)


@pytest.mark.parametrize("name", [head for head in HEADS if head != "macro_micro_ms"])
def test_a_head_keeps_every_law_on_any_encoders_frames(name: str) -> None:
    check_part("head", name, {"units": 8})


def test_the_plugin_offers_these_parts() -> None:
    offered = {(entry.kind, entry.spec.name) for entry in parts_of("mmnet")}
    assert offered == {*(("encoder", n) for n in ENCODERS), *(("head", n) for n in HEADS)}


def test_the_entry_module_is_light() -> None:
    check_import_cost("mmnet")
