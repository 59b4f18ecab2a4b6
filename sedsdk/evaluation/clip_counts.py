"""A test's event counts clip by clip, in a file beside its report.

From counts per clip every event-based score of the test can be formed again, and so can those of
any resample of its clips: that is what confidence intervals over several trainings, and of the
difference between two of them, are computed from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sedsdk.errors import DataError
from sedsdk.evaluation.matching import EventCounts, own_clips

FORMAT = "sedsdk-counts/1"
COUNTS_NAME = "counts.json"
KINDS = ("n_ref", "n_sys", "hits")


@dataclass(frozen=True)
class UnitCounts:
    """Counts of what is drawn as a whole in a resample: recording groups, or single clips.

    Attributes:
        units: names of the groups or clips, in the order of the rows.
        labels: class names, in the order of the columns.
        table: int64 [units, C, 3], events to find, found, and found and right (onset only); each
            class on its own clips where clips were made for one.
    """

    units: tuple[str, ...]
    labels: tuple[str, ...]
    table: NDArray[np.int64]


@dataclass(frozen=True)
class ClipCounts:
    """Counts of one test, with what its clips belong to.

    Attributes:
        counts: per clip and class, onset only.
        groups: recording group by clip id; None if they are not known.
        made_for: the class that each clip was made for; None if they were not made for one.
        collar: tolerance of an onset, in seconds.
    """

    counts: EventCounts
    groups: Mapping[str, str] | None
    made_for: Mapping[str, str] | None
    collar: float

    def by_unit(self) -> UnitCounts:
        """Adds up the clips of each recording group.

        Where groups are not known, or only repeat the class that a clip was made for (as in TUT
        Rare Sound Events 2017, whose mixtures do not name their recordings), a clip is a unit.

        Raises:
            DataError: a clip has no group or no class.
        """
        counts = self.counts
        own = own_clips(counts.clip_ids, counts.labels, self.made_for)
        values = np.stack([getattr(counts, kind) * own for kind in KINDS], axis=-1)
        units = self._units()
        known = {unit: row for row, unit in enumerate(dict.fromkeys(units))}
        table = np.zeros((len(known), *values.shape[1:]), dtype=np.int64)
        np.add.at(table, [known[unit] for unit in units], values)
        return UnitCounts(tuple(known), counts.labels, table)

    @property
    def unit(self) -> str:
        """What is drawn as a whole: "recording group" or "clip"."""
        return "clip" if self._units() == self.counts.clip_ids else "recording group"

    def _units(self) -> tuple[str, ...]:
        if self.groups is None or self.groups == self.made_for:
            return self.counts.clip_ids
        return tuple(self.groups[clip_id] for clip_id in self.counts.clip_ids)

    def to_json(self) -> str:
        """Returns JSON text, one clip a line."""
        counts = self.counts
        head = {"format": FORMAT, "collar": self.collar, "labels": list(counts.labels)}
        lines = [
            json.dumps(
                {
                    "clip": clip_id,
                    "made_for": None if self.made_for is None else self.made_for[clip_id],
                    "group": None if self.groups is None else self.groups[clip_id],
                    **{kind: getattr(counts, kind)[row].tolist() for kind in KINDS},
                },
                ensure_ascii=False,
            )
            for row, clip_id in enumerate(counts.clip_ids)
        ]
        body = ",\n  ".join(lines)
        return f'{json.dumps(head, ensure_ascii=False)[:-1]}, "clips": [\n  {body}\n]}}\n'


def read_clip_counts(path: str | Path) -> ClipCounts:
    """Reads what `Report.write` leaves as counts.json.

    Raises:
        DataError: the file is missing or of another kind.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}. Reports of earlier versions have no counts per clip; "
            "score the detector again."
        ) from None
    except ValueError:
        values = None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{path} does not hold counts of the format {FORMAT}.")
    clips = values["clips"]
    counts = EventCounts(
        tuple(clip["clip"] for clip in clips),
        tuple(values["labels"]),
        *(np.array([clip[kind] for clip in clips], dtype=np.int64) for kind in KINDS),
    )
    return ClipCounts(
        counts, _named(clips, "group"), _named(clips, "made_for"), float(values["collar"])
    )


def _named(clips: Sequence[Mapping[str, str | None]], key: str) -> dict[str, str] | None:
    found = {str(clip["clip"]): clip[key] for clip in clips}
    known = {clip: value for clip, value in found.items() if value is not None}
    return known if known and len(known) == len(found) else None
