"""The hooks a plugin may implement, and the typed specs that they return.

A plugin is a module (or object) that says which API it was made for and implements any of these
hooks:

    from sedsdk.hooks import PartSpec, hookimpl

    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_encoders():
        yield PartSpec("tiny", "my_package.tiny:Tiny", "two dense layers", "our report, 2026")

It is found through the entry-point group `sedsdk`, or handed to `Host(plugins=[...])`. Hooks
register and observe; tensors never pass through one. Specs and implementations have no default
arguments: pluggy's releases differ in what a default means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from sedsdk.types import Event

if TYPE_CHECKING:
    import typer

PROJECT_NAME = "sedsdk"
ENTRY_POINT_GROUP = "sedsdk"
API_VERSION = 1
"""The plugin interface's version; a plugin states the range it supports as `SEDSDK_API`."""

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)

PartKind = Literal["frontend", "conditioner", "encoder", "head", "postprocessor"]
PART_KINDS: tuple[PartKind, ...] = ("frontend", "conditioner", "encoder", "head", "postprocessor")


@dataclass(frozen=True)
class PartSpec:
    """A part, described without importing it.

    Attributes:
        name: what a config calls it: lower case, digits, `_`, `-`.
        target: "package.module:Class", imported when the part is first asked for.
        summary: one line for `sedsdk parts`.
        source: paper, equation or reference it implements.
    """

    name: str
    target: str
    summary: str
    source: str


@dataclass(frozen=True)
class RecipeSpec:
    """A recipe (pipeline, data and training in one YAML file), described without reading it.

    Attributes:
        name: as in "mtfa/babycry".
        target: "package:path/inside/package.yaml"; several recipes may share a file.
        summary: one line.
        source: paper or reference whose numbers it holds.
        changes: what this recipe changes in the file, as ("training.epochs=3",).
    """

    name: str
    target: str
    summary: str
    source: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetSpec:
    """A reader of a published data set, described without importing it.

    Attributes:
        name: as in "tut-rare-2017".
        target: "package.module:function"; the function takes the folder as downloaded and a
            part's name ("train", "validation", "test") and returns a `sedsdk.data.Manifest`.
        summary: one line.
        source: where the data set comes from.
    """

    name: str
    target: str
    summary: str
    source: str


@dataclass(frozen=True)
class ReproductionSpec:
    """The tables of a paper as runs of recipes (one YAML file), described without reading it.

    Attributes:
        name: as in "mtfa".
        target: "package:path/inside/package.yaml", a plan as `sedsdk reproduce` reads it.
        summary: one line.
        source: the paper.
        figures: name → "package.module:function", what `--figure NAME` makes of data that need no
            training; the function takes a `FigureRequest` and returns a `FigureResult`.
    """

    name: str
    target: str
    summary: str
    source: str
    figures: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class FigureRequest:
    """What `sedsdk reproduce NAME --figure FIGURE` asks for.

    Attributes:
        out: folder for everything that is written; it need not exist.
        data: what the caller named with --data, a folder or a file that exists; None if nothing.
        recordings: folder of real recordings, named or found; None with `data`, or if there is
            none: then the figure is of made sounds, or an error says what to give.
        model: path that the caller gave with --model; None for the figure's own.
        settings: field → value of every --set, as it was written; the figure refuses what it does
            not know.
    """

    out: Path
    data: Path | None = None
    recordings: Path | None = None
    model: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class FigureResult:
    """What a figure's function has done.

    Attributes:
        files: what was written, the page or picture to look at first.
        problems: one line per input that failed while the rest went on.
    """

    files: tuple[Path, ...]
    problems: tuple[str, ...] = ()


@hookspec
def sedsdk_frontends() -> Iterable[PartSpec]:
    """Offers frontends: waveform → one stream of features.

    Example:
        >>> @hookimpl
        ... def sedsdk_frontends():
        ...     yield PartSpec("energy", "my_package:Energy", "frame energy in dB", "textbook")
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def sedsdk_conditioners() -> Iterable[PartSpec]:
    """Offers conditioners: features and targets → the same, changed.

    Example:
        >>> @hookimpl
        ... def sedsdk_conditioners():
        ...     yield PartSpec("gain", "my_package:Gain", "random level per clip", "textbook")
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def sedsdk_encoders() -> Iterable[PartSpec]:
    """Offers encoders: features → hidden frames.

    Example:
        >>> @hookimpl
        ... def sedsdk_encoders():
        ...     yield PartSpec("tiny", "my_package:Tiny", "two dense layers", "our report")
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def sedsdk_heads() -> Iterable[PartSpec]:
    """Offers heads: hidden frames → probabilities, and the loss that trains them.

    Example:
        >>> @hookimpl
        ... def sedsdk_heads():
        ...     yield PartSpec("focal", "my_package:Focal", "focal frame loss", "Lin et al. 2017")
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def sedsdk_postprocessors() -> Iterable[PartSpec]:
    """Offers post-processors: numpy probabilities → the same, decisions, or events.

    Example:
        >>> @hookimpl
        ... def sedsdk_postprocessors():
        ...     yield PartSpec("loudest", "my_package:Loudest", "keeps one event", "our report")
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def sedsdk_recipes() -> Iterable[RecipeSpec]:
    """Offers recipes: complete experiments that `sedsdk train NAME` runs.

    Example:
        >>> @hookimpl
        ... def sedsdk_recipes():
        ...     yield RecipeSpec("tiny/demo", "my_package:recipes/demo.yaml", "two minutes", "ours")
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def sedsdk_datasets() -> Iterable[DatasetSpec]:
    """Offers readers of published data sets.

    Example:
        >>> @hookimpl
        ... def sedsdk_datasets():
        ...     yield DatasetSpec("esc-50", "my_package:read_esc50", "2000 clips", "Piczak 2015")
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def sedsdk_reproductions() -> Iterable[ReproductionSpec]:
    """Offers reproductions: a paper's tables, which `sedsdk reproduce NAME` runs and fills in.

    Example:
        >>> @hookimpl
        ... def sedsdk_reproductions():
        ...     figures = {"spectra": "my_package.spectra:draw"}
        ...     plan = "my_package:reproduce.yaml"
        ...     yield ReproductionSpec("tiny", plan, "two rows", "ours", figures)
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def sedsdk_epoch_ended(epoch: int, scores: dict[str, float], folder: str) -> None:
    """Observes training: called once per epoch, in the main process only.

    Args:
        epoch: counted from 1.
        scores: losses and validation scores of this epoch.
        folder: the run's folder.

    Example:
        >>> @hookimpl
        ... def sedsdk_epoch_ended(epoch, scores, folder):
        ...     print(epoch, scores["valid_loss"])
    """


@hookspec
def sedsdk_events_detected(recording: str, events: Sequence[Event]) -> None:
    """Observes detection: called once per recording with the events found, possibly none.

    Example:
        >>> @hookimpl
        ... def sedsdk_events_detected(recording, events):
        ...     print(recording, len(events))
    """


@hookspec
def sedsdk_commands(app: typer.Typer) -> None:
    """Adds commands to the command line; those of a group named "plot" join `sedsdk plot`.

    Args:
        app: the `typer.Typer` application of `sedsdk`.

    Example:
        >>> @hookimpl
        ... def sedsdk_commands(app):
        ...     import typer
        ...
        ...     app.command("hello")(lambda: print("hello"))
        ...     pictures = typer.Typer()
        ...     pictures.command("wave")(lambda: print("sedsdk plot wave"))
        ...     app.add_typer(pictures, name="plot")
    """


PART_HOOKS: dict[PartKind, str] = {
    "frontend": "sedsdk_frontends",
    "conditioner": "sedsdk_conditioners",
    "encoder": "sedsdk_encoders",
    "head": "sedsdk_heads",
    "postprocessor": "sedsdk_postprocessors",
}
"""Which hook offers which kind of part."""


def hook_specifications() -> dict[str, Any]:
    """Returns every hook specification of this module, by name."""
    return {name: value for name, value in globals().items() if name.startswith("sedsdk_")}
