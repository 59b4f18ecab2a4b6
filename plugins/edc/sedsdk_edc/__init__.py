"""Event-related data conditioning (EDC): what the plugin offers, and EDC without a pipeline.

import sedsdk_edc

conditioned = sedsdk_edc.condition(log_mel, alpha=7)  # [T, F] or [B, T, F], NumPy or torch
first, last = sedsdk_edc.effective_range(log_mel, alpha=7)  # the frames that each one is made of
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sedsdk.hooks import PartSpec, RecipeSpec, ReproductionSpec, hookimpl
from sedsdk_edc.methods import PAPER, recipes

if TYPE_CHECKING:
    import typer

    from sedsdk_edc.arrays import condition, effective_range

__all__ = ["condition", "effective_range"]

SEDSDK_API = (1, 1)


@hookimpl
def sedsdk_conditioners() -> Iterator[PartSpec]:
    """Offers EDC and the learnable method that the paper compares it with."""
    yield PartSpec(
        "edc",
        "sedsdk_edc.conditioner:Edc",
        "every frame becomes a mean over the frames around it that belong to the same event",
        PAPER,
    )
    yield PartSpec(
        "feature_weighting",
        "sedsdk_edc.feature_weighting:FeatureWeighting",
        "time averages of several lengths, weighted band by band by learnt importance",
        "the EDC paper's Table 3, row 5; an interpretation",
    )


@hookimpl
def sedsdk_recipes() -> Iterator[RecipeSpec]:
    """Offers every compared method with both poolings, and a small recipe."""
    yield from recipes()


@hookimpl
def sedsdk_reproductions() -> Iterator[ReproductionSpec]:
    """Offers the paper's tables."""
    yield ReproductionSpec(
        "edc",
        "sedsdk_edc:reproduction.yaml",
        "Tables 1 (α), 2 (SpecAugment) and 3 (methods), in both modes",
        PAPER,
    )


@hookimpl
def sedsdk_commands(app: typer.Typer) -> None:
    """Adds `sedsdk plot edc`."""
    from sedsdk_edc import commands

    app.add_typer(commands.app, name="plot")


def __getattr__(name: str) -> Any:
    if name in __all__:
        from sedsdk_edc import arrays

        return getattr(arrays, name)
    raise AttributeError(f"module 'sedsdk_edc' has no attribute {name!r}")
