"""Locks between processes: what several of them want is made by one while the others wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sedsdk.errors import DataError

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # only Unix has it
    flock = None  # type: ignore[assignment]

POLL_SECONDS = 0.5
_held: set[int] = set()
"""Descriptors of the lock files that this process holds or waits for."""


@contextmanager
def exclusive(
    path: Path, what: str = "", waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Holds a lock file for as long as the block runs; waits while another process or thread does.

    With `flock`, the lock of a killed process is free at once, also where workers that it forked
    live on. Without it (Windows), the file itself is the lock, and one that a killed process left
    behind has to be deleted by hand.

    Args:
        path: lock file; it and its folder are made. With `flock` it stays.
        what: is made under the lock, for the message.
        waiting: takes one line where there is something to wait for.

    Raises:
        DataError: the file system has no locks, or the file cannot be written.
    """
    wait = waiting or (lambda line: None)
    made = what or path.stem
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _created(path, made, wait) if flock is None else _locked(path, made, wait)
    except OSError as error:
        raise DataError(
            f"{path} cannot be locked: {error.strerror or error}. Choose a folder that you may "
            f"write to, on a file system that has locks, such as a local disk."
        ) from error
    try:
        yield
    finally:
        if descriptor in _held:  # not in a forked child that returns through here
            _held.discard(descriptor)
            os.close(descriptor)
            if flock is None:
                path.unlink(missing_ok=True)


def _locked(path: Path, what: str, waiting: Callable[[str], None]) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            waiting(f"waiting for another process, which is making {what}")
            flock(descriptor, LOCK_EX)
    except BaseException:
        _held.discard(descriptor)
        os.close(descriptor)
        raise
    return descriptor


def _created(path: Path, what: str, waiting: Callable[[str], None]) -> int:
    told = False
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            _held.add(descriptor)
            return descriptor
        except FileExistsError:
            if not told:
                waiting(
                    f"waiting for another process, which is making {what}. If none is running, "
                    f"delete {path}"
                )
                told = True
            time.sleep(POLL_SECONDS)


def _let_go() -> None:
    """Closes a forked child's copies, which would hold the locks beyond its parent's death."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
