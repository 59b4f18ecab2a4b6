"""The engine of threshold fitting: runs post-processors with many settings, and costs each.

Classes do not influence each other in post-processing, so one run with a value for every class
tries that value for all classes at once. What the parts before the first changed one gave is kept,
so a grid whose last field varies fastest runs little but its last part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sedsdk.config import PartRef, read_model
from sedsdk.errors import ConfigError, DataError, did_you_mean
from sedsdk.evaluation.matching import EventMatcher
from sedsdk.evaluation.rates import error_rates, f1_scores
from sedsdk.host import Host
from sedsdk.types import ClipPrediction, Event

Objective = Literal["error_rate", "f1"]
Setting = dict[str, NDArray[np.float64]]
"""Value per class, float64 [C], of every searched field; the key is "part.field"."""


@dataclass(frozen=True)
class Axis:
    """A field to search.

    Attributes:
        name: "part.field"; a part that occurs again is "part#2".
        part: index of the part in the chain.
        field: field of its `Config`.
        values: what is tried, rising.
    """

    name: str
    part: int
    field: str
    values: tuple[float, ...]


class PostProcessorChain:
    """Post-processors on fixed clips, run again with other values.

    Args:
        refs: the parts, in order; the last one makes events.
        clips: probabilities, all with the same labels.
        host: resolves the names.
        search: per part name, the fields to search and their values; parts that are not named
            offer their own `search_space()`.

    Raises:
        ConfigError: an option is wrong, or `search` names an unknown part or field.
        UnknownPart: no plugin offers a name.
    """

    def __init__(
        self,
        refs: Sequence[PartRef],
        clips: Sequence[ClipPrediction],
        host: Host,
        search: Mapping[str, Mapping[str, Sequence[float]]],
    ) -> None:
        self.labels = clips[0].labels
        self._refs = list(refs)
        self._classes = [host.load("postprocessor", ref.part) for ref in refs]
        self._stages: list[list[ClipPrediction]] = [list(clips)]
        self._built: list[dict[str, Any]] = []
        self.axes = self._find_axes(search)
        self.start = {axis.name: self._configured(axis) for axis in self.axes}

    def events(self, setting: Setting) -> list[tuple[Event, ...]]:
        """Runs the chain with a setting and returns each clip's events.

        Raises:
            ConfigError: a part refuses its options or its place, or none makes events.
        """
        options = [ref.options for ref in self.filled(setting)]
        kept = 0
        while kept < len(self._built) and self._built[kept] == options[kept]:
            kept += 1
        del self._stages[kept + 1 :], self._built[kept:]
        for index in range(kept, len(options)):
            cls, name = self._classes[index], self._refs[index].part
            part = cls(read_model(cls.Config, options[index], f"postprocessor {name}"), self.labels)
            self._stages.append([part(clip) for clip in self._stages[-1]])
            self._built.append(options[index])
        return [_events_of(clip) for clip in self._stages[-1]]

    def filled(self, setting: Setting) -> list[PartRef]:
        """Returns the parts with a setting written into them, as mappings from label to value."""
        filled: list[dict[str, Any]] = [dict(ref.options) for ref in self._refs]
        for axis in self.axes:
            values = setting[axis.name].tolist()
            filled[axis.part][axis.field] = dict(zip(self.labels, values, strict=True))
        return [
            PartRef.model_validate({"part": ref.part, **options})
            for ref, options in zip(self._refs, filled, strict=True)
        ]

    def _find_axes(self, search: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[Axis, ...]:
        names = [ref.part for ref in self._refs]
        for name in search:
            if name not in names:
                raise ConfigError(
                    f'search names "{name}", which is not among the post-processors '
                    f"{', '.join(names)}.{did_you_mean(name, names)}"
                )
        axes = []
        for index, (name, cls) in enumerate(zip(names, self._classes, strict=True)):
            nth = names[: index + 1].count(name)
            shown = name if nth == 1 else f"{name}#{nth}"
            space = search.get(name, cls.search_space())
            for field, values in space.items():
                if field not in cls.Config.model_fields:
                    raise ConfigError(
                        f'search: {name} has no field "{field}".'
                        f"{did_you_mean(field, cls.Config.model_fields)}"
                    )
                if not len(values):
                    raise ConfigError(f"search: {name}.{field} lists no values to try.")
                tried = tuple(sorted({float(value) for value in values}))
                axes.append(Axis(f"{shown}.{field}", index, field, tried))
        return tuple(axes)

    def _configured(self, axis: Axis) -> NDArray[np.float64]:
        ref = self._refs[axis.part]
        config = read_model(
            self._classes[axis.part].Config, ref.options, f"postprocessor {ref.part}"
        )
        given = getattr(config, axis.field)
        if not isinstance(given, Mapping):
            return np.full(len(self.labels), float(given))
        if set(given) != set(self.labels):
            raise ConfigError(
                f"{axis.name} names the classes {', '.join(given)}; "
                f"this pipeline has {', '.join(self.labels)}."
            )
        return np.array([float(given[label]) for label in self.labels])


@dataclass(frozen=True)
class Costs:
    """What one setting costs, per class.

    Attributes:
        total: float64 [C], group mean plus the weighted spread over the groups; what is minimised.
        groups: float64 [groups, C], cost per recording group; NaN where a group has no clip
            that counts for the class.
        error_rate: float64 [C], pooled over all clips.
        f1: float64 [C], pooled over all clips.
    """

    total: NDArray[np.float64]
    groups: NDArray[np.float64]
    error_rate: NDArray[np.float64]
    f1: NDArray[np.float64]


class GroupedCost:
    """Costs event counts, every recording group alike, however many clips it has.

    For class c and group g, with errors (insertions and deletions), references and detections
    counted per clip of the group, and r the mean over the groups of the references per clip:

        error_rate:  K_g = errors_g / r
        f1:          K_g = errors_g / (references_g + detections_g), that is 1 − F1; a group
                     without references is costed as if it also held r of them, all found
        total        = mean_g K_g + spread_weight · std_g K_g

    Args:
        matcher: counts events.
        own: bool [clips, C], which clips count for which class.
        groups: group of each clip.
        objective: what is minimised (the error rate, or 1 − F1).
        spread_weight: at least 0; 0 looks at the mean only.
    """

    def __init__(
        self,
        matcher: EventMatcher,
        own: NDArray[np.bool_],
        groups: Sequence[str],
        objective: Objective,
        spread_weight: float,
    ) -> None:
        self.names = tuple(dict.fromkeys(groups))
        self._matcher = matcher
        self._own = own
        self._objective = objective
        self._spread_weight = spread_weight
        index = {name: row for row, name in enumerate(self.names)}
        self._member = np.zeros((len(self.names), len(groups)))
        self._member[[index[group] for group in groups], np.arange(len(groups))] = 1.0
        clips = self._member @ own
        self._clips = np.where(clips > 0, clips, np.nan)  # [groups, C]
        self._references = self._per_clip(matcher.n_ref)
        self.n_ref = (matcher.n_ref * own).sum(axis=0)
        """Reference events per class: [C]; a class without any cannot be fitted."""

    def costs(self, events: Sequence[Sequence[Event]]) -> Costs:
        """Costs the events found in the clips."""
        counts = self._matcher.counts(events)
        errors = self._per_clip(counts.errors)
        density = np.where(self.n_ref > 0, _mean_over_groups(self._references), 1.0)
        if self._objective == "error_rate":
            groups = errors / density
        else:
            found_and_wanted = self._references + self._per_clip(counts.n_sys)
            padding = np.where(self._references > 0, 0.0, 2.0 * density)
            groups = errors / (found_and_wanted + padding)
        mean = _mean_over_groups(groups)
        spread = np.sqrt(_mean_over_groups((groups - mean) ** 2))
        return Costs(
            total=mean + self._spread_weight * spread,
            groups=groups,
            error_rate=error_rates(self._pooled(counts.errors), self.n_ref),
            f1=f1_scores(self._pooled(counts.hits), self.n_ref, self._pooled(counts.n_sys)),
        )

    def _per_clip(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        rates: NDArray[np.float64] = (self._member @ (counts * self._own)) / self._clips
        return rates

    def _pooled(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        pooled: NDArray[np.int64] = (counts * self._own).sum(axis=0)
        return pooled


def on_plateau(costs: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Charges each setting for those of its neighbours on the grid that are worse than it.

    A setting whose neighbours are bad sits in a sharp minimum that a little change of the
    recordings would leave. Each axis gives two neighbours; one that is better, or not there
    because the grid ends, stands at the setting's own cost:

        (1 − weight) · cost + weight · mean over neighbours of max(cost, neighbour)

    Args:
        costs: [n1, …, nk], one axis per searched field.
        weight: share of the neighbours, in [0, 1].
    """
    neighbours = []
    for axis, size in enumerate(costs.shape):
        if size > 1:
            order = np.arange(size)
            neighbours.append(costs.take(np.maximum(order - 1, 0), axis=axis))
            neighbours.append(costs.take(np.minimum(order + 1, size - 1), axis=axis))
    if not neighbours:
        return costs
    charged: NDArray[np.float64] = (1 - weight) * costs + weight * np.mean(
        np.maximum(neighbours, costs), axis=0
    )
    return charged


def central_minimum(costs: NDArray[np.float64]) -> tuple[int, ...]:
    """Returns the index of the smallest cost; of equal ones, the one nearest to their middle."""
    tied = np.argwhere(costs <= costs.min() + 1e-12)
    distance = ((tied - tied.mean(axis=0)) ** 2).sum(axis=1)
    return tuple(tied[np.argmin(distance)].tolist())


def _mean_over_groups(values: NDArray[np.float64]) -> NDArray[np.float64]:
    present = ~np.isnan(values)
    total = np.where(present, values, 0.0).sum(axis=0)
    mean: NDArray[np.float64] = total / np.maximum(1, present.sum(axis=0))
    return mean


def _events_of(clip: ClipPrediction) -> tuple[Event, ...]:
    if clip.events is None:
        raise ConfigError("the post-processors give no events to score. End them with to_events.")
    return clip.events


def check_clips(clips: Sequence[ClipPrediction]) -> tuple[str, ...]:
    """Returns the labels that all clips share.

    Raises:
        DataError: there are no clips, or their labels differ.
    """
    if not clips:
        raise DataError("there are no validation clips to fit on. Give at least one.")
    labels = clips[0].labels
    for index, clip in enumerate(clips):
        if clip.labels != labels:
            raise DataError(
                f"clip {index} has the labels {', '.join(clip.labels)}, "
                f"the first one {', '.join(labels)}. All clips must come from one pipeline."
            )
    return labels
