"""Reads a folder of recordings to make mixtures from: events, backgrounds and distractors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sedsdk.audio import AUDIO_SUFFIXES, audio_info
from sedsdk.data.source_set import ORIGIN_FILE, Source, SourceSet
from sedsdk.data.tables import Row, read_table
from sedsdk.data.tut_rare_parts import is_development_set, read_development_sources
from sedsdk.errors import AudioError, DataError, did_you_mean

SPEECH_LABEL = "speech"
OTHER_EVENTS_FOLDER = "events_other"


def read_sources(
    folder: str | Path,
    labels: Sequence[str] | None = None,
    with_speech: bool = False,
    other_events: bool | None = None,
) -> SourceSet:
    """Reads a folder of recordings laid out for mixing, or TUT Rare Sound Events 2017.

    Layout: `events/<label>/*`, `backgrounds/*`, optionally `events_other/<class>/*` and
    `speech/**`. Other events are distractors, or targets where `labels` names their class: such a
    file counts as one event from end to end, which clip labels can do with and onsets cannot. An
    optional `origin.csv` in the folder has a column `file` (path from the folder) and any of
    `split`, `label`, `group`. A target's label is its folder's name; the column `label` names the
    scene of a background. Every header is opened: a file that cannot be read is left out and
    listed in `SourceSet.problems`, as is a listed file that does not exist. A file that
    `origin.csv` lacks is used, in no split and as a group of its own, and listed too.

    The development set of TUT Rare Sound Events 2017 is recognised by the file
    `cv_setup/events_devtrain.yaml` or `events_devtest.yaml` in `folder`, in its `source_data` or
    `data/source_data`, or in those of a folder `TUT-rare-sound-events-2017-*` inside it, unless
    `folder` itself has `events/` and `backgrounds/`. Its events and backgrounds are in the splits
    "devtrain" and "devtest", as its authors divided them (`read_tut_rare_sources`).

    Args:
        folder: the recordings.
        labels: the target classes. None: all of `events/`.
        with_speech: the recordings of `speech/` become distractors with the label "speech".
        other_events: events of other classes than `labels` become distractors; None: they do,
            but for TUT Rare Sound Events 2017, whose protocol has none.

    Raises:
        DataError: the folder or its `events` is missing, a label has no folder, no event or no
            background can be read, or `origin.csv` is malformed.
    """
    root = Path(folder)
    if is_development_set(root):
        return read_development_sources(root, labels, bool(other_events))
    targets = _target_labels(root, labels)
    origin, problems = read_origin(root)
    reader = _FolderReader(root, origin, problems)

    events: list[Source] = []
    distractors: list[Source] = []
    for path in _audio_files(root / "events", depth=1):
        label = path.parent.name
        if label in targets or other_events is not False:
            kind = events if label in targets else distractors
            kind.extend(reader.read(path, label, fixed_label=True))
    for path in _audio_files(root / OTHER_EVENTS_FOLDER, depth=1):
        label = path.parent.name
        kind = events if label in targets else distractors
        kind.extend(reader.read(path, label, fixed_label=True))
    if with_speech:
        for path in _audio_files(root / "speech", depth=None):
            distractors.extend(reader.read(path, SPEECH_LABEL, fixed_label=True))
    backgrounds = [
        source
        for path in _audio_files(root / "backgrounds", depth=0)
        for source in reader.read(path, "", fixed_label=False)
    ]
    found = SourceSet(tuple(events), tuple(backgrounds), tuple(distractors), tuple(problems))
    return _checked(found, root, targets)


class _FolderReader:
    """Turns files into sources, with what `origin.csv` says of them."""

    def __init__(self, root: Path, origin: dict[str, Row], problems: list[str]) -> None:
        self._root = root
        self._origin = origin
        self._problems = problems

    def read(self, path: Path, label: str, fixed_label: bool) -> Iterable[Source]:
        name = path.relative_to(self._root).as_posix()
        try:
            audio_info(path)
        except AudioError as error:
            self._problems.append(f"left out: {error}")
            return
        row = self._origin.get(name)
        if row is None:
            if self._origin:
                self._problems.append(
                    f"{name}: used, but in no split: {ORIGIN_FILE} has no row for it"
                )
            yield Source(path, label, group=name)
            return
        listed = row.cells.get("label", "")
        if fixed_label and listed and listed != label:
            self._problems.append(
                f'{row.place}: label "{listed}" in folder "{label}"; the folder counts'
            )
        yield Source(
            path,
            label if fixed_label else listed,
            group=row.cells.get("group", "") or name,
            split=row.cells.get("split", ""),
        )


def _target_labels(root: Path, labels: Sequence[str] | None) -> frozenset[str]:
    folder = root / "events"
    if not folder.is_dir():
        raise DataError(
            f"{folder} is no folder. Lay recordings out as events/<label>/*, backgrounds/* and, "
            f"if there are any, events_other/<class>/*."
        )
    present = _folders_in(folder)
    wanted = present if labels is None else labels
    known = [*present, *_folders_in(root / OTHER_EVENTS_FOLDER)]
    for label in wanted:
        if label not in known:
            raise DataError(
                f'no events of "{label}" in {folder}.{did_you_mean(label, known)} '
                f"There are: {', '.join(known) or 'none'}."
            )
    return frozenset(wanted)


def _folders_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(child.name for child in folder.iterdir() if child.is_dir())


def read_origin(root: Path) -> tuple[dict[str, Row], list[str]]:
    """Returns the rows of a folder's `origin.csv` by file, and what is wrong with them."""
    path = root / ORIGIN_FILE
    if not path.is_file():
        return {}, []
    origin: dict[str, Row] = {}
    problems = []
    for row in read_table(path, required=("file",)):
        name = Path(row.cells["file"]).as_posix()
        if not row.cells["file"]:
            raise DataError(f"{row.place}: the file name is empty. Name a file, or remove the row.")
        if name in origin:
            raise DataError(
                f"{row.place}: {name} was listed at {origin[name].place}. Remove one row."
            )
        origin[name] = row
        if not (root / name).is_file():
            problems.append(f"{row.place}: {name} does not exist")
    return origin, problems


def _audio_files(folder: Path, depth: int | None) -> list[Path]:
    """Returns audio files so many folders below `folder` (None: at any depth), sorted."""
    pattern = "**/*" if depth is None else "*/" * depth + "*"
    return sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    )


def _checked(found: SourceSet, root: Path, targets: frozenset[str]) -> SourceSet:
    lost = (
        f" {len(found.problems)} problems; the first: {found.problems[0]}."
        if found.problems
        else ""
    )
    empty = sorted(targets.difference(found.labels))
    if empty or not targets:
        what = f"events/{empty[0]}" if empty else "events"
        raise DataError(f"{root / what} holds no readable recording.{lost} Add audio files.")
    if not found.backgrounds:
        raise DataError(
            f"{root / 'backgrounds'} holds no readable recording.{lost} Add audio files."
        )
    return found
