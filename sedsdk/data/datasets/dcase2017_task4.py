"""DCASE 2017 Task 4: ten-second clips of 17 warning and vehicle sounds, for smart cars.

Lists have no header, tabs between `VIDEO_START_END.wav`, two times and one label, a row per label;
audio files are named the same with a `Y` in front. In the weak list of training the times are the
clip's place in the video; in the strong lists they are the event's, from the clip's start, and a
label that the annotator did not hear has 0 and 0. Source: the lists and README of the task's
repository (`groundtruth_release/`, `sound_event_list_17_classes.txt`).
"""

from __future__ import annotations

from pathlib import Path

from sedsdk.data.datasets.audio_files import AudioFiles, audio_stem
from sedsdk.data.datasets.layout import dataset_folder, find_file
from sedsdk.data.datasets.listing import Listing
from sedsdk.data.datasets.parts import Wanted, read_parts
from sedsdk.data.datasets.video_segments import video_segment
from sedsdk.data.manifest import Manifest
from sedsdk.data.manifest_tables import header_less_rows
from sedsdk.data.tables import Row
from sedsdk.errors import DataError

LABELS = (
    "Train horn",
    "Air horn, truck horn",
    "Car alarm",
    "Reversing beeps",
    "Bicycle",
    "Skateboard",
    "Ambulance (siren)",
    "Fire engine, fire truck (siren)",
    "Civil defense siren",
    "Police car (siren)",
    "Screaming",
    "Car",
    "Car passing by",
    "Bus",
    "Truck",
    "Motorcycle",
    "Train",
)
LISTS = {
    "training": "groundtruth_weak_label_training_set.csv",
    "testing": "groundtruth_strong_label_testing_set.csv",
    "evaluation": "groundtruth_strong_label_evaluation_set.csv",
}
ALIASES = {"train": "training/train", "validation": "training/validation", "test": "testing"}
PLACES = (
    "groundtruth_release",
    "",
    "metadata",
    "*/groundtruth_release",
    "*",
    "*/metadata",
)


def read_dcase2017_task4(folder: str | Path, part: str) -> Manifest:
    """Reads a part, by its list.

    Args:
        folder: with the lists, in it or one folder below, and the audio anywhere below.
        part: "training" (51 172 clips, tags), "testing" (488, events) or "evaluation" (1103,
            events); "train" and "validation" divide training by video, "test" is testing.

    Returns:
        One clip per audio file that is there; its group is the video. Clips whose labels all
        lack times have tags and unknown events.

    Raises:
        DataError: an unknown part; no list; a malformed list, with file and line; no audio.
    """
    root = dataset_folder(folder)

    def read(name: str, piece: str, wanted: Wanted) -> Manifest:
        path = find_file(root, f"list of {name}", PLACES, (LISTS[name],))
        listing = Listing(path, piece, LABELS, wanted)
        weak = name == "training"
        for row in header_less_rows(path, "\t"):
            _take(row, listing, weak)
        return listing.manifest(AudioFiles([root]), "weak" if weak else "strong")

    return read_parts(part, tuple(LISTS), ALIASES, read)


def _take(row: Row, listing: Listing, weak: bool) -> None:
    name, label = row.cells["filename"], row.cells["event_label"]
    stem = audio_stem(name)
    segment = video_segment(stem)
    if not label or segment is None:
        raise DataError(
            f"{row.place}: expected VIDEO_START_END.wav, two times and a label, with tabs between "
            f"them. Download the list again."
        )
    clip = listing.clip(name, row.place, segment.video, (f"Y{stem}", stem), segment.length)
    if weak:
        listing.tag(clip, label, row.place)
    else:
        listing.event(clip, row.cells["onset"], row.cells["offset"], label, row.place)
