"""Tells how far long work is, in lines that also make sense in a log."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 10.0


class CountedWork:
    """A progress function, to be called with (done, in all), that says a line every ten seconds.

    Work that takes less says nothing.

    Args:
        what: is done, as in "making mixtures of devtest".
        say: takes the lines.
        clock: returns seconds.
    """

    def __init__(
        self,
        what: str,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._say = say
        self._clock = clock
        self._last = clock()

    def __call__(self, done: int, total: int) -> None:
        """Takes how far the work is."""
        now = self._clock()
        if done < total and now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self._say(f"{self._what}: {done} of {total}")
