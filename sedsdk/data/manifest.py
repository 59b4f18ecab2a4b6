"""Lists of labelled clips: what training and evaluation run over."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sedsdk.audio import AudioInfo, audio_info
from sedsdk.data.problems import DataProblem
from sedsdk.errors import AudioError, DataError, did_you_mean
from sedsdk.types import Event

END_TOLERANCE_SECONDS = 0.1
"""How far a time may lie after the end it should respect: lists round, and codecs pad."""


@dataclass(frozen=True)
class Clip:
    """One clip and what is known of it.

    Attributes:
        id: unique name within a manifest.
        path: audio file.
        start: begin of the clip, in seconds from the start of the file.
        end: its end in the file, in seconds; None for the end of the file.
        tags: labels present anywhere in the clip; None if unknown, () if none is present.
        events: labels with times, in seconds from the clip's start (not the file's); None if
            unknown, () if there is none. The clip may be tagged and its events unknown.
        group: what clips share that must stay in one split; "" if nothing is known.
        split: name of its split; "" if it belongs to none.

    Raises:
        DataError: times out of order, negative or not finite; an event outside the clip; an empty
            id or label; tags and events that contradict each other.
    """

    id: str
    path: Path
    start: float = 0.0
    end: float | None = None
    tags: tuple[str, ...] | None = None
    events: tuple[Event, ...] | None = None
    group: str = ""
    split: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            raise DataError("a clip needs an id; use its file name.")
        if not (math.isfinite(self.start) and self.start >= 0):
            raise DataError(f"clip start {self.start:g} s; write seconds, at least 0.")
        if self.end is not None and not (math.isfinite(self.end) and self.end > self.start):
            raise DataError(f"clip end {self.end:g} s is not after its start {self.start:g} s.")
        for event in self.events or ():
            self._check_event(event)
        if "" in self.labels:
            raise DataError("an empty label; name the class.")
        self._check_agreement()

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels known to be present, from tags and events, sorted."""
        from_events = {event.label for event in self.events or ()}
        return tuple(sorted(from_events.union(self.tags or ())))

    def _check_event(self, event: Event) -> None:
        if not (math.isfinite(event.onset) and math.isfinite(event.offset)):
            raise DataError(
                f"onset {event.onset} and offset {event.offset} must be finite seconds."
            )
        if event.onset < 0:
            raise DataError(f"negative onset {event.onset:g} s; times count from the clip's start.")
        if event.offset < event.onset:
            raise DataError(
                f"offset {event.offset:g} s before onset {event.onset:g} s; "
                f"exchange or correct them."
            )
        if self.end is not None and event.offset > self.end - self.start + END_TOLERANCE_SECONDS:
            raise DataError(
                f"offset {event.offset:g} s in a clip of {self.end - self.start:g} s; event times "
                f"count from the clip's start, not from the file's."
            )

    def _check_agreement(self) -> None:
        if self.tags is None or self.events is None:
            return
        if self.tags and not self.events:
            raise DataError(
                f"tagged {', '.join(self.tags)} and said to have no event; "
                f"leave the events unknown."
            )
        untagged = sorted({event.label for event in self.events}.difference(self.tags))
        if untagged:
            raise DataError(f'an event "{untagged[0]}" that is not among the tags; add it to them.')


@dataclass(frozen=True)
class Manifest:
    """Clips and the labels they may have.

    Attributes:
        clips: in order, ids unique.
        labels: every class, in order; left empty it becomes all labels that occur, sorted.
        problems: what was listed where the clips come from and is not (fully) among them.

    Raises:
        DataError: two clips with one id, a label twice, or a clip's label that is not in `labels`.
    """

    clips: tuple[Clip, ...]
    labels: tuple[str, ...] = ()
    problems: tuple[DataProblem, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.labels:
            found = sorted({label for clip in self.clips for label in clip.labels})
            object.__setattr__(self, "labels", tuple(found))
        if len(set(self.labels)) < len(self.labels):
            raise DataError(f"a label is there twice: {', '.join(self.labels)}. Remove one.")
        seen: dict[str, Clip] = {}
        for clip in self.clips:
            if clip.id in seen:
                raise DataError(
                    f'two clips have the id "{clip.id}" ({seen[clip.id].path} and {clip.path}). '
                    f"Rename one, or leave it out."
                )
            seen[clip.id] = clip
            for label in clip.labels:
                check_label(label, self.labels, f'clip "{clip.id}"')

    @classmethod
    def read(
        cls,
        path: str | Path,
        labels: Collection[str] | None = None,
        audio_root: str | Path | None = None,
    ) -> Manifest:
        """Reads a manifest; `sedsdk.data.manifest_format` describes the formats.

        Args:
            path: .csv, .tsv, .txt or .jsonl file.
            labels: the classes in order; None for those that the file states or that occur.
            audio_root: folder that file names are relative to; None for the manifest's own.

        Raises:
            DataError: with file and line, and what is wrong there.
        """
        from sedsdk.data.manifest_format import read_manifest

        return read_manifest(Path(path), labels, audio_root)

    def write(self, path: str | Path, audio_root: str | Path | None = None) -> None:
        """Writes a manifest that `read` gives back unchanged; the suffix says the format.

        CSV and TSV hold no list of labels: hand `labels` to `read` to keep their order.

        Args:
            path: .csv, .tsv or .jsonl file; appears at once and complete.
            audio_root: folder that file names become relative to; None for the manifest's own.

        Raises:
            DataError: the format cannot hold a label, or the file cannot be written.
        """
        from sedsdk.data.manifest_format import write_manifest

        write_manifest(self, Path(path), audio_root)

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __getitem__(self, clip_id: str) -> Clip:
        """Returns the clip of that id; raises DataError if there is none."""
        return self.subset([clip_id]).clips[0]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that occur, sorted."""
        return tuple(sorted({clip.split for clip in self.clips if clip.split}))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of labels and clips; folders do not count, so moved data keeps it."""
        content = [list(self.labels), [[clip.path.name, *_plain(clip)] for clip in self.clips]]
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def subset(self, ids: Iterable[str]) -> Manifest:
        """Returns the clips of these ids, in the given order, with the same labels.

        Raises:
            DataError: an id is unknown.
        """
        by_id = {clip.id: clip for clip in self.clips}
        chosen = []
        for clip_id in ids:
            if clip_id not in by_id:
                raise DataError(f'no clip "{clip_id}".{did_you_mean(clip_id, by_id)}')
            chosen.append(by_id[clip_id])
        return replace(self, clips=tuple(chosen))

    def filter(self, wanted: Callable[[Clip], bool]) -> Manifest:
        """Returns the clips for which `wanted` is true, with the same labels."""
        return replace(self, clips=tuple(filter(wanted, self.clips)))

    def split(self, name: str) -> Manifest:
        """Returns the clips of one split, with the same labels.

        Raises:
            DataError: no clip belongs to it.
        """
        if name not in self.splits:
            raise DataError(
                f'no clip is in split "{name}".{did_you_mean(name, self.splits)} '
                f"There are: {', '.join(self.splits) or 'none'}."
            )
        return self.filter(lambda clip: clip.split == name)

    def combine(self, *others: Manifest) -> Manifest:
        """Returns the clips of all; new labels go behind those of the manifests before.

        Raises:
            DataError: two clips have the same id.
        """
        manifests = (self, *others)
        labels = dict.fromkeys(label for manifest in manifests for label in manifest.labels)
        clips = tuple(clip for manifest in manifests for clip in manifest)
        problems = tuple(problem for manifest in manifests for problem in manifest.problems)
        return Manifest(clips, tuple(labels), problems)


@dataclass(frozen=True)
class FileProblem:
    """Why a clip cannot be used.

    Attributes:
        clip_id: the clip.
        path: its audio file.
        reason: what is wrong and what to do.
    """

    clip_id: str
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.clip_id}: {self.reason}"


def check_files(
    manifest: Manifest, progress: Callable[[int, int], None] | None = None
) -> tuple[Manifest, list[FileProblem]]:
    """Opens the header of every audio file and sorts out what cannot be used.

    A missing file among thousands costs that file only. Damage that no header shows (a truncated
    FLAC) is found when the samples are read.

    Args:
        manifest: the clips.
        progress: called with (done, in all) clips.

    Returns:
        The usable clips, with the same labels, and one problem per other clip.
    """
    usable: list[Clip] = []
    problems: list[FileProblem] = []
    known: dict[Path, AudioInfo | AudioError] = {}
    for done, clip in enumerate(manifest):
        if progress is not None:
            progress(done, len(manifest))
        if clip.path not in known:
            try:
                known[clip.path] = audio_info(clip.path)
            except AudioError as error:
                known[clip.path] = error
        found = known[clip.path]
        reason = str(found) if isinstance(found, AudioError) else _outside(clip, found.duration)
        if reason:
            problems.append(FileProblem(clip.id, clip.path, reason))
        else:
            usable.append(clip)
    return replace(manifest, clips=tuple(usable)), problems


def check_label(label: str, labels: Collection[str], place: str) -> None:
    """Refuses a label that is not in the set.

    Raises:
        DataError: it is not; the message begins with `place`.
    """
    if label not in labels:
        raise DataError(
            f'{place}: label "{label}" is not in the set.{did_you_mean(label, labels)} '
            f"The labels are: {', '.join(labels)}."
        )


def _outside(clip: Clip, duration: float) -> str:
    """Returns why a clip does not lie inside a file of `duration` seconds, or ""."""
    if clip.start >= duration:
        return f"starts at {clip.start:g} s in a file of {duration:.3f} s; correct its start"
    if clip.end is not None and clip.end > duration + END_TOLERANCE_SECONDS:
        return f"ends at {clip.end:g} s in a file of {duration:.3f} s; correct its end"
    length = (duration if clip.end is None else clip.end) - clip.start
    for event in clip.events or ():
        if event.offset > length + END_TOLERANCE_SECONDS:
            return (
                f"has an event until {event.offset:g} s and lasts {length:.3f} s; event times "
                f"count from the clip's start"
            )
    return ""


def _plain(clip: Clip) -> list[Any]:
    tags = None if clip.tags is None else list(clip.tags)
    events = (
        None if clip.events is None else [list(event.as_dict().values()) for event in clip.events]
    )
    return [clip.id, clip.start, clip.end, tags, events, clip.group, clip.split]
