"""Which trainings a plan needs: rows resolved to recipes, and each recipe trained only once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sedsdk.config import digest
from sedsdk.errors import ConfigError, TrainingError
from sedsdk.host import Host
from sedsdk.training.recipe import Recipe, load_recipe
from sedsdk.training.reproduction.data import DataChoice
from sedsdk.training.reproduction.plan import Plan, Row, Scale, Table

RUNS_FOLDER = "runs"
FOLDS_FOLDER = "folds"
RECIPE_FILE = "recipe.json"
RESULT_FILE = "result.json"
REPORT_FILE = "scores/report.json"
DATA_MARK = "{data}"
SEED_MARK = "{seed}"


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: of its folder.
        recipe_name: as `sedsdk train` takes it.
        changes: all changes of it, in their order.
        recipe: the result.
        seed: what it is repeated with.
    """

    name: str
    recipe_name: str
    changes: tuple[str, ...]
    recipe: Recipe
    seed: int

    @property
    def digest(self) -> str:
        """Tells recipes apart: runs of the same digest are the same training."""
        return digest(self.recipe.model_dump(mode="json"))

    def folder(self, out: Path) -> Path:
        """Returns the run's folder in that of the reproduction."""
        return out / RUNS_FOLDER / self.name


@dataclass(frozen=True)
class PlannedRow:
    """A row of a table with the runs that fill it.

    Attributes:
        table: it belongs to.
        row: of the plan.
        runs: seed → model → run.
    """

    table: Table
    row: Row
    runs: dict[int, dict[str, Run]]

    @property
    def all_runs(self) -> list[Run]:
        """All runs of the row."""
        return [run for models in self.runs.values() for run in models.values()]


@dataclass(frozen=True)
class RunResult:
    """What a finished run says of itself.

    Attributes:
        folder: of the run.
        seconds: of its epochs, those of its folds included.
        parameters: trainable ones.
    """

    folder: Path
    seconds: float
    parameters: int


def planned_rows(
    plan: Plan,
    scale_name: str,
    data: DataChoice,
    seeds: Sequence[int] | None = None,
    host: Host | None = None,
) -> list[PlannedRow]:
    """Resolves all rows of a scale.

    A training that several rows need is one run, named after the first of them, with its table's
    name in front where an earlier table has a row of that name; the names do not depend on which
    rows or seeds are asked for.

    Args:
        plan: of the reproduction.
        scale_name: one of its scales.
        data: what is trained on.
        seeds: in place of the plan's.
        host: plugin host; None for the default one.

    Raises:
        ConfigError: the scale does not know this kind of data, or a recipe or a change is wrong.
        UnknownPart: a recipe is not installed.
    """
    scale = plan.scale(scale_name)
    by_digest: dict[str, Run] = {}
    table_of: dict[str, str] = {}

    def once(run: Run, table: str) -> Run:
        if run.digest not in by_digest:
            if table_of.get(run.name, table) != table:
                run = replace(run, name=f"{table}-{run.name}")
            if run.name in table_of:
                run = replace(run, name=f"{run.name}-{run.digest[:6]}")
            table_of[run.name] = table
            by_digest[run.digest] = run
        return by_digest[run.digest]

    rows = []
    for table in plan.tables:
        for row in table.rows:
            if not row.is_at(scale_name):
                continue
            recipes = row.recipes_at.get(scale_name, scale.recipes)
            runs = {
                seed: {
                    model: once(
                        _run(table, row, model, recipe, seed, scale, scale_name, data, host),
                        table.name,
                    )
                    for model, recipe in recipes.items()
                }
                for seed in (seeds or row.seeds_at.get(scale_name, scale.seeds))
            }
            rows.append(PlannedRow(table, row, runs))
    return rows


def _run(
    table: Table,
    row: Row,
    model: str,
    recipe_name: str,
    seed: int,
    scale: Scale,
    scale_name: str,
    data: DataChoice,
    host: Host | None,
) -> Run:
    changes = (
        *scale.changes,
        *(_with_folder(change, data.folder) for change in scale.changes_on.get(data.kind, ())),
        *row.changes,
        *row.changes_at.get(scale_name, ()),
        *(change.replace(SEED_MARK, str(seed)) for change in scale.seed_changes),
    )
    try:
        recipe = load_recipe(recipe_name, host, changes)
    except ConfigError as error:
        raise ConfigError(f'row "{row.name}" of table "{table.name}": {error}') from None
    if recipe.data.test is None:
        raise ConfigError(
            f'row "{row.name}" of table "{table.name}": {recipe_name} has no test part (data.test),'
            " so there is nothing to report."
        )
    name = _slug(row.name)
    if not re.search("[a-z]", name):  # of a sweep, as in "α = 0.5"
        name = f"{table.name}-{name}".rstrip("-")
    return Run(f"{name}-{_slug(model)}-s{seed}", recipe_name, changes, recipe, seed)


def distinct_runs(rows: Iterable[PlannedRow]) -> list[Run]:
    """Returns every run once: the first seed of all rows, then the second one, and so on."""
    ordered: dict[str, Run] = {}
    rows = list(rows)
    for place in range(max((len(row.runs) for row in rows), default=0)):
        for row in rows:
            for models in list(row.runs.values())[place : place + 1]:
                ordered.update({run.name: run for run in models.values()})
    return list(ordered.values())


def check_folders(runs: Iterable[Run], out: Path) -> None:
    """Refuses a folder whose runs are of other recipes.

    Raises:
        TrainingError: names the first such run.
    """
    for run in runs:
        kept = _json(run.folder(out) / RECIPE_FILE)
        if kept is not None and digest(kept) != run.digest:
            raise TrainingError(
                f"{run.folder(out)} holds a run of another recipe: of another scale, other data or "
                "an earlier plan. Choose another --out, or delete that run."
            )


def read_result(run: Run, out: Path) -> RunResult | None:
    """Returns what a run left, or None if it is not finished or was not scored."""
    folder = run.folder(out)
    done = _json(folder / RESULT_FILE)
    if done is None or done.get("recipe") != run.digest or not (folder / REPORT_FILE).is_file():
        return None
    folds = [_json(path) or {} for path in sorted(folder.glob(f"{FOLDS_FOLDER}/*/{RESULT_FILE}"))]
    seconds = sum(float(each.get("seconds", 0.0)) for each in (done, *folds))
    return RunResult(folder, seconds, int(done.get("parameters", 0)))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _with_folder(change: str, folder: Path | None) -> str:
    """Puts the data folder into a change, quoted, whatever characters its path has."""
    if DATA_MARK not in change or folder is None:
        return change
    import yaml

    field, _, value = change.partition("=")
    mark = "data-folder-stands-here"
    parsed = yaml.safe_load(value.replace(DATA_MARK, mark))
    text = json.dumps(parsed, ensure_ascii=False)
    return f"{field}={text.replace(mark, json.dumps(folder.as_posix(), ensure_ascii=False)[1:-1])}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
