"""Times calls in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch


@dataclass(frozen=True)
class Setting:
    """How calls are run.

    Attributes:
        name: as a column's heading.
        device: "cpu" or "cuda".
        threads: of torch, within an operation; None leaves them.
        half: bfloat16 where torch's autocast allows it.
    """

    name: str
    device: str = "cpu"
    threads: int | None = None
    half: bool = False

    @contextmanager
    def active(self) -> Iterator[None]:
        """Holds the number of threads, and puts the old one back."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def seconds(self, call: Callable[[], Any]) -> float:
        """Returns how long a call took, until the device was done with it."""
        self._wait()
        begin = time.perf_counter()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            call()
        self._wait()
        return time.perf_counter() - begin

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Timing:
    """Times of one call, each for the same length of audio.

    Attributes:
        seconds: of every round.
        audio_seconds: of audio that a call takes.
    """

    seconds: Sequence[float]
    audio_seconds: float

    @property
    def best(self) -> float:
        """Seconds of the fastest round: the least disturbed one."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Seconds of the median round."""
        return median(self.seconds)

    @property
    def real_time_factors(self) -> tuple[float, float]:
        """Seconds of work per second of audio, best and median."""
        return self.best / self.audio_seconds, self.median / self.audio_seconds

    @property
    def speeds(self) -> tuple[float, float]:
        """Seconds of audio per second of work, best and median."""
        return self.audio_seconds / self.best, self.audio_seconds / self.median


def interleaved(
    calls: Mapping[str, Callable[[], Any]],
    settings: Sequence[Setting],
    rounds: int,
    progress: Callable[[int, int], None],
) -> dict[tuple[str, str], list[float]]:
    """Times every call once a round under every setting, in an order that rotates.

    Args:
        calls: by name.
        settings: changed between the calls of a round as rarely as can be.
        rounds: that count; one more goes before them, to warm up.
        progress: takes how many calls are done and how many there are.

    Returns:
        Call and setting → seconds of each round.
    """
    taken: dict[tuple[str, str], list[float]] = {}
    total, done = (rounds + 1) * len(settings) * len(calls), 0
    names = list(calls)
    for number in range(rounds + 1):
        turn = number % max(1, len(names))
        for setting in settings:
            with setting.active():
                for name in names[turn:] + names[:turn]:
                    seconds = setting.seconds(calls[name])
                    if number:
                        taken.setdefault((name, setting.name), []).append(seconds)
                    done += 1
                    progress(done, total)
    return taken
