"""Fits the post-processors' thresholds on validation data, robustly across recording groups.

A threshold that is best on a few easy backgrounds does not transfer to other places. Hence three
habits: every recording group (fold, place, device) counts alike and a setting that is bad on some
of them is punished for the spread; a setting in a sharp minimum is punished for its neighbours;
and of equally good settings the middle one is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, product
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sedsdk.config import PartRef, read_model
from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation.matching import EventMatcher, own_clips
from sedsdk.evaluation.search import (
    Axis,
    Costs,
    GroupedCost,
    Objective,
    PostProcessorChain,
    Setting,
    central_minimum,
    check_clips,
    on_plateau,
)
from sedsdk.host import Host, default_host
from sedsdk.types import ClipPrediction, Event

Value = TypeVar("Value")
PerClip = Sequence[Value] | Mapping[str, Value]
"""One value per clip: in the order of the clips, or by clip id if the clips have ids."""

MAX_SETTINGS = 256
MAX_ROUNDS = 4


@dataclass(frozen=True)
class Trial:
    """One setting tried for one class.

    Attributes:
        label: the class.
        setting: value per searched field, by "part.field".
        cost: mean over the groups plus the weighted spread: what is minimised.
        groups: cost per recording group that has clips for the class.
        error_rate: pooled over all clips.
        f1: pooled over all clips.
    """

    label: str
    setting: dict[str, float]
    cost: float
    groups: dict[str, float]
    error_rate: float
    f1: float


@dataclass(frozen=True)
class FittedPostProcessors:
    """The fitted post-processors, and all that was tried for them.

    Attributes:
        postprocessors: the parts in their order, fitted fields as mappings from label to value;
            ready for `Pipeline.set_postprocessors`.
        chosen: per class, the trial that was taken; classes of `unfitted` are not in it.
        trials: everything that was tried, in order, each setting once per class.
        unfitted: classes without a reference event in the clips; they keep what was configured.
        objective: "error_rate" or "f1".
        parameters: how the search was set up.
    """

    postprocessors: tuple[PartRef, ...]
    chosen: dict[str, Trial]
    trials: tuple[Trial, ...]
    unfitted: tuple[str, ...]
    objective: Objective
    parameters: dict[str, Any]

    def score_table(self, field: str | None = None) -> dict[str, list[tuple[float, float]]]:
        """Returns, per class, pairs of a field's value and the F1 it gave, ready to be drawn.

        Args:
            field: a searched field, such as "hysteresis.high"; None takes the first one.

        Raises:
            ConfigError: that field was not searched.
        """
        searched = list(self.trials[0].setting) if self.trials else []
        name = field if field is not None else next(iter(searched), "")
        if name not in searched:
            raise ConfigError(
                f'"{name}" was not searched. Searched: {", ".join(searched) or "nothing"}.'
            )
        table: dict[str, list[tuple[float, float]]] = {}
        for trial in self.trials:
            table.setdefault(trial.label, []).append((trial.setting[name], trial.f1))
        return table

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return {
            "objective": self.objective,
            "parameters": dict(self.parameters),
            "postprocessors": [{"part": ref.part, **ref.options} for ref in self.postprocessors],
            "unfitted": list(self.unfitted),
            "chosen": {label: asdict(trial) for label, trial in self.chosen.items()},
            "trials": [asdict(trial) for trial in self.trials],
        }


def fit_postprocessors(
    postprocessors: Sequence[PartRef | Mapping[str, Any] | str],
    clips: PerClip[ClipPrediction],
    reference: PerClip[Sequence[Event]],
    *,
    groups: PerClip[str] | None = None,
    clip_class: PerClip[str] | None = None,
    objective: Objective = "error_rate",
    collar: float = 0.5,
    offsets: bool = False,
    percentage_of_length: float = 0.5,
    spread_weight: float = 0.25,
    plateau_weight: float = 0.5,
    search: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    max_settings: int = MAX_SETTINGS,
    max_rounds: int = MAX_ROUNDS,
    host: Host | None = None,
    progress: Callable[[int], None] | None = None,
) -> FittedPostProcessors:
    """Searches the post-processors' fields, per class, for the lowest event-based cost.

    The full grid over all parts' `search_space()` is tried if it has at most `max_settings`
    points; else the parts are searched one after the other, each on its own grid with the others
    held, until nothing changes or `max_rounds` rounds are done. Choose on validation data only:
    what is scored later must not be among the clips.

    Args:
        postprocessors: names, or mappings such as {"part": "hysteresis", "high": 0.5}, in order;
            the last one makes events. Fields that are not searched stay as they are.
        clips: probabilities before any post-processing; a list, or a mapping from clip id.
        reference: the events to find, for each clip; listed or by id as the clips are, and so
            are the next two.
        groups: recording group of each clip (fold, place, device); None makes one group of all.
        clip_class: the class that each clip was made for, so that each class is fitted on its own
            clips only (DCASE 2017 Task 2); None fits every class on every clip.
        objective: "error_rate" or "f1".
        collar: in seconds, above 0.
        offsets: offsets have to be right too.
        percentage_of_length: in [0, 1]; see `match_intervals`.
        spread_weight: weight of the standard deviation over the groups, at least 0.
        plateau_weight: share of worse neighbouring settings in a setting's cost, in [0, 1].
        search: per part name, the fields and values to try in place of its own search space; an
            empty mapping holds a part fixed.
        max_settings: largest full grid.
        max_rounds: rounds over the parts, at least 1.
        host: resolves the names; None takes the default host.
        progress: called with the number of settings tried so far, after each.

    Raises:
        ConfigError: a parameter is out of its range, an option is wrong, a part is at the wrong
            place, or the chain makes no events.
        DataError: no clips, or something is missing for one, or a label is unknown.
        UnknownPart: no plugin offers a name.
    """
    if objective not in ("error_rate", "f1"):
        raise ConfigError(f'objective must be "error_rate" or "f1", got "{objective}".')
    if not spread_weight >= 0 or not 0 <= plateau_weight <= 1 or max_rounds < 1:
        raise ConfigError(
            "spread_weight must be at least 0, plateau_weight in [0, 1] and max_rounds at least "
            f"1, got {spread_weight}, {plateau_weight} and {max_rounds}."
        )
    clip_ids, predictions = _listed(clips)
    labels = check_clips(predictions)
    matcher = EventMatcher(
        dict(zip(clip_ids, _aligned("reference", reference, clips, clip_ids), strict=True)),
        labels,
        collar=collar,
        offsets=offsets,
        percentage_of_length=percentage_of_length,
    )
    made_for = (
        None
        if clip_class is None
        else dict(zip(clip_ids, _aligned("clip_class", clip_class, clips, clip_ids), strict=True))
    )
    names = (
        ["all"] * len(clip_ids) if groups is None else _aligned("groups", groups, clips, clip_ids)
    )
    cost = GroupedCost(
        matcher, own_clips(clip_ids, labels, made_for), names, objective, spread_weight
    )
    refs = [
        ref if isinstance(ref, PartRef) else read_model(PartRef, ref, "post-processor")
        for ref in postprocessors
    ]
    chain = PostProcessorChain(refs, predictions, host or default_host(), search or {})
    run = _Search(chain, cost, plateau_weight, progress)
    chosen = run.best(_blocks(chain.axes, max_settings), max_rounds)
    return FittedPostProcessors(
        postprocessors=tuple(chain.filled(chosen)),
        chosen={label: run.trial(label, chosen) for label in run.fitted},
        trials=tuple(trial for trial in run.trials.values() if trial.label in run.fitted),
        unfitted=tuple(label for label in labels if label not in run.fitted),
        objective=objective,
        parameters={
            "collar": collar,
            "offsets": offsets,
            "percentage_of_length": percentage_of_length,
            "spread_weight": spread_weight,
            "plateau_weight": plateau_weight,
            "groups": list(cost.names),
            "n_clips": len(clip_ids),
            "own_clips_only": made_for is not None,
            "settings_tried": run.n_tried,
        },
    )


class _Search:
    """Tries settings for all classes at once and keeps each class's own best."""

    def __init__(
        self,
        chain: PostProcessorChain,
        cost: GroupedCost,
        plateau_weight: float,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._chain = chain
        self._cost = cost
        self._plateau_weight = plateau_weight
        self._progress = progress
        self.fitted = tuple(
            label for label, n in zip(chain.labels, cost.n_ref, strict=True) if n > 0
        )
        self.trials: dict[tuple[str, tuple[float, ...]], Trial] = {}
        self.n_tried = 0

    def best(self, blocks: Sequence[Sequence[Axis]], max_rounds: int) -> Setting:
        """Descends block by block from what is configured, and returns where it ends."""
        current = dict(self._chain.start)
        searched_from: dict[int, Setting] = {}
        self._try(current)
        for _ in range(max_rounds if len(blocks) > 1 else 1):
            changed = False
            for index, block in enumerate(blocks):
                held = {name: values for name, values in current.items() if _outside(name, block)}
                if index in searched_from and _equal(held, searched_from[index]):
                    continue
                searched_from[index] = held
                found = self._best_of_block(current, block)
                changed = changed or not _equal(found, current)
                current = found
            if not changed:
                break
        self._try(current)
        return current

    def trial(self, label: str, setting: Setting) -> Trial:
        """Returns what was tried for a class."""
        return self.trials[self._key(label, setting)]

    def _best_of_block(self, current: Setting, block: Sequence[Axis]) -> Setting:
        shape = [len(axis.values) for axis in block]
        grid: NDArray[np.float64] = np.empty((len(self._chain.labels), *shape))
        n_classes = len(self._chain.labels)
        for step_number, index in enumerate(product(*map(range, shape))):
            tried = {
                axis.name: np.full(n_classes, axis.values[step])
                for axis, step in zip(block, index, strict=True)
            }
            costs = self._try({**current, **tried})
            grid.reshape(n_classes, -1)[:, step_number] = costs.total
        best = {name: values.copy() for name, values in current.items()}
        for column, label in enumerate(self._chain.labels):
            if label not in self.fitted:
                continue
            chosen = central_minimum(on_plateau(grid[column], self._plateau_weight))
            for axis, step in zip(block, chosen, strict=True):
                best[axis.name][column] = axis.values[step]
        return best

    def _try(self, setting: Setting) -> Costs:
        costs = self._cost.costs(self._chain.events(setting))
        for column, label in enumerate(self._chain.labels):
            key = self._key(label, setting)
            if key not in self.trials:
                self.trials[key] = Trial(
                    label=label,
                    setting=dict(zip(setting, key[1], strict=True)),
                    cost=float(costs.total[column]),
                    groups={
                        name: float(value)
                        for name, value in zip(
                            self._cost.names, costs.groups[:, column], strict=True
                        )
                        if not np.isnan(value)
                    },
                    error_rate=float(costs.error_rate[column]),
                    f1=float(costs.f1[column]),
                )
        self.n_tried += 1
        if self._progress is not None:
            self._progress(self.n_tried)
        return costs

    def _key(self, label: str, setting: Setting) -> tuple[str, tuple[float, ...]]:
        column = self._chain.labels.index(label)
        return label, tuple(float(values[column]) for values in setting.values())


def _blocks(axes: Sequence[Axis], max_settings: int) -> list[list[Axis]]:
    """Returns one block of all axes, or one per part, or one per field, as large as is allowed."""
    if not axes:
        return []
    if _size(axes) <= max_settings:
        return [list(axes)]
    blocks: list[list[Axis]] = []
    for _, of_part in groupby(axes, key=lambda axis: axis.part):
        block = list(of_part)
        blocks += [block] if _size(block) <= max_settings else [[axis] for axis in block]
    return blocks


def _size(axes: Sequence[Axis]) -> int:
    return prod(len(axis.values) for axis in axes)


def _outside(name: str, block: Sequence[Axis]) -> bool:
    return all(axis.name != name for axis in block)


def _equal(one: Setting, other: Setting) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def _listed(clips: PerClip[ClipPrediction]) -> tuple[list[str], list[ClipPrediction]]:
    if isinstance(clips, Mapping):
        return list(clips), list(clips.values())
    return [str(index) for index in range(len(clips))], list(clips)


def _aligned(
    what: str,
    values: PerClip[Value],
    clips: PerClip[ClipPrediction],
    clip_ids: Sequence[str],
) -> list[Value]:
    """Returns one value per clip, in the order of the clips."""
    if isinstance(values, Mapping) != isinstance(clips, Mapping):
        raise DataError(
            f"{what} and clips must both be lists, or both be mappings from clip id; "
            f"got {type(values).__name__} and {type(clips).__name__}."
        )
    if isinstance(values, Mapping):
        if missing := [clip_id for clip_id in clip_ids if clip_id not in values]:
            raise DataError(f'{what} does not name the clip "{missing[0]}". Name every clip.')
        return [values[clip_id] for clip_id in clip_ids]
    if len(values) != len(clip_ids):
        raise DataError(f"{what} has {len(values)} entries for {len(clip_ids)} clips.")
    return list(values)
