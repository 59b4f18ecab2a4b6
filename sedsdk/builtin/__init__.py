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
    yield PartSpec(
        "identity",
        "sedsdk.builtin.identity:Identity",
        "changes nothing; appending, it trains on every clip twice",
        "the EDC paper's Table 3, row 1",
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
    yield PartSpec(
        "tag_threshold",
        "sedsdk.builtin.tag_threshold:TagThreshold",
        "tags a clip with the labels whose clip probability exceeds a class's threshold",
        "DCASE practice",
    )


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
    for name, target, summary, source in (
        (
            "dcase2017-task4",
            "dcase2017_task4:read_dcase2017_task4",
            "17 warning and vehicle sounds in 10 s clips: weak training, strong test",
            "DCASE 2017 Task 4",
        ),
        (
            "dcase2018-task4",
            "dcase2018_task4:read_dcase2018_task4",
            "10 domestic sounds in 10 s clips: weak and unlabelled training, strong test",
            "DCASE 2018 Task 4",
        ),
        (
            "desed",
            "desed:read_desed",
            "10 domestic sounds: weak, unlabelled and synthetic training, strong validation",
            "Turpault et al. 2019; DCASE Task 4 from 2019 on",
        ),
        (
            "chime-home",
            "chime_home:read_chime_home",
            "7 sound sources in 4 s chunks of a living room, 16 kHz mono",
            "Foster et al. 2015; DCASE 2016 Task 4",
        ),
        (
            "chime-home-48khz",
            "chime_home:read_chime_home_48khz",
            "the same chunks, 48 kHz stereo",
            "Foster et al. 2015",
        ),
        (
            "audioset",
            "audioset:read_audioset",
            "527 classes in 10 s clips of videos; also its strong labels",
            "Gemmeke et al. 2017; Hershey et al. 2021",
        ),
        (
            "esc50",
            "esc50:read_esc50",
            "50 environmental sounds, one in each 5 s clip, in five folds",
            "Piczak 2015",
        ),
        ("esc10", "esc50:read_esc10", "the ten classes of ESC-10 in ESC-50", "Piczak 2015"),
    ):
        yield DatasetSpec(name, f"sedsdk.data.datasets.{target}", summary, source)
