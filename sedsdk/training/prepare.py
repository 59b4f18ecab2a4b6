"""Turns a recipe's data section into training batches, validation clips and test clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from sedsdk.audio import audio_info
from sedsdk.data.energy_mixer import EnergyBank, EnergyMixer
from sedsdk.data.feature_cache import FeatureCache
from sedsdk.data.manifest import Clip, Manifest, check_files, check_label
from sedsdk.data.mixture_plans import MixturePlanner
from sedsdk.data.problems import DataProblem
from sedsdk.data.source_set import Source, SourceSet
from sedsdk.data.tut_rare import PartMissing
from sedsdk.data.waveform_mixer import WaveformMixer
from sedsdk.errors import AudioError, DataError
from sedsdk.pipeline import Pipeline
from sedsdk.stages import Frontend
from sedsdk.training.batches import Batches, ClipBatches, MixtureBatches, Share
from sedsdk.training.made_mixtures import ListedClips, MixtureMaker, expanded
from sedsdk.training.places import Places, Say
from sedsdk.training.problems import UNUSABLE_AUDIO, say_problems, write_problems
from sedsdk.training.progress import CountedWork
from sedsdk.training.recipe import HeldOut, ManifestData, Recipe, RecordingsData
from sedsdk.training.recordings import divided, recorded_sources
from sedsdk.training.streams import StreamReader


@dataclass(frozen=True)
class Prepared:
    """What a run needs of its data.

    Attributes:
        batches: training batches.
        validation: clips for early stopping and thresholds.
        test: clips to score on, None if the recipe has none.
        reader: computes and keeps the streams of recorded clips.
        problems: one line per recording, or listed row, that could not be used.
        further_tests: name → more clips to score on.
        origins: name of a test → where its clips come from, in words.
        skipped: name of a further test → why there are no clips for it.
    """

    batches: Batches
    validation: Manifest
    test: Manifest | None
    reader: StreamReader
    problems: tuple[str, ...] = field(default=())
    further_tests: Mapping[str, Manifest] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


def prepare(
    recipe: Recipe,
    pipeline: Pipeline,
    folder: Path,
    share: Share,
    device: torch.device | str,
    say: Say,
    workers: int | None = None,
    shared: Path | None = None,
) -> Prepared:
    """Reads or makes the data of a recipe.

    Everything made is kept under `folder`, or under `shared`, and found again by the next call.

    Args:
        recipe: whose data section counts.
        pipeline: whose frontends compute the features.
        folder: of the run.
        share: of this process.
        device: where mixtures are mixed.
        say: takes lines for the reader.
        workers: processes that synthesise; None for one per core.
        shared: folder that runs share; see `Places`.

    Raises:
        DataError, AudioError: as `sedsdk.data` raises them.
    """
    places = Places(folder, shared)
    cache = places.cache if recipe.training.cache else None
    reader = StreamReader(pipeline, cache, places.locks)
    if isinstance(recipe.data, RecordingsData):
        maker = MixtureMaker(places, say, workers or os.cpu_count() or 1)
        return _from_recordings(recipe, recipe.data, pipeline, maker, share, device, reader)
    return _from_manifests(recipe, pipeline, folder, share, say, reader)


def _from_recordings(
    recipe: Recipe,
    data: RecordingsData,
    pipeline: Pipeline,
    maker: MixtureMaker,
    share: Share,
    device: torch.device | str,
    reader: StreamReader,
) -> Prepared:
    say = maker.say
    sources = recorded_sources(data, pipeline.labels, maker.places, say, maker.workers)
    for problem in sources.problems:
        say(f"recording: {problem}")
    training, held_out = divided(sources, data, pipeline.labels)
    say(
        f"train on {len(training.events)} events, {len(training.backgrounds)} backgrounds and "
        f"{len(training.distractors)} other sounds; validate on {len(held_out.events)} events of "
        "other recordings"
    )
    scored, skipped = _scored(data, sources, held_out, maker)
    problems = [*sources.problems, *(line for one in scored.values() for line in one.problems)]
    batches: Batches
    if data.training_mixtures is None:
        batches = _mixture_batches(
            recipe, data, pipeline, training, maker.places, share, device, say
        )
    else:
        made = maker.draw("training", training, data.training_mixtures)
        problems += made.problems
        known = _weakly_labelled(made.clips) if data.labels == "weak" else made.clips
        batches = _clip_batches(recipe, pipeline, known, reader, share, say, problems)
    clips = {name: one.clips for name, one in scored.items()}
    return Prepared(
        batches,
        clips.pop("validation"),
        clips.pop("test", None),
        reader,
        tuple(problems),
        clips,
        {name: one.origin for name, one in scored.items()},
        skipped,
    )


def _scored(
    data: RecordingsData, sources: SourceSet, held_out: SourceSet, maker: MixtureMaker
) -> tuple[dict[str, ListedClips], dict[str, str]]:
    """Returns what is judged by, by name, and why a further test is left out."""

    def clips(name: str, wanted: HeldOut) -> ListedClips:
        place = name if name not in data.further_tests else f"further_tests.{name}"
        if wanted.part is not None:
            return maker.read_part(place, wanted, wanted.part, expanded(data.folder), sources)
        assert wanted.mixtures is not None
        drawn_from = held_out if name == "validation" else sources.split(str(wanted.split))
        return maker.draw(place, drawn_from, wanted.mixtures)

    found: dict[str, ListedClips] = {}
    skipped: dict[str, str] = {}
    for name, wanted in data.held_out.items():
        further = name in data.further_tests
        if wanted == data.validation and wanted.part is not None and found:
            found[name] = replace(found["validation"], problems=())
            continue
        try:
            if further and wanted.split is not None and wanted.split not in sources.splits:
                raise PartMissing(f'no recording is in split "{wanted.split}".')
            found[name] = clips(name, wanted)
        except PartMissing as error:
            if not further:
                raise DataError(f"data.{name}: {error}") from error
            skipped[name] = str(error)
            maker.say(f"further test {name} is left out: {error}")
    return found, skipped


def _mixture_batches(
    recipe: Recipe,
    data: RecordingsData,
    pipeline: Pipeline,
    sources: SourceSet,
    places: Places,
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
                cache = FeatureCache(places.cache / f"{name}-sources", key, places.locks)
            progress = CountedWork("recordings with energies", say)
            bank = EnergyBank.build(sources.sources, frontend, cache, progress)
            mixers[name] = EnergyMixer(bank.to(device), classes, mixing.clip_seconds)
        durations = mixers["main"].bank.durations
    else:
        rate = max(pipeline.sample_rates)
        waveforms = WaveformMixer(sources.sources, classes, mixing.clip_seconds, rate)
        durations = [_seconds(source) for source in sources.sources]
    planner = MixturePlanner(sources, durations, pipeline.labels, mixing, recipe.training.seed)
    return MixtureBatches(
        pipeline,
        planner,
        mixers,
        waveforms,
        recipe.training.steps_per_epoch,
        share,
        weak=data.labels == "weak",
    )


def _weakly_labelled(clips: Manifest) -> Manifest:
    """Forgets when the events are; the clip's tags say which there are."""
    return replace(clips, clips=tuple(replace(clip, events=None) for clip in clips))


def _seconds(source: Source) -> float:
    end = audio_info(source.path).duration if source.end is None else source.end
    return end - source.start


def _from_manifests(
    recipe: Recipe, pipeline: Pipeline, folder: Path, share: Share, say: Say, reader: StreamReader
) -> Prepared:
    found: list[DataProblem] = []

    def usable(manifest: Manifest) -> Manifest:
        kept, lost = check_files(manifest, CountedWork("audio files checked", say))
        found.extend(manifest.problems)
        found.extend(DataProblem(UNUSABLE_AUDIO, str(problem)) for problem in lost)
        if not len(kept):
            raise DataError(f"no clip of the manifest can be read; the first problem: {lost[0]}")
        return kept

    parts = [usable(part) if part is not None else None for part in _parts(recipe, pipeline, say)]
    train, validation, test = parts
    assert train is not None
    assert validation is not None
    say_problems(found, folder, say)
    problems = [str(problem) for problem in found]
    if share.rank == 0:
        write_problems(problems, folder)
    known = len(problems)
    batches = _clip_batches(recipe, pipeline, train, reader, share, say, problems)
    if share.rank == 0 and len(problems) > known:
        write_problems(problems, folder)
    return Prepared(batches, validation, test, reader, tuple(problems))


def _clip_batches(
    recipe: Recipe,
    pipeline: Pipeline,
    clips: Manifest,
    reader: StreamReader,
    share: Share,
    say: Say,
    problems: list[str],
) -> ClipBatches:
    say(f"reading {len(clips)} training clips")
    known = len(problems)
    clips = _readable(clips, reader, problems, CountedWork("training clips read", say))
    for problem in problems[known:]:
        say(f"left out: {problem}")
    training = recipe.training
    return ClipBatches(
        pipeline,
        reader,
        clips.clips,
        [_clip_seconds(clip) for clip in clips],
        training.chunk_seconds,
        training.chunk_overlap_seconds,
        training.seed,
        share,
    )


def _readable(
    manifest: Manifest,
    reader: StreamReader,
    problems: list[str],
    progress: Callable[[int, int], None],
) -> Manifest:
    """Leaves out clips whose damage shows only when they are read, as that of a cut FLAC file."""
    kept: list[Clip] = []
    for done, clip in enumerate(manifest):
        progress(done, len(manifest))
        try:
            reader.check(clip)
        except AudioError as error:
            problems.append(str(error))
        else:
            kept.append(clip)
    if not kept:
        raise DataError(f"no training clip can be read; the first problem: {problems[0]}")
    return replace(manifest, clips=tuple(kept))


def _parts(recipe: Recipe, pipeline: Pipeline, say: Say) -> list[Manifest | None]:
    data = recipe.data
    assert not isinstance(data, RecordingsData)
    names = (data.train, data.validation, data.test)
    if isinstance(data, ManifestData):
        return [
            None if name is None else Manifest.read(name, labels=pipeline.labels) for name in names
        ]
    read = pipeline.host.load_dataset(data.name)
    parts: dict[str | None, Manifest | None] = {None: None}
    labels: dict[str, None] = {}
    for name in filter(None, names):
        say(f"reading part {name} of {data.name}")
        part: Manifest = read(expanded(data.folder), name)
        labels.update(dict.fromkeys(part.labels))
        parts[name] = part
    for label in pipeline.labels:
        check_label(label, labels, f"pipeline.labels, data set {data.name}")
    return [parts[name] for name in names]


def _clip_seconds(clip: Clip) -> float:
    end = audio_info(clip.path).duration if clip.end is None else clip.end
    return float(end - (clip.start or 0.0))
