"""`sedsdk reproduce NAME --figure FIGURE`: a figure of a paper that needs no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from sedsdk.cli import EXIT_SOME_FAILED
from sedsdk.cli.recordings import recordings_folder
from sedsdk.errors import DataError, PluginError, UnknownPart
from sedsdk.hooks import FigureRequest, FigureResult

YAML_SUFFIXES = (".yaml", ".yml")


def draw_figure(
    name: str,
    figure: str,
    *,
    data: Path | None,
    recordings: Path | None,
    model: Path | None,
    out: Path | None,
    settings: Sequence[str],
) -> None:
    """Lets a plugin draw a figure, and prints what it wrote.

    Args:
        name: of the reproduction.
        figure: one of its spec's figures.
        data: a set that the caller named.
        recordings: folder of real recordings that the caller named; looked for without `data`.
        model: what the caller named.
        out: folder; None for reproduction/NAME-FIGURE.
        settings: "field=value" each.

    Raises:
        UnknownPart: no such reproduction or figure.
        DataError: a path that was named does not exist, or holds no recordings.
        typer.Exit: with code 3, where inputs failed.
    """
    from sedsdk.cli.screen import warn
    from sedsdk.host import default_host

    if name.endswith(YAML_SUFFIXES):
        raise UnknownPart(f"{name}: a plan in a file has no figures; a plugin's spec names them.")
    draw = default_host().load_figure(name, figure)
    for path in (data, model):
        if path is not None and not path.exists():
            raise DataError(f"{path}: no such file or folder.")
    request = FigureRequest(
        out or Path("reproduction") / f"{name.replace('/', '-')}-{figure}",
        data,
        None if data is not None else recordings_folder(recordings),
        model,
        settings_of(settings),
    )
    result = draw(request)
    if not isinstance(result, FigureResult):
        raise PluginError(
            f"figure {figure} of {name} gave {type(result).__name__}, expected FigureResult."
        )
    for file in result.files:
        print(file)
    for problem in result.problems:
        warn(f"error: {problem}")
    if result.problems:
        raise typer.Exit(EXIT_SOME_FAILED)


def settings_of(given: Sequence[str]) -> Mapping[str, str]:
    """Reads "field=value" texts; of a field that is there twice, the last counts.

    Raises:
        typer.BadParameter: a text without a field or "=".
    """
    settings = {}
    for text in given:
        field, separator, value = text.partition("=")
        if not (field.strip() and separator):
            raise typer.BadParameter(f'--set "{text}": write it as FIELD=VALUE.')
        settings[field.strip()] = value.strip()
    return settings
