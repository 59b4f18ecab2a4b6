"""The encoder keeps every law in each of its configurations, and the plugin is cheap to list."""

from __future__ import annotations

from typing import Any

import pytest

from sedsdk import FrameGrid, StreamSpec
from sedsdk.testing import Setting, assert_conforms, check_import_cost, parts_of

SMALL: dict[str, Any] = {"channels": 4, "rnn_units": 4, "frequency_bins": 2}
ODD_BANDS = 13


@pytest.mark.parametrize("entry", parts_of("mtfa"))
@pytest.mark.parametrize(
    ("bands", "options"),
    [
        (ODD_BANDS, {"mask": "hourglass"}),
        (16, {"mask": "hourglass", "poolings": 1, "stem_stride": 2, "rnn_layers": 1}),
        (ODD_BANDS, {"mask": "resnet", "mask_blocks": 1, "feature_blocks": 1}),
        (ODD_BANDS, {"mask": "none", "stem_stride": 2}),
    ],
)
def test_it_keeps_every_law(entry: Any, bands: int, options: dict[str, Any]) -> None:
    setting = Setting(streams={"main": StreamSpec(bands, FrameGrid(0.02))})
    assert_conforms(entry, {**SMALL, **options}, setting=setting)


def test_the_entry_module_is_light() -> None:
    check_import_cost("mtfa")
