"""The formats of manifests: CSV, TSV, JSON lines, and the header-less lists of DCASE.

Tables (.csv, .tsv, .txt) have a header row; any further columns are ignored.

    filename                         audio file, from the manifest's folder or the audio root
    start, end                       the clip inside a long file, in seconds; empty: whole file
    event_labels (or tags)           weak: labels separated by comma or semicolon
    onset, offset, event_label       strong: one row per event, in seconds from the clip's start
    score                            of the event; empty: 1
    group, split, id                 as in `Clip`; an id left out is the file name, with the span

Without the strong columns one row is one clip, and events are unknown; without the weak column
tags are unknown. A row whose event cells are empty is a clip without events (or, where it is
tagged, with unknown ones); an empty tag cell is a clip without tags (or, beside events, unknown).
A single `?` as tags or event_label says unknown. A cell that contains a semicolon is separated by
semicolons only, so labels with commas are written with one.

Header-less: `file<TAB>onset<TAB>offset<TAB>label`, one row per event, and `file` alone for a file
without events (sed_eval, DCASE 2017 Task 2).

JSON lines (.jsonl): one clip per line with the keys filename, id, start, end, tags, events (list
of {onset, offset, label, score}), group, split; null or left out is unknown. A first line
{"labels": [...]} states the classes in order.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from sedsdk.data.manifest import Manifest
from sedsdk.data.manifest_json import json_text, read_json_lines
from sedsdk.data.manifest_tables import read_tables, table_text
from sedsdk.errors import DataError
from sedsdk.files import write_atomically

JSON_SUFFIXES = (".jsonl", ".ndjson")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".ann")


def read_manifest(
    path: Path, labels: Collection[str] | None = None, audio_root: str | Path | None = None
) -> Manifest:
    """Reads a manifest in any format of this module; arguments and errors as `Manifest.read`."""
    suffix = path.suffix.lower()
    root = Path(os.path.abspath(path.parent if audio_root is None else audio_root))
    if suffix in JSON_SUFFIXES:
        stated, clips = read_json_lines(path, tuple(labels or ()), root)
        classes = tuple(labels or stated)
    elif suffix in TABLE_SUFFIXES:
        classes = tuple(labels or ())
        clips = read_tables(path, classes, root)
    else:
        known = ", ".join((*TABLE_SUFFIXES, *JSON_SUFFIXES))
        raise DataError(f'{path}: no manifest format "{suffix}". Use one of: {known}.')
    if not clips:
        raise DataError(f"{path} lists no clip. Add rows.")
    return Manifest(tuple(clips), classes)


def write_manifest(manifest: Manifest, path: Path, audio_root: str | Path | None = None) -> None:
    """Writes a manifest; arguments and errors as `Manifest.write`."""
    suffix = path.suffix.lower()
    root = Path(os.path.abspath(path.parent if audio_root is None else audio_root))
    if suffix in JSON_SUFFIXES:
        text = json_text(manifest, root)
    elif suffix in (".csv", ".tsv"):
        text = table_text(manifest, root, "," if suffix == ".csv" else "\t")
    else:
        raise DataError(
            f'{path}: manifests are not written as "{suffix}". Use .csv, .tsv or .jsonl.'
        )
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}. Check the folder and free space."
        ) from error
