"""A table and the page of all tables, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sedsdk.training.reproduction.measures import AVERAGE, Measure, ScoreKind
from sedsdk.training.reproduction.runners import LOG_FILE
from sedsdk.training.reproduction.runs import RUNS_FOLDER
from sedsdk.training.reproduction.table import MAIN_TEST, Cell, Estimate, RowResult, TableResult

NOTHING = "–"
BETWEEN = " | "


def table_markdown(table: TableResult, measure: Measure) -> str:
    """Returns a table with its caption, and what failed under it.

    Args:
        table: at least one row finished.
        measure: that it was measured by.
    """
    columns, rows = table_cells(table, measure)
    lines = [_line(columns), _line(["---", *["---:"] * (len(columns) - 1)]), *map(_line, rows)]
    failed = [name for row in table.rows for name in row.failed]
    notes = [
        f"Failed: {name}, see {RUNS_FOLDER}/{name}/{LOG_FILE}." for name in dict.fromkeys(failed)
    ]
    drawn = [
        f"{test.capitalize()}: {table.tested[test]}, resampled as {table.resampled[test]}."
        for test in table.tests
    ]
    caption = " ".join([table.caption, *drawn])
    return "\n\n".join([f"**{table.title}**", caption, "\n".join(lines), *notes]) + "\n"


def table_cells(table: TableResult, measure: Measure) -> tuple[list[str], list[list[str]]]:
    """Returns the headings and the rows of a table, all as texts.

    Args:
        table: at least one row finished.
        measure: that it was measured by.
    """
    printed = _printed_columns(table)
    heading = BETWEEN.join(kind.heading for kind in measure.scores)
    columns = ["row", "parameters", "minutes", "seeds"]
    if table.kind == "sweep":
        columns.insert(1, str(table.parameter))
    for test in table.tests:
        columns += [f"{_prefix(test)}{column} {heading}" for column in table.columns]
        if table.baseline is not None:
            columns.append(
                f"{_prefix(test)}{_main(measure).heading} difference to {table.baseline}"
            )
    columns += [f"paper, {test}, {column}" for test, column in printed]

    rows = []
    for row in table.rows:
        cells = [row.name, _parameters(row.parameters), _minutes(row.minutes), _seeds(row)]
        if table.kind == "sweep":
            cells.insert(1, NOTHING if row.value is None else f"{row.value:g}")
        for test in table.tests:
            measured = row.measured.get(test, {})
            cells += [
                _cell(measured.get(column), measure, column == AVERAGE) for column in table.columns
            ]
            if table.baseline is not None:
                cells.append(_difference(row, table, test, measure))
        cells += [
            _printed(row.printed.get(test, {}).get(column), measure) for test, column in printed
        ]
        rows.append(cells)
    return columns, rows


def class_headings(table: TableResult, measure: Measure) -> set[str]:
    """Returns the headings of those columns that are of a single class.

    Args:
        table: at least one row finished.
        measure: that it was measured by.
    """
    heading = BETWEEN.join(kind.heading for kind in measure.scores)
    classes = [column for column in table.columns if column != AVERAGE]
    measured = {f"{_prefix(test)}{column} {heading}" for test in table.tests for column in classes}
    printed = {
        f"paper, {test}, {column}" for test, column in _printed_columns(table) if column != AVERAGE
    }
    return measured | printed


def page_markdown(
    title: str, source: str, command: str, tables: Sequence[TableResult], folder: Path,
    measure: Measure,
) -> str:  # fmt: skip
    """Returns the page of all tables, with those pictures that lie in the folder.

    Args:
        title: of the plan.
        source: the paper.
        command: that makes all this again.
        tables: those with results.
        folder: where the page will lie.
        measure: of the plan.
    """
    blocks = [f"# {title}", f"Paper: {source}. Made by `{command}`."]
    for table in tables:
        blocks += [f"## {table.name}", table_markdown(table, measure).rstrip()]
        blocks += [
            f"![{words}]({name})"
            for name, words in picture_names(table).items()
            if (folder / name).is_file()
        ]
    return "\n\n".join(blocks) + "\n"


def picture_names(table: TableResult) -> dict[str, str]:
    """Returns the file names of a table's pictures and what each shows."""
    return {
        f"{table.name}.png": f"{table.title}: results with intervals",
        f"{table.name}-curves.png": f"{table.title}: validation score of every run by epoch",
    }


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _main(measure: Measure) -> ScoreKind:
    return measure.scores[0]


def _prefix(test: str) -> str:
    return "" if test == MAIN_TEST else f"{test}, "


def _printed_columns(table: TableResult) -> list[tuple[str, str]]:
    """Returns (test, column) of all printed values, each test's average last."""
    found = [
        (test, column)
        for row in table.rows
        for test, columns in row.printed.items()
        for column, values in columns.items()
        if any(value is not None for value in values)
    ]
    tests = list(dict.fromkeys(test for test, _ in found))
    return sorted(dict.fromkeys(found), key=lambda pair: (tests.index(pair[0]), pair[1] == AVERAGE))


def _cell(cell: Cell | None, measure: Measure, with_interval: bool) -> str:
    if cell is None:
        return NOTHING
    texts = [
        kind.text(cell[kind.name].value) if kind.name in cell else NOTHING
        for kind in measure.scores
    ]
    main = _main(measure)
    if with_interval and main.name in cell:
        texts[0] += f" {_interval(cell[main.name], main)}"
    return BETWEEN.join(texts)


def _interval(estimate: Estimate, kind: ScoreKind) -> str:
    return f"[{kind.text(estimate.low)}, {kind.text(estimate.high)}]"


def _difference(row: RowResult, table: TableResult, test: str, measure: Measure) -> str:
    if row.name == table.baseline:
        return "baseline"
    found = row.difference.get(test)
    if found is None:
        return NOTHING
    kind = _main(measure)
    sign = "+" if found.value > 0 else ""
    return f"{sign}{kind.text(found.value)} {_interval(found, kind)}".replace("-", "−")


def _printed(values: Sequence[float | None] | None, measure: Measure) -> str:
    if not values or all(value is None for value in values):
        return NOTHING
    return BETWEEN.join(
        NOTHING if value is None else f"{value:.{kind.decimals}f}"
        for value, kind in zip(values, measure.scores, strict=False)
    )


def _parameters(counts: Sequence[int]) -> str:
    if not counts:
        return NOTHING
    if len(counts) > 1 and len(set(counts)) == 1:
        return f"{len(counts)} × {_count(counts[0])}"
    return " + ".join(_count(count) for count in counts)


def _count(number: int) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _minutes(minutes: float | None) -> str:
    return NOTHING if minutes is None else f"{minutes:.1f}"


def _seeds(row: RowResult) -> str:
    done, wanted = len(row.seeds), len(row.wanted_seeds)
    text = str(done) if done == wanted else f"{done} of {wanted}"
    if row.failed:
        text += f", {len(row.failed)} failed"
    return text
