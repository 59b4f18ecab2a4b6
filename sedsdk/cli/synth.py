"""`sedsdk synth`: mixtures of events and backgrounds, with their labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sedsdk.cli import EXIT_SOME_FAILED
from sedsdk.errors import ConfigError, DataError

if TYPE_CHECKING:
    from sedsdk.data.manifest import Manifest
    from sedsdk.data.mixture_drawing import MixtureSettings
    from sedsdk.data.source_set import SourceSet

app = typer.Typer(rich_markup_mode=None)

BUILTIN_CORPUS = "builtin"
CORPUS_FOLDER = "corpus"
OFFICIAL_NAME = "mixture_recipes_"


@app.command(
    epilog="The same arguments give the same bytes; an interrupted run is finished by running it "
    "again. `--set` takes every field of the mixture settings, as in "
    "`--set event_to_background_ratios_db=[-6,0]` or `--set mode=joint`."
)
def synth(
    out: Annotated[Path, typer.Argument(help="Folder that the mixtures are written to.")],
    sources: Annotated[
        str,
        typer.Option(
            help='Folder with events/<label>/ and backgrounds/, or "builtin" for the made corpus.'
        ),
    ] = BUILTIN_CORPUS,
    split: Annotated[
        str | None, typer.Option(help="Use the recordings of this split only.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A target class; may be repeated. All if not given.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Mixtures per class.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Everything random comes from it.")] = 42,
    subset: Annotated[str, typer.Option(help="Name of the set, part of its file names.")] = "mix",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Another setting; may be repeated."),
    ] = None,
    corpus_size: Annotated[
        str, typer.Option(help="Size of the built-in corpus: tiny, demo, small or full.")
    ] = "demo",
    recipes: Annotated[
        list[Path] | None,
        typer.Option(help="Official YAML recipes of TUT Rare Sound Events 2017; may be repeated."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="TUT Rare Sound Events 2017 as downloaded, for --recipes.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one per core if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Make mixtures of events and backgrounds.

    Audio, event lists and a manifest with strong labels.
    """
    from sedsdk.cli.screen import print_json, progress, warn

    processes = workers or os.cpu_count() or 1
    problems: list[str] = []
    if (recipes is None) != (data is None):
        raise typer.BadParameter("--recipes and --data go together.")
    if recipes and data:
        with progress("making mixtures", "mixtures") as update:
            subset = official_subset(recipes)
            manifest = _official(recipes, data, out, subset, processes, update, problems)
    else:
        settings = mixture_settings(subset, count, seed, setting or ())
        found = _sources(sources, label, out, corpus_size, processes)
        for problem in found.problems:
            warn(f"warning: {problem}")
        if split is not None:
            found = found.split(split)
        from sedsdk.data.mixtures import synthesise

        with progress("making mixtures", "mixtures") as update:
            manifest = synthesise(found, settings, out, processes, update, problems.append)
    for problem in problems:
        warn(f"error: {problem}")
    made = {
        "folder": str(out),
        "manifest": str(out / f"manifest_{subset}.csv"),
        "mixtures": len(manifest),
        "events": sum(len(clip.events or ()) for clip in manifest),
        "labels": list(manifest.labels),
        "problems": problems,
    }
    if as_json:
        print_json(made)
    else:
        print(f"{made['mixtures']} mixtures with {made['events']} events: {made['manifest']}")
    if problems:
        raise typer.Exit(EXIT_SOME_FAILED)


def mixture_settings(subset: str, count: int, seed: int, changes: Sequence[str]) -> MixtureSettings:
    """Builds the settings of a set of mixtures.

    Args:
        subset: name of the set.
        count: mixtures per class.
        seed: of everything random.
        changes: "field=value", the value as JSON, or as it stands where it is none.

    Raises:
        ConfigError: no such field, or a value that is not allowed.
    """
    import json

    from sedsdk.config import read_model
    from sedsdk.data.mixture_drawing import MixtureSettings

    values: dict[str, Any] = {"subset": subset, "mixtures_per_class": count, "seed": seed}
    for change in changes:
        field, equals, text = change.partition("=")
        if not equals:
            raise ConfigError(f'--set {change}: write field=value, as in "duration_seconds=10".')
        try:
            values[field.strip()] = json.loads(text)
        except ValueError:
            values[field.strip()] = text
    return read_model(MixtureSettings, values, "mixture settings")


def official_subset(recipes: Sequence[Path]) -> str:
    """Returns the subset that official recipe files are of, as in "devtrain".

    Raises:
        DataError: a file is not named as the data set names it, or they are of several subsets.
    """
    subsets = set()
    for path in recipes:
        name = path.stem.removeprefix(OFFICIAL_NAME)
        if name == path.stem or "_" not in name:
            raise DataError(
                f"{path}: expected a recipe file of the data set, "
                f"as in {OFFICIAL_NAME}devtrain_babycry.yaml."
            )
        subsets.add(name.split("_")[0])
    if len(subsets) > 1:
        raise DataError(f"the recipes are of several subsets: {', '.join(sorted(subsets))}.")
    return subsets.pop()


def source_data_folder(data: Path) -> Path:
    """Returns the folder with `bgs` and `events` in the data set as downloaded.

    Raises:
        DataError: there is none, at the data set's own places.
    """
    from sedsdk.data.tut_rare import SOURCE_FOLDERS

    inside = sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    for root in (data, *inside):
        for name in SOURCE_FOLDERS:
            if (root / name / "bgs").is_dir():
                return root / name
    raise DataError(
        f"{data} holds no source_data/bgs. Give --data the folder that the archives of the "
        "development set were unpacked in."
    )


def _official(
    recipes: Sequence[Path],
    data: Path,
    out: Path,
    subset: str,
    workers: int,
    update: Any,
    problems: list[str],
) -> Manifest:
    from sedsdk.data.mixtures import synthesise_tut
    from sedsdk.data.tut_rare import screened_backgrounds
    from sedsdk.data.tut_rare_recipes import read_tut_rare_recipes

    folder = source_data_folder(data)
    withdrawn = screened_backgrounds(folder)
    entries = []
    for path in recipes:
        label = path.stem.removeprefix(f"{OFFICIAL_NAME}{subset}_")
        for recipe in read_tut_rare_recipes(path):
            if label not in withdrawn.get(Path(recipe["bg_path"]).name, ()):
                entries.append(recipe)
    return synthesise_tut(entries, folder, out, subset, workers, update, problems.append)


def _sources(
    given: str, labels: Sequence[str] | None, out: Path, size: str, workers: int
) -> SourceSet:
    from sedsdk.cli.screen import progress
    from sedsdk.data.corpus import make_corpus
    from sedsdk.data.sources import read_sources

    if given != BUILTIN_CORPUS:
        return read_sources(given, labels or None)
    folder = out / CORPUS_FOLDER
    with progress("making the built-in corpus", "sounds") as update:
        made = make_corpus(folder, size=size, workers=workers, progress=update)
    return read_sources(folder, labels) if labels else made
