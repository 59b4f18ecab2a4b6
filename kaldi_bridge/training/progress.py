"""How far a long task is: a line that is kept on a terminal, tenths elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable


def counter(what: str) -> Callable[[int, int], None]:
    """Returns a reporter that is told how many of how many are done."""
    shown = -1

    def report(done: int, of: int) -> None:
        nonlocal shown
        tenth = done * 10 // max(of, 1)
        if sys.stderr.isatty():
            end = "\n" if done >= of else ""
            print(f"\r{what} {done}/{of}", end=end, file=sys.stderr, flush=True)
        elif tenth != shown:
            print(f"{what} {done}/{of}", file=sys.stderr, flush=True)
        shown = tenth

    return report
