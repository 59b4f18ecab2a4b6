"""Names of AudioSet's classes: from its index, from the ontology, and of the strong labels."""

from __future__ import annotations

import json
from pathlib import Path

from sedsdk.data.datasets.layout import base_folders, find_file
from sedsdk.data.datasets.listing import CURE
from sedsdk.data.tables import read_rows, read_table, read_text
from sedsdk.errors import DataError

PLACES = ("", "metadata", "meta", "csv", "strong", "metadata/strong", "*", "*/metadata")
INDEX_FILE = "class_labels_indices.csv"
ONTOLOGY_FILE = "ontology.json"
STRONG_NAMES_FILE = "mid_to_display_name.tsv"
EXCLUDED = frozenset({"abstract", "blacklist"})
"""Restrictions of the classes in the ontology that no segment is labelled with."""


def read_class_names(root: Path) -> dict[str, str]:
    """Returns the classes in order, machine id → name ("/m/09x0r" → "Speech").

    In the order of `class_labels_indices.csv`; without it, in that of `ontology.json`, less the
    classes that are abstract or excluded there.

    Raises:
        DataError: neither file is there, or it is malformed.
    """
    path = find_file(root, "names of classes", PLACES, (INDEX_FILE, ONTOLOGY_FILE))
    if path.name == ONTOLOGY_FILE:
        return _from_ontology(path)
    rows = read_table(path, ("index", "mid", "display_name"), ",")
    names: dict[int, tuple[str, str]] = {}
    for row in rows:
        index, mid, name = (row.cells[column] for column in ("index", "mid", "display_name"))
        if not index.isdigit() or not mid or not name or int(index) in names:
            raise DataError(f"{row.place}: expected an index of its own, id and name. {CURE}")
        names[int(index)] = mid, name
    return dict(names[index] for index in sorted(names))


def read_strong_names(root: Path, names: dict[str, str]) -> dict[str, str]:
    """Returns the classes with those that only strong labels have behind them.

    A class that both have keeps the name of the index. Without `mid_to_display_name.tsv` there are
    no further ones.

    Raises:
        DataError: the file is malformed.
    """
    every = dict(names)
    found = [base / STRONG_NAMES_FILE for base in base_folders(root, PLACES)]
    path = next((path for path in found if path.is_file()), None)
    for line, cells in read_rows(path, "\t") if path is not None else ():
        if len(cells) != 2 or not all(cells):
            raise DataError(f"{path}:{line}: expected an id and a name. {CURE}")
        every.setdefault(*cells)
    return every


def _from_ontology(path: Path) -> dict[str, str]:
    try:
        entries = json.loads(read_text(path))
        return {
            entry["id"]: entry["name"]
            for entry in entries
            if not EXCLUDED.intersection(entry.get("restrictions", ()))
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} is no list of classes with id and name. {CURE}") from error
