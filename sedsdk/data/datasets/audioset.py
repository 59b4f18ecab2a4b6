"""AudioSet: ten-second clips of videos, 527 classes (Gemmeke et al. 2017; Hershey et al. 2021).

Segment lists have three comment lines and rows `VIDEO, 30.000, 40.000, "/m/09x0r,/t/dd00088"`;
strong ones a header (segment_id, start_time_seconds, end_time_seconds, label), tabs, and ids made
of the video and its start in milliseconds. The labels are in `audioset_labels`.
"""

from __future__ import annotations

from pathlib import Path

from sedsdk.data.datasets.audio_files import AudioFiles
from sedsdk.data.datasets.audioset_labels import PLACES, read_class_names, read_strong_names
from sedsdk.data.datasets.layout import dataset_folder, find_file
from sedsdk.data.datasets.listing import CURE, Listing
from sedsdk.data.datasets.parts import Wanted, read_parts
from sedsdk.data.datasets.video_segments import VideoSegment
from sedsdk.data.manifest import Manifest
from sedsdk.data.manifest_entries import seconds
from sedsdk.data.tables import Row, read_rows, read_table
from sedsdk.errors import DataError

WEAK_LISTS = {
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}
STRONG_LISTS = {
    "strong_train": "audioset_train_strong.tsv",
    "strong_eval": "audioset_eval_strong.tsv",
}
STRONG_COLUMNS = ("segment_id", "start_time_seconds", "end_time_seconds", "label")
ALIASES = {"train": "balanced/train", "validation": "balanced/validation", "test": "eval"}
STRONG_SECONDS = 10.0
"""Longest clip of the strong lists, which do not say where one ends."""


def read_audioset(folder: str | Path, part: str) -> Manifest:
    """Reads a part, by its list.

    Args:
        folder: with the lists, in it or one folder below, and the audio anywhere below, in files
            named by the video, with or without `Y` and times.
        part: "balanced", "unbalanced" or "eval" (tags), "strong_train" or "strong_eval" (events);
            "train" and "validation" divide balanced by video, "test" is eval.

    Returns:
        One clip per audio file that is there; its group is the video. A file holds its segment
        alone.

    Raises:
        DataError: an unknown part; no list; a malformed list, with file and line; no audio.
    """
    root = dataset_folder(folder)
    audio: list[AudioFiles] = []

    def read(name: str, piece: str, wanted: Wanted) -> Manifest:
        strong = name in STRONG_LISTS
        names = read_class_names(root)
        if strong:
            names = read_strong_names(root, names)
        path = find_file(root, f"list of {name}", PLACES, ((WEAK_LISTS | STRONG_LISTS)[name],))
        listing = Listing(path, piece, tuple(dict.fromkeys(names.values())), wanted)
        if strong:
            for row in read_table(path, STRONG_COLUMNS, "\t"):
                _take_event(row, listing, names)
        else:
            for line, cells in read_rows(path, ","):
                if not cells[0].startswith("#"):
                    _take_segment(cells, f"{path}:{line}", listing, names)
        if not audio:
            audio.append(AudioFiles([root]))
        return listing.manifest(audio[0], "strong" if strong else "weak")

    return read_parts(part, (*WEAK_LISTS, *STRONG_LISTS), ALIASES, read)


def _take_segment(cells: list[str], place: str, listing: Listing, names: dict[str, str]) -> None:
    if len(cells) < 4:
        raise DataError(f"{place}: {len(cells)} cells, expected video, start, end, labels. {CURE}")
    video = cells[0]
    start, end = seconds(cells[1], "start", place), seconds(cells[2], "end", place)
    labels = [cell.strip('" ') for cell in cells[3:]]  # a space before the quotation mark
    if end <= start or not all(labels):
        raise DataError(f"{place}: no span of a video with labels. {CURE}")
    segment = VideoSegment(video, start, end)
    name = f"{video}_{start:.3f}_{end:.3f}"
    clip = listing.clip(name, place, video, segment.stems, segment.length)
    clip = listing.only_row(clip, place)
    for label in (one for cell in labels for one in cell.split(",")):
        listing.tag(clip, names.get(label, label), place)


def _take_event(row: Row, listing: Listing, names: dict[str, str]) -> None:
    name, onset, offset, label = (row.cells[column] for column in STRONG_COLUMNS)
    video, _, start = name.rpartition("_")
    if not video or not start.isdigit():
        raise DataError(f'{row.place}: "{name}" is no VIDEO_MILLISECONDS. {CURE}')
    begin = int(start) / 1000
    segment = VideoSegment(video, begin, begin + STRONG_SECONDS)
    clip = listing.clip(name, row.place, video, segment.stems, segment.length)
    listing.event(clip, onset, offset, names.get(label, label), row.place)
