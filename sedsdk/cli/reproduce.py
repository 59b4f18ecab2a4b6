"""`sedsdk reproduce`: a paper's tables, trained and measured again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sedsdk.cli import EXIT_SOME_FAILED
from sedsdk.cli.recordings import RECORDINGS_BESIDE, RECORDINGS_VARIABLE, recordings_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sedsdk.training.reproduction import Reproduction, TableResult

app = typer.Typer(rich_markup_mode=None)

SMALL_SCALE = "small"
PAPER_SCALE = "paper"


@app.command(
    epilog="The same command goes on where an interrupted one stopped. Without --data it trains on "
    f"real recordings (--recordings, then ${RECORDINGS_VARIABLE}, then {RECORDINGS_BESIDE}), else "
    "on made sounds. Runs that fail are named on stderr, the others go on (exit code 3)."
)
def reproduce(
    name: Annotated[
        str, typer.Argument(help="What to reproduce; lists what can be, if not given.")
    ] = "",
    data: Annotated[Path | None, typer.Option(help="The paper's data set, as downloaded.")] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="One of the plan's scales: paper with --data, else small, if not given.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the results; reproduction/NAME-SCALE if not given."),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(help="Real recordings: events/<label>/, backgrounds/, maybe origin.csv."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0,1,2", help="In place of the plan's seeds.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs at once; one on a GPU, else up to two, if not given."),
    ] = None,
    tables: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Run for these tables only.")
    ] = None,
    rows: Annotated[str | None, typer.Option(metavar="NAME,…", help="Run these rows only.")] = None,
    device: Annotated[
        str | None, typer.Option(help='As in "cpu" or "cuda:0"; a GPU where there is one.')
    ] = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Print the runs that this needs, and leave.")
    ] = False,
    figure: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Make this figure of the paper; trains nothing."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="For --figure: a model, in place of the figure's own.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="For --figure; may be repeated."),
    ] = None,
) -> None:
    """Train and measure a paper's tables again.

    Every row with several seeds, confidence intervals, the printed values beside it; as Markdown,
    JSON and pictures.
    """
    if not name:
        if figure is not None:
            raise typer.BadParameter("--figure: name the reproduction that it belongs to, too.")
        _list()
        return
    if data is not None and recordings is not None:
        raise typer.BadParameter("give --data or --recordings, not both.")
    of_runs = {"--scale": scale, "--seeds": seeds, "--jobs": jobs, "--tables": tables,
               "--rows": rows, "--device": device, "--plan": only_plan or None}  # fmt: skip
    of_figures = {"--model": model, "--set": setting or None}
    _refuse(of_figures if figure is None else of_runs, figure)
    if figure is not None:
        from sedsdk.cli.figures import draw_figure

        draw_figure(name, figure, data=data, recordings=recordings, model=model, out=out,
                    settings=setting or ())  # fmt: skip
        return
    from sedsdk.cli.screen import warn
    from sedsdk.host import default_host
    from sedsdk.training.reproduction import Reproduction, choose_data, load_plan
    from sedsdk.training.reproduction.runners import Processes, jobs_and_threads

    host = default_host()
    plan = load_plan(name, host)
    chosen_scale = scale or (PAPER_SCALE if data is not None else SMALL_SCALE)
    found = None if data is not None else recordings_folder(recordings)
    choice = choose_data(plan.scale(chosen_scale), data, found, recordings is not None)
    folder = out or Path("reproduction") / f"{Path(name).stem}-{chosen_scale}"
    reproduction = Reproduction.decide(
        plan,
        chosen_scale,
        choice,
        folder,
        seeds=_seeds(seeds),
        tables=_names(tables),
        rows=_names(rows),
        host=host,
        command=_command(name, chosen_scale, data is not None, seeds),
    )
    if only_plan:
        _print_plan(reproduction)
        return
    at_once, threads = jobs_and_threads(jobs, device)
    warn(f"{plan.title}: scale {chosen_scale}, on {choice.words}; results in {folder}")
    runner = Processes(folder / "shared", device, threads)
    failed = reproduction.carry_out(runner, jobs=at_once, say=warn)

    results = reproduction.tables(failed)
    _draw(reproduction, results)
    page = reproduction.write(results)
    for table in results:
        _print_table(reproduction, table)
    print(f"page  {page}")
    if failed:
        warn(f"{len(failed)} of {len(reproduction.runs)} runs failed: {', '.join(failed)}")
        raise typer.Exit(EXIT_SOME_FAILED)


def _list() -> None:
    from sedsdk.cli.screen import print_table
    from sedsdk.host import default_host

    specs = default_host().reproductions()
    if not specs:
        print("No installed plugin offers a reproduction.")
        return
    print_table(
        ["name", "summary", "figures", "source"],
        [
            [spec.name, spec.summary, ", ".join(spec.figures), spec.source]
            for spec in specs.values()
        ],
    )


def _refuse(options: Mapping[str, object], figure: str | None) -> None:
    """Refuses options that have no meaning with, or without, a figure."""
    given = [name for name, value in options.items() if value is not None]
    if given and figure is None:
        raise typer.BadParameter(f"{given[0]} goes with --figure.")
    if given:
        raise typer.BadParameter(f"--figure trains nothing: leave out {', '.join(given)}.")


def _names(given: str | None) -> list[str]:
    return [name.strip() for name in (given or "").split(",") if name.strip()]


def _seeds(given: str | None) -> list[int] | None:
    if given is None:
        return None
    names = _names(given)
    if not names or not all(name.isdigit() for name in names):
        raise typer.BadParameter(f'--seeds "{given}": write whole numbers, as in 0,1,2.')
    return list(dict.fromkeys(int(name) for name in names))


def _command(name: str, scale: str, with_data: bool, seeds: str | None) -> str:
    """Returns the command that makes the results again, without the paths of this machine."""
    words = [
        "sedsdk",
        "reproduce",
        Path(name).name if name.endswith((".yaml", ".yml")) else name,
        "--scale",
        scale,
    ]
    words += ["--data", "FOLDER"] if with_data else []
    words += ["--seeds", seeds] if seeds else []
    return shlex.join(words)


def _print_plan(reproduction: Reproduction) -> None:
    from sedsdk.cli.screen import print_table
    from sedsdk.training.reproduction.runs import read_result

    used: dict[str, list[str]] = {}
    for row in reproduction.wanted:
        for run in row.all_runs:
            place = f"{row.table.name}: {row.row.name}"
            if place not in used.setdefault(run.name, []):
                used[run.name].append(place)
    lines = []
    for run in reproduction.runs:
        begun = run.folder(reproduction.out).exists()
        finished = read_result(run, reproduction.out) is not None
        state = "finished" if finished else "begun" if begun else ""
        lines.append([run.name, run.recipe_name, "; ".join(used[run.name]), state])
    title = f"{reproduction.plan.title}: scale {reproduction.scale}, on {reproduction.data.words}"
    print_table(["run", "recipe", "for", "state"], lines, title)
    print(f"{len(lines)} runs into {reproduction.out}")


def _print_table(reproduction: Reproduction, table: TableResult) -> None:
    from sedsdk.cli.screen import print_table
    from sedsdk.training.reproduction.markdown import class_headings, table_cells
    from sedsdk.training.reproduction.measures import MEASURES

    measure = MEASURES[reproduction.plan.measure]
    columns, rows = table_cells(table, measure)
    of_classes = class_headings(table, measure)
    shown = [place for place, heading in enumerate(columns) if heading not in of_classes]
    print_table(
        [columns[place] for place in shown],
        [[row[place] for place in shown] for row in rows],
        f"{table.title} (the classes are in {table.name}.md)",
        right=[columns[place] for place in shown[1:]],
    )
    print()


def _draw(reproduction: Reproduction, tables: Sequence[TableResult]) -> None:
    """Draws all tables, where matplotlib is installed."""
    from sedsdk.cli.screen import warn
    from sedsdk.errors import MissingDependency
    from sedsdk.plots.reproduction import plot_rows, plot_sweep
    from sedsdk.plots.run_curves import RunCurve, plot_run_curves
    from sedsdk.training.reproduction.markdown import picture_names
    from sedsdk.training.reproduction.measures import MEASURES

    score = MEASURES[reproduction.plan.measure].scores[0]
    for table in tables:
        results, curves = (reproduction.out / name for name in picture_names(table))
        lines = [
            RunCurve(row.row.name, model, run.folder(reproduction.out) / "curves.csv",
                     run.recipe.training.score)
            for row in reproduction.rows
            if row.table.name == table.name
            for models in row.runs.values()
            for model, run in models.items()
            if (run.folder(reproduction.out) / "curves.csv").is_file()
        ]  # fmt: skip
        try:
            (plot_sweep if table.kind == "sweep" else plot_rows)(table, score, results)
            plot_run_curves(lines, curves, f"{table.title}: validation of every run")
        except MissingDependency as error:
            warn(f"no pictures: {error}")
            return
