"""The gradual network and the rows that the paper compares it with, as recipes: metadata only."""

from __future__ import annotations

from collections.abc import Iterator

from sedsdk.hooks import RecipeSpec

PAPER = (
    "Gradual network: speech recognition's embeddings in a convolutional bidirectional recurrent "
    "network with spectral and temporal attention"
)

EVENTS = ("babycry", "glassbreak", "gunshot")
"""Each has a detector of its own, as in the paper."""

SPEECH = "pipeline.frontends.asr={part: tdnnf_embedding, hop_seconds: 0.1}"
"""Embeddings of the acoustic model that comes with sedsdk, or of `pipeline.frontends.asr.model`."""

ONE_LAYER = "training.learning_rate=3.0e-2"
"""Of the small fine-tuning net: a single dense layer learns nothing in minutes by smaller steps."""

METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("the gradual network", ("pipeline.encoder.part=gradual", SPEECH)),
    "-finetune": ("fine-tuning net", ("pipeline.encoder={part: asr_finetune}", SPEECH)),
    "-cbrnn": ("CBRNN, both attentions", ()),
    "-crnn-ta": ("CBRNN, temporal attention", ("pipeline.encoder.spectral_attention=false",)),
    "-crnn": (
        "CBRNN, no attention",
        ("pipeline.encoder.spectral_attention=false", "pipeline.encoder.temporal_attention=false"),
    ),
}
"""Suffix of a recipe's name → (what it is, what it changes in the file)."""


def recipes() -> Iterator[RecipeSpec]:
    """Yields every row of Table 1 for every event, and at small scale for all of them."""
    for method, (words, changes) in METHODS.items():
        for event in EVENTS:
            yield RecipeSpec(
                f"gradual/{event}{method}",
                "sedsdk_gradual:recipes/paper.yaml",
                f"{words}, the paper's numbers for {event}",
                PAPER,
                (f"pipeline.labels=[{event}]", *changes),
            )
    for method, (words, changes) in METHODS.items():
        yield RecipeSpec(
            f"gradual/small{method}",
            "sedsdk_gradual:recipes/small.yaml",
            f"{words}, small, for three events, minutes on one core",
            PAPER,
            (*changes, ONE_LAYER) if method == "-finetune" else changes,
        )
