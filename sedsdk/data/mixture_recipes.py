"""Recipes of mixtures: which event at which moment and level over which background.

A recipe holds no audio: `mixture_drawing` draws recipes, `mixture_render` makes one sound, and
`mixtures` makes a data set of many.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sedsdk.data.source_set import Source
from sedsdk.errors import DataError
from sedsdk.types import Event

TIME_DECIMALS = 6
RECIPE_VERSION = 1
TUT_NAME = re.compile(r"mixture_[^_]+_(?P<label>.+)_\d{3,}_[0-9a-f]{32}\.wav")


@dataclass(frozen=True)
class PlacedSound:
    """A sound in a mixture.

    Attributes:
        source: what is heard; its `end` is set.
        onset: when, in seconds from the start of the mixture.
        ratio_db: rms of the sound over rms of the background under it, in dB.
    """

    source: Source
    onset: float
    ratio_db: float

    @property
    def label(self) -> str:
        """Label of the source."""
        return self.source.label

    @property
    def offset(self) -> float:
        """When it ends, in seconds from the start of the mixture."""
        end = self.source.end if self.source.end is not None else self.source.start
        return round(self.onset + end - self.source.start, TIME_DECIMALS)


@dataclass(frozen=True)
class MixtureRecipe:
    """All that is needed to make one mixture.

    Attributes:
        name: file name.
        background: what lies under everything; shorter than the mixture, it is looped.
        background_offset: seconds into the background (or its loop) at which the mixture begins.
        events: what the mixture is labelled with.
        distractors: what is heard and not labelled.
        list_name: label of the list it belongs to, or "joint".
        duration_seconds: length; None for that of the background.
        level: factor on the finished mixture.
    """

    name: str
    background: Source
    background_offset: float = 0.0
    events: tuple[PlacedSound, ...] = ()
    distractors: tuple[PlacedSound, ...] = ()
    list_name: str = ""
    duration_seconds: float | None = 30.0
    level: float = 0.2

    def labelled_events(self) -> tuple[Event, ...]:
        """Returns the events as annotated, by onset; ends are cut at the mixture's end."""
        latest = math.inf if self.duration_seconds is None else self.duration_seconds
        return tuple(
            sorted(
                Event(sound.onset, min(sound.offset, latest), sound.label) for sound in self.events
            )
        )

    def to_dict(self, root: Path | None = None) -> dict[str, Any]:
        """Returns plain values for JSON or YAML.

        Args:
            root: folder that paths become relative to; those outside it stay as they are.
        """

        def plain(source: Source) -> dict[str, Any]:
            return {**asdict(source), "path": _relative(source.path, root)}

        def placed(sounds: Iterable[PlacedSound]) -> list[dict[str, Any]]:
            return [
                {**plain(sound.source), "onset": sound.onset, "ratio_db": sound.ratio_db}
                for sound in sounds
            ]

        return {
            "name": self.name,
            "list_name": self.list_name,
            "duration_seconds": self.duration_seconds,
            "level": self.level,
            "background": plain(self.background),
            "background_offset": self.background_offset,
            "events": placed(self.events),
            "distractors": placed(self.distractors),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], root: Path | None = None) -> MixtureRecipe:
        """Builds a recipe from what `to_dict` gave.

        Args:
            values: the plain values.
            root: folder that relative paths are joined to.

        Raises:
            DataError: a key is missing or unknown.
        """

        def source(plain: Mapping[str, Any]) -> Source:
            path = Path(plain["path"])
            return Source(**{**plain, "path": root / path if root else path})

        def placed(sounds: Iterable[Mapping[str, Any]]) -> tuple[PlacedSound, ...]:
            own = ("onset", "ratio_db")
            return tuple(
                PlacedSound(
                    source({key: value for key, value in sound.items() if key not in own}),
                    sound["onset"],
                    sound["ratio_db"],
                )
                for sound in sounds
            )

        try:
            return cls(
                **{
                    **values,
                    "background": source(values["background"]),
                    "events": placed(values["events"]),
                    "distractors": placed(values["distractors"]),
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"this is no recipe of a mixture ({error}): {str(values)[:200]}. "
                f"Use a line of a file mixture_recipes_*.jsonl as it was written."
            ) from error

    def digest(self, root: Path | None = None, subtype: str = "PCM_24", rate: int = 44100) -> str:
        """Returns the MD5 (hex) of the recipe without its name and of how it is rendered."""
        values = self.to_dict(root)
        del values["name"]
        content = [RECIPE_VERSION, subtype, rate, values]
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def recipe_from_tut(mapping: Mapping[str, Any], source_folder: str | Path) -> MixtureRecipe:
    """Turns one official recipe of TUT Rare Sound Events 2017 into a recipe of ours.

    Args:
        mapping: one entry of `mixture_recipes_<subset>_<class>.yaml`.
        source_folder: `data/source_data` of the data set, with `bgs` and `events`.

    Returns:
        The recipe, with the official name, as long as its background, at the level of 0.2.

    Raises:
        DataError: a field is missing or holds no number.
    """
    root = Path(source_folder)
    try:
        name = str(mapping["mixture_audio_filename"])
        scene = str(mapping.get("bg_classname", ""))
        background = Source(_found(root, "bgs", mapping["bg_path"]), scene)
        events: tuple[PlacedSound, ...] = ()
        if mapping["event_present"]:
            source = Source(
                _found(root, "events", mapping["event_path"]),
                str(mapping["event_class"]),
                float(mapping["segment_start_seconds"]),
                float(mapping["segment_end_seconds"]),
            )
            onset = float(mapping["event_start_in_mixture_seconds"])
            events = (PlacedSound(source, onset, float(mapping["ebr"])),)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"official recipe {mapping.get('mixture_audio_filename', '(no name)')}: {error!r}. "
            f"It must have the fields of mixture_recipes_<subset>_<class>.yaml, as downloaded."
        ) from error
    match = TUT_NAME.fullmatch(name)
    label = match["label"] if match else (events[0].label if events else "")
    return MixtureRecipe(name, background, 0.0, events, (), label, None)


def _found(root: Path, folder: str, name: str) -> Path:
    """Returns a source's file; recipes name it from `bgs` or `events`, some from the root."""
    usual = root / folder / name
    from_root = root / name
    return from_root if from_root.is_file() and not usual.is_file() else usual


def _relative(path: Path, root: Path | None) -> str:
    if root is not None and path.absolute().is_relative_to(root.absolute()):
        return path.absolute().relative_to(root.absolute()).as_posix()
    return path.as_posix()
