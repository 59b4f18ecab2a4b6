"""Ways to carry out one training: as a process of its own, or in this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

from sedsdk.errors import SedsdkError, TrainingError
from sedsdk.host import Host
from sedsdk.targets import one_line
from sedsdk.training.reproduction.runs import Run

LOG_FILE = "train.log"
COMMAND = (sys.executable, "-m", "sedsdk.cli.child")
MOST_JOBS_ON_CPU = 2
LOG_LINES_SHOWN = 8
SECONDS_TO_STOP = 20.0


class Runner(Protocol):
    """Carries out one run."""

    def __call__(self, run: Run, folder: Path) -> None:
        """Trains in a folder, with everything said in `LOG_FILE` there.

        Raises:
            TrainingError: it failed; the message says how.
        """
        ...

    def stop(self) -> None:
        """Stops what is running and lets nothing start any more."""
        ...


@dataclass
class Processes:
    """Runs every training as a process of its own: `sedsdk train`.

    A process stops by itself when this one is gone, however it went: its standard input ends.

    Attributes:
        shared: folder for what the runs share.
        device: as torch names it; None for a GPU where there is one.
        threads: of each process; None leaves that to torch.
        command: what `train` and its arguments are appended to.
    """

    shared: Path
    device: str | None = None
    threads: int | None = None
    command: Sequence[str] = COMMAND
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)
    _stopped: bool = False

    def __call__(self, run: Run, folder: Path) -> None:
        """Runs the process and waits for it."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG_FILE).open("ab") as log:
            began = log.tell()
            with self._lock:
                if self._stopped:
                    raise TrainingError("stopped")
                process = subprocess.Popen(
                    self.arguments(run, folder),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment(),
                    start_new_session=True,
                )
                self._running.add(process)
            code = process.wait()
            with self._lock:
                self._running.discard(process)
        if process.stdin is not None:
            process.stdin.close()
        if code:
            raise TrainingError(_log_end(folder / LOG_FILE, began) or f"ended with code {code}")

    def arguments(self, run: Run, folder: Path) -> list[str]:
        """Returns the command line of a run."""
        changes = [part for change in run.changes for part in ("--set", change)]
        device = [] if self.device is None else ["--device", self.device]
        places = ["--out", str(folder), "--shared", str(self.shared)]
        return [*self.command, "train", run.recipe_name, *places, *device, *changes]

    def stop(self) -> None:
        """Interrupts all processes, as Ctrl-C does, and ends those that do not stop."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
        until = time.monotonic() + SECONDS_TO_STOP
        for process in running:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                _end(process)

    def _environment(self) -> Mapping[str, str]:
        if self.threads is None or "OMP_NUM_THREADS" in os.environ:
            return os.environ
        return {**os.environ, "OMP_NUM_THREADS": str(self.threads)}


@dataclass
class Here:
    """Runs trainings in this process, one after the other.

    For plugins that were handed to a host and are not installed, which no other process can find.

    Attributes:
        shared: folder for what the runs share.
        device: as torch names it; None for a GPU where there is one.
        host: plugin host; None for the default one.
    """

    shared: Path
    device: str | None = None
    host: Host | None = None

    def __call__(self, run: Run, folder: Path) -> None:
        """Trains."""
        from sedsdk.training.run import train

        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
            try:
                train(
                    run.recipe,
                    folder,
                    host=self.host,
                    device=self.device,
                    progress=False,
                    say=lambda line: print(line, file=log, flush=True),
                    shared=self.shared,
                )
            except SedsdkError as error:
                print(f"error: {error}", file=log)
                raise TrainingError(str(error)) from None
            except Exception as error:  # the other runs go on
                traceback.print_exc(file=log)
                raise TrainingError(one_line(error)) from error

    def stop(self) -> None:
        """Does nothing: Ctrl-C reaches the training itself."""


def jobs_and_threads(
    jobs: int | None, device: str | None, cores: int | None = None
) -> tuple[int, int | None]:
    """Returns how many runs go on at once, and the threads of each (None on a GPU).

    Args:
        jobs: as asked for; None for one on a GPU, and for one per core, two at most, on a CPU.
        device: as torch names it; None for a GPU where there is one.
        cores: of this machine; None counts those that this process may use.
    """
    if device is None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    if not device.startswith("cpu"):
        return jobs or 1, None
    count = cores or _cores()
    jobs = jobs or min(MOST_JOBS_ON_CPU, count)
    return jobs, max(1, count // jobs)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _log_end(path: Path, began: int) -> str:
    """Returns the last lines that a process wrote."""
    with path.open("rb") as log:
        log.seek(began)
        lines = log.read().decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and those that it started."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
