"""The conformance kit: fixtures for pytest, and one check per law that every part must keep.

Installed with sedsdk, pytest loads it by itself. A plugin's whole conformance test is

    import pytest
    from sedsdk.testing import assert_conforms, check_import_cost, parts_of

    @pytest.mark.parametrize("part", parts_of("my-plugin"))
    def test_part_conforms(part):
        assert_conforms(part)

    def test_entry_module_is_light():
        check_import_cost("my-plugin")

Every check also runs in plain Python. A failure is a `LawBroken`, an `AssertionError` that names
the law and shows the smallest input that breaks it.

Fixtures: `sed_host` (a host with discovery off), `tiny_corpus` (a folder of short recordings with
strong labels) and `ragged_batches` (random batches of clips of unequal length).

Importing this package imports no torch: pytest does so in every run of every project.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedsdk.testing.checks import (
        assert_conforms,
        check_bundle_round_trip,
        check_config_round_trip,
        check_determinism,
        check_device_and_dtype,
        check_gradients,
        check_import_cost,
        check_lengths,
        check_loss,
        check_part,
        check_postprocessing,
        check_shapes_and_grids,
        check_stages,
        check_targets_move,
        parts_of,
    )
    from sedsdk.testing.corpus import TinyCorpus, write_tiny_corpus
    from sedsdk.testing.laws import LAWS, LawBroken
    from sedsdk.testing.subject import Setting

__all__ = [
    "LAWS",
    "LawBroken",
    "Setting",
    "TinyCorpus",
    "assert_conforms",
    "check_bundle_round_trip",
    "check_config_round_trip",
    "check_determinism",
    "check_device_and_dtype",
    "check_gradients",
    "check_import_cost",
    "check_lengths",
    "check_loss",
    "check_part",
    "check_postprocessing",
    "check_shapes_and_grids",
    "check_stages",
    "check_targets_move",
    "parts_of",
    "write_tiny_corpus",
]

pytest_plugins = ["sedsdk.testing.fixtures"]

_MODULE_OF = {
    **dict.fromkeys(("LAWS", "LawBroken"), "sedsdk.testing.laws"),
    **dict.fromkeys(("TinyCorpus", "write_tiny_corpus"), "sedsdk.testing.corpus"),
    "Setting": "sedsdk.testing.subject",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sedsdk.testing' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF.get(name, "sedsdk.testing.checks")), name)
