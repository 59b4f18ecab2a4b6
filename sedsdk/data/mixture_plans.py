"""Plans of training mixtures: what is heard when, how loud and how changed; no audio in them.

A plan is drawn from a seed and the clip's index alone, so any process can draw any clip of any
epoch. `EnergyMixer` and `WaveformMixer` render plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from sedsdk.contract import PartConfig
from sedsdk.data.source_set import Source, SourceSet
from sedsdk.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EQUALISER_POINTS = 6
SWELL_POINTS = 8
BACKGROUND_SLOTS = 2
NO_LABEL = -1
UNUSED = -1


class MixingConfig(PartConfig):
    """How training mixtures are made on the fly. Ranges are (lowest, highest), drawn uniformly."""

    clip_seconds: float = Field(10.0, gt=0, description="length of a training clip, seconds")
    presence: float = Field(0.6, ge=0, le=1, description="share of clips with at least one event")
    max_events: int = Field(2, ge=1, le=8, description="most target events in a clip")
    event_to_background_db: tuple[float, float] = Field(
        (-9.0, 12.0), description="event level against the background under it, dB"
    )
    max_distractors: int = Field(2, ge=0, le=8, description="most non-target sounds in a clip")
    distractor_to_background_db: tuple[float, float] = Field(
        (-9.0, 15.0), description="distractor level against the background under it, dB"
    )
    second_background: float = Field(
        0.3, ge=0, le=1, description="share of clips with a second background mixed in"
    )
    gain_db: tuple[float, float] = Field((-15.0, 10.0), description="level of the whole clip, dB")
    noise_floor_db: tuple[float, float] = Field(
        (-95.0, -60.0), description="level of added white noise, dB of full scale"
    )
    equaliser_db: float = Field(
        3.0, ge=0, description="deviation of each source's random smooth equaliser, dB"
    )
    channel_db: float = Field(
        3.0, ge=0, description="deviation of the random smooth equaliser on the whole clip, dB"
    )
    swell_db: float = Field(4.0, ge=0, description="deviation of slow swells of the background, dB")
    swell: float = Field(0.5, ge=0, le=1, description="share of clips with swells")
    reverberation: float = Field(0.4, ge=0, le=1, description="share of sounds with a reverb tail")
    reverberation_seconds: tuple[float, float] = Field(
        (0.2, 1.2), description="time in which the tail falls by 60 dB, seconds"
    )
    reverberation_db: tuple[float, float] = Field(
        (-20.0, -3.0), description="energy of the tail against the direct sound, dB"
    )
    rate: tuple[float, float] = Field((0.85, 1.18), description="speed of a sound, 1 = as it is")
    shift: float = Field(
        0.03, ge=0, le=0.5, description="largest shift over frequency, in shares of the band axis"
    )
    low_pass: float = Field(0.2, ge=0, le=1, description="share of clips that lose high bands")
    low_pass_from: float = Field(
        0.6, gt=0, le=1, description="lowest cut, in shares of the band axis"
    )

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> MixingConfig:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name}: the lowest value comes first, got {value}")
        if self.rate[0] <= 0 or self.reverberation_seconds[0] <= 0:
            raise ValueError("rate and reverberation_seconds must be above 0")
        return self

    @property
    def slots(self) -> int:
        """Sounds that a plan has room for: backgrounds, noise, events, distractors."""
        return BACKGROUND_SLOTS + 1 + self.max_events + self.max_distractors


@dataclass(frozen=True)
class MixturePlans:
    """A batch of plans. B clips, S slots; a slot with `source` UNUSED is silent.

    Attributes:
        source: int [B, S] index into the mixer's sources.
        looped: bool [B, S] backgrounds run on forwards and backwards; others sound once.
        label: int [B, S] class of a target event, NO_LABEL for all else.
        onset: [B, S] seconds in the clip at which the sound's `start` is heard.
        start: [B, S] seconds in the source.
        rate: [B, S] speed.
        shift: [B, S] shift over frequency, in shares of the band axis.
        level_db: [B, S] for looped slots against the source's own level; for the noise slot dB of
            full scale; for all others dB against the background under them.
        equaliser_db: [B, S, EQUALISER_POINTS] gain at equally spaced points of the band axis.
        reverberation_db, reverberation_seconds: [B, S]; level −inf where there is no tail.
        swell_db: [B, SWELL_POINTS] gain of the backgrounds at equally spaced times.
        channel_db: [B, EQUALISER_POINTS] equaliser on the whole clip.
        gain_db: [B] level of the whole clip.
        cut: [B] bands above this share of the band axis are lost; 1 keeps all.
    """

    source: NDArray[np.int64]
    looped: NDArray[np.bool_]
    label: NDArray[np.int64]
    onset: NDArray[np.float64]
    start: NDArray[np.float64]
    rate: NDArray[np.float64]
    shift: NDArray[np.float64]
    level_db: NDArray[np.float64]
    equaliser_db: NDArray[np.float64]
    reverberation_db: NDArray[np.float64]
    reverberation_seconds: NDArray[np.float64]
    swell_db: NDArray[np.float64]
    channel_db: NDArray[np.float64]
    gain_db: NDArray[np.float64]
    cut: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.gain_db)

    @property
    def noise_slot(self) -> int:
        """Index of the slot that holds white noise."""
        return BACKGROUND_SLOTS


class MixturePlanner:
    """Draws plans: class, then recording group, then recording, each uniformly.

    Drawing groups before recordings keeps a prolific uploader from deciding what a class sounds
    like.

    Args:
        sources: what to mix. Source indices in plans count `sources.sources`; the index after
            the last stands for white noise.
        durations: seconds of each of `sources.sources`.
        labels: target classes in the pipeline's order.
        config: how to mix.
        seed: with the clip's index it decides everything.

    Raises:
        DataError: a label has no event, or there is no background.
    """

    def __init__(
        self,
        sources: SourceSet,
        durations: Sequence[float],
        labels: Sequence[str],
        config: MixingConfig,
        seed: int,
    ) -> None:
        self.config = config
        self.labels = tuple(labels)
        self._seed = seed
        self._durations = np.asarray([*durations, np.inf])
        self._noise = len(sources.sources)
        self._events = _index_by_label_and_group(sources.events, 0)
        first = len(sources.events)
        self._backgrounds = list(
            _index_by_label_and_group(sources.backgrounds, first, one_label=True).values()
        )
        first += len(sources.backgrounds)
        self._distractors = list(_index_by_label_and_group(sources.distractors, first).values())
        missing = [label for label in self.labels if label not in self._events]
        if missing:
            raise DataError(
                f'no training recording of "{missing[0]}". There are: {", ".join(self._events)}.'
            )
        if not self._backgrounds:
            raise DataError("mixing needs at least one background recording")

    def draw(self, indices: Sequence[int]) -> MixturePlans:
        """Returns the plans of the clips with these indices."""
        drawn = [self._draw_one(np.random.default_rng([self._seed, index])) for index in indices]
        stacked = {
            field.name: np.stack([one[field.name] for one in drawn])
            for field in fields(MixturePlans)
        }
        return MixturePlans(**stacked)

    def _draw_one(self, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
        config, slots = self.config, self.config.slots
        plan: dict[str, NDArray[np.generic]] = {
            "source": np.full(slots, UNUSED),
            "looped": np.zeros(slots, bool),
            "label": np.full(slots, NO_LABEL),
            "onset": np.zeros(slots),
            "start": np.zeros(slots),
            "rate": np.ones(slots),
            "shift": np.zeros(slots),
            "level_db": np.zeros(slots),
            "equaliser_db": rng.normal(0, 1, (slots, EQUALISER_POINTS)) * config.equaliser_db,
            "reverberation_db": np.full(slots, -np.inf),
            "reverberation_seconds": np.ones(slots),
            "swell_db": rng.normal(0, config.swell_db, SWELL_POINTS)
            * (rng.random() < config.swell),
            "channel_db": rng.normal(0, 1, EQUALISER_POINTS) * config.channel_db,
            "gain_db": np.asarray(rng.uniform(*config.gain_db)),
            "cut": np.asarray(
                rng.uniform(config.low_pass_from, 1) if rng.random() < config.low_pass else 1.0
            ),
        }
        backgrounds = 2 if rng.random() < config.second_background else 1
        for slot in range(backgrounds):
            source = _draw_nested(rng, self._backgrounds)
            plan["source"][slot] = source
            plan["looped"][slot] = True
            plan["start"][slot] = rng.uniform(0, self._durations[source])
            plan["level_db"][slot] = 0.0 if slot == 0 else rng.uniform(-10, 5)
        noise = BACKGROUND_SLOTS
        plan["source"][noise] = self._noise
        plan["looped"][noise] = True
        plan["start"][noise] = rng.uniform(0, 1)
        plan["level_db"][noise] = rng.uniform(*config.noise_floor_db)
        slot = noise + 1
        if rng.random() < config.presence:
            for _ in range(int(rng.integers(1, config.max_events + 1))):
                label = int(rng.integers(len(self.labels)))
                source = _draw_groups(rng, self._events[self.labels[label]])
                self._place(rng, plan, slot, source, config.event_to_background_db)
                plan["label"][slot] = label
                slot += 1
        slot = noise + 1 + config.max_events
        if self._distractors:
            for _ in range(int(rng.integers(0, config.max_distractors + 1))):
                source = _draw_nested(rng, self._distractors)
                self._place(rng, plan, slot, source, config.distractor_to_background_db)
                slot += 1
        return plan

    def _place(
        self,
        rng: np.random.Generator,
        plan: dict[str, NDArray[np.generic]],
        slot: int,
        source: int,
        level_db: tuple[float, float],
    ) -> None:
        config = self.config
        rate = np.exp(rng.uniform(np.log(config.rate[0]), np.log(config.rate[1])))
        heard = self._durations[source] / rate
        plan["source"][slot] = source
        plan["rate"][slot] = rate
        plan["onset"][slot] = rng.uniform(0, max(config.clip_seconds - heard, 0.0))
        plan["start"][slot] = rng.uniform(0, max(heard - config.clip_seconds, 0.0)) * rate
        plan["shift"][slot] = rng.uniform(-config.shift, config.shift)
        plan["level_db"][slot] = rng.uniform(*level_db)
        if rng.random() < config.reverberation:
            plan["reverberation_db"][slot] = rng.uniform(*config.reverberation_db)
            plan["reverberation_seconds"][slot] = rng.uniform(*config.reverberation_seconds)


Groups = list[list[int]]


def _index_by_label_and_group(
    sources: Sequence[Source], first: int, one_label: bool = False
) -> dict[str, Groups]:
    """Returns, per label, the source indices of each group."""
    found: dict[str, dict[str, list[int]]] = {}
    for index, source in enumerate(sources, start=first):
        label = "" if one_label else source.label
        found.setdefault(label, {}).setdefault(source.group_name, []).append(index)
    return {label: list(groups.values()) for label, groups in sorted(found.items())}


def _draw_groups(rng: np.random.Generator, groups: Groups) -> int:
    group = groups[int(rng.integers(len(groups)))]
    return group[int(rng.integers(len(group)))]


def _draw_nested(rng: np.random.Generator, labels: list[Groups]) -> int:
    return _draw_groups(rng, labels[int(rng.integers(len(labels)))])
