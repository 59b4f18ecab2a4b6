"""The recordings that a recipe mixes: which are learned from, and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sedsdk.data.event_cuts import cut_strong_events, gate_weak_events
from sedsdk.data.source_set import Source, SourceSet
from sedsdk.data.sources import read_sources
from sedsdk.errors import DataError
from sedsdk.training.made_mixtures import expanded
from sedsdk.training.places import Places, Say
from sedsdk.training.progress import CountedWork
from sedsdk.training.recipe import BUILTIN_CORPUS, RecordingsData


def recorded_sources(
    data: RecordingsData,
    labels: Sequence[str],
    places: Places,
    say: Say,
    workers: int = 1,
) -> SourceSet:
    """Reads the recordings that a recipe names, or makes the built-in corpus.

    Raises:
        DataError: as `read_sources` and `make_corpus`.
    """
    if data.folder != BUILTIN_CORPUS:
        return read_sources(expanded(data.folder), labels, data.with_speech, data.other_events)
    from sedsdk.data.corpus import make_corpus

    say("making the built-in corpus")
    folder = places.corpus(data.corpus_size)
    with places.making(folder, "the built-in corpus", say):
        progress = CountedWork("sounds made", say)
        made = make_corpus(folder, size=data.corpus_size, workers=workers, progress=progress)
    return _only_labels(made, labels, data.other_events is not False)


def divided(
    sources: SourceSet, data: RecordingsData, labels: Sequence[str]
) -> tuple[SourceSet, SourceSet]:
    """Returns what is learned from, and what validation is made of.

    Args:
        sources: all recordings.
        data: says how they are divided.
        labels: the classes.

    Raises:
        DataError: a split does not exist, or too few groups for the folds.
    """
    training = sources.split(data.split)
    validation = data.validation
    if validation.part is not None:
        held_out = sources.keep(lambda source: source.split == validation.part)
    elif validation.split is not None:
        held_out = sources.split(validation.split)
    else:
        heard, held_out = training.folds(validation.folds)[validation.fold]
        training = training if validation.cross_fit else heard
    return _with_cut_events(training, held_out, data, labels), held_out


def _with_cut_events(
    training: SourceSet, held_out: SourceSet, data: RecordingsData, labels: Sequence[str]
) -> SourceSet:
    """Adds events cut out of further recordings of the same split, outside the held-out groups."""
    folder = expanded(data.folder)
    found: list[Source] = []
    for listed in data.strong_lists:
        found += cut_strong_events(folder, listed, labels)
    for label, subfolder in data.weak_folders.items():
        found += gate_weak_events(folder, subfolder, label)
    kept_out = set() if data.validation.cross_fit else set(held_out.groups())
    more = [
        source
        for source in found
        if source.split == data.split and source.group_name not in kept_out
    ]
    return replace(training, events=training.events + tuple(more))


def _only_labels(sources: SourceSet, labels: Sequence[str], with_others: bool) -> SourceSet:
    if missing := [label for label in labels if label not in sources.labels]:
        raise DataError(
            f'the built-in corpus has no "{missing[0]}". It has: {", ".join(sources.labels)}.'
        )
    wanted = tuple(event for event in sources.events if event.label in labels)
    others = tuple(event for event in sources.events if event.label not in labels and with_others)
    return SourceSet(wanted, sources.backgrounds, sources.distractors + others, sources.problems)
