"""The gradual network: what the plugin offers; metadata only."""

from __future__ import annotations

from collections.abc import Iterator

from sedsdk.hooks import PartSpec, RecipeSpec, ReproductionSpec, hookimpl
from sedsdk_gradual.methods import PAPER, recipes

SEDSDK_API = (1, 1)


@hookimpl
def sedsdk_encoders() -> Iterator[PartSpec]:
    """Offers the network with and without speech embeddings, and the fine-tuning net."""
    for name, target, summary in (
        ("cbrnn", "Cbrnn", "convolutions with residuals, two attentions, bidirectional GRU"),
        ("gradual", "Gradual", "CBRNN whose last layer also reads frozen speech embeddings"),
        ("asr_finetune", "AsrFinetune", "a dense layer on speech embeddings alone"),
    ):
        yield PartSpec(name, f"sedsdk_gradual.encoder:{target}", summary, PAPER)


@hookimpl
def sedsdk_recipes() -> Iterator[RecipeSpec]:
    """Offers every row of Table 1 for every event, and small."""
    yield from recipes()


@hookimpl
def sedsdk_reproductions() -> Iterator[ReproductionSpec]:
    """Offers the paper's Table 1, and the phonemes of sound events (Table 2, Figure 2)."""
    yield ReproductionSpec(
        "gradual",
        "sedsdk_gradual:reproduction.yaml",
        "Table 1: CRNN with and without attentions, fine-tuning net, gradual net",
        PAPER,
        {"phonemes": "sedsdk_gradual.phoneme_figure:draw"},
    )
