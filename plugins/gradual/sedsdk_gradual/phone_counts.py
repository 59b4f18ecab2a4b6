"""How often each phone is heard in each class of events, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sedsdk_gradual.phone_runs import PhoneRun


@dataclass(frozen=True)
class PhoneShare:
    """How much of a class is heard as one phone.

    Attributes:
        phone: as in "EH1 S".
        frames: whose most likely phone it is.
        share: of the frames of the class, in [0, 1].
        runs: how often it comes, consecutive frames being one.
        median_seconds: of its runs.
        events: in how many events it is heard.
    """

    phone: str
    frames: int
    share: float
    runs: int
    median_seconds: float
    events: int


@dataclass(frozen=True)
class ClassPhones:
    """What is heard in one class.

    Attributes:
        label: the class.
        events: that were heard.
        median_seconds: of the events' lengths.
        seconds: all of them together.
        frames: of the model's output, all events together.
        phones: the most frequent first; shares add up to 1.
    """

    label: str
    events: int
    median_seconds: float
    seconds: float
    frames: int
    phones: tuple[PhoneShare, ...]

    def share(self, phone: str) -> float:
        """Returns the share of a phone, 0 if it is never heard."""
        return next((found.share for found in self.phones if found.phone == phone), 0.0)


@dataclass(frozen=True)
class PhonemeAnalysis:
    """What is heard in every class.

    Attributes:
        model: name of the acoustic model.
        hop_seconds: length of a frame.
        min_seconds: no phone lasts less, but where an event does; 0 for the frames as they are.
        classes: in order; those in which nothing could be heard are left out.
        problems: one line per event that is left out, and per class that lost all.
    """

    model: str
    hop_seconds: float
    min_seconds: float
    classes: tuple[ClassPhones, ...]
    problems: tuple[str, ...] = ()

    @property
    def phones(self) -> tuple[str, ...]:
        """All phones that are heard, those with the largest sum of shares first."""
        totals: dict[str, float] = {}
        for found in self.classes:
            for phone in found.phones:
                totals[phone.phone] = totals.get(phone.phone, 0.0) + phone.share
        return tuple(sorted(totals, key=lambda phone: (-totals[phone], phone)))


class Tally:
    """Counts the runs of a class, event by event.

    Attributes:
        seconds: lengths of the events so far.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._runs: dict[str, list[int]] = {}
        self._events: dict[str, int] = {}

    def add(self, runs: Sequence[PhoneRun], seconds: float) -> None:
        """Counts an event: its runs, at least one, and its length."""
        self.seconds.append(seconds)
        for run in runs:
            self._runs.setdefault(run.phone, []).append(run.frames)
        for phone in {run.phone for run in runs}:
            self._events[phone] = self._events.get(phone, 0) + 1

    def result(self, label: str, hop_seconds: float) -> ClassPhones:
        """Returns what was heard in the events so far, at least one."""
        frames = sum(map(sum, self._runs.values()))
        shares = [
            PhoneShare(
                phone,
                sum(runs),
                sum(runs) / frames,
                len(runs),
                median(runs) * hop_seconds,
                self._events[phone],
            )
            for phone, runs in self._runs.items()
        ]
        shares.sort(key=lambda found: (-found.frames, found.phone))
        whole = sum(self.seconds)
        return ClassPhones(
            label, len(self.seconds), median(self.seconds), whole, frames, tuple(shares)
        )
