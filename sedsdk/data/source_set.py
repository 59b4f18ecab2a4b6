"""What mixtures are made from: recordings, or spans of them, with their groups and splits."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from sedsdk.errors import DataError, did_you_mean

ORIGIN_FILE = "origin.csv"
"""Says of the recordings in a folder which split and group they belong to."""


@dataclass(frozen=True)
class Source:
    """One recording, or a span of one.

    Attributes:
        path: audio file.
        label: class of the event or distractor; scene of a background.
        start: begin of the span, in seconds from the start of the file.
        end: end of the span, in seconds; None for the end of the file.
        group: what it shares with others that must stay in one split (uploader, place, original
            recording); "" if nothing is known.
        split: "train", "dev", ...; "" if it belongs to none.
    """

    path: Path
    label: str
    start: float = 0.0
    end: float | None = None
    group: str = ""
    split: str = ""

    @property
    def group_name(self) -> str:
        """The group, or the file's path where none is known: a file is a group of its own."""
        return self.group or self.path.as_posix()


@dataclass(frozen=True)
class SourceSet:
    """What a mixture synthesiser draws from.

    Attributes:
        events: isolated target events.
        backgrounds: recordings without target events.
        distractors: isolated sounds that are no target, mixed in without a label.
        problems: one line per recording that was listed or found and is not (fully) used, with
            the reason.
    """

    events: tuple[Source, ...] = ()
    backgrounds: tuple[Source, ...] = ()
    distractors: tuple[Source, ...] = ()
    problems: tuple[str, ...] = field(default=(), compare=False)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Events, backgrounds and distractors, in this order."""
        return self.events + self.backgrounds + self.distractors

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the events, sorted."""
        return tuple(sorted({event.label for event in self.events}))

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that occur, sorted."""
        return tuple(sorted({source.split for source in self.sources if source.split}))

    def groups(self) -> tuple[str, ...]:
        """Returns the names of all groups (`Source.group_name`), sorted."""
        return tuple(sorted({source.group_name for source in self.sources}))

    def keep(self, wanted: Callable[[Source], bool]) -> SourceSet:
        """Returns the sources for which `wanted` is true."""
        return replace(
            self,
            events=tuple(filter(wanted, self.events)),
            backgrounds=tuple(filter(wanted, self.backgrounds)),
            distractors=tuple(filter(wanted, self.distractors)),
        )

    def split(self, name: str) -> SourceSet:
        """Returns the sources of one split.

        Raises:
            DataError: no source belongs to it.
        """
        if name not in self.splits:
            have = (
                f"There are: {', '.join(self.splits)}."
                if self.splits
                else (f"No source has a split: list them in {ORIGIN_FILE}, or split by groups.")
            )
            raise DataError(
                f'no source is in split "{name}".{did_you_mean(name, self.splits)} {have}'
            )
        return self.keep(lambda source: source.split == name)

    def partition(self, groups: Collection[str]) -> tuple[SourceSet, SourceSet]:
        """Returns (the sources of these groups, all others).

        Args:
            groups: names as `groups()` gives them.

        Raises:
            DataError: a group is not in the set.
        """
        chosen = set(groups)
        known = self.groups()
        unknown = sorted(chosen.difference(known))
        if unknown:
            raise DataError(
                f'no source is in group "{unknown[0]}".{did_you_mean(unknown[0], known)}'
            )
        inside = self.keep(lambda source: source.group_name in chosen)
        return inside, self.keep(lambda source: source.group_name not in chosen)

    def without_groups(self, groups: Collection[str]) -> SourceSet:
        """Returns the sources outside these groups; raises as `partition`."""
        return self.partition(groups)[1]

    def folds(self, n_folds: int, seed: int = 0) -> tuple[tuple[SourceSet, SourceSet], ...]:
        """Splits into (training, held out) pairs such that no group is in both.

        Every group is held out once. Groups are dealt out kind by kind (each event label, then
        distractors, then backgrounds), the fold with the fewest sources of that kind first, so
        each fold holds a share of every label as far as its groups allow.

        Args:
            n_folds: at least 2.
            seed: the order in which groups of equal size are dealt.

        Raises:
            DataError: fewer than 2 folds, or an event label has fewer groups than there are folds.
        """
        if n_folds < 2:
            raise DataError(f"folds need n_folds of at least 2, got {n_folds}.")
        for label in self.labels:
            found = len({event.group_name for event in self.events if event.label == label})
            if found < n_folds:
                raise DataError(
                    f"{n_folds} folds need {n_folds} groups of every event label; "
                    f'"{label}" has {found}. Use at most {found} folds, or add recordings.'
                )
        held_out = self._deal(n_folds, random.Random(seed))
        pairs = (self.partition(groups) for groups in held_out)
        return tuple((rest, held) for held, rest in pairs)

    def _deal(self, n_folds: int, generator: random.Random) -> list[set[str]]:
        kinds = [[e for e in self.events if e.label == label] for label in self.labels]
        kinds += [list(self.distractors), list(self.backgrounds)]
        fold_of: dict[str, int] = {}
        for sources in kinds:
            sizes: dict[str, int] = {}
            for source in sources:
                sizes[source.group_name] = sizes.get(source.group_name, 0) + 1
            loads = [0] * n_folds
            for group, size in sizes.items():
                if group in fold_of:
                    loads[fold_of[group]] += size
            fresh = [group for group in sorted(sizes) if group not in fold_of]
            generator.shuffle(fresh)
            for group in sorted(fresh, key=lambda name: -sizes[name]):
                fold = loads.index(min(loads))
                fold_of[group] = fold
                loads[fold] += sizes[group]
        return [{group for group, fold in fold_of.items() if fold == i} for i in range(n_folds)]
