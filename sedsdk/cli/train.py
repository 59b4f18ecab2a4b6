"""`sedsdk train`: runs a recipe, or goes on with a run that was interrupted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sedsdk.training.run import TrainingResult

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog="The same command goes on where an interrupted run stopped, and returns at once from a "
    "finished one. `sedsdk parts recipe` lists the recipes that are installed."
)
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Another value of the recipe, as in training.epochs=3; may be repeated.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help='As in "cpu" or "cuda:0"; a GPU where there is one.')
    ] = None,
    shared: Annotated[
        Path | None,
        typer.Option(
            help="Folder for mixtures and features, which several runs share, also at the same "
            "time; the run's own if not given."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Train a detector by a recipe.

    Data, training, thresholds fitted on validation data, scores on test data, saved detector.
    """
    from sedsdk.cli.scores import print_report
    from sedsdk.cli.screen import print_json, warn
    from sedsdk.training.recipe import load_recipe
    from sedsdk.training.run import train as run_recipe

    loaded = load_recipe(recipe, None, change or ())
    result = run_recipe(loaded, out, device=device, say=warn, shared=shared)
    if os.environ.get("RANK", "0") != "0":
        return
    picture = curves_picture(result)
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "detector": str(result.bundle),
                "best": result.best,
                "report": result.report,
                "further_reports": result.further_reports,
                "problems": list(result.problems),
            }
        )
        return
    for report in (result.report, *result.further_reports.values()):
        if report is not None:
            print_report(report)
    print(f"best epoch  {result.best.get('epoch', 0):g}")
    if picture is not None:
        print(f"curves      {picture}")
    print(f"detector    {result.bundle}")


def curves_picture(result: TrainingResult) -> Path | None:
    """Draws the learning curves of a run into its folder, where matplotlib is installed."""
    from sedsdk.cli.screen import warn
    from sedsdk.errors import MissingDependency
    from sedsdk.plots import plot_curves

    table = result.folder / "curves.csv"
    picture = table.with_suffix(".png")
    try:
        plot_curves(table, picture, result.folder.name)
    except MissingDependency as error:
        warn(f"no picture of the learning curves: {error}")
        return None
    return picture
