"""A recipe: pipeline, data and training in one file, validated where it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sedsdk.config import PipelineConfig, read_model
from sedsdk.data.mixture_plans import MixingConfig
from sedsdk.data.mixtures import MixtureSettings
from sedsdk.data.tut_rare import Part
from sedsdk.errors import ConfigError
from sedsdk.host import Host, default_host
from sedsdk.training.named_yaml import YAML_SUFFIXES, named_yaml, yaml_values

BUILTIN_CORPUS = "builtin"
RECORDINGS_VARIABLE = "SEDSDK_RECORDINGS"
LABELS_OF_THE_DATASET = "dataset"
"""In place of a recipe's labels: those of its data set, in the data set's order."""

TEST_NAME = r"[A-Za-z0-9_-]+"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HeldOut(_Section):
    """Mixtures of recordings that training does not hear: for thresholds, or for a test.

    They are drawn from a split, from groups that training leaves out, or are those of a part of
    TUT Rare Sound Events 2017. The finished mixtures of a part are read where they are; where they
    are not, they are rendered by the official recipes; without these, they are drawn from the
    sources of the part, as `mixtures` says (`subset` is then the part's name).
    """

    mixtures: MixtureSettings | None = Field(
        None, description="how they are drawn; needed, but for a part that is finished"
    )
    split: str | None = Field(None, description="the split they are made of; None: held-out groups")
    part: Part | None = Field(
        None, description="part of TUT Rare Sound Events 2017: devtrain, devtest or evaltest"
    )
    folder: str | None = Field(
        None, description="where the part's mixtures are; None: in the folder of the data"
    )
    folds: int = Field(
        4, ge=2, description="without a split: one part in so many of the training groups"
    )
    fold: int = Field(0, ge=0, description="which of these parts is held out")
    cross_fit: bool = Field(
        False,
        description="hold out every part once, for thresholds, and train the detector on all",
    )

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> HeldOut:
        if self.fold >= self.folds:
            raise ValueError(f"fold must be below folds = {self.folds}, got {self.fold}")
        if self.cross_fit and (self.split is not None or self.part is not None):
            raise ValueError("cross_fit holds out folds; leave split and part out")
        return self

    @model_validator(mode="after")
    def _says_which_mixtures(self) -> HeldOut:
        if self.split is not None and self.part is not None:
            raise ValueError("split and part both say what is held out; leave one of them out")
        if self.part is None and self.folder is not None:
            raise ValueError("folder is where a part's mixtures are; name the part")
        if self.part is None and self.mixtures is None:
            raise ValueError("mixtures is missing: only a part may have finished mixtures")
        return self


class RecordingsData(_Section):
    """Isolated events and backgrounds, mixed for training: on the fly, or once on disk."""

    kind: Literal["recordings"]
    folder: str = Field(
        description='as `sedsdk.data.read_sources` reads it, or "builtin" for the made corpus'
    )
    with_speech: bool = Field(False, description="speech/ of the folder becomes distractors")
    other_events: bool | None = Field(
        None,
        description="events of further classes become distractors; None: they do, but for TUT Rare "
        "Sound Events 2017, whose protocol has none",
    )
    strong_lists: tuple[str, ...] = Field(
        (), description="lists of strong labels in the folder, whose events training hears too"
    )
    weak_folders: dict[str, str] = Field(
        {},
        description="label → subfolder of recordings that hold it somewhere; training hears their "
        "loud spans too",
    )
    corpus_size: str = Field("demo", description="size of the built-in corpus")
    split: str = Field("train", description="the split that training hears")
    labels: Literal["strong", "weak"] = Field(
        "strong",
        description="what is known of training mixtures; weak: which classes each holds, not when",
    )
    mixing: MixingConfig = Field(MixingConfig(), description="how mixtures are made on the fly")
    training_mixtures: MixtureSettings | None = Field(
        None,
        description="mixtures made once on disk and learned whole or in chunks "
        "(training.chunk_seconds); mixing and training.steps_per_epoch are then not used",
    )
    validation: HeldOut
    test: HeldOut | None = None
    further_tests: dict[str, HeldOut] = Field(
        {},
        description="name → what else to score on, into scores/NAME; one whose data is not there "
        "is left out",
    )

    @model_validator(mode="after")
    def _one_way_of_mixing(self) -> RecordingsData:
        if self.training_mixtures is not None and self.mixing != MixingConfig():
            raise ValueError(
                "mixing makes mixtures on the fly and training_mixtures on disk; leave one out"
            )
        return self

    @model_validator(mode="after")
    def _held_out_is_named(self) -> RecordingsData:
        for name in self.further_tests:
            if not re.fullmatch(TEST_NAME, name) or name in ("test", "validation"):
                raise ValueError(
                    f'further_tests: "{name}" names a folder of scores; use letters, digits, - and '
                    "_, and neither test nor validation"
                )
        for name, tested in {"test": self.test, **self.further_tests}.items():
            if tested is not None and tested.split is None and tested.part is None:
                raise ValueError(f"{name}: name the split or the part that it is made of")
        if self.validation.part == self.split:
            raise ValueError(f'validation: training hears "{self.split}"; choose another part')
        for name, wanted in self.held_out.items():
            if self.folder == BUILTIN_CORPUS and wanted.part and wanted.folder is None:
                raise ValueError(f"{name}: the built-in corpus has no parts; name a split")
        return self

    @property
    def held_out(self) -> dict[str, HeldOut]:
        """What is not learned from, by name: validation, test and further tests."""
        test = {} if self.test is None else {"test": self.test}
        return {"validation": self.validation, **test, **self.further_tests}


class ManifestData(_Section):
    """Labelled recordings, listed in manifests."""

    kind: Literal["manifests"]
    train: str = Field(description="manifest to learn from")
    validation: str = Field(description="manifest for early stopping and thresholds")
    test: str | None = Field(None, description="manifest to score on")


class DatasetData(_Section):
    """A published data set, read from its own files."""

    kind: Literal["dataset"]
    name: str = Field(description="reader, from `sedsdk plugins`")
    folder: str = Field(description="the data set as downloaded")
    train: str = Field("train", description="part to learn from")
    validation: str = Field("validation", description="part for early stopping and thresholds")
    test: str | None = Field("test", description="part to score on")


Data = Annotated[RecordingsData | ManifestData | DatasetData, Field(discriminator="kind")]


class TrainingConfig(_Section):
    """How a pipeline learns."""

    seed: int = Field(0, ge=0, description="of weights, order, mixtures and augmentation")
    epochs: int = Field(20, ge=1, description="most epochs")
    steps_per_epoch: int = Field(
        100, ge=1, description="batches an epoch where mixtures are made on the fly"
    )
    batch_size: int = Field(32, ge=1, description="clips a batch, over all processes")
    optimiser: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0, description="highest learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Literal["constant", "cosine", "step"] = Field(
        "cosine", description="of the learning rate: kept, to zero over all epochs, or divided"
    )
    warmup_steps: int = Field(100, ge=0, description="steps over which the learning rate rises")
    step_epochs: int = Field(30, ge=1, description="schedule step: epochs between divisions")
    step_factor: float = Field(0.1, gt=0, le=1, description="schedule step: factor")
    max_gradient_norm: float = Field(5.0, gt=0)
    weight_average: float = Field(
        0.0, ge=0, lt=1, description="decay per step of averaged weights; 0: not averaged"
    )
    score: str = Field(
        "frame_average_precision",
        description="validation score that picks the best epoch: valid_loss, "
        "frame_average_precision, clip_average_precision, clip_auc, event_error_rate or event_f1",
    )
    keep: Literal["best", "last"] = Field(
        "best", description="the epoch that is saved; last: nothing is picked on validation data"
    )
    patience: int = Field(10, ge=1, description="stop after so many epochs without a better score")
    minimum_epochs: int = Field(0, ge=0, description="never stop before")
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        "auto", description="auto: bf16 on a GPU that has it, fp32 elsewhere"
    )
    chunk_seconds: float | None = Field(
        None, gt=0, description="long clips are cut into chunks of this length; None: whole clips"
    )
    chunk_overlap_seconds: float = Field(0.0, ge=0, description="of neighbouring chunks")
    checkpoint_minutes: float = Field(
        2.0, gt=0, description="longest work that a killed run loses, minutes"
    )
    workers: int = Field(0, ge=0, description="processes that read audio beside the training")
    cache: bool = Field(True, description="keep features of deterministic frontends on disk")
    fit_thresholds: bool = Field(True, description="fit post-processors on validation data")

    @model_validator(mode="after")
    def _chunks_move_on(self) -> TrainingConfig:
        if self.chunk_seconds is not None and self.chunk_overlap_seconds >= self.chunk_seconds:
            raise ValueError("chunk_overlap_seconds must be below chunk_seconds")
        if self.score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}, got {self.score}")
        return self


SCORES: dict[str, Literal["min", "max"]] = {
    "valid_loss": "min",
    "frame_average_precision": "max",
    "clip_average_precision": "max",
    "clip_auc": "max",
    "event_error_rate": "min",
    "event_f1": "max",
}
"""Validation scores and whether the smallest or the largest is best."""


class Recipe(_Section):
    """A complete experiment."""

    pipeline: PipelineConfig
    data: Data
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _cross_fit_picks_no_epoch(self) -> Recipe:
        crossed = isinstance(self.data, RecordingsData) and self.data.validation.cross_fit
        if crossed and self.training.keep != "last":
            raise ValueError(
                "data.validation.cross_fit trains on every recording, so no epoch can be picked "
                "on unheard ones: set training.keep to last"
            )
        return self


def load_recipe(
    name_or_path: str | Path, host: Host | None = None, overrides: Sequence[str] = ()
) -> Recipe:
    """Reads a recipe by name, from a plugin, or from a YAML file.

    Args:
        name_or_path: as in "demo/corpus", or a path that ends in .yaml or .yml.
        host: plugin host; None for the default one.
        overrides: changes as in "training.epochs=3" or "pipeline.encoder.rnn_units=32"; values
            are YAML.

    Raises:
        UnknownPart: no plugin offers the name.
        ConfigError: the file is missing or malformed, or a value is not allowed.
        DataError: the recipe takes its labels from a data set that is not in its folder.
    """
    what = f"recipe {name_or_path}"
    host = host or default_host()
    values = named_yaml(name_or_path, host.recipe_text, what)
    is_file = str(name_or_path).endswith(YAML_SUFFIXES)
    own = () if is_file else host.recipe_changes(str(name_or_path))
    for override in (*own, *overrides):
        _override(values, override, partial(yaml_values, what=what))
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what}: expected a mapping with pipeline, data and training")
    return read_model(Recipe, _with_labels(values, host, what), what)


def _with_labels(values: Mapping[str, Any], host: Host, what: str) -> Mapping[str, Any]:
    """Puts the labels of a data set into a pipeline that asks for them."""
    pipeline, data = values.get("pipeline"), values.get("data")
    if not isinstance(pipeline, Mapping) or pipeline.get("labels") != LABELS_OF_THE_DATASET:
        return values
    if not isinstance(data, Mapping) or data.get("kind") != "dataset":
        raise ConfigError(
            f"{what}: labels: {LABELS_OF_THE_DATASET} takes the labels of data of the kind "
            "dataset; list the labels."
        )
    dataset = read_model(DatasetData, data, f"{what}: data")
    read = host.load_dataset(dataset.name)
    labels = read(Path(dataset.folder), dataset.train).labels
    return {**values, "pipeline": {**pipeline, "labels": list(labels)}}


def _override(values: Any, override: str, parse: Any) -> None:
    path, separator, text = override.partition("=")
    steps = path.strip().split(".")
    if not separator or not all(steps):
        raise ConfigError(f'"{override}" is no override. Write section.field=value.')
    target = values
    for step in steps[:-1]:
        place = _place(target, step)
        if place is None:
            raise ConfigError(f'"{override}": the recipe has no {path}')
        within = target[place] if isinstance(target, list) else target.get(place, {})
        if isinstance(within, str):
            within = {"part": within}
        target[place] = within
        target = within
    place = _place(target, steps[-1])
    if place is None:
        raise ConfigError(f'"{override}": the recipe has no {path}')
    target[place] = parse(text)


def _place(target: Any, step: str) -> Any:
    """Returns the key or index that a step of a path names; None where there is none."""
    if isinstance(target, dict):
        return step
    if isinstance(target, list) and step.isdigit() and int(step) < len(target):
        return int(step)
    return None
