"""Delimited text with line numbers: what manifests, event lists and origin tables are read through.

UTF-8 with or without byte order mark, any line ending, comma or tab.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sedsdk.errors import DataError, did_you_mean

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".tab": "\t", ".ann": "\t"}


@dataclass(frozen=True)
class Row:
    """One row of a table with a header.

    Attributes:
        place: "file:line", to begin an error message with.
        cells: stripped text by lower-case column name; a cell that the row lacks is "".
    """

    place: str
    cells: dict[str, str]


def read_text(path: Path) -> str:
    """Returns a file's text, without byte order mark and with plain line ends.

    Raises:
        DataError: the file is missing, not readable, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def delimiter_of(path: Path) -> str:
    """Returns the delimiter that a file has: by its suffix, and for .csv by a look inside.

    The lists of DCASE are separated by tabs in files named .csv, and their first rows may hold a
    file name alone: the first line with a tab or a comma decides.
    """
    by_suffix = DELIMITERS.get(path.suffix.lower(), "\t")
    if by_suffix == "\t":
        return by_suffix
    lines = read_text(path).splitlines()
    telling = next((line for line in lines if "\t" in line or by_suffix in line), "")
    return "\t" if "\t" in telling else by_suffix


def read_rows(path: Path, delimiter: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, stripped cells) of every row that is not blank.

    Args:
        path: the file.
        delimiter: one character; None for what `delimiter_of` finds.

    Raises:
        DataError: as `read_text`, or a quotation mark is never closed.
    """
    separator = delimiter or delimiter_of(path)
    reader = csv.reader(io.StringIO(read_text(path)), delimiter=separator, strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: {error}. "
            f"Close the quotation mark, or double it inside a cell."
        ) from error


def read_table(path: Path, required: tuple[str, ...], delimiter: str | None = None) -> list[Row]:
    """Reads a table whose first row names its columns.

    Args:
        path: the file.
        required: columns that must be there, lower case.
        delimiter: as in `read_rows`.

    Raises:
        DataError: the file is empty, a column is missing or named twice, or a row has more cells
            than the header.
    """
    rows = read_rows(path, delimiter)
    line, header = next(rows, (1, []))
    columns = [name.lower() for name in header]
    for name in required:
        if name not in columns:
            raise DataError(
                f'{path}:{line}: no column "{name}".{did_you_mean(name, columns)} '
                f"The columns are: {', '.join(columns) or 'none, the file is empty'}."
            )
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        raise DataError(f'{path}:{line}: the column "{repeated[0]}" is there twice. Remove one.')
    return [_row(path, number, columns, cells) for number, cells in rows]


def _row(path: Path, line: int, columns: list[str], cells: list[str]) -> Row:
    if any(cells[len(columns) :]):
        raise DataError(
            f"{path}:{line}: {len(cells)} cells under {len(columns)} columns. "
            f"Put a cell that contains the separator in quotation marks."
        )
    padded = cells + [""] * (len(columns) - len(cells))
    return Row(f"{path}:{line}", dict(zip(columns, padded, strict=False)))
