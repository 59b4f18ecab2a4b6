"""TUT Rare Sound Events 2017 as downloaded (DCASE 2017 Task 2; Zenodo 401395 and 1160455).

Mixtures with their event lists, and the isolated events and backgrounds they are made of. Folders
named by a hash are found by pattern, since the hash depends on the version of PyYAML that wrote
it. The lists decide which mixtures count, never the audio folder, since the patch of June 2017
leaves withdrawn files behind (`..._old_dontuse`). The recipes are in `tut_rare_recipes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from sedsdk.data.manifest import Clip, Manifest, check_label
from sedsdk.data.manifest_entries import clip_at, seconds
from sedsdk.data.manifest_tables import header_less_rows
from sedsdk.data.source_set import Source, SourceSet
from sedsdk.data.tables import read_rows
from sedsdk.data.tut_rare_recipes import read_yaml
from sedsdk.errors import DataError, did_you_mean
from sedsdk.types import Event

CLASSES = ("babycry", "glassbreak", "gunshot")
Part = Literal["devtrain", "devtest", "evaltest"]
PARTS: tuple[Part, ...] = ("devtrain", "devtest", "evaltest")
ALIASES = {"train": "devtrain", "validation": "devtest", "test": "evaltest"}
DATASET_FOLDERS = ("", "TUT-rare-sound-events-2017-*/")
MIXTURE_FOLDERS = (
    "data/mixture_data/{part}/*",
    "mixture_data/{part}/*",
    "generated_data/mixtures_{part}_*",
)
SOURCE_FOLDERS = ("data/source_data", "source_data", ".")
WITHDRAWN = "old_dontuse"
UPLOADER_KEYS = ("user", "username", "freesound_user")


class PartMissing(DataError):
    """What was asked of a part is not in the folder: not downloaded, or not made yet."""


def read_tut_rare(folder: str | Path, part: str, event_class: str | None = None) -> Manifest:
    """Reads the mixtures of one part, by their event lists.

    Every mixture belongs to the list of one class, and only that class's detector is scored on
    it: the class is the clip's `group`. Its events are fully known, as no other target class is
    mixed in.

    Args:
        folder: the development or evaluation set, the folder that both lie in, or one folder with
            `meta` and `audio` in it.
        part: "devtrain", "devtest" or "evaltest"; "train", "validation" and "test" mean the same.
        event_class: read this class's list only; it is then the only label.

    Returns:
        One clip per mixture, with strong labels, `split` set to the part. Audio files are not
        looked for: `check_files` does that.

    Raises:
        PartMissing: no event lists.
        DataError: an unknown part or class; several folders with lists; a list that is malformed,
            with file and line.
    """
    name = _part(part)
    meta = _meta_folder(Path(folder), name)
    lists = _event_lists(meta, name)
    if event_class is not None:
        check_label(event_class, tuple(lists), f"{meta}")
        lists = {event_class: lists[event_class]}
    clips = [clip for label, path in lists.items() for clip in _mixtures(path, label, name)]
    return Manifest(tuple(clips), tuple(lists))


def read_tut_rare_sources(folder: str | Path, subset: str) -> SourceSet:
    """Reads the isolated events and backgrounds that mixtures of one part are made from.

    By `cv_setup/events_<subset>.yaml` and `bgs_<subset>.yaml`. An event's group is its uploader,
    or its recording where none is stated; a background's is its place of recording (`a001` in
    `a001_0_30.wav`). A recording that is listed and not there is left out and named in
    `SourceSet.problems`; so is a background that `bg_screening.csv` marks as holding a target.

    Args:
        folder: the development set, the folder it lies in, or its `source_data`.
        subset: "devtrain" or "devtest"; "train" and "validation" mean the same.

    Raises:
        DataError: an unknown subset; the evaluation part, which has no sources; a file that is
            missing or malformed; nothing left of the events or backgrounds.
    """
    name = _part(subset)
    if name == "evaltest":
        raise DataError(
            "the evaluation set holds finished mixtures only. Ask for devtrain or devtest."
        )
    root = _source_folder(Path(folder), name)
    problems: list[str] = []
    events = _isolated_events(root, root / "cv_setup" / f"events_{name}.yaml", name)
    backgrounds = _backgrounds(root, root / "cv_setup" / f"bgs_{name}.yaml", name)
    screened = _screened(root / "bgs" / "bg_screening.csv")
    present = [event for event in events if _is_there(event, problems)]
    clean = []
    for background in backgrounds:
        if background.path.name in screened:
            targets = ", ".join(screened[background.path.name])
            problems.append(f"{background.path} holds {targets} (bg_screening.csv): left out")
        elif _is_there(background, problems):
            clean.append(background)
    for what, left in (("events", present), ("backgrounds", clean)):
        if not left:
            lost = f" The first of {len(problems)} problems: {problems[0]}." if problems else ""
            raise DataError(f"{root} has no usable {what} of {name}.{lost} Unpack all archives.")
    return SourceSet(tuple(present), tuple(clean), (), tuple(problems))


def screened_backgrounds(folder: str | Path) -> dict[str, tuple[str, ...]]:
    """Returns the backgrounds that hold target sounds: file name → the classes heard in it.

    The official recipes still name them, for the mixtures that the patch of June 2017 withdrew:
    skip a recipe of class c whose background is listed here with c.

    Args:
        folder: the development set, the folder it lies in, or its `source_data`.

    Raises:
        DataError: the sources are not found, or `bg_screening.csv` is malformed.
    """
    root = Path(folder)
    found = find_source_folder(root, "devtest") or _source_folder(root, "devtrain")
    return _screened(found / "bgs" / "bg_screening.csv")


# Mixtures


def _part(part: str) -> Part:
    name = ALIASES.get(part, part)
    for known in PARTS:
        if name == known:
            return known
    choices = (*PARTS, *ALIASES)
    raise DataError(
        f'no part "{part}".{did_you_mean(part, choices)} Choose one of: {", ".join(choices)}.'
    )


def meta_folders(root: Path, part: Part) -> list[Path]:
    """Returns the folders where lists and recipes of a part may lie, as users unpack them.

    Raises:
        PartMissing: `root` is no folder.
    """
    if not root.is_dir():
        raise PartMissing(
            f"{root} is no folder. Give the folder that the data set was unpacked in."
        )
    found = (meta for pattern in _meta_patterns(part) for meta in root.glob(pattern))
    return sorted(meta for meta in found if meta.is_dir())


def _meta_patterns(part: Part) -> list[str]:
    return [
        f"{dataset}{mixtures.format(part=part)}/meta"
        for dataset in DATASET_FOLDERS
        for mixtures in MIXTURE_FOLDERS
    ]


def _meta_folder(root: Path, part: Part) -> Path:
    found = meta_folders(root, part)
    if any((root / "meta").glob(f"event_list_{part}_*")):
        return root / "meta"
    with_lists = [meta for meta in found if any(meta.glob(f"event_list_{part}_*"))]
    if len(with_lists) == 1:
        return with_lists[0]
    if with_lists:
        names = ", ".join(str(meta.parent) for meta in with_lists)
        raise DataError(
            f"{root} holds several sets of {part} mixtures: {names}. Give the one you want."
        )
    if found:
        raise PartMissing(
            f"{found[0]} has no event lists of {part}. Download the data set again: the lists of "
            f"the evaluation part were published after the challenge."
        )
    raise PartMissing(
        f"{root} holds no {part} mixtures; looked for {', '.join(_meta_patterns(part))}. Unpack "
        f"the archives with mixture_data there, or mix {part} from the sources first."
    )


def _event_lists(meta: Path, part: Part) -> dict[str, Path]:
    """Returns the list of each class, known classes first."""
    name = re.compile(rf"event_list_{part}_(.+)\.csv")
    found = {}
    for path in sorted(meta.iterdir()):
        match = name.fullmatch(path.name)
        if match and WITHDRAWN not in path.name:
            found[match[1]] = path
    if not found:
        raise DataError(f"{meta} holds withdrawn event lists of {part} only. Run the patch again.")
    order = [label for label in CLASSES if label in found]
    return {label: found[label] for label in (*order, *sorted(set(found).difference(order)))}


def _mixtures(path: Path, label: str, part: Part) -> Iterator[Clip]:
    audio = path.parent.parent / "audio"
    events: dict[str, list[Event]] = {}
    places: dict[str, str] = {}
    for row in header_less_rows(path, "\t"):
        filename = row.cells["filename"]
        listed = row.cells["event_label"]
        here = events.setdefault(filename, [])
        if filename in places and not (listed and here):
            raise DataError(
                f"{row.place}: {filename} is already at {places[filename]}. Remove one row."
            )
        places[filename] = row.place
        if not listed:
            continue
        check_label(listed, (label,), row.place)
        onset = seconds(row.cells["onset"], "onset", row.place)
        here.append(Event(onset, seconds(row.cells["offset"], "offset", row.place), listed))
    for filename, found in events.items():
        yield clip_at(
            places[filename],
            filename,
            audio / filename,
            events=tuple(found),
            group=label,
            split=part,
        )


# Sources


def find_source_folder(root: Path, part: Part) -> Path | None:
    """Returns the `source_data` whose cv_setup lists a part; None if there is none."""
    return next(
        (
            source
            for dataset in DATASET_FOLDERS
            for place in SOURCE_FOLDERS
            for source in sorted(root.glob(f"{dataset}{place}") if dataset else [root / place])
            if (source / "cv_setup" / f"events_{part}.yaml").is_file()
        ),
        None,
    )


def _source_folder(root: Path, part: Part) -> Path:
    found = find_source_folder(root, part)
    if found is None:
        raise PartMissing(
            f"{root} holds no cv_setup/events_{part}.yaml, also not under {SOURCE_FOLDERS[0]}. "
            f"Unpack the archives with source_data there."
        )
    return found


def _isolated_events(root: Path, path: Path, part: Part) -> Iterator[Source]:
    by_class = read_yaml(path)
    if not isinstance(by_class, dict):
        raise DataError(
            f"{path}: {type(by_class).__name__}, expected a mapping from class to events."
        )
    for label, entries in by_class.items():
        for index, entry in enumerate(_entries(entries, f"{path}: {label}")):
            place = f"{path}: {label}[{index}]"
            filename = _text(entry, "audio_filename", place)
            start, end = _segment(entry.get("segment"), place)
            uploader = next((str(entry[key]) for key in UPLOADER_KEYS if entry.get(key)), "")
            yield Source(
                root / "events" / str(label) / filename,
                str(label),
                start,
                end,
                group=uploader or Path(filename).stem,
                split=part,
            )


def _backgrounds(root: Path, path: Path, part: Part) -> Iterator[Source]:
    for index, entry in enumerate(_entries(read_yaml(path), str(path))):
        place = f"{path}: [{index}]"
        filename = _text(entry, "filepath", place)
        scene = _text(entry, "classname", place)
        recording = Path(filename).stem.split("_")[0]
        yield Source(root / "bgs" / filename, scene, group=recording, split=part)


def _screened(path: Path) -> dict[str, tuple[str, ...]]:
    """Reads which backgrounds hold targets: a column of file names, then one per class."""
    if not path.is_file():
        return {}
    rows = read_rows(path, ",")
    next(rows, None)
    marks = {}
    for _, cells in rows:
        heard = tuple(label for label, mark in zip(CLASSES, cells[1:], strict=False) if mark)
        if heard:
            marks[Path(cells[0]).name] = heard
    return marks


def _is_there(source: Source, problems: list[str]) -> bool:
    if source.path.is_file():
        return True
    problems.append(f"{source.path} is listed and does not exist: left out")
    return False


def _entries(value: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise DataError(f"{place}: expected a list of mappings. Unpack cv_setup again.")
    return value


def _text(entry: dict[str, Any], key: str, place: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(f'{place}: "{key}" is {value!r}, expected a text. Unpack cv_setup again.')
    return value


def _segment(value: Any, place: str) -> tuple[float, float]:
    if isinstance(value, (list, tuple)) and len(value) == 2:
        start, end = value
        if isinstance(start, (int, float)) and isinstance(end, (int, float)) and 0 <= start < end:
            return float(start), float(end)
    raise DataError(f'{place}: "segment" is {value!r}, expected [start, end] in seconds.')
