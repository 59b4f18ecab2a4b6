"""What training and scoring take from TUT Rare Sound Events 2017 as downloaded.

The sources of both development parts as one set, the finished mixtures of a part for some classes,
and the official recipes of a part that has not been mixed yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sedsdk.audio import audio_info
from sedsdk.data.manifest import Clip, Manifest, check_files
from sedsdk.data.source_set import Source, SourceSet
from sedsdk.data.tut_rare import (
    Part,
    PartMissing,
    find_source_folder,
    meta_folders,
    read_tut_rare,
    read_tut_rare_sources,
    screened_backgrounds,
)
from sedsdk.data.tut_rare_recipes import TutRareRecipe, read_tut_rare_recipes
from sedsdk.errors import AudioError, DataError, did_you_mean

SOURCE_PARTS: tuple[Part, ...] = ("devtrain", "devtest")


def is_development_set(folder: Path) -> bool:
    """True where `read_development_sources` finds a `cv_setup`, and it is no folder of ours."""
    if (folder / "events").is_dir() and (folder / "backgrounds").is_dir():
        return False
    return any(find_source_folder(folder, part) is not None for part in SOURCE_PARTS)


def read_development_sources(
    folder: Path, labels: Sequence[str] | None = None, other_events: bool = False
) -> SourceSet:
    """Reads the isolated events and backgrounds of both development parts.

    Args:
        folder: the development set, the folder it lies in, or its `source_data`.
        labels: classes whose events are wanted; None for all.
        other_events: events of other classes become distractors.

    Returns:
        Sources in the splits "devtrain" and "devtest", as far as their cv_setup is there. Every
        header is opened; what cannot be read is in `problems`.

    Raises:
        DataError: as `read_tut_rare_sources`; a class that the set does not have.
    """
    parts = [part for part in SOURCE_PARTS if find_source_folder(folder, part) is not None]
    read = [read_tut_rare_sources(folder, part) for part in parts]
    problems = [problem for found in read for problem in found.problems]
    events = _readable((event for found in read for event in found.events), problems)
    backgrounds = _readable((source for found in read for source in found.backgrounds), problems)
    present = sorted({event.label for event in events})
    for label in labels or ():
        if label not in present:
            raise DataError(
                f'no events of "{label}" in {folder}.{did_you_mean(label, present)} '
                f"There are: {', '.join(present) or 'none'}."
            )
    wanted = set(present if labels is None else labels)
    others = [event for event in events if event.label not in wanted] if other_events else []
    return SourceSet(
        tuple(event for event in events if event.label in wanted),
        tuple(backgrounds),
        tuple(others),
        tuple(dict.fromkeys(problems)),
    )


def finished_mixtures(folder: Path, part: Part, labels: Sequence[str]) -> Manifest:
    """Reads the finished mixtures of some classes, by their lists, where they lie.

    A clip's group is the place where its background was recorded, if the recipes lie beside the
    lists; otherwise nothing is known of it.

    Args:
        folder: as for `read_tut_rare`.
        part: of the data set.
        labels: classes whose lists are wanted.

    Raises:
        PartMissing: a list is missing, or not one of the audio files is there.
        DataError: as `read_tut_rare`.
    """
    listed = read_tut_rare(folder, part)
    if missing := [label for label in labels if label not in listed.labels]:
        raise PartMissing(
            f"{folder} has no event list of {part} for {', '.join(missing)}. "
            f"There are: {', '.join(listed.labels)}."
        )
    clips = [clip for clip in listed if clip.group in labels]
    manifest = Manifest(tuple(clips), tuple(labels))
    usable, problems = check_files(manifest)
    if not len(usable):
        why = problems[0] if problems else "the lists are empty"
        raise PartMissing(f"{folder} has the lists of {part} and none of its audio: {why}.")
    return with_places(manifest, _recipes_beside(clips[0], part, labels))


def official_recipes(
    folder: Path, part: Part, labels: Sequence[str], development: Path | None = None
) -> tuple[list[TutRareRecipe], Path]:
    """Reads the official recipes of a part, without those that the patch of June 2017 withdrew.

    Args:
        folder: where the recipes are; as for `read_tut_rare`.
        part: of the data set.
        labels: classes whose recipes are wanted.
        development: where the sources are; None for `folder`.

    Returns:
        The recipes, class by class, and the `source_data` that they are rendered from.

    Raises:
        PartMissing: the recipes of a class are missing, or there are no sources to render from.
        DataError: recipes lie in several places, or are malformed.
    """
    source_folder = find_source_folder(development or folder, part)
    found = [
        meta
        for meta in [folder / "meta", *meta_folders(folder, part)]
        if all(_recipe_file(meta, part, label).is_file() for label in labels)
    ]
    if source_folder is None or not found:
        place = (development or folder) if found else folder
        what = f"sources of {part}" if found else f"mixture_recipes_{part}_*.yaml of all classes"
        raise PartMissing(f"{place} holds no {what} to make it by the official recipes.")
    if len(found) > 1:
        names = ", ".join(str(meta.parent) for meta in found)
        raise DataError(
            f"{folder} holds several sets of {part} recipes: {names}. Keep one of them there."
        )
    withdrawn = screened_backgrounds(source_folder)
    recipes = [
        recipe
        for label in labels
        for recipe in read_tut_rare_recipes(_recipe_file(found[0], part, label))
        if label not in withdrawn.get(Path(recipe["bg_path"]).name, ())
    ]
    return recipes, source_folder


def with_places(manifest: Manifest, recipes: Iterable[TutRareRecipe]) -> Manifest:
    """Groups mixtures by the place of their background, as in `a001` of `a001_0_30.wav`.

    A mixture without a recipe gets no group.
    """
    places: Mapping[str, str] = {
        recipe["mixture_audio_filename"]: Path(recipe["bg_path"]).stem.split("_")[0]
        for recipe in recipes
    }
    clips = (replace(clip, group=places.get(clip.id, "")) for clip in manifest)
    return replace(manifest, clips=tuple(clips))


def _recipes_beside(clip: Clip, part: Part, labels: Sequence[str]) -> list[TutRareRecipe]:
    files = [_recipe_file(clip.path.parent.parent / "meta", part, label) for label in labels]
    return [recipe for file in files if file.is_file() for recipe in read_tut_rare_recipes(file)]


def _recipe_file(meta: Path, part: Part, label: str) -> Path:
    return meta / f"mixture_recipes_{part}_{label}.yaml"


def _readable(sources: Iterable[Source], problems: list[str]) -> list[Source]:
    reasons: dict[Path, str | None] = {}
    kept = []
    for source in sources:
        if source.path not in reasons:
            reasons[source.path] = _why_unreadable(source.path)
            if reason := reasons[source.path]:
                problems.append(f"left out: {reason}")
        if reasons[source.path] is None:
            kept.append(source)
    return kept


def _why_unreadable(path: Path) -> str | None:
    try:
        audio_info(path)
    except AudioError as error:
        return str(error)
    return None
