"""The phonemes of sound events: what a speech recogniser hears in each class (Table 2, Figure 2).

from sedsdk_gradual.phonemes import LabelledSound, find_events, phoneme_shares

analysis = phoneme_shares(find_events("recordings"))  # events/<label>/*, by the bundled model
analysis = phoneme_shares([LabelledSound("doorbell", samples, 16000)], "exp/chain/tdnn_1d_sp")
analysis.classes[0].phones[0].share
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaldi_bridge.errors import KaldiError
from sedsdk.audio import AUDIO_SUFFIXES, Waveform, check_waveform, read_audio, resample
from sedsdk.data.manifest import Manifest
from sedsdk.data.problems import counts_in_words
from sedsdk.data.source_set import Source, SourceSet
from sedsdk.data.sources import OTHER_EVENTS_FOLDER, SPEECH_LABEL, read_origin, read_sources
from sedsdk.data.tut_rare import PartMissing, read_tut_rare
from sedsdk.data.tut_rare_parts import is_development_set
from sedsdk.errors import DataError, SedsdkError, did_you_mean
from sedsdk_gradual.phone_counts import ClassPhones, PhonemeAnalysis, PhoneShare, Tally

if TYPE_CHECKING:
    from kaldi_bridge import AcousticModel
    from sedsdk_gradual.phone_runs import PhoneHearing, PhoneTable

__all__ = [
    "ClassPhones",
    "LabelledSound",
    "PhoneShare",
    "PhonemeAnalysis",
    "find_events",
    "phoneme_shares",
]

BUNDLED = "bundled"
EVERY_SPLIT = "all"
LEARNT_FROM = ("train", "devtrain")
"""Splits that are taken where none is asked for: the paper looks at its training events."""
MANIFESTS = ("manifest*.csv", "manifest*.tsv", "manifest*.jsonl")

Update = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class LabelledSound:
    """An event in memory.

    Attributes:
        label: its class.
        samples: float in [-1, 1], int16 or int32, [N] or [N, channels].
        sample_rate: hertz.
        name: how problems call it.
    """

    label: str
    samples: Any
    sample_rate: float
    name: str = ""


LabelledEvents = Manifest | SourceSet | Iterable[Source | LabelledSound]


def phoneme_shares(
    clips: LabelledEvents,
    model: AcousticModel | Path | str | None = None,
    *,
    labels: Sequence[str] | None = None,
    phones: PhoneTable | None = None,
    min_seconds: float = 0.0,
    forms: bool = True,
    on_event: Update | None = None,
) -> PhonemeAnalysis:
    """Returns the most likely phones of each class of sound events.

    Every event is heard by itself, resampled to the model's rate. The phone of a frame is the one
    with the largest posterior (the sum over the pdfs that it uses), its stress and word position
    those most likely over the run of frames that share the phone. With `min_seconds`, the phones
    are those of the best path on which each lasts so long.

    Source: Section 3 of the paper ("most likely phoneme and its alignment duration").

    Args:
        clips: events with a class each: sources, sounds in memory, or both; the events of a source
            set; the events of a manifest, where a clip with a single tag and no times is one event.
        model: a loaded model, or what `AcousticModel.load` takes; None for the bundled one.
        labels: classes wanted, in order; None for all, sorted.
        phones: `phones.txt` or number → name; None for the table in the model's folder.
        min_seconds: least length of a phone.
        forms: whether stresses and word positions are kept apart, as in "EH1 S".
        on_event: called with (events heard, events in all).

    Raises:
        DataError: a class without events, or not one that can be heard; the model cannot be read,
            or lacks its transition model, phone table, feature conf or extractor.
    """
    if not 0 <= min_seconds < float("inf"):
        raise DataError(f"min_seconds is {min_seconds}; give seconds, 0 or more.")
    problems: list[str] = []
    events = _events(clips, problems)
    order = _order(events, labels)
    hearing, name = _hearing(model, phones, forms)
    tallies = {label: Tally() for label in order}
    wanted = [event for event in events if event.label in tallies]
    for done, event in enumerate(wanted):
        if on_event is not None:
            on_event(done, len(wanted))
        try:
            samples = _samples(event, hearing.sample_rate)
            runs = hearing.runs(samples, min_seconds)
            if not runs:
                raise DataError(f"{len(samples) / hearing.sample_rate:.3f} s is below one frame.")
            tallies[event.label].add(runs, len(samples) / hearing.sample_rate)
        except (SedsdkError, KaldiError, OSError) as error:
            problems.append(f"{event.label}, {_event_name(event)}: {error}")
    if on_event is not None:
        on_event(len(wanted), len(wanted))
    problems += [
        f"{label}: not one event could be heard" for label in order if not tallies[label].seconds
    ]
    classes = tuple(
        tally.result(label, hearing.hop_seconds)
        for label, tally in tallies.items()
        if tally.seconds
    )
    if not classes:
        raise DataError(f"not one of {len(wanted)} events could be heard. First: {problems[0]}")
    return PhonemeAnalysis(name, hearing.hop_seconds, min_seconds, classes, tuple(problems))


def find_events(
    path: Path | str,
    labels: Sequence[str] | None = None,
    *,
    split: str | None = None,
    with_speech: bool = False,
) -> SourceSet:
    """Finds the events of a labelled set.

    A set is one of

    - a manifest, any that `Manifest.read` takes, or a folder with one, `manifest*.csv`;
    - a folder with `events/<label>/*`, and maybe `events_other/<label>/*`, `speech/**`,
      `origin.csv`; or just with `<label>/*`;
    - TUT Rare Sound Events 2017 as downloaded: its isolated events or, where those are not there,
      the events in its finished mixtures.

    Args:
        path: the file or folder.
        labels: classes wanted; None for all, but for those of `events_other/`.
        split: one of the set's, or "all"; None for what is learned from, if the set says so.
        with_speech: the recordings in `speech/` become distractors of the class "speech".

    Raises:
        DataError: the path is none of these, or holds no event of a class, or no such split.
    """
    path = Path(path)
    if path.is_file():
        found = manifest_events(Manifest.read(path))
    elif not path.is_dir():
        raise DataError(f"{path}: no such file or folder.")
    elif is_development_set(path):
        found = read_sources(path, other_events=False)
    elif (path / "events").is_dir():
        found = _folder_events(path, path / "events", with_speech)
        others = _folder_events(path, path / OTHER_EVENTS_FOLDER, False).events
        found = replace(found, events=found.events + others) if labels else found
    else:
        found = _listed_events(path)
    return _chosen(found, labels, split)


def manifest_events(manifest: Manifest) -> SourceSet:
    """Returns every event of a manifest; a clip with one tag and unknown times is one event."""
    events: list[Source] = []
    problems = [counts_in_words(manifest.problems)] if manifest.problems else []
    for clip in manifest:
        if clip.events is not None:
            for event in clip.events:
                start, end = clip.start + event.onset, clip.start + event.offset
                events.append(Source(clip.path, event.label, start, end, clip.group, clip.split))
        elif clip.tags is not None and len(clip.tags) == 1:
            label = clip.tags[0]
            events.append(Source(clip.path, label, clip.start, clip.end, clip.group, clip.split))
        elif clip.tags is None or clip.tags:
            what = "several tags" if clip.tags else "no labels"
            problems.append(f"{clip.id}: {what} and no times, so no event can be heard by itself")
    return SourceSet(tuple(events), problems=tuple(problems))


def _events(clips: LabelledEvents, problems: list[str]) -> Sequence[Source | LabelledSound]:
    found = manifest_events(clips) if isinstance(clips, Manifest) else clips
    if isinstance(found, SourceSet):
        problems += found.problems
        return found.events
    if isinstance(found, str | Path):
        raise DataError(f'"{found}" is a path: give find_events("{found}").')
    return list(found)


def _order(
    events: Sequence[Source | LabelledSound], labels: Sequence[str] | None
) -> tuple[str, ...]:
    """Returns the classes in order, speech last where none is given."""
    present = sorted(
        {event.label for event in events}, key=lambda name: (name == SPEECH_LABEL, name)
    )
    if not present:
        raise DataError("there is no labelled event. Name a set that has some.")
    for label in labels or ():
        _check_present(label, present)
    return tuple(dict.fromkeys(labels or present))


def _check_present(label: str, present: Sequence[str]) -> None:
    if label not in present:
        raise DataError(
            f'no events of "{label}".{did_you_mean(label, present)} There are: '
            f"{', '.join(present) or 'none'}."
        )


def _hearing(
    model: AcousticModel | Path | str | None, phones: PhoneTable | None, forms: bool
) -> tuple[PhoneHearing, str]:
    """Returns what hears phones, and its name."""
    from kaldi_bridge import AcousticModel
    from sedsdk_gradual.phone_runs import PhoneHearing

    try:
        if isinstance(model, str | Path):
            model = AcousticModel.load(model)
        name = BUNDLED if model is None else _folder_name(model)
        loaded = AcousticModel.bundled() if model is None else model
    except KaldiError as error:
        raise DataError(str(error)) from error
    return PhoneHearing(loaded, phones, forms=forms), name


def _folder_name(model: AcousticModel) -> str:
    return model.files.model.resolve().parent.name if model.files else "made in Python"


def _samples(event: Source | LabelledSound, sample_rate: int) -> Waveform:
    if isinstance(event, Source):
        return read_audio(event.path, sample_rate, event.start, event.end)[0]
    samples = check_waveform(event.samples, event.sample_rate, event.name or "sound")
    return resample(samples, event.sample_rate, sample_rate)


def _event_name(event: Source | LabelledSound) -> str:
    if isinstance(event, LabelledSound):
        return event.name or "sound"
    span = f" from {event.start:g} s" if event.start else ""
    return f"{event.path.name}{span}"


def _folder_events(root: Path, folder: Path, with_speech: bool) -> SourceSet:
    """Reads <folder>/<label>/*, with what `origin.csv` of the root says."""
    origin, _ = read_origin(root)

    def source(path: Path, label: str) -> Source:
        name = path.relative_to(root).as_posix()
        cells = origin[name].cells if name in origin else {}
        group, split = cells.get("group", "") or name, cells.get("split", "")
        return Source(path, label, group=group, split=split)

    events = tuple(source(path, path.parent.name) for path in _audio_files(folder, "*/*"))
    speech = _audio_files(root / SPEECH_LABEL, "**/*") if with_speech else ()
    return SourceSet(events, (), tuple(source(path, SPEECH_LABEL) for path in speech))


def _listed_events(folder: Path) -> SourceSet:
    """Reads the manifest in a folder, else mixtures of TUT Rare, else <label>/*."""
    manifests = [file for ending in MANIFESTS for file in sorted(folder.glob(ending))]
    if len(manifests) > 1:
        names = ", ".join(file.name for file in manifests)
        raise DataError(f"{folder} holds several manifests: {names}. Name the one you want.")
    if manifests:
        return manifest_events(Manifest.read(manifests[0]))
    try:
        return manifest_events(read_tut_rare(folder, LEARNT_FROM[-1]))
    except PartMissing:
        found = _folder_events(folder, folder, False)
    if not found.events:
        raise DataError(
            f"{folder} holds no labelled events. Give a manifest, a folder with events/<label>/* "
            "or <label>/*, or TUT Rare Sound Events 2017 as downloaded."
        )
    return found


def _audio_files(folder: Path, pattern: str) -> list[Path]:
    return sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    )


def _chosen(found: SourceSet, labels: Sequence[str] | None, split: str | None) -> SourceSet:
    """Keeps the wanted classes of the wanted split."""
    if split is None:
        known = {event.split for event in found.events}
        split = next((name for name in LEARNT_FROM if name in known), EVERY_SPLIT)
    kept = found if split == EVERY_SPLIT else found.split(split)
    for label in labels or ():
        _check_present(label, kept.labels)
    events = tuple(event for event in kept.events if not labels or event.label in labels)
    return replace(kept, events=events)
