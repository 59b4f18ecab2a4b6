"""What commands print: tables for people, JSON for programs, progress for those who wait."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 140
PROGRESS_AFTER_SECONDS = 2.0


def console(stderr: bool = False) -> Console:
    """Returns a rich console; without a terminal it is 140 characters wide and uncoloured."""
    import os

    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    wide = stream.isatty() or "COLUMNS" in os.environ
    return Console(
        stderr=stderr,
        width=None if wide else WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        soft_wrap=False,
    )


def print_json(value: Any) -> None:
    """Prints one JSON document on stdout, indented."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_json_line(value: Any) -> None:
    """Prints one JSON document on one line of stdout, at once."""
    print(json.dumps(value, ensure_ascii=False, default=str), flush=True)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str = "",
    right: Sequence[str] = (),
) -> None:
    """Prints a table on stdout.

    Args:
        columns: headings.
        rows: cells as plain text; nothing in them is read as markup.
        title: written above.
        right: headings of the columns that align to the right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        title=title or None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        pad_edge=False,
    )
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a progress bar on stderr, if that is a terminal and the work takes over two seconds.

    Args:
        what: the work, as in "making mixtures".
        unit: what a step is, as in "mixtures".

    Yields:
        A function that is called with (steps done, steps in all).
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    began = time.monotonic()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
    task = bar.add_task(what, total=None)

    def update(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if not bar.live.is_started and time.monotonic() - began > PROGRESS_AFTER_SECONDS:
            bar.start()

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


def warn(message: str) -> None:
    """Prints one line on stderr."""
    print(message, file=sys.stderr, flush=True)


def in_words(error: Exception) -> str:
    """Returns what an error says, without an errno where it has words of its own."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
