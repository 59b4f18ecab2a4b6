"""Every part keeps every law with the paper's options and with others; listing them is cheap."""

from __future__ import annotations

from typing import Any

import pytest

from sedsdk import FrameGrid, StreamSpec
from sedsdk.testing import Setting, assert_conforms, check_import_cost, check_part, parts_of

TWO_STREAMS = Setting(
    streams={"main": StreamSpec(13, FrameGrid(0.02)), "asr": StreamSpec(6, FrameGrid(0.03))}
)


@pytest.mark.parametrize("entry", parts_of("edc"), ids=lambda entry: entry.spec.name)
def test_a_part_keeps_every_law(entry: Any) -> None:
    assert_conforms(entry)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("edc", {"alpha": 0.5, "streams": ("asr",)}),
        ("edc", {"alpha": 500.0, "mode": "append", "inference": "average"}),
        ("edc", {"streams": ("main", "asr"), "inference": "original"}),
        ("feature_weighting", {"scales": (3,), "hidden": 1, "streams": ("main", "asr")}),
        ("feature_weighting", {"scales": (1, 3, 9), "mode": "append", "inference": "average"}),
    ],
)
def test_it_keeps_every_law_with_other_options(name: str, options: dict[str, Any]) -> None:
    check_part("conditioner", name, options, setting=TWO_STREAMS)


def test_the_entry_module_is_light() -> None:
    check_import_cost("edc")
