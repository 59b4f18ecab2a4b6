"""Draws recipes of mixtures from recordings and a seed.

The protocol of DCASE 2017 Task 2 (TUT Rare Sound Events 2017), made general: any labels, several
events, distractors, backgrounds of any length. What the official generator gets wrong is not
repeated: there, an event that is drawn twice has the same onset in both mixtures.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from sedsdk.audio import audio_info
from sedsdk.contract import PartConfig
from sedsdk.data.mixture_recipes import TIME_DECIMALS, MixtureRecipe, PlacedSound
from sedsdk.data.source_set import Source, SourceSet
from sedsdk.errors import AudioError, DataError

JOINT_LIST = "joint"
SHORTEST_BACKGROUND_SECONDS = 0.1

Random = np.random.Generator
Seconds = Annotated[float, Field(gt=0)]


class MixtureSettings(PartConfig):
    """How mixtures are drawn and written; the defaults are those of DCASE 2017 Task 2."""

    subset: str = Field(
        default="devtrain",
        pattern=r"^[A-Za-z0-9-]+$",
        description="name of the set, part of file names",
    )
    mode: Literal["per_class", "joint"] = Field(
        default="per_class",
        description="per_class: one list of mixtures per label, with events of that label only; "
        "joint: one list with events of any label",
    )
    mixtures_per_class: int = Field(
        default=500,
        ge=1,
        description="mixtures per label; the joint list has as many for every label",
    )
    event_presence_probability: float = Field(
        default=0.5, ge=0, le=1, description="share of mixtures with an event; the count is exact"
    )
    events_per_mixture: tuple[int, int] = Field(
        default=(1, 1), description="fewest and most events in a mixture that has any"
    )
    event_to_background_ratios_db: tuple[float, ...] = Field(
        default=(-6.0, 0.0, 6.0),
        min_length=1,
        description="levels of an event, dB rms to rms; one is drawn",
    )
    distractors_per_mixture: tuple[int, int] = Field(
        default=(0, 0), description="fewest and most sounds that are no target, in every mixture"
    )
    distractor_to_background_db: tuple[float, float] = Field(
        default=(-6.0, 6.0),
        description="lowest and highest level of a distractor, dB; drawn uniformly",
    )
    duration_seconds: Seconds | tuple[Seconds, Seconds] = Field(
        default=30.0,
        description="length of a mixture, seconds; of two numbers, drawn uniformly between them",
    )
    level: float = Field(default=0.2, gt=0, description="factor on every finished mixture")
    sample_rate: int = Field(default=44100, ge=1000, description="hertz")
    subtype: Literal["PCM_16", "PCM_24", "PCM_32", "FLOAT"] = Field(
        default="PCM_24", description="width of the samples in the WAV files"
    )
    seed: int = Field(default=42, ge=0, description="everything random comes from it")

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> MixtureSettings:
        for name in (
            "events_per_mixture",
            "distractors_per_mixture",
            "distractor_to_background_db",
            "shortest_and_longest",
        ):
            low, high = getattr(self, name)
            if low > high:
                what = "duration_seconds" if name == "shortest_and_longest" else name
                raise ValueError(f"{what}: {low} to {high} is no range; the lower value goes first")
        if self.events_per_mixture[0] < 1 or self.distractors_per_mixture[0] < 0:
            raise ValueError(
                "events_per_mixture begins at 1 or more (event_presence_probability makes mixtures "
                "without events) and distractors_per_mixture at 0 or more"
            )
        return self

    @property
    def shortest_and_longest(self) -> tuple[float, float]:
        """Returns the range of the mixtures' lengths, in seconds."""
        if isinstance(self.duration_seconds, tuple):
            return self.duration_seconds
        return self.duration_seconds, self.duration_seconds


def common_folder(sources: SourceSet) -> Path | None:
    """Returns the deepest folder that holds all sources, or None if there is none."""
    folders = [path.parents for path in {source.path.absolute() for source in sources.sources}]
    if not folders:
        return None
    shared = set(folders[0]).intersection(*folders[1:])
    return max(shared, key=lambda folder: len(folder.parts), default=None)


def draw_recipes(
    sources: SourceSet,
    settings: MixtureSettings,
    on_problem: Callable[[str], None] | None = None,
) -> list[MixtureRecipe]:
    """Draws the recipes of a set.

    Equal sources and settings give equal recipes, whatever the order of the sources. Events,
    backgrounds and distractors are drawn uniformly with replacement; `round(N · p)` of a list's N
    mixtures have events, in random places of the list; onsets are uniform such that the event lies
    inside; events of one label do not overlap. What is longer than the mixture is cut at the end.

    Args:
        sources: events (of one label or more), backgrounds, and distractors if they are asked for.
        settings: how.
        on_problem: called with one line per source whose header cannot be read; it is left out.

    Returns:
        Recipes list by list, lists in the order of the sorted labels.

    Raises:
        DataError: no events, backgrounds or (if asked for) distractors can be used.
    """
    drawer = _Drawer(sources, settings, on_problem or (lambda problem: None))
    lists = [JOINT_LIST] if settings.mode == "joint" else list(drawer.events)
    root = common_folder(sources)
    recipes: list[MixtureRecipe] = []
    for list_name in lists:
        drawn = drawer.draw_list(list_name)
        digits = max(3, len(str(len(drawn) - 1)))
        for index, recipe in enumerate(drawn):
            digest = recipe.digest(root, settings.subtype, settings.sample_rate)
            name = f"mixture_{settings.subset}_{list_name}_{index:0{digits}d}_{digest}.wav"
            recipes.append(replace(recipe, name=name))
    return recipes


class _Drawer:
    """Sources with their lengths, ready to be drawn from."""

    def __init__(
        self, sources: SourceSet, settings: MixtureSettings, on_problem: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self._durations: dict[Path, float] = {}
        events = self._with_lengths(sources.events, on_problem)
        self.events: dict[str, list[Source]] = {
            label: [event for event in events if event.label == label]
            for label in sorted({event.label for event in events})
        }
        self.backgrounds = [
            source
            for source in self._with_lengths(sources.backgrounds, on_problem)
            if _length(source) >= SHORTEST_BACKGROUND_SECONDS
        ]
        self.distractors = [
            source
            for source in self._with_lengths(sources.distractors, on_problem)
            if source.label not in self.events
        ]
        wanted: list[tuple[str, Sequence[Any]]] = [
            ("events", list(self.events)),
            ("backgrounds", self.backgrounds),
        ]
        if settings.distractors_per_mixture[1] > 0:
            wanted.append(("distractors", self.distractors))
        for what, found in wanted:
            if not found:
                raise DataError(
                    f"no {what} to draw mixtures from: none was given, or none can be read. "
                    f"Add recordings, or check their paths."
                )

    def draw_list(self, list_name: str) -> list[MixtureRecipe]:
        settings = self.settings
        count = settings.mixtures_per_class
        labels = [list_name]
        if list_name == JOINT_LIST:
            labels = list(self.events)
            count *= len(labels)
        rng = np.random.default_rng(
            [settings.seed, zlib.crc32(f"{settings.subset}/{list_name}".encode())]
        )
        n_present = math.floor(count * settings.event_presence_probability + 0.5)
        present = rng.permutation(np.arange(count) < n_present)
        deck = _Deck(labels, rng)
        return [self._draw(rng, list_name, deck if has_event else None) for has_event in present]

    def _draw(self, rng: Random, list_name: str, deck: _Deck | None) -> MixtureRecipe:
        settings = self.settings
        background = _choice(rng, self.backgrounds)
        duration = self._duration(rng)
        length = _length(background)
        spare = length if length < duration else length - duration
        offset = round(float(rng.uniform(0.0, spare)), TIME_DECIMALS)
        events: list[PlacedSound] = []
        if deck is not None:
            low, high = settings.events_per_mixture
            labels = deck.deal(int(rng.integers(low, high + 1)))
            for label in dict.fromkeys(labels):
                chosen = [_choice(rng, self.events[label]) for _ in range(labels.count(label))]
                events += self._placed_apart(rng, chosen, duration)
        low, high = settings.distractors_per_mixture
        distractors = [
            PlacedSound(
                *self._placed(rng, _choice(rng, self.distractors), duration),
                round(float(rng.uniform(*settings.distractor_to_background_db)), TIME_DECIMALS),
            )
            for _ in range(int(rng.integers(low, high + 1)))
        ]
        return MixtureRecipe(
            "",
            background,
            offset,
            tuple(events),
            tuple(distractors),
            list_name,
            duration,
            settings.level,
        )

    def _duration(self, rng: Random) -> float:
        low, high = self.settings.shortest_and_longest
        return low if low == high else round(float(rng.uniform(low, high)), TIME_DECIMALS)

    def _placed_apart(
        self, rng: Random, chosen: list[Source], duration: float
    ) -> list[PlacedSound]:
        """Places events without overlap, uniformly: sorted points in the time that is left over."""
        fitting: list[Source] = []
        left = duration
        for source in (_cut(source, duration) for source in chosen):
            if _length(source) <= left:
                fitting.append(source)
                left -= _length(source)
        ratios = rng.choice(self.settings.event_to_background_ratios_db, len(fitting))
        placed: list[PlacedSound] = []
        before = 0.0
        for point, source, ratio in zip(
            np.sort(rng.uniform(0.0, left, len(fitting))), fitting, ratios, strict=True
        ):
            onset = _floor_time(float(point) + before)
            placed.append(PlacedSound(source, onset, float(ratio)))
            before += _length(source)
        return placed

    def _placed(self, rng: Random, source: Source, duration: float) -> tuple[Source, float]:
        cut = _cut(source, duration)
        free = duration - _length(cut)
        return cut, _floor_time(float(rng.uniform(0.0, max(free, 0.0))))

    def _with_lengths(
        self, sources: Iterable[Source], on_problem: Callable[[str], None]
    ) -> list[Source]:
        """Returns the readable sources with their ends set, in an order that no folder decides."""
        usable = []
        for source in sorted(
            sources, key=lambda source: (source.label, source.path.as_posix(), source.start)
        ):
            try:
                end = self._end(source)
            except AudioError as error:
                on_problem(f"left out: {error}")
                continue
            if end <= source.start:
                on_problem(
                    f"left out: {source.path}: its span begins at {source.start:g} s and the file "
                    f"ends at {end:g} s"
                )
                continue
            usable.append(replace(source, end=end))
        return usable

    def _end(self, source: Source) -> float:
        if source.path not in self._durations:
            self._durations[source.path] = audio_info(source.path).duration
        duration = self._durations[source.path]
        return duration if source.end is None else min(source.end, duration)


class _Deck:
    """Deals labels so that each comes up equally often."""

    def __init__(self, labels: Sequence[str], rng: Random) -> None:
        self._labels = list(labels)
        self._rng = rng
        self._left: list[str] = []

    def deal(self, count: int) -> list[str]:
        dealt = []
        for _ in range(count):
            if not self._left:
                self._left = [self._labels[i] for i in self._rng.permutation(len(self._labels))]
            dealt.append(self._left.pop())
        return dealt


def _length(source: Source) -> float:
    return source.end - source.start if source.end is not None else math.inf


def _cut(source: Source, duration: float) -> Source:
    """Returns the source, without what is longer than the mixture."""
    return source if _length(source) <= duration else replace(source, end=source.start + duration)


def _choice(rng: Random, sources: Sequence[Source]) -> Source:
    return sources[int(rng.integers(len(sources)))]


def _floor_time(seconds: float) -> float:
    scale: float = 10.0**TIME_DECIMALS
    return math.floor(seconds * scale) / scale
