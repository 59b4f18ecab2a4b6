"""Tagging with attentional micro supervision (M&mnet): what the plugin offers; metadata only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sedsdk.hooks import PartSpec, RecipeSpec, ReproductionSpec, hookimpl
from sedsdk_mmnet.methods import PAPER, recipes

if TYPE_CHECKING:
    import typer

SEDSDK_API = (1, 1)


@hookimpl
def sedsdk_encoders() -> Iterator[PartSpec]:
    """Offers the two main nets."""
    for name, target, summary in (
        ("mmnet_convnet", "MmnetConvnet", "five 1-D convolutions over mel bands as channels"),
        (
            "mmnet_resnet",
            "MmnetResnet",
            "1-D pre-activation residual blocks, mel bands as channels",
        ),
    ):
        yield PartSpec(name, f"sedsdk_mmnet.encoder:{target}", summary, PAPER)


@hookimpl
def sedsdk_heads() -> Iterator[PartSpec]:
    """Offers M&mnet's heads and the baselines that the paper compares them with."""
    for name, target, summary in (
        ("macro", "macro:Macro", "pooled over time, then dense layers: ConvNet and ResNet"),
        ("macro_micro", "macro_micro:MacroMicro", "M&mnet: macro and attentional micro loss"),
        ("macro_micro_ms", "macro_micro:MacroMicroMs", "M&mnet-MS: a micro subnet on every scale"),
        ("wlat", "segment_heads:Wlat", "dense layers per segment, mean of their probabilities"),
        ("slat", "segment_heads:Slat", "dense layers per segment, each with the clip's labels"),
        ("att", "segment_heads:Att", "dense layers per segment, attention-weighted mean"),
        ("plat", "plat:Plat", "macro net whose activation over time labels the segments"),
        ("spda", "spda:Spda", "macro net on the mean and on eight attended vectors"),
    ):
        yield PartSpec(name, f"sedsdk_mmnet.{target}", summary, PAPER)


@hookimpl
def sedsdk_recipes() -> Iterator[RecipeSpec]:
    """Offers every compared method on both data sets of the paper, and a small recipe."""
    yield from recipes()


@hookimpl
def sedsdk_reproductions() -> Iterator[ReproductionSpec]:
    """Offers the paper's tables."""
    yield ReproductionSpec(
        "mmnet",
        "sedsdk_mmnet:reproduction.yaml",
        "Tables 1 to 3 (methods) and Figure 6 (length of a segment)",
        PAPER,
    )


@hookimpl
def sedsdk_commands(app: typer.Typer) -> None:
    """Adds `sedsdk plot segments`."""
    from sedsdk_mmnet import commands

    app.add_typer(commands.app, name="plot")
