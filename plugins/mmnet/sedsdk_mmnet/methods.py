"""M&mnet and the methods that the paper compares it with, as recipes: metadata only."""

from __future__ import annotations

from collections.abc import Iterator

from sedsdk.hooks import RecipeSpec

PAPER = (
    "Chou et al. 2018, Learning to Recognize Transient Sound Events Using Attentional Supervision"
)

DATA = {
    "dcase17": "DCASE 2017 Task 4",
    "audioset": "AudioSet's balanced training set",
}

METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("M&mnet", ()),
    "-ms": (
        "M&mnet-MS, micro subnets on five scales",
        ("pipeline.encoder.pyramid=true", "pipeline.head={part: macro_micro_ms}"),
    ),
    "-convnet": (
        "ConvNet, mean pooling",
        ("pipeline.encoder={part: mmnet_convnet}", "pipeline.head={part: macro, units: 512}"),
    ),
    "-resnet-max": ("ResNet, max pooling", ("pipeline.head={part: macro, pooling: max}",)),
    "-resnet-mean": ("ResNet, mean pooling", ("pipeline.head={part: macro}",)),
    "-wlat": ("weak-label assumption training", ("pipeline.head={part: wlat}",)),
    "-slat": ("strong-label assumption training", ("pipeline.head={part: slat}",)),
    "-plat": ("predicted-label assumption training", ("pipeline.head={part: plat}",)),
    "-att": ("attentional prediction", ("pipeline.head={part: att}",)),
    "-spda": ("part attention", ("pipeline.head={part: spda}",)),
}
"""Suffix of a recipe's name → (what it is, what it changes)."""


def recipes() -> Iterator[RecipeSpec]:
    """Yields every method on every data set, and a small M&mnet."""
    for data, data_name in DATA.items():
        for method, (words, changes) in METHODS.items():
            yield RecipeSpec(
                f"mmnet/{data}{method}",
                f"sedsdk_mmnet:recipes/{data}.yaml",
                f"{words}, the paper's numbers on {data_name}",
                PAPER,
                changes,
            )
    yield RecipeSpec(
        "mmnet/small",
        "sedsdk_mmnet:recipes/small.yaml",
        "a small M&mnet on weak labels made of real recordings, minutes on two cores",
        PAPER,
    )
