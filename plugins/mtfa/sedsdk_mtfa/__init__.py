"""Multi-scale time-frequency attention (MTFA): what the plugin offers; metadata only."""

from __future__ import annotations

from collections.abc import Iterator

from sedsdk.hooks import PartSpec, RecipeSpec, ReproductionSpec, hookimpl

SEDSDK_API = (1, 1)
PAPER = "Zhang et al. 2019, Multi-Scale Time-Frequency Attention for Acoustic Event Detection"


@hookimpl
def sedsdk_encoders() -> Iterator[PartSpec]:
    """Offers the encoder."""
    yield PartSpec(
        "mtfa",
        "sedsdk_mtfa.encoder:Mtfa",
        "residual features weighted by a time-frequency mask of four scales, then a GRU",
        PAPER,
    )


@hookimpl
def sedsdk_recipes() -> Iterator[RecipeSpec]:
    """Offers the paper's recipes and a small one."""
    for name, summary in (
        ("babycry", "the paper's numbers for babycry, TUT Rare Sound Events 2017"),
        ("glassbreak", "the paper's numbers for glassbreak, TUT Rare Sound Events 2017"),
        ("gunshot", "the paper's numbers for gunshot, TUT Rare Sound Events 2017"),
        ("three-events", "one model of the paper's size for all three events"),
        ("small", "one small model for all three events, minutes on two cores"),
    ):
        target = f"sedsdk_mtfa:recipes/{name}.yaml"
        yield RecipeSpec(f"mtfa/{name}", target, summary, PAPER)


@hookimpl
def sedsdk_reproductions() -> Iterator[ReproductionSpec]:
    """Offers the paper's tables."""
    yield ReproductionSpec(
        "mtfa",
        "sedsdk_mtfa:reproduction.yaml",
        "Table 1: the mask branch taken out, at one scale, at four",
        PAPER,
    )
