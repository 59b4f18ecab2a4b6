"""A table's numbers: means over seeds, intervals, and differences to the baseline row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedsdk.evaluation.bootstrap import percentile_interval
from sedsdk.training.reproduction.measures import (
    AVERAGE,
    CONFIDENCE,
    REPORT_FILE,
    Measure,
    Measurement,
    Sampled,
)
from sedsdk.training.reproduction.plan import Printed
from sedsdk.training.reproduction.runs import PlannedRow, RunResult, read_result

FORMAT = "sedsdk-reproduction/1"
SCORES_FOLDER = "scores"
MAIN_TEST = "test"


@dataclass(frozen=True)
class Estimate:
    """A mean over trainings with its interval.

    Attributes:
        value: the mean.
        low: lower end of the interval.
        high: upper end.
        by_seed: what the mean is of; empty for a difference.
    """

    value: float
    low: float
    high: float
    by_seed: tuple[float, ...] = ()


Cell = dict[str, Estimate]
"""Name of a score → its estimate."""


@dataclass(frozen=True)
class RowResult:
    """What is known of a row.

    Attributes:
        name: of the row.
        value: of the swept parameter, if there is one.
        parameters: trainable ones of each model.
        minutes: of a training, mean over seeds; of all models together.
        seeds: those that are finished.
        wanted_seeds: all of them.
        runs: names of all runs.
        failed: names of those that failed.
        measured: test → column → cell; empty as long as no seed is finished.
        difference: test → difference of the average's first score to the baseline row.
        printed: test → column → values as the paper prints them.
    """

    name: str
    value: float | None
    parameters: tuple[int, ...]
    minutes: float | None
    seeds: tuple[int, ...]
    wanted_seeds: tuple[int, ...]
    runs: tuple[str, ...]
    failed: tuple[str, ...]
    measured: dict[str, dict[str, Cell]]
    difference: dict[str, Estimate]
    printed: Printed


@dataclass(frozen=True)
class TableResult:
    """A table, filled in as far as its runs are finished.

    Attributes:
        name: of its files.
        title: the plan's caption of the table.
        caption: what was measured on what, in words.
        kind: "rows" or "sweep".
        parameter: axis of a sweep.
        measure: name of the measure.
        baseline: name of the row that differences are taken to, if there is one.
        tests: measured ones; `MAIN_TEST` first.
        columns: classes, then the average.
        resampled: test → what was drawn for the intervals, in words.
        tested: test → what was tested on, in words.
        rows: in their order.
    """

    name: str
    title: str
    caption: str
    kind: str
    parameter: str | None
    measure: str
    baseline: str | None
    tests: tuple[str, ...]
    columns: tuple[str, ...]
    resampled: dict[str, str]
    tested: dict[str, str]
    rows: tuple[RowResult, ...]

    @property
    def is_empty(self) -> bool:
        """Returns whether no row has a finished seed."""
        return not self.tests

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return {"format": FORMAT, "confidence": CONFIDENCE, **asdict(self)}


def collect(
    rows: Sequence[PlannedRow],
    out: Path,
    measure: Measure,
    *,
    measure_name: str,
    caption: str = "",
    failed: Mapping[str, str] | None = None,
) -> TableResult:
    """Reads what the runs of one table left.

    Args:
        rows: of one table.
        out: folder of the reproduction.
        measure: reads the scores.
        measure_name: its name in plans.
        caption: of the table.
        failed: names of runs that failed just now.

    Raises:
        DataError: the scores of a finished run are incomplete.
    """
    table = rows[0].table
    finished = {row.row.name: finished_seeds(row, out) for row in rows}
    folders = {
        name: [[result.folder / SCORES_FOLDER for result in models] for models in seeds.values()]
        for name, seeds in finished.items()
        if seeds
    }
    measured = {test: measure.measured(there) for test, there in _tests(folders).items()}
    baseline = next((row.row.name for row in rows if row.row.baseline), None)
    return TableResult(
        name=table.name,
        title=table.caption.rstrip("."),
        caption=caption,
        kind=table.kind,
        parameter=table.parameter,
        measure=measure_name,
        baseline=baseline,
        tests=tuple(measured),
        columns=_columns(measured),
        resampled={test: found.resampled for test, found in measured.items()},
        tested={test: found.tested for test, found in measured.items()},
        rows=tuple(
            _row_result(
                row,
                finished[row.row.name],
                measured,
                baseline,
                measure.scores[0].name,
                failed or {},
            )
            for row in rows
        ),
    )


def finished_seeds(row: PlannedRow, out: Path) -> dict[int, list[RunResult]]:
    """Returns the results of those seeds of a row of which every model is finished."""
    finished = {}
    for seed, models in row.runs.items():
        results = [read_result(run, out) for run in models.values()]
        there = [result for result in results if result is not None]
        if len(there) == len(results):
            finished[seed] = there
    return finished


def _tests(folders: Mapping[str, list[list[Path]]]) -> dict[str, dict[str, list[list[Path]]]]:
    """Returns test → row → score folders; a further test counts where a row has it throughout."""
    if not folders:
        return {}
    every = [folder for trainings in folders.values() for models in trainings for folder in models]
    names = sorted(
        {path.parent.name for folder in every for path in folder.glob(f"*/{REPORT_FILE}")}
    )
    tests = {MAIN_TEST: dict(folders)}
    for test in names:
        tests[test] = {
            name: [[folder / test for folder in models] for models in trainings]
            for name, trainings in folders.items()
            if all((folder / test / REPORT_FILE).is_file() for each in trainings for folder in each)
        }
    return {test: there for test, there in tests.items() if there}


def _columns(measured: Mapping[str, Measurement]) -> tuple[str, ...]:
    found = [column for test in measured.values() for row in test.rows.values() for column in row]
    return tuple(dict.fromkeys([column for column in found if column != AVERAGE])) + (
        (AVERAGE,) if AVERAGE in found else ()
    )


def _row_result(
    row: PlannedRow,
    finished: Mapping[int, list[RunResult]],
    measured: Mapping[str, Measurement],
    baseline: str | None,
    score: str,
    failed: Mapping[str, str],
) -> RowResult:
    name = row.row.name
    seconds = [sum(result.seconds for result in models) for models in finished.values()]
    first = next(iter(finished.values()), [])
    names = tuple(run.name for run in row.all_runs)
    own = {test: found.rows[name] for test, found in measured.items() if name in found.rows}
    return RowResult(
        name=name,
        value=row.row.value,
        parameters=tuple(result.parameters for result in first),
        minutes=float(np.mean(seconds)) / 60 if seconds else None,
        seeds=tuple(finished),
        wanted_seeds=tuple(row.runs),
        runs=names,
        failed=tuple(run for run in names if run in failed),
        measured={
            test: {
                column: {score: _estimate(sampled) for score, sampled in cell.items()}
                for column, cell in columns.items()
            }
            for test, columns in own.items()
        },
        difference={
            test: _difference(
                columns[AVERAGE][score], measured[test].rows[baseline][AVERAGE][score]
            )
            for test, columns in own.items()
            if baseline is not None and baseline != name and baseline in measured[test].rows
        },
        printed=row.row.printed,
    )


def _estimate(sampled: Sampled) -> Estimate:
    values = sampled.by_training
    return _with_interval(float(values.mean()), sampled.draws, tuple(values.tolist()))


def _difference(row: Sampled, baseline: Sampled) -> Estimate:
    value = float(row.by_training.mean() - baseline.by_training.mean())
    return _with_interval(value, row.draws - baseline.draws)


def _with_interval(
    value: float, draws: NDArray[np.float64], by_seed: tuple[float, ...] = ()
) -> Estimate:
    defined = draws[~np.isnan(draws)]
    interval = percentile_interval(defined if len(defined) else np.array([value]), CONFIDENCE)
    return Estimate(value, interval.low, interval.high, by_seed)
