"""The lists of DCASE 2018 Task 4 and DESED: ten domestic classes, weak, strong and unlabelled.

Tables with a header and tabs, named .csv until 2019 and .tsv since: `filename` and
`event_labels` (separated by comma or semicolon), or `filename`, `onset`, `offset` and
`event_label`, where a clip without events has one row with empty cells; unlabelled lists have
`filename` alone. Lists are in `metadata/`, audio in folders of the same names in `audio/`.
Source: the README of the 2018 baseline, and of DESED, and the lists in both repositories.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sedsdk.data.datasets.audio_files import AudioFiles, audio_stem
from sedsdk.data.datasets.layout import base_folders, existing_folders, find_file
from sedsdk.data.datasets.listing import CURE, Listing
from sedsdk.data.datasets.parts import Wanted
from sedsdk.data.datasets.video_segments import video_segment
from sedsdk.data.manifest import Manifest
from sedsdk.data.tables import Row, read_table
from sedsdk.errors import DataError

LABELS = (
    "Alarm_bell_ringing",
    "Blender",
    "Cat",
    "Dishes",
    "Dog",
    "Electric_shaver_toothbrush",
    "Frying",
    "Running_water",
    "Speech",
    "Vacuum_cleaner",
)
EVENT_COLUMNS = ("onset", "offset", "event_label")
TAG_COLUMNS = ("event_labels", "event_label")
"""What editions name the column of a weak list."""
PLACES = ("", "dataset", "real", "synthetic", "*", "*/dataset", "*/real", "*/synthetic")
RESAMPLED = "_16k"
"""Ends the name of a folder of resampled audio, beside the one as downloaded."""


@dataclass(frozen=True)
class DomesticPart:
    """A part of a data set of this form.

    Attributes:
        lists: below `metadata/`, without suffix, as the editions name it.
        folders: below `audio/`.
        known: what is known of its clips.
        numbered: files are named by number, the same in every such part.
    """

    lists: tuple[str, ...]
    folders: tuple[str, ...]
    known: Literal["weak", "strong", "nothing"]
    numbered: bool = False


def read_domestic_part(
    root: Path, name: str, part: DomesticPart, piece: str, wanted: Wanted
) -> Manifest:
    """Reads a part, or one side of it.

    Args:
        root: the data set, the folder it lies in, or one that holds several of its archives.
        name: of the part.
        part: where it is.
        piece: its name with the side.
        wanted: groups of that side.

    Raises:
        DataError: no list; a malformed list, with file and line; no audio.
    """
    names = [f"metadata/{path}{suffix}" for path in part.lists for suffix in (".tsv", ".csv")]
    path = find_file(root, f"list of {name}", PLACES, names)
    listing = Listing(path, piece, LABELS, wanted)
    required = EVENT_COLUMNS if part.known == "strong" else ()
    for row in read_table(path, ("filename", *required)):
        _take(row, listing, part.known)
    bases = base_folders(root, PLACES)
    own = [base for base in bases if path.is_relative_to(base / "metadata")]
    places = [f"audio/{folder}{end}" for end in ("", RESAMPLED) for folder in part.folders]
    audio = AudioFiles(existing_folders(dict.fromkeys((*own, *bases)), places))
    return listing.manifest(audio, part.known, f"{name}/" if part.numbered else "")


def _take(row: Row, listing: Listing, known: str) -> None:
    name, place = row.cells["filename"], row.place
    segment = video_segment(audio_stem(name))
    clip = (
        listing.clip(name, place)
        if segment is None
        else listing.clip(name, place, segment.video, length=segment.length)
    )
    if known == "strong":
        onset, offset, label = (row.cells[column] for column in EVENT_COLUMNS)
        if onset or offset or label:
            listing.event(clip, onset, offset, label, place)
        return
    clip = listing.only_row(clip, place)
    if known == "weak":
        labels = next((row.cells[name] for name in TAG_COLUMNS if name in row.cells), "")
        if not labels:
            raise DataError(f"{place}: no event_labels beside the file name. {CURE}")
        for label in re.split("[,;]", labels):
            listing.tag(clip, label.strip(), place)
