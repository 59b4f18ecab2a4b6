"""CHiME-Home: chunks of 4 s from a living room, seven kinds of sound source (DCASE 2016 Task 4).

`chunks/NAME.csv` has one `key,value` row per field, `majorityvote` among them: a letter per
label that two of three annotators gave. `*_chunks_refined.csv` (`index,NAME`, no header) lists the
chunks on which the annotators agree, `*_chunks_raw.csv` all. The letters S (silence) and U
(unidentifiable) are no labels, as in DCASE 2016. Source: README of version 0.9.7.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sedsdk.data.datasets.audio_files import AudioFiles
from sedsdk.data.datasets.layout import dataset_folder, find_file
from sedsdk.data.datasets.listing import CURE, MISSING_ANNOTATION, NOT_AGREED, Listing
from sedsdk.data.datasets.parts import Wanted, read_parts
from sedsdk.data.manifest import Manifest
from sedsdk.data.tables import read_rows
from sedsdk.errors import DataError

LETTERS = {
    "c": "child speech",
    "m": "adult male speech",
    "f": "adult female speech",
    "v": "video game or TV",
    "p": "percussive sound",
    "b": "broadband noise",
    "o": "other",
}
"""Letter of an annotation → label, in the order of the data set."""
NO_LABELS = frozenset("SU")
CHUNK_SECONDS = 4.0
PLACES = ("", "chime_home", "*")
FOLDS_FILE = "development_chunks_refined_crossval_dcase2016.csv"
FOLDS = {f"fold{number + 1}": str(number) for number in range(5)}
LISTS = {
    "development": "development_chunks_refined.csv",
    "evaluation": "evaluation_chunks_refined.csv",
    "development_raw": "development_chunks_raw.csv",
    "evaluation_raw": "evaluation_chunks_raw.csv",
    **dict.fromkeys(FOLDS, FOLDS_FILE),
}
ALIASES = {
    "train": "development/train",
    "validation": "development/validation",
    "test": "evaluation",
}


class _ListedChunk(NamedTuple):
    place: str
    name: str
    fold: str


def read_chime_home(folder: str | Path, part: str) -> Manifest:
    """Reads a part in its 16 kHz mono version, which DCASE 2016 used.

    Args:
        folder: `chime_home`, or the folder that it lies in.
        part: "development" (1946 chunks) or "evaluation" (816) for the refined lists,
            "development_raw" or "evaluation_raw" for all chunks, "fold1" to "fold5" for those of
            DCASE 2016; "train" and "validation" divide development, "test" is evaluation.

    Returns:
        One clip per chunk whose audio is there, with tags; its group is the five-minute segment
        that the chunk is from (`CR_lounge_200110_1601.s300`).

    Raises:
        DataError: an unknown part; no list; a malformed list or annotation; no audio.
    """
    return _read(folder, part, "16kHz")


def read_chime_home_48khz(folder: str | Path, part: str) -> Manifest:
    """Reads the 48 kHz stereo version; everything else as `read_chime_home`."""
    return _read(folder, part, "48kHz")


def _read(folder: str | Path, part: str, version: str) -> Manifest:
    root = dataset_folder(folder)

    def read(name: str, piece: str, wanted: Wanted) -> Manifest:
        path = find_file(root, f"list of {name}", PLACES, (LISTS[name],))
        listing = Listing(path, piece, tuple(LETTERS.values()), wanted)
        chunks = path.parent / "chunks"
        for row in _rows(path):
            if name not in FOLDS or row.fold == FOLDS[name]:
                _take(row, listing, chunks, version)
        _note_disagreement(path, listing, wanted)
        return listing.manifest(AudioFiles([chunks] if chunks.is_dir() else []), "weak")

    return read_parts(part, tuple(LISTS), ALIASES, read)


def _rows(path: Path) -> Iterator[_ListedChunk]:
    cells_expected = 3 if path.name == FOLDS_FILE else 2
    for line, cells in read_rows(path, ","):
        place = f"{path}:{line}"
        if len(cells) != cells_expected or not all(cells):
            columns = ("index", "chunk", "fold")[:cells_expected]
            raise DataError(f"{place}: expected {', '.join(columns)}. {CURE}")
        yield _ListedChunk(place, cells[1], cells[-1])


def _take(row: _ListedChunk, listing: Listing, chunks: Path, version: str) -> None:
    name, place = row.name, row.place
    stems = (f"{name}.{version}",)
    clip = listing.only_row(listing.clip(name, place, _segment(name), stems, CHUNK_SECONDS), place)
    if clip is None:
        return
    annotation = chunks / f"{name}.csv"
    if not annotation.is_file():
        clip.spoilt = True
        listing.note(MISSING_ANNOTATION, f"{place}: {annotation} is not there")
        return
    for letter in dict.fromkeys(_majority(annotation)):
        if letter not in NO_LABELS:
            listing.tag(clip, LETTERS.get(letter, letter), str(annotation))


def _segment(chunk: str) -> str:
    return chunk.split("_chunk")[0]


def _majority(path: Path) -> str:
    for _, cells in read_rows(path, ","):
        if cells[0] == "majorityvote":
            return cells[1] if len(cells) > 1 else ""
    raise DataError(f"{path} has no row majorityvote. Unpack the data set again.")


def _note_disagreement(path: Path, listing: Listing, wanted: Wanted) -> None:
    """Notes the chunks that the raw list has and the refined one leaves out."""
    raw = path.with_name(path.name.replace("_refined", "_raw"))
    if raw == path or path.name == FOLDS_FILE or not raw.is_file():
        return
    agreed = {row.name for row in _rows(path)}
    for row in _rows(raw):
        if row.name not in agreed and wanted(_segment(row.name)):
            listing.note(NOT_AGREED, f"{row.place}: {row.name} is not in {path.name}")
