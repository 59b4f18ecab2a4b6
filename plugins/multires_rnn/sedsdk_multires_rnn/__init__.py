"""Multi-resolution recurrent network with utterance and frame loss: metadata only."""

from __future__ import annotations

from collections.abc import Iterator

from sedsdk.hooks import PartSpec, RecipeSpec, ReproductionSpec, hookimpl

SEDSDK_API = (1, 1)
PAPER = "Wang et al. 2019, A Simple Model for Detection of Rare Sound Events"


@hookimpl
def sedsdk_encoders() -> Iterator[PartSpec]:
    """Offers the encoder."""
    yield PartSpec(
        "multires_gru",
        "sedsdk_multires_rnn.encoder:MultiresGru",
        "GRU layers at halved frame rates, replicated and summed; or plain uni or bi layers",
        PAPER,
    )


@hookimpl
def sedsdk_heads() -> Iterator[PartSpec]:
    """Offers the head with the joint loss."""
    yield PartSpec(
        "event_attention",
        "sedsdk_multires_rnn.head:EventAttention",
        "one vector per event for frames and clip, joined by attention; utterance + α frame loss",
        PAPER,
    )


@hookimpl
def sedsdk_recipes() -> Iterator[RecipeSpec]:
    """Offers the paper's recipes and a small one."""
    for event in ("babycry", "glassbreak", "gunshot"):
        for size, layers in (("5k", 3), ("15k", 4)):
            name = f"multires-rnn/{event}-{size}"
            target = f"sedsdk_multires_rnn:recipes/{event}-{size}.yaml"
            summary = f"the paper's numbers for {event}: {size} mixtures, {layers} GRU layers"
            yield RecipeSpec(name, target, summary, PAPER)
    yield RecipeSpec(
        "multires-rnn/small",
        "sedsdk_multires_rnn:recipes/small.yaml",
        "one small model for all three events, minutes on two cores",
        PAPER,
    )


@hookimpl
def sedsdk_reproductions() -> Iterator[ReproductionSpec]:
    """Offers the paper's tables."""
    yield ReproductionSpec(
        "multires-rnn",
        "sedsdk_multires_rnn:reproduction.yaml",
        "Tables 1 and 2 and the sweep of α (Figure 3)",
        PAPER,
    )
