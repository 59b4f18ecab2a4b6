"""Turns a recipe's data section into training batches, validation clips and test clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from sedsdk.audio import audio_info
from sedsdk.data.energy_mixer import EnergyBank, EnergyMixer
from sedsdk.data.event_cuts import cut_strong_events, gate_weak_events
from sedsdk.data.feature_cache import FeatureCache
from sedsdk.data.manifest import Clip, Manifest, check_files
from sedsdk.data.mixture_plans import MixturePlanner
from sedsdk.data.mixtures import synthesise
from sedsdk.data.sources import Source, SourceSet, read_sources
from sedsdk.data.waveform_mixer import WaveformMixer
from sedsdk.errors import AudioError, DataError
from sedsdk.pipeline import Pipeline
from sedsdk.stages import Frontend
from sedsdk.training.batches import Batches, ClipBatches, MixtureBatches, Share
from sedsdk.training.recipe import (
    BUILTIN_CORPUS,
    HeldOut,
    ManifestData,
    Recipe,
    RecordingsData,
)
from sedsdk.training.streams import StreamReader

Say = Callable[[str], None]
DATA_FOLDER = "data"
CACHE_FOLDER = "cache"


@dataclass(frozen=True)
class Prepared:
    """What a run needs of its data.

    Attributes:
        batches: training batches.
        validation: clips for early stopping and thresholds.
        test: clips to score on, None if the recipe has none.
        reader: computes and keeps the streams of recorded clips.
        problems: one line per recording that could not be used.
    """

    batches: Batches
    validation: Manifest
    test: Manifest | None
    reader: StreamReader
    problems: tuple[str, ...] = field(default=())


def prepare(
    recipe: Recipe,
    pipeline: Pipeline,
    folder: Path,
    share: Share,
    device: torch.device | str,
    say: Say,
    workers: int | None = None,
) -> Prepared:
    """Reads or makes the data of a recipe.

    Everything made is kept under `folder` and found again by the next call.

    Args:
        recipe: whose data section counts.
        pipeline: whose frontends compute the features.
        folder: of the run.
        share: of this process.
        device: where mixtures are mixed.
        say: takes lines for the reader.
        workers: processes that synthesise; None for one per core.

    Raises:
        DataError, AudioError: as `sedsdk.data` raises them.
    """
    processes = workers or os.cpu_count() or 1
    cache = folder / CACHE_FOLDER if recipe.training.cache else None
    reader = StreamReader(pipeline, cache)
    if isinstance(recipe.data, RecordingsData):
        return _from_recordings(
            recipe, recipe.data, pipeline, folder, share, device, say, processes, reader
        )
    return _from_manifests(recipe, pipeline, share, say, reader)


def _from_recordings(
    recipe: Recipe,
    data: RecordingsData,
    pipeline: Pipeline,
    folder: Path,
    share: Share,
    device: torch.device | str,
    say: Say,
    workers: int,
    reader: StreamReader,
) -> Prepared:
    sources = recorded_sources(data, pipeline.labels, folder, say, workers)
    for problem in sources.problems:
        say(f"recording: {problem}")
    training = sources.split(data.split)
    if data.validation.split is None:
        heard, held_out = training.folds(data.validation.folds)[data.validation.fold]
        if not data.validation.cross_fit:
            training = heard
    else:
        held_out = sources.split(data.validation.split)
    training = _with_cut_events(training, held_out, data, pipeline.labels)
    say(
        f"train on {len(training.events)} events, {len(training.backgrounds)} backgrounds and "
        f"{len(training.distractors)} other sounds; validate on {len(held_out.events)} events of "
        "other recordings"
    )
    made = folder / DATA_FOLDER
    validation = _mixtures(held_out, data.validation, made / "validation", workers)
    test = None
    if data.test is not None:
        if data.test.split is None:
            raise DataError("data.test: name the split that its mixtures are made of")
        test = _mixtures(sources.split(data.test.split), data.test, made / "test", workers)
    batches = _mixture_batches(recipe, data, pipeline, training, folder, share, device, say)
    return Prepared(batches, validation, test, reader, sources.problems)


def recorded_sources(
    data: RecordingsData,
    labels: Sequence[str],
    folder: Path,
    say: Say,
    workers: int = 1,
) -> SourceSet:
    """Reads the recordings that a recipe names, or makes the built-in corpus under `folder`."""
    if data.folder == BUILTIN_CORPUS:
        from sedsdk.data.corpus import make_corpus

        say("making the built-in corpus")
        made = make_corpus(folder / DATA_FOLDER / "corpus", size=data.corpus_size, workers=workers)
        return _only_labels(made, labels)
    return read_sources(_folder(data), labels, data.with_speech)


def _folder(data: RecordingsData) -> Path:
    return Path(os.path.expandvars(data.folder)).expanduser()


def _with_cut_events(
    training: SourceSet, held_out: SourceSet, data: RecordingsData, labels: Sequence[str]
) -> SourceSet:
    """Adds events cut out of further recordings of the same split, outside the held-out groups."""
    found: list[Source] = []
    for listed in data.strong_lists:
        found += cut_strong_events(_folder(data), listed, labels)
    for label, folder in data.weak_folders.items():
        found += gate_weak_events(_folder(data), folder, label)
    kept_out = set() if data.validation.cross_fit else set(held_out.groups())
    more = [
        source
        for source in found
        if source.split == data.split and source.group_name not in kept_out
    ]
    return replace(training, events=training.events + tuple(more))


def _only_labels(sources: SourceSet, labels: Sequence[str]) -> SourceSet:
    if missing := [label for label in labels if label not in sources.labels]:
        raise DataError(
            f'the built-in corpus has no "{missing[0]}". It has: {", ".join(sources.labels)}.'
        )
    wanted = tuple(event for event in sources.events if event.label in labels)
    others = tuple(event for event in sources.events if event.label not in labels)
    return SourceSet(wanted, sources.backgrounds, sources.distractors + others, sources.problems)


def _mixtures(sources: SourceSet, held_out: HeldOut, folder: Path, workers: int) -> Manifest:
    return synthesise(sources, held_out.mixtures, folder, workers=workers)


def _mixture_batches(
    recipe: Recipe,
    data: RecordingsData,
    pipeline: Pipeline,
    sources: SourceSet,
    folder: Path,
    share: Share,
    device: torch.device | str,
    say: Say,
) -> MixtureBatches:
    frontends: dict[str, Frontend] = dict(pipeline.frontends.items())  # type: ignore[arg-type]
    mixing, classes = data.mixing, len(pipeline.labels)
    mixers: dict[str, EnergyMixer] = {}
    waveforms: WaveformMixer | None = None
    if all(frontend.additive for frontend in frontends.values()):
        say(f"computing the energies of {len(sources.sources)} recordings")
        for name, frontend in frontends.items():
            cache = None
            if recipe.training.cache:
                ref = pipeline.config.frontends[name].completed("frontend", pipeline.host)
                key = ["energies and power", ref.model_dump(mode="json")]
                cache = FeatureCache(folder / CACHE_FOLDER / f"{name}-sources", key)
            bank = EnergyBank.build(sources.sources, frontend, cache)
            mixers[name] = EnergyMixer(bank.to(device), classes, mixing.clip_seconds)
        durations = mixers["main"].bank.durations
    else:
        rate = max(pipeline.sample_rates)
        waveforms = WaveformMixer(sources.sources, classes, mixing.clip_seconds, rate)
        durations = [_seconds(source) for source in sources.sources]
    planner = MixturePlanner(sources, durations, pipeline.labels, mixing, recipe.training.seed)
    return MixtureBatches(
        pipeline, planner, mixers, waveforms, recipe.training.steps_per_epoch, share
    )


def _seconds(source: Source) -> float:
    end = audio_info(source.path).duration if source.end is None else source.end
    return end - source.start


def _from_manifests(
    recipe: Recipe, pipeline: Pipeline, share: Share, say: Say, reader: StreamReader
) -> Prepared:
    problems: list[str] = []

    def usable(manifest: Manifest) -> Manifest:
        kept, lost = check_files(manifest)
        problems.extend(str(problem) for problem in lost)
        if not len(kept):
            raise DataError(f"no clip of the manifest can be read; the first problem: {lost[0]}")
        return kept

    parts = [usable(part) if part is not None else None for part in _parts(recipe, pipeline)]
    train, validation, test = parts
    assert train is not None
    assert validation is not None
    say(f"reading {len(train)} training clips")
    train = _readable(train, reader, problems)
    for problem in problems:
        say(f"left out: {problem}")
    training = recipe.training
    batches = ClipBatches(
        pipeline,
        reader,
        train.clips,
        [_clip_seconds(clip) for clip in train.clips],
        training.chunk_seconds,
        training.chunk_overlap_seconds,
        training.seed,
        share,
    )
    return Prepared(batches, validation, test, reader, tuple(problems))


def _readable(manifest: Manifest, reader: StreamReader, problems: list[str]) -> Manifest:
    """Leaves out clips whose damage shows only when they are read, as that of a cut FLAC file."""
    kept: list[Clip] = []
    for clip in manifest:
        try:
            reader.check(clip)
        except AudioError as error:
            problems.append(str(error))
        else:
            kept.append(clip)
    if not kept:
        raise DataError(f"no training clip can be read; the first problem: {problems[0]}")
    return replace(manifest, clips=tuple(kept))


def _parts(recipe: Recipe, pipeline: Pipeline) -> list[Manifest | None]:
    data = recipe.data
    if isinstance(data, ManifestData):
        names = (data.train, data.validation, data.test)
        return [
            None if name is None else Manifest.read(name, labels=pipeline.labels) for name in names
        ]
    assert not isinstance(data, RecordingsData)
    read = pipeline.host.load_dataset(data.name)
    names = (data.train, data.validation, data.test)
    return [None if name is None else read(Path(data.folder), name) for name in names]


def _clip_seconds(clip: Clip) -> float:
    end = audio_info(clip.path).duration if clip.end is None else clip.end
    return float(end - (clip.start or 0.0))
