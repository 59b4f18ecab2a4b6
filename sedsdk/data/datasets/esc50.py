"""ESC-50: 2000 environmental recordings of 5 s, one of 50 classes each, in five folds.

`meta/esc50.csv` (filename, fold, target, category, esc10, src_file, take) and `audio/`. ESC-10 is
the subset of ten classes whose rows have `esc10` True. Source: the data set's repository; Piczak
2015.
"""

from __future__ import annotations

from pathlib import Path

from sedsdk.data.datasets.audio_files import AudioFiles
from sedsdk.data.datasets.layout import dataset_folder, existing_folders, find_file
from sedsdk.data.datasets.listing import CURE, UNKNOWN_LABEL, Listing
from sedsdk.data.datasets.parts import Wanted, read_parts
from sedsdk.data.manifest import Manifest
from sedsdk.data.tables import Row, read_table
from sedsdk.errors import DataError

CATEGORIES = """
dog rooster pig cow frog cat hen insects sheep crow
rain sea_waves crackling_fire crickets chirping_birds
water_drops wind pouring_water toilet_flush thunderstorm
crying_baby sneezing clapping breathing coughing
footsteps laughing brushing_teeth snoring drinking_sipping
door_wood_knock mouse_click keyboard_typing door_wood_creaks can_opening
washing_machine vacuum_cleaner clock_alarm clock_tick glass_breaking
helicopter chainsaw siren car_horn engine train church_bells airplane fireworks hand_saw
"""
LABELS = tuple(CATEGORIES.split())
"""Categories by their target, 0 to 49."""
ESC10_TARGETS = (0, 1, 10, 11, 12, 20, 21, 38, 40, 41)
ESC10_LABELS = tuple(LABELS[target] for target in ESC10_TARGETS)
COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")
FOLDS = ("fold1", "fold2", "fold3", "fold4", "fold5")
ALIASES = {"train": "fold1+fold2+fold3", "validation": "fold4", "test": "fold5"}
PLACES = ("", "ESC-50-master", "ESC-50", "*")


def read_esc50(folder: str | Path, part: str) -> Manifest:
    """Reads folds.

    Args:
        folder: `ESC-50-master`, or the folder that it lies in.
        part: "fold1" to "fold5", joined by "+"; "train" is folds 1 to 3, "validation" fold 4,
            "test" fold 5.

    Returns:
        One clip with one tag per audio file that is there; its group is the recording on
        Freesound that it is cut from.

    Raises:
        DataError: an unknown part; no list; a malformed list, with file and line; no audio.
    """
    return _read(folder, part, LABELS)


def read_esc10(folder: str | Path, part: str) -> Manifest:
    """Reads the subset ESC-10, with its ten labels; everything else as `read_esc50`."""
    return _read(folder, part, ESC10_LABELS)


def _read(folder: str | Path, part: str, labels: tuple[str, ...]) -> Manifest:
    root = dataset_folder(folder)
    path = find_file(root, "list of clips", PLACES, ("meta/esc50.csv",))
    audio = AudioFiles(existing_folders([path.parent.parent], ["audio"]))
    rows = read_table(path, COLUMNS, ",")

    def read(name: str, piece: str, wanted: Wanted) -> Manifest:
        listing = Listing(path, piece, labels, wanted)
        for row in rows:
            _check(row)
            in_subset = labels is LABELS or row.cells["esc10"].lower() == "true"
            if f"fold{row.cells['fold']}" == name and in_subset:
                _take(row, listing)
        return listing.manifest(audio, "weak")

    return read_parts(part, FOLDS, ALIASES, read)


def _check(row: Row) -> None:
    for column in COLUMNS:
        if not row.cells[column]:
            raise DataError(f"{row.place}: {column} is empty. {CURE}")
    if f"fold{row.cells['fold']}" not in FOLDS:
        raise DataError(f'{row.place}: fold "{row.cells["fold"]}" is not 1 to 5. {CURE}')


def _take(row: Row, listing: Listing) -> None:
    name, category, target = (row.cells[key] for key in ("filename", "category", "target"))
    clip = listing.only_row(listing.clip(name, row.place, row.cells["src_file"]), row.place)
    if clip is not None and category in LABELS and target != str(LABELS.index(category)):
        clip.spoilt = True
        text = f"{row.place}: {name} is {category}, and its target is {target}"
        listing.note(UNKNOWN_LABEL, f"{text}; the clip is left out")
        return
    listing.tag(clip, category, row.place)
