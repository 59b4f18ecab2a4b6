"""The compared methods of the paper as recipes: what each changes in a recipe that conditions."""

from __future__ import annotations

from collections.abc import Iterator

from sedsdk.hooks import RecipeSpec

PAPER = "Hou et al. 2022, Event-related data conditioning for acoustic event classification"

DATA = {
    "dcase": "DCASE 2018 Task 4",
    "chime": "CHiME-Home",
}

_NO_TIME = "time_masks: 0"
_NO_FREQUENCY = "frequency_masks: 0"
_WARP = "time_warp_frames: 5"


def _spec_augment(*options: str) -> tuple[str, ...]:
    part = ", ".join(("part: spec_augment", *options))
    return (f"pipeline.conditioners=[{{{part}}}]",)


METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("event-related data conditioning", ()),
    "-none": ("no conditioning", ("pipeline.conditioners=[]",)),
    "-self-attention": (
        "trainable self-attention behind the convolutions",
        ("pipeline.conditioners=[]", "pipeline.encoder.self_attention=true"),
    ),
    "-mixup": ("mixup", ("pipeline.conditioners=[mixup]",)),
    "-feature-weighting": (
        "learnable feature weighting",
        ("pipeline.conditioners=[feature_weighting]",),
    ),
    "-time-mask": ("SpecAugment: time mask", _spec_augment(_NO_FREQUENCY)),
    "-frequency-mask": ("SpecAugment: frequency mask", _spec_augment(_NO_TIME)),
    "-time-warp": ("SpecAugment: time warp", _spec_augment(_NO_TIME, _NO_FREQUENCY, _WARP)),
    "-masks": ("SpecAugment: time and frequency mask", _spec_augment()),
    "-time-mask-warp": (
        "SpecAugment: time mask and time warp",
        _spec_augment(_NO_FREQUENCY, _WARP),
    ),
    "-frequency-mask-warp": (
        "SpecAugment: frequency mask and time warp",
        _spec_augment(_NO_TIME, _WARP),
    ),
    "-spec-augment": ("SpecAugment: both masks and time warp", _spec_augment(_WARP)),
}
"""Suffix of a recipe's name → (what it does, what it changes)."""

POOLINGS = {"": ("GMP", ()), "-gap": ("GAP", ("pipeline.head.pooling=average",))}


def recipes() -> Iterator[RecipeSpec]:
    """Yields every method on every data set with global max and global average pooling."""
    for data, data_name in DATA.items():
        for method, (words, method_changes) in METHODS.items():
            for pooling, (short, pooling_changes) in POOLINGS.items():
                yield RecipeSpec(
                    f"edc/{data}{method}{pooling}",
                    f"sedsdk_edc:recipes/{data}.yaml",
                    f"{words}, {short}, the paper's numbers on {data_name}",
                    PAPER,
                    (*method_changes, *pooling_changes),
                )
    yield RecipeSpec(
        "edc/small",
        "sedsdk_edc:recipes/small.yaml",
        "a small CRNN with EDC on weak labels made of real recordings, minutes on two cores",
        PAPER,
    )
