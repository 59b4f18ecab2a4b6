"""Mixtures on disk: those to learn from, and those that a trained detector is judged by."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sedsdk.data.manifest import Manifest
from sedsdk.data.mixture_drawing import MixtureSettings
from sedsdk.data.mixtures import synthesise, synthesise_tut
from sedsdk.data.source_set import Source, SourceSet
from sedsdk.data.tut_rare import Part, PartMissing
from sedsdk.data.tut_rare_parts import finished_mixtures, official_recipes, with_places
from sedsdk.data.tut_rare_recipes import TutRareRecipe
from sedsdk.training.places import Places, Say
from sedsdk.training.progress import CountedWork
from sedsdk.training.recipe import HeldOut


@dataclass(frozen=True)
class ListedClips:
    """Clips with labels, and where they come from.

    Attributes:
        clips: with strong labels.
        origin: how they came to be, in words.
        problems: one line per recording that could not be used for them.
    """

    clips: Manifest
    origin: str
    problems: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class MixtureMaker:
    """Makes mixtures, or finds them where they have been made.

    Attributes:
        places: where they lie.
        say: takes lines for the reader.
        workers: processes.
    """

    places: Places
    say: Say
    workers: int

    def draw(self, name: str, sources: SourceSet, settings: MixtureSettings) -> ListedClips:
        """Makes mixtures with our generator.

        Args:
            name: what they are for.
            sources: what is drawn from.
            settings: how.

        Raises:
            DataError, AudioError: as `synthesise`.
        """
        made_from = [settings.model_dump(mode="json"), *map(_in_detail, sources.sources)]
        folder = self.places.mixtures(name, settings.subset, made_from)
        problems: list[str] = []
        with self.places.making(folder, f"the mixtures for {name}", self.say):
            clips = synthesise(
                sources,
                settings,
                folder,
                self.workers,
                CountedWork(f"{name}: mixtures made", self.say),
                problems.append,
            )
        self.places.note(name, folder / f"manifest_{settings.subset}.csv")
        return self._told(name, clips, f"{len(clips)} mixtures by our generator", problems)

    def render(
        self, name: str, recipes: Sequence[TutRareRecipe], source_folder: Path, part: Part
    ) -> ListedClips:
        """Makes the mixtures of official recipes.

        Args:
            name: what they are for.
            recipes: of the data set.
            source_folder: its `source_data`.
            part: that the recipes are of.

        Raises:
            DataError, AudioError: as `synthesise_tut`.
        """
        made_from = [str(source_folder.resolve()), part, *map(dict, recipes)]
        folder = self.places.mixtures(name, part, made_from)
        problems: list[str] = []
        with self.places.making(folder, f"the mixtures for {name}", self.say):
            made = synthesise_tut(
                recipes,
                source_folder,
                folder,
                part,
                self.workers,
                CountedWork(f"{name}: mixtures made", self.say),
                problems.append,
            )
        self.places.note(name, folder / f"manifest_{part}.csv")
        clips = with_places(made, recipes)
        return self._told(name, clips, f"{len(clips)} mixtures by the official recipes", problems)

    def read_part(
        self, name: str, wanted: HeldOut, part: Part, folder: Path, sources: SourceSet
    ) -> ListedClips:
        """Returns the mixtures of a part of TUT Rare Sound Events 2017, made if need be.

        Finished ones are read by their lists, where they are; else they are rendered by the
        official recipes; else they are drawn from the part's sources.

        Args:
            name: what they are for.
            wanted: `folder` and `mixtures` of it count.
            part: of the data set.
            folder: the data set.
            sources: of all parts, with events of the wanted classes.

        Raises:
            PartMissing: none of the three is possible.
            DataError, AudioError: lists, recipes or recordings are malformed.
        """
        place = folder if wanted.folder is None else expanded(wanted.folder)
        labels = sources.labels
        try:
            clips = finished_mixtures(place, part, labels)
        except PartMissing as error:
            not_finished = str(error)
        else:
            return self._told(name, clips, f"{len(clips)} finished mixtures of {part} in {place}")
        try:
            recipes, source_folder = official_recipes(place, part, labels, folder)
        except PartMissing as error:
            no_recipes = str(error)
        else:
            return self.render(name, recipes, source_folder, part)
        if part not in sources.splits:
            raise PartMissing(not_finished)
        if wanted.mixtures is None:
            raise PartMissing(
                f"{not_finished} {no_recipes} To draw some from the sources of {part}, say how: "
                f"data.{name}.mixtures."
            )
        settings = wanted.mixtures.model_copy(update={"subset": part})
        return self.draw(name, sources.split(part), settings)

    def _told(
        self, name: str, clips: Manifest, origin: str, problems: Sequence[str] = ()
    ) -> ListedClips:
        self.say(f"{name}: {origin}")
        for problem in problems:
            self.say(f"{name}: {problem}")
        return ListedClips(clips, origin, tuple(problems))


def expanded(folder: str) -> Path:
    """Returns a folder as a recipe names it, with variables and ~ put in."""
    return Path(os.path.expandvars(folder)).expanduser()


def _in_detail(source: Source) -> list[object]:
    """Returns all of a source that a mixture depends on."""
    try:
        status = source.path.stat()
        state = [status.st_size, status.st_mtime_ns]
    except OSError:
        state = []
    return [
        str(source.path.resolve()),
        *state,
        source.label,
        source.start,
        source.end,
        source.group,
    ]
