"""What ships with sedsdk, registered like any plugin: this entry module is metadata only."""

from __future__ import annotations

from collections.abc import Iterator

from sedsdk.hooks import DatasetSpec, PartSpec, RecipeSpec, hookimpl

SEDSDK_API = (1, 1)


@hookimpl
def sedsdk_frontends() -> Iterator[PartSpec]:
    """Frontends of this package."""
    yield PartSpec(
        "log_mel",
        "sedsdk.builtin.log_mel:LogMel",
        "log-mel energies: any window, hop, mel scale, log, standardisation, stacking",
        "HTK and Slaney mel scales",
    )


@hookimpl
def sedsdk_conditioners() -> Iterator[PartSpec]:
    """Conditioners of this package."""
    yield PartSpec(
        "spec_augment",
        "sedsdk.builtin.spec_augment:SpecAugment",
        "time masks, frequency masks and time warp, each on its own",
        "Park et al. 2019",
    )
    yield PartSpec(
        "mixup",
        "sedsdk.builtin.mixup:Mixup",
        "mixes pairs of clips with their clip and frame targets",
        "Zhang et al. 2018",
    )


@hookimpl
def sedsdk_encoders() -> Iterator[PartSpec]:
    """Encoders of this package."""
    yield PartSpec(
        "crnn",
        "sedsdk.builtin.crnn:Crnn",
        "convolutions that pool frequency only, then recurrent layers",
        "Cakir et al. 2017",
    )


@hookimpl
def sedsdk_heads() -> Iterator[PartSpec]:
    """Heads of this package."""
    yield PartSpec(
        "frame_bce",
        "sedsdk.builtin.bce_heads:FrameBce",
        "a sigmoid per frame, binary cross-entropy on frame labels",
        "Cakir et al. 2017",
    )
    yield PartSpec(
        "clip_bce",
        "sedsdk.builtin.bce_heads:ClipBce",
        "pools frames to a clip: max, average, linear softmax or attention",
        "Wang et al. 2019",
    )


@hookimpl
def sedsdk_postprocessors() -> Iterator[PartSpec]:
    """Post-processors of this package."""
    module = "sedsdk.builtin.postprocessors"
    for name, target, summary in (
        ("threshold", "Threshold", "active where the probability exceeds a class's threshold"),
        ("dynamic_threshold", "DynamicThreshold", "threshold T_base + β · clip mean of the output"),
        ("hysteresis", "Hysteresis", "starts at a high threshold, goes on down to a low one"),
        ("median", "Median", "median filter over a span in seconds"),
        ("fill_gaps", "FillGaps", "closes gaps up to a length in seconds"),
        ("minimum_duration", "MinimumDuration", "drops runs shorter than a length in seconds"),
        ("longest_run", "LongestRun", "keeps the longest run of each class"),
        ("clip_gate", "ClipGate", "drops a class whose clip probability is too low"),
        ("to_events", "ToEvents", "turns active runs into events"),
    ):
        yield PartSpec(name, f"{module}:{target}", summary, "DCASE practice")


@hookimpl
def sedsdk_recipes() -> Iterator[RecipeSpec]:
    """Recipes of this package."""
    for name, summary in (
        ("demo/corpus", "made sounds, two minutes on two cores"),
        ("demo/recordings", "real recordings, a few minutes on two cores"),
        ("rare/recordings", "real recordings, cross-fitted thresholds: minutes on a GPU"),
    ):
        yield RecipeSpec(name, f"sedsdk.builtin:recipes/{name}.yaml", summary, "DCASE 2017 Task 2")


@hookimpl
def sedsdk_datasets() -> Iterator[DatasetSpec]:
    """Data set readers of this package."""
    yield DatasetSpec(
        "tut-rare-2017",
        "sedsdk.data.tut_rare:read_tut_rare",
        "babycry, glassbreak and gunshot in 30 s mixtures",
        "DCASE 2017 Task 2; Zenodo 401395 and 1160455",
    )
