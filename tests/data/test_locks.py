"""One process makes, the others wait, and a dead one holds nobody up."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from sedsdk.data import locks
from sedsdk.data.locks import exclusive
from sedsdk.errors import DataError

HOLDER = """
import os, signal, sys
from pathlib import Path
from sedsdk.data.locks import exclusive
with exclusive(Path(sys.argv[1]), "a cake"):
    if os.fork() == 0:  # says so itself: only now has it closed its copy of the lock
        print("held", flush=True)
    signal.pause()
"""

needs_flock = pytest.mark.skipif(locks.flock is None, reason="needs a system with flock")


@pytest.fixture(params=["flock", "file"])
def kind(request, monkeypatch):
    if request.param == "file":
        monkeypatch.setattr(locks, "flock", None)
        monkeypatch.setattr(locks, "POLL_SECONDS", 0.001)
    elif locks.flock is None:
        pytest.skip("needs a system with flock")
    return request.param


def test_two_threads_are_never_inside_together(tmp_path, kind):
    path = tmp_path / "made" / "x.lock"
    inside, seen, waited = [], [], threading.Event()

    def second() -> None:
        with exclusive(path, "a cake", lambda line: (seen.append(line), waited.set())):
            inside.append("second")

    thread = threading.Thread(target=second)
    with exclusive(path):
        thread.start()
        assert waited.wait(10)
        inside.append("first")
    thread.join(10)
    assert inside == ["first", "second"]
    assert len(seen) == 1
    assert seen[0].startswith("waiting for another process, which is making a cake")
    assert (str(path) in seen[0]) == (kind == "file"), "a file has to be deleted by hand"
    assert path.exists() == (kind == "flock")
    assert not locks._held


def test_an_error_inside_frees_the_lock(tmp_path, kind):
    path = tmp_path / "x.lock"
    with pytest.raises(ZeroDivisionError), exclusive(path):
        raise ZeroDivisionError
    with exclusive(path, waiting=pytest.fail):
        pass


@needs_flock
def test_a_killed_holder_frees_it_though_a_child_of_it_lives(tmp_path):
    path = tmp_path / "x.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(KeyboardInterrupt), exclusive(path, waiting=_interrupt):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with exclusive(path, waiting=pytest.fail):
            pass
    finally:
        os.killpg(holder.pid, signal.SIGKILL)  # the child that it forked
        holder.stdout.close()


def _interrupt(line: str) -> None:
    raise KeyboardInterrupt


@needs_flock
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "flock", refuse)
    with (
        pytest.raises(DataError, match=r"x\.lock cannot be locked: No locks.*local disk"),
        exclusive(tmp_path / "x.lock"),
    ):
        pass
    assert not locks._held
