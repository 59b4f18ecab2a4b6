"""Manifests as tables: CSV, TSV and header-less lists. `manifest_format` describes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sedsdk.audio import AUDIO_SUFFIXES
from sedsdk.data.manifest import Clip, Manifest, check_label
from sedsdk.data.manifest_entries import clip_at, default_id, relative_filename, seconds
from sedsdk.data.tables import Row, delimiter_of, read_rows, read_table
from sedsdk.errors import DataError, did_you_mean
from sedsdk.types import Event

UNKNOWN = "?"
FILE_COLUMNS = ("filename", "file", "path")
TAG_COLUMNS = ("event_labels", "tags")
EVENT_COLUMNS = ("onset", "offset", "event_label")
CLIP_COLUMNS = ("id", "start", "end", "group", "split")


def read_tables(path: Path, labels: tuple[str, ...], root: Path) -> list[Clip]:
    """Reads the clips of a table or header-less list.

    Args:
        path: the file.
        labels: the classes, or () to take what comes.
        root: folder that file names are relative to.

    Raises:
        DataError: with file and line, and what is wrong there.
    """
    rows = header_less_rows(path) if _is_header_less(path) else _table_rows(path)
    return _clips_of(rows, labels, root)


@dataclass
class _Listed:
    """What the rows of one clip say, before it is a `Clip`."""

    place: str
    cells: dict[str, str]
    has_events: bool
    empty_place: str = ""
    events: list[Event] = field(default_factory=list)


def _is_header_less(path: Path) -> bool:
    _, first = next(read_rows(path), (1, [""]))
    names = {cell.lower() for cell in first}
    return not names.intersection(FILE_COLUMNS) and Path(first[0]).suffix.lower() in AUDIO_SUFFIXES


def header_less_rows(path: Path, delimiter: str | None = None) -> Iterator[Row]:
    """Yields the rows of a list without header as filename, onset, offset, event_label.

    Args:
        path: the list.
        delimiter: one character; None to find out.

    Raises:
        DataError: a row has neither one cell nor four.
    """
    for line, cells in read_rows(path, delimiter):
        place = f"{path}:{line}"
        while cells and not cells[-1]:
            cells.pop()
        if len(cells) not in (1, 4):
            raise DataError(
                f"{place}: {len(cells)} cells. A list without header has file, onset, offset and "
                f"label, or the file alone; else add a header row."
            )
        names = ("filename", *EVENT_COLUMNS)
        yield Row(place, dict(zip(names, [*cells, "", "", ""][:4], strict=True)))


def _table_rows(path: Path) -> Iterator[Row]:
    delimiter = delimiter_of(path)
    table = read_table(path, required=(), delimiter=delimiter)
    line, header = next(read_rows(path, delimiter), (1, []))
    columns = [name.lower() for name in header]
    file_column = next((name for name in FILE_COLUMNS if name in columns), "")
    tag_column = next((name for name in TAG_COLUMNS if name in columns), "")
    if not file_column:
        raise DataError(
            f'{path}:{line}: no column "filename".{did_you_mean("filename", columns)} '
            f"The columns are: {', '.join(columns) or 'none, the file is empty'}."
        )
    missing = [name for name in EVENT_COLUMNS if name not in columns]
    if 0 < len(missing) < len(EVENT_COLUMNS):
        raise DataError(
            f'{path}:{line}: no column "{missing[0]}".{did_you_mean(missing[0], columns)} '
            f"Events need onset, offset and event_label; tags without times go in a column "
            f"event_labels."
        )
    wanted = [*CLIP_COLUMNS, "score", *(() if missing else EVENT_COLUMNS)]
    for row in table:
        cells = {name: row.cells[name] for name in wanted if name in row.cells}
        cells["filename"] = row.cells[file_column]
        if tag_column:
            cells["tags"] = row.cells[tag_column]
        yield Row(row.place, cells)


def _clips_of(rows: Iterator[Row], labels: tuple[str, ...], root: Path) -> list[Clip]:
    listed: dict[str, _Listed] = {}
    for row in rows:
        if not row.cells["filename"]:
            raise DataError(f"{row.place}: the file name is empty. Name a file, or remove the row.")
        start, end = (_span_text(row, name) for name in ("start", "end"))
        clip_id = row.cells.get("id") or default_id(row.cells["filename"], start, end)
        has_events = "onset" in row.cells
        of_clip = {k: v for k, v in row.cells.items() if k not in (*EVENT_COLUMNS, "score")}
        of_clip |= {"id": clip_id, "start": start, "end": end}
        known = listed.setdefault(clip_id, _Listed(row.place, of_clip, has_events))
        if known.place != row.place:
            _check_repeated(known, row, of_clip)
        if has_events:
            _add_event(known, row, labels)
    return [_clip_of(known, labels, root) for known in listed.values()]


def _span_text(row: Row, name: str) -> str:
    """Returns a clip boundary in one spelling, so that 5 and 5.0 are the same clip."""
    cell = row.cells.get(name, "")
    value = seconds(cell, name, row.place) if cell else 0.0
    return "" if value == 0 and (name == "start" or not cell) else repr(value)


def _check_repeated(known: _Listed, row: Row, of_clip: dict[str, str]) -> None:
    if not known.has_events:
        raise DataError(
            f'{row.place}: clip "{known.cells["id"]}" is already at {known.place}. Remove one row.'
        )
    for name, cell in of_clip.items():
        if known.cells[name] != cell:
            raise DataError(
                f'{row.place}: clip "{known.cells["id"]}" has {name} "{cell}" here and '
                f'"{known.cells[name]}" at {known.place}. Make them agree, or give different ids.'
            )


def _add_event(known: _Listed, row: Row, labels: tuple[str, ...]) -> None:
    onset, offset, label = (row.cells[name] for name in EVENT_COLUMNS)
    first = known.place == row.place
    if not onset and not offset and label in ("", UNKNOWN):
        if not first:
            raise DataError(
                f'{row.place}: clip "{known.cells["id"]}" has an empty event here and another '
                f"row at {known.place}. Keep the events, or one row without."
            )
        known.empty_place = row.place
        known.has_events = label != UNKNOWN
        return
    if known.empty_place:
        raise DataError(
            f'{row.place}: clip "{known.cells["id"]}" has an event here and none at '
            f"{known.empty_place}. Remove one of the rows."
        )
    for name, cell in zip(EVENT_COLUMNS, (onset, offset, label), strict=True):
        if not cell:
            raise DataError(
                f"{row.place}: {name} is empty. "
                f"Fill onset, offset and event_label, or none of them."
            )
    if labels:
        check_label(label, labels, row.place)
    score = row.cells.get("score", "")
    event = Event(
        seconds(onset, "onset", row.place),
        seconds(offset, "offset", row.place),
        label,
        seconds(score, "score", row.place) if score else 1.0,
    )
    clip_at(row.place, "event", Path(), events=(event,))
    known.events.append(event)


def _clip_of(known: _Listed, labels: tuple[str, ...], root: Path) -> Clip:
    cells, place = known.cells, known.place
    tags = _tags_of(cells["tags"], labels, place) if "tags" in cells else None
    events = tuple(known.events) if known.has_events else None
    if tags and events == ():
        events = None
    if tags == () and events:
        tags = None
    return clip_at(
        place,
        cells["id"],
        root / cells["filename"],
        start=float(cells["start"] or 0.0),
        end=float(cells["end"]) if cells["end"] else None,
        tags=tags,
        events=events,
        group=cells.get("group", ""),
        split=cells.get("split", ""),
    )


def _tags_of(cell: str, labels: tuple[str, ...], place: str) -> tuple[str, ...] | None:
    if cell == UNKNOWN:
        return None
    pieces = cell.split(";") if ";" in cell else _comma_pieces(cell, labels)
    tags = tuple(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))
    for tag in tags if labels else ():
        check_label(tag, labels, place)
    return tags


def _comma_pieces(cell: str, labels: tuple[str, ...]) -> list[str]:
    """Splits at commas, but not inside a known label ("Air horn, truck horn")."""
    words = cell.split(",")
    pieces = []
    while words:
        size = next(
            (n for n in range(len(words), 1, -1) if ",".join(words[:n]).strip() in labels), 1
        )
        pieces.append(",".join(words[:size]))
        words = words[size:]
    return pieces


def table_text(manifest: Manifest, root: Path, delimiter: str) -> str:
    """Returns a manifest as a table with a header; file names are relative to `root`.

    Raises:
        DataError: a table cannot hold a label.
    """
    weak = any(clip.tags is not None for clip in manifest)
    strong = any(clip.events is not None for clip in manifest)
    rows = [row for clip in manifest for row in _table_cells(clip, root, weak, strong)]
    columns = ["filename"]
    columns += [name for name in ("id", "start", "end") if any(row.get(name) for row in rows)]
    columns += ["event_labels"] * weak + list(EVENT_COLUMNS) * strong
    columns += [name for name in ("score", "group", "split") if any(row.get(name) for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(
        text, columns, extrasaction="ignore", delimiter=delimiter, lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _table_cells(clip: Clip, root: Path, weak: bool, strong: bool) -> Iterator[dict[str, str]]:
    filename = relative_filename(clip, root)
    start = "" if clip.start == 0 else repr(clip.start)
    end = "" if clip.end is None else repr(clip.end)
    cells = {
        "filename": filename,
        "start": start,
        "end": end,
        "group": clip.group,
        "split": clip.split,
    }
    cells["id"] = "" if clip.id == default_id(filename, start, end) else clip.id
    for label in clip.labels:
        if label == UNKNOWN or label != label.strip():
            raise DataError(
                f'clip "{clip.id}": a table cannot hold the label "{label}". Use .jsonl.'
            )
    if weak:
        cells["event_labels"] = _tag_cell(clip)
    if strong and not clip.events:
        cells["event_label"] = UNKNOWN if clip.events is None else ""
    if not clip.events:
        yield cells
    for event in clip.events or ():
        score = "" if event.score == 1.0 else repr(event.score)
        times = {"onset": repr(event.onset), "offset": repr(event.offset)}
        yield {**cells, **times, "event_label": event.label, "score": score}


def _tag_cell(clip: Clip) -> str:
    if clip.tags is None:
        return UNKNOWN
    if any(";" in tag for tag in clip.tags):
        raise DataError(
            f'clip "{clip.id}": a table cannot hold a tag with a semicolon. Use .jsonl.'
        )
    if any("," in tag for tag in clip.tags):
        return "".join(f"{tag};" for tag in clip.tags)
    return ",".join(clip.tags)
