"""What the bridge offers to sedsdk: the one place in it that knows sedsdk. Metadata only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sedsdk.hooks import PartSpec, hookimpl

if TYPE_CHECKING:
    import typer

SEDSDK_API = (1, 1)


@hookimpl
def sedsdk_frontends() -> Iterator[PartSpec]:
    """Offers the activations of a Kaldi acoustic model as a stream."""
    yield PartSpec(
        "tdnnf_embedding",
        "kaldi_bridge.plugin.frontend:TdnnfEmbedding",
        "activations of a Kaldi acoustic model (nnet3), any node, pooled to any hop",
        "Povey et al. 2018 (TDNN-F); Kaldi 5.5",
    )


@hookimpl
def sedsdk_commands(app: typer.Typer) -> None:
    """Adds `sedsdk kaldi info`, `sedsdk kaldi embed` and `sedsdk kaldi export`."""
    from kaldi_bridge.plugin import commands

    app.add_typer(commands.app, name="kaldi")
