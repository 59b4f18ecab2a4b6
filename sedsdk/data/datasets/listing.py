"""Rows of a data set's lists, brought together by clip, and the manifest that they become.

A row whose form is wrong is an error with file and line: a cut download, or an edited file. What
published lists and incomplete downloads are known to have wrong costs a row or a clip and is
noted: missing audio, labels that are not of the set, rows that are there twice, times that are
missing or lie outside the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sedsdk.data.datasets.audio_files import AudioFiles, audio_stem
from sedsdk.data.datasets.parts import Wanted
from sedsdk.data.manifest import Clip, Manifest
from sedsdk.data.manifest_entries import clip_at, seconds
from sedsdk.data.problems import DataProblem, counts_in_words
from sedsdk.errors import DataError, did_you_mean
from sedsdk.types import Event

MISSING_AUDIO = "missing audio"
MISSING_ANNOTATION = "missing annotation"
UNKNOWN_LABEL = "unknown label"
DUPLICATE_ROW = "duplicate row"
NO_TIMES = "label without times"
WRONG_TIMES = "wrong times"
PAST_THE_END = "event past the end"
NOT_AGREED = "annotators disagree"
CURE = "Download the list again."


@dataclass
class ListedClip:
    """What the rows of a list say of one clip.

    Attributes:
        name: as listed; the clip's id.
        place: "file:line" of its first row.
        group: its recording.
        stems: names without suffix that its audio may have.
        length: in seconds, as the list or the name states it; None if neither does.
        tags: labels in it, in the order of the rows.
        events: those of its labels that have times.
        spoilt: a row makes it unusable, and a problem says so.
    """

    name: str
    place: str
    group: str
    stems: Sequence[str]
    length: float | None = None
    tags: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    spoilt: bool = False


class Listing:
    """The clips of one part of a data set.

    Args:
        path: the list, for messages.
        part: what is read, for messages and as the clips' split.
        labels: of the data set, in order.
        wanted: which recording groups belong to the part.
    """

    def __init__(self, path: Path, part: str, labels: Sequence[str], wanted: Wanted) -> None:
        self.problems: list[DataProblem] = []
        self._path = path
        self._part = part
        self._labels = tuple(labels)
        self._known = frozenset(labels)
        self._wanted = wanted
        self._clips: dict[str, ListedClip] = {}

    def clip(
        self,
        name: str,
        place: str,
        group: str = "",
        stems: Sequence[str] = (),
        length: float | None = None,
    ) -> ListedClip | None:
        """Returns the clip that a row is about; None if it does not belong to the part.

        Args:
            name: of the clip, as listed.
            place: "file:line" of the row.
            group: its recording; the name without suffix if not given.
            stems: as in `ListedClip`; the name without suffix if not given.
            length: as in `ListedClip`.

        Raises:
            DataError: the name is empty.
        """
        if not name:
            raise DataError(f"{place}: the clip's name is empty. {CURE}")
        if name not in self._clips:
            stem = audio_stem(name)
            if not self._wanted(group or stem):
                return None
            self._clips[name] = ListedClip(
                name, place, group or stem, tuple(stems) or (stem,), length
            )
        return self._clips[name]

    def only_row(self, clip: ListedClip | None, place: str) -> ListedClip | None:
        """Returns the clip if this is its first row; notes the row otherwise.

        For lists that have one row per clip.
        """
        if clip is None or clip.place == place:
            return clip
        self.note(DUPLICATE_ROW, f"{place}: {clip.name} is already at {clip.place}")
        return None

    def tag(self, clip: ListedClip | None, label: str, place: str) -> None:
        """Takes a row that says that a label is in the clip.

        Raises:
            DataError: the label is empty.
        """
        _check_label(label, place)
        if clip is None or not self._is_known(clip, label, place):
            return
        if label in clip.tags:
            self.note(DUPLICATE_ROW, f"{place}: {clip.name} has {label} already")
        else:
            clip.tags.append(label)

    def event(
        self, clip: ListedClip | None, onset: str, offset: str, label: str, place: str
    ) -> None:
        """Takes a row that says when a label is in the clip, in seconds from the clip's start.

        Onset and offset 0 say that the label was stated but not found by the annotator: the
        label stays and the event does not.

        Raises:
            DataError: a time is no number, or the label is empty.
        """
        _check_label(label, place)
        begin, end = seconds(onset, "onset", place), seconds(offset, "offset", place)
        if clip is None or not self._is_known(clip, label, place):
            return
        if end < begin or begin < 0 or (clip.length is not None and begin > clip.length):
            self._spoil(clip, WRONG_TIMES, f"{place}: {clip.name} has {label} {begin:g} – {end:g}")
            return
        if begin == end == 0:
            self.note(NO_TIMES, f"{place}: {clip.name} has {label} from 0 to 0 s")
        else:
            if clip.length is not None and end > clip.length:
                text = f"{place}: {clip.name} has {label} until {end:g} of {clip.length:g} s"
                self.note(PAST_THE_END, text)
                end = clip.length
            event = Event(begin, end, label)
            if event in clip.events:
                self.note(DUPLICATE_ROW, f"{place}: {clip.name} has {label} at {begin:g} already")
                return
            clip.events.append(event)
        if label not in clip.tags:
            clip.tags.append(label)

    def note(self, kind: str, text: str) -> None:
        """Notes a problem."""
        self.problems.append(DataProblem(kind, text))

    def manifest(self, audio: AudioFiles, known: str, prefix: str = "") -> Manifest:
        """Returns the clips whose audio is there.

        Args:
            audio: where it is looked for.
            known: "strong" for events with times (a clip whose labels all lack times has
                unknown events), "weak" for tags, "nothing" for unlabelled clips.
            prefix: goes before the ids, where names repeat between parts.

        Raises:
            DataError: the list has no clip of the part; none has audio; none can be used.
        """
        if not self._clips:
            raise DataError(f"{self._path} lists no clip of {self._part}.")
        clips = []
        found = False
        for listed in self._clips.values():
            path = audio.find(listed.stems)
            if path is None:
                self.note(MISSING_AUDIO, f"{listed.place}: {listed.name}")
                continue
            found = True
            if not listed.spoilt:
                clips.append(_clip_of(listed, path, known, prefix, self._part))
        if not found:
            raise DataError(self._without_audio(audio))
        if not clips:
            raise DataError(
                f"{self._path}: no clip of {self._part} can be used "
                f"({counts_in_words(self.problems)}). The first problem: {self.problems[0]}."
            )
        return Manifest(tuple(clips), self._labels, tuple(self.problems))

    def _is_known(self, clip: ListedClip, label: str, place: str) -> bool:
        if label not in self._known:
            text = f'{place}: {clip.name} has "{label}".{did_you_mean(label, self._labels)}'
            self._spoil(clip, UNKNOWN_LABEL, text)
            return False
        return True

    def _spoil(self, clip: ListedClip, kind: str, text: str) -> None:
        clip.spoilt = True
        self.note(kind, f"{text}; the clip is left out")

    def _without_audio(self, audio: AudioFiles) -> str:
        first = next(iter(self._clips.values()))
        where = ", ".join(map(str, audio.folders))
        return (
            f"no clip of {self._part} has audio: {self._path} lists {len(self._clips)}, and none "
            f"is {f'below {where}' if where else 'there, nor is a folder for them'} (looked for "
            f"{first.stems[0]} with .wav, .flac, …). Download the audio, or give the folder that "
            f"holds both lists and audio."
        )


def _check_label(label: str, place: str) -> None:
    if not label:
        raise DataError(f"{place}: the label is empty. {CURE}")


def _clip_of(listed: ListedClip, path: Path, known: str, prefix: str, part: str) -> Clip:
    tags = None if known == "nothing" else tuple(listed.tags)
    events = None
    if known == "strong" and (listed.events or not listed.tags):
        events = tuple(listed.events)
    return clip_at(
        listed.place,
        f"{prefix}{listed.name}",
        path,
        tags=tags,
        events=events,
        group=listed.group,
        split=part,
    )
