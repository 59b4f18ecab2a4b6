"""Carries a plan out: runs what is missing, reads everything, writes tables and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sedsdk.errors import ConfigError, did_you_mean
from sedsdk.files import write_atomically
from sedsdk.host import Host
from sedsdk.training.reproduction.caption import caption
from sedsdk.training.reproduction.data import DataChoice, check_data
from sedsdk.training.reproduction.launch import Say, launch
from sedsdk.training.reproduction.markdown import page_markdown, table_markdown
from sedsdk.training.reproduction.measures import MEASURES
from sedsdk.training.reproduction.plan import Plan
from sedsdk.training.reproduction.runners import Runner
from sedsdk.training.reproduction.runs import (
    PlannedRow,
    Run,
    check_folders,
    distinct_runs,
    planned_rows,
)
from sedsdk.training.reproduction.table import SCORES_FOLDER, TableResult, collect

PAGE_FILE = "README.md"
SHARED_FOLDER = "shared"


@dataclass(frozen=True)
class Reproduction:
    """A plan with everything decided: what is trained on what, where, and which rows.

    Attributes:
        plan: of the paper.
        scale: name of the scale.
        data: what is trained on.
        out: folder of the results.
        rows: all rows of the scale.
        wanted: those that were asked for.
        command: that does all this again, for the page.
    """

    plan: Plan
    scale: str
    data: DataChoice
    out: Path
    rows: tuple[PlannedRow, ...]
    wanted: tuple[PlannedRow, ...]
    command: str = "sedsdk reproduce"

    @classmethod
    def decide(
        cls,
        plan: Plan,
        scale: str,
        data: DataChoice,
        out: Path,
        *,
        seeds: Sequence[int] | None = None,
        tables: Sequence[str] = (),
        rows: Sequence[str] = (),
        host: Host | None = None,
        command: str = "sedsdk reproduce",
    ) -> Reproduction:
        """Resolves a plan, and refuses what cannot be done before anything is done.

        Args:
            plan: of the paper.
            scale: name of the scale.
            data: what is trained on.
            out: folder of the results.
            seeds: in place of the plan's.
            tables: names of those to run; none for all.
            rows: names of those to run; none for all.
            host: plugin host; None for the default one.
            command: that does all this again.

        Raises:
            ConfigError, UnknownPart, DataError: something named is not there, or does not fit.
            TrainingError: the folder holds runs of other recipes.
        """
        every = tuple(planned_rows(plan, scale, data, seeds, host))
        _check_names("table", tables, [row.table.name for row in every])
        _check_names("row", rows, [row.row.name for row in every])
        wanted = tuple(
            row
            for row in every
            if (not tables or row.table.name in tables) and (not rows or row.row.name in rows)
        )
        if not wanted:
            raise ConfigError(
                f"no row of {', '.join(tables) or 'the plan'} is named {', '.join(rows)} at the "
                f"scale {scale}."
            )
        runs = distinct_runs(wanted)
        check_folders(distinct_runs(every), out)
        check_data([run.recipe for run in runs], host)
        return cls(plan, scale, data, out, every, wanted, command)

    @property
    def runs(self) -> list[Run]:
        """The runs that were asked for, in the order in which they are carried out."""
        return distinct_runs(self.wanted)

    def carry_out(self, runner: Runner, *, jobs: int = 1, say: Say) -> dict[str, str]:
        """Carries out what is missing; tables are written after every run.

        Args:
            runner: carries out one run.
            jobs: how many at once.
            say: takes lines for the reader.

        Returns:
            Name of each run that failed → the end of its log.
        """
        measure = MEASURES[self.plan.measure]
        failed = launch(
            self.runs,
            self.out,
            runner,
            jobs=jobs,
            say=say,
            headline=lambda folder: measure.headline(folder / SCORES_FOLDER),
            ended=lambda: self.write(self.tables()),
        )
        self.write(self.tables(failed))
        return failed

    def tables(self, failed: Mapping[str, str] | None = None) -> list[TableResult]:
        """Returns the tables that have results, whenever their runs were carried out.

        Args:
            failed: names of runs that failed just now.
        """
        measure = MEASURES[self.plan.measure]
        found = []
        for table in self.plan.tables:
            rows = [row for row in self.rows if row.table.name == table.name]
            if rows:
                words = caption(self.scale, self.plan.scale(self.scale), self.data, rows, measure)
                result = collect(
                    rows,
                    self.out,
                    measure,
                    measure_name=self.plan.measure,
                    caption=words,
                    failed=failed,
                )
                found += [] if result.is_empty else [result]
        return found

    def write(self, tables: Sequence[TableResult]) -> Path:
        """Writes every table (.md, .json) and the page, with the pictures that are there.

        Returns:
            The page.
        """
        measure = MEASURES[self.plan.measure]
        for table in tables:
            text = json.dumps(table.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            write_atomically(self.out / f"{table.name}.json", text.encode())
            markdown = table_markdown(table, measure)
            write_atomically(self.out / f"{table.name}.md", markdown.encode())
        page = page_markdown(
            self.plan.title, self.plan.source, self.command, tables, self.out, measure
        )
        write_atomically(self.out / PAGE_FILE, page.encode())
        return self.out / PAGE_FILE


def _check_names(what: str, asked: Sequence[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            there = list(dict.fromkeys(known))
            raise ConfigError(
                f'no {what} "{name}" at this scale.{did_you_mean(name, there)} There are: '
                f"{', '.join(there)}."
            )
