"""The mixture synthesiser: data sets like TUT Rare Sound Events 2017 from any recordings.

A set lies in a folder:

    audio/mixture_<subset>_<list>_<number>_<md5>.wav
    meta/event_list_<subset>_<list>.txt       file, onset, offset, label by tabs, no header;
                                              a mixture without events is its file name alone
    meta/event_list_<subset>_<list>.csv       the same bytes under the name that the task gave it
    meta/mixture_recipes_<subset>.jsonl       one recipe per line, paths from `source_folder`
    meta/parameters_<subset>.json             settings and source_folder
    meta/problems_<subset>.txt                one line per source that could not be used, if any
    manifest_<subset>.csv                     strong labels, for `Manifest.read`

The md5 in a name is that of the recipe, so a file that is there and whole need not be made again.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from sedsdk.audio import audio_info, write_audio
from sedsdk.data.manifest import Clip, Manifest
from sedsdk.data.mixture_drawing import MixtureSettings, common_folder, draw_recipes
from sedsdk.data.mixture_recipes import MixtureRecipe, PlacedSound, recipe_from_tut
from sedsdk.data.mixture_render import AudioCache, render
from sedsdk.data.source_set import SourceSet
from sedsdk.data.workers import remove_leftovers, work_through
from sedsdk.errors import AudioError, DataError
from sedsdk.files import write_atomically

__all__ = [
    "AudioCache",
    "MixtureRecipe",
    "MixtureSettings",
    "PlacedSound",
    "draw_recipes",
    "read_recipes",
    "recipe_from_tut",
    "render",
    "synthesise",
    "synthesise_recipes",
    "synthesise_tut",
]

Progress = Callable[[int, int], None]
OnProblem = Callable[[str], None]

SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
LARGEST_HEADER_BYTES = 1024
LARGEST_JOB = 8
JOBS_PER_WORKER = 4

log = logging.getLogger(__name__)


def synthesise(
    sources: SourceSet,
    settings: MixtureSettings,
    folder: str | Path,
    workers: int = 1,
    progress: Progress | None = None,
    on_problem: OnProblem | None = None,
) -> Manifest:
    """Draws and renders a set of mixtures, or finishes one that was begun.

    The same sources and settings give the same bytes with any number of workers. Files appear
    whole; what is there and whole is kept. A source that cannot be read costs the mixtures that
    need it: they are in no list, and the source is reported.

    Args:
        sources: see `draw_recipes`.
        settings: how.
        folder: where; several subsets may share one.
        workers: processes.
        progress: called with (mixtures done, mixtures in all).
        on_problem: called with one line per source that could not be used; None logs a warning.

    Returns:
        The set, with strong labels; paths lie in `folder`, and the split is the subset's name.

    Raises:
        DataError: nothing to draw from, not a single mixture could be made, the disk has too
            little room, or the folder cannot be written to.
        AudioError: a mixture cannot be written (the disk filled up meanwhile).
    """
    problems: list[str] = []
    recipes = draw_recipes(sources, settings, problems.append)
    root = common_folder(sources)
    parameters = {
        "settings": settings.model_dump(mode="json"),
        "source_folder": None if root is None else root.as_posix(),
    }
    lines = [json.dumps(recipe.to_dict(root), ensure_ascii=False) for recipe in recipes]
    meta = Path(folder) / "meta"
    _write_text(
        meta / f"parameters_{settings.subset}.json", json.dumps(parameters, indent=1) + "\n"
    )
    _write_text(meta / f"mixture_recipes_{settings.subset}.jsonl", "\n".join(lines) + "\n")
    return synthesise_recipes(
        recipes,
        folder,
        settings.subset,
        settings.sample_rate,
        settings.subtype,
        workers=workers,
        progress=progress,
        on_problem=on_problem,
        labels=sources.labels,
        problems=problems,
    )


def synthesise_tut(
    recipes: Iterable[Mapping[str, Any]],
    source_folder: str | Path,
    folder: str | Path,
    subset: str = "devtrain",
    workers: int = 1,
    progress: Progress | None = None,
    on_problem: OnProblem | None = None,
) -> Manifest:
    """Renders official recipes of TUT Rare Sound Events 2017: 44.1 kHz, 24 bit, official names.

    Args:
        recipes: entries of `mixture_recipes_<subset>_<class>.yaml`, of one class or several.
        source_folder: `data/source_data` of the data set, with `bgs` and `events`.
        folder: where to.
        subset: names the lists.
        workers: processes.
        progress: called with (mixtures done, mixtures in all).
        on_problem: called with one line per source that could not be used; None logs a warning.

    Returns:
        The set, with strong labels.

    Raises:
        DataError, AudioError: as `recipe_from_tut` and `synthesise`.
    """
    own = [recipe_from_tut(recipe, source_folder) for recipe in recipes]
    return synthesise_recipes(
        own, folder, subset, workers=workers, progress=progress, on_problem=on_problem
    )


def synthesise_recipes(
    recipes: Sequence[MixtureRecipe],
    folder: str | Path,
    subset: str,
    sample_rate: int = 44100,
    subtype: str = "PCM_24",
    *,
    workers: int = 1,
    progress: Progress | None = None,
    on_problem: OnProblem | None = None,
    labels: tuple[str, ...] = (),
    problems: Sequence[str] = (),
) -> Manifest:
    """Renders recipes from anywhere and writes the audio, the lists and the manifest.

    Args:
        recipes: with unique names.
        folder: where to.
        subset: names the lists; the split of the clips.
        sample_rate: hertz.
        subtype: "PCM_16", "PCM_24", "PCM_32" or "FLOAT".
        workers: processes.
        progress: called with (mixtures done, mixtures in all).
        on_problem: called with one line per source that could not be used; None logs a warning.
        labels: classes in order; empty for those that occur.
        problems: found while drawing, to be reported too.

    Returns:
        The set, with strong labels, in the order of the recipes.

    Raises:
        DataError, AudioError: as `synthesise`.
    """
    names = {recipe.name for recipe in recipes}
    if len(names) < len(recipes) or not all(Path(name).name == name for name in names):
        raise DataError("recipes of mixtures need unique file names without folders.")
    if subtype not in SAMPLE_BYTES:
        raise DataError(f'no subtype "{subtype}". Use {", ".join(SAMPLE_BYTES)}.')
    root = Path(folder)
    output = _Output(root / "audio", sample_rate, subtype)
    failed = _render_missing(recipes, output, workers, progress)
    lines = [*problems, *_problem_lines(failed)]
    for line in lines:
        (on_problem or log.warning)(line)
    made = [recipe for recipe in recipes if recipe.name not in failed]
    if not made:
        raise DataError(
            f"not one of {len(recipes)} mixtures could be made. {lines[0] if lines else ''}"
        )
    meta = root / "meta"
    if lines:
        _write_text(meta / f"problems_{subset}.txt", "\n".join(lines) + "\n")
    else:
        (meta / f"problems_{subset}.txt").unlink(missing_ok=True)
    for list_name in dict.fromkeys(recipe.list_name for recipe in made):
        text = event_list([recipe for recipe in made if recipe.list_name == list_name])
        for suffix in (".txt", ".csv"):
            stem = f"event_list_{subset}_{list_name}".rstrip("_")
            _write_text(meta / f"{stem}{suffix}", text)
    manifest = Manifest(tuple(_clip(recipe, output, subset) for recipe in made), labels)
    manifest.write(root / f"manifest_{subset}.csv")
    return manifest


def read_recipes(path: str | Path) -> list[MixtureRecipe]:
    """Reads `mixture_recipes_<subset>.jsonl`, with paths made absolute by the parameters beside it.

    Raises:
        DataError: the file or `parameters_<subset>.json` is missing or not as it was written.
    """
    file = Path(path)
    subset = file.stem.removeprefix("mixture_recipes_")
    parameters = file.with_name(f"parameters_{subset}.json")
    try:
        folder = json.loads(parameters.read_text(encoding="utf-8"))["source_folder"]
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} and {parameters.name} are not both there as they were written ({error}). "
            f"Run the synthesiser again with the same settings."
        ) from error
    root = None if folder is None else Path(folder)
    return [MixtureRecipe.from_dict(row, root) for row in rows]


def event_list(recipes: Iterable[MixtureRecipe]) -> str:
    """Returns the header-less list of the task: `file<TAB>onset<TAB>offset<TAB>label` per event.

    A mixture without events is one line with its file name.
    """
    lines = []
    for recipe in recipes:
        events = recipe.labelled_events()
        lines += [
            f"{recipe.name}\t{event.onset:.6f}\t{event.offset:.6f}\t{event.label}"
            for event in events
        ] or [recipe.name]
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class _Output:
    """Where mixtures go and in what form."""

    folder: Path
    sample_rate: int
    subtype: str

    def samples(self, recipe: MixtureRecipe) -> int:
        """How many samples a mixture has; 0 where its background decides and cannot be read."""
        if recipe.duration_seconds is not None:
            return round(recipe.duration_seconds * self.sample_rate)
        try:
            return round(_duration(recipe.background.path) * self.sample_rate)
        except AudioError:
            return 0

    def holds(self, recipe: MixtureRecipe) -> bool:
        """True if the mixture is there with the size and the header that it must have."""
        path = self.folder / recipe.name
        try:
            info = audio_info(path)
        except AudioError:
            return False
        expected = (
            info.n_samples
            if recipe.duration_seconds is None
            else round(recipe.duration_seconds * self.sample_rate)
        )
        header_bytes = path.stat().st_size - expected * SAMPLE_BYTES[self.subtype]
        return (
            info.sample_rate == self.sample_rate
            and info.n_samples == expected
            and 0 < header_bytes <= LARGEST_HEADER_BYTES
        )


def _render_missing(
    recipes: Sequence[MixtureRecipe], output: _Output, workers: int, progress: Progress | None
) -> dict[str, str]:
    """Makes what is not there; returns the reason for each mixture that cannot be made."""
    missing = [recipe for recipe in recipes if not output.holds(recipe)]
    remove_leftovers(output.folder / recipe.name for recipe in missing)
    _check_room(missing, output)
    # Mixtures of one background follow each other, so that it is decoded once.
    missing.sort(key=lambda recipe: (recipe.background.path.as_posix(), recipe.name))
    size = max(1, min(LARGEST_JOB, len(missing) // (JOBS_PER_WORKER * max(workers, 1))))
    jobs = [missing[first : first + size] for first in range(0, len(missing), size)]
    done = len(recipes) - len(missing)
    if progress:
        progress(done, len(recipes))
    failed: dict[str, str] = {}
    try:
        for index, reasons in work_through(partial(_render_job, output), jobs, workers):
            failed.update(reasons)
            done += len(jobs[index])
            if progress:
                progress(done, len(recipes))
    finally:
        _cache.cache_clear()
    return failed


def _check_room(recipes: Sequence[MixtureRecipe], output: _Output) -> None:
    """Refuses to begin what the disk has no room for."""
    needed = SAMPLE_BYTES[output.subtype] * sum(map(output.samples, recipes))
    _duration.cache_clear()
    present = next(folder for folder in output.folder.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(present).free
    if needed > free:
        raise DataError(
            f"{len(recipes)} mixtures need {needed / 1e9:.1f} GB in {output.folder}, and "
            f"{free / 1e9:.1f} GB are free. Make room or choose another disk, or make fewer "
            f'(mixtures_per_class) or smaller ones (subtype "PCM_16").'
        )


@cache
def _duration(path: Path) -> float:
    return audio_info(path).duration


@lru_cache(maxsize=1)
def _cache(sample_rate: int) -> AudioCache:
    """The cache of this worker process: it outlives a job."""
    return AudioCache(sample_rate)


def _render_job(output: _Output, recipes: Sequence[MixtureRecipe]) -> dict[str, str]:
    """Renders and writes some mixtures; returns the reason for each that cannot be made."""
    failed: dict[str, str] = {}
    for recipe in recipes:
        try:
            samples = render(recipe, _cache(output.sample_rate))
        except (AudioError, DataError) as error:
            failed[recipe.name] = str(error)
        else:
            write_audio(output.folder / recipe.name, samples, output.sample_rate, output.subtype)
    return failed


def _problem_lines(failed: Mapping[str, str]) -> list[str]:
    counts: dict[str, int] = {}
    for reason in failed.values():
        counts[reason] = counts.get(reason, 0) + 1
    return [f"{count} mixtures left out: {reason}" for reason, count in sorted(counts.items())]


def _clip(recipe: MixtureRecipe, output: _Output, subset: str) -> Clip:
    events = recipe.labelled_events()
    return Clip(
        id=recipe.name,
        path=output.folder / recipe.name,
        tags=tuple(sorted({event.label for event in events})),
        events=events,
        group=recipe.background.group or recipe.background.path.name,
        split=subset,
    )


def _write_text(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}. Check the folder and free space."
        ) from error
