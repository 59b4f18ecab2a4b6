"""Runs the trainings of a plan, several at once, with a line for every event."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock

from sedsdk.errors import SedsdkError
from sedsdk.training.reproduction.runners import LOG_FILE, Runner
from sedsdk.training.reproduction.runs import Run, read_result

Say = Callable[[str], None]


def launch(
    runs: Sequence[Run],
    out: Path,
    runner: Runner,
    *,
    jobs: int = 1,
    say: Say,
    headline: Callable[[Path], str],
    ended: Callable[[], object] = lambda: None,
) -> dict[str, str]:
    """Carries out those runs that are not finished.

    Args:
        runs: all of them, in their order.
        out: folder of the reproduction.
        runner: carries out one.
        jobs: how many at once.
        say: takes a line when a run starts or ends.
        headline: the most telling number of a finished run, by its folder.
        ended: called after every run that ended well.

    Returns:
        Name of each run that failed → the end of its log.

    Raises:
        KeyboardInterrupt: after all runs were stopped.
    """
    lock = Lock()

    def tell(line: str) -> None:
        with lock:  # runs start in threads
            say(line)

    waiting = [run for run in runs if read_result(run, out) is None]
    tell(f"{len(runs)} runs, {len(runs) - len(waiting)} of them finished already")
    width = len(str(len(runs)))
    place = {run.name: f"[{at:>{width}}/{len(runs)}]" for at, run in enumerate(runs, start=1)}
    clock = _Clock(len(waiting), jobs)
    failed: dict[str, str] = {}

    def carry_out(run: Run) -> None:
        with lock:
            clock.started(run.name)
        tell(f"{place[run.name]} {run.name} starts")
        runner(run, run.folder(out))

    pool = ThreadPoolExecutor(jobs)
    pending: dict[Future[None], Run] = {pool.submit(carry_out, run): run for run in waiting}
    try:
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                run = pending.pop(future)
                seconds = clock.ended(run.name)
                minutes = seconds / 60
                error = future.exception()
                if isinstance(error, SedsdkError | OSError):
                    failed[run.name] = str(error)
                elif error is not None:
                    raise error
                elif read_result(run, out) is None:
                    failed[run.name] = "it ended without scores; has its test labels?"
                if run.name in failed:
                    end = "\n".join(f"    {line}" for line in failed[run.name].splitlines())
                    log = run.folder(out) / LOG_FILE
                    told = f"{run.name} failed after {minutes:.1f} min; {log}:\n{end}"
                    tell(f"{place[run.name]} {told}")
                    continue
                clock.took.append(seconds)
                number = headline(run.folder(out))
                told = f"{run.name} done in {minutes:.1f} min, {number}{clock.left}"
                tell(f"{place[run.name]} {told}")
                ended()
    except BaseException:
        runner.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return failed


class _Clock:
    """Estimates what is left from how long the runs before took."""

    def __init__(self, runs: int, jobs: int) -> None:
        self._jobs = jobs
        self._waiting = runs
        self._began: dict[str, float] = {}
        self.took: list[float] = []

    def started(self, name: str) -> None:
        """Notes that a run starts."""
        self._began[name] = time.monotonic()
        self._waiting -= 1

    def ended(self, name: str) -> float:
        """Notes that a run ended, and returns its seconds."""
        return time.monotonic() - self._began.pop(name)

    @property
    def left(self) -> str:
        """Words about what is left."""
        now = time.monotonic()
        running = [now - began for began in list(self._began.values())]
        return time_left(self.took, running, self._waiting, self._jobs)


def time_left(took: Sequence[float], running: Sequence[float], waiting: int, jobs: int) -> str:
    """Estimates the rest, as in "; about 12 min left"; empty if nothing is left.

    Args:
        took: seconds of each run that ended.
        running: seconds that each running one has had.
        waiting: how many have not started.
        jobs: how many run at once.
    """
    if not running and not waiting:
        return ""
    mean = sum(took) / len(took)
    seconds = mean * waiting + sum(max(0.0, mean - had) for had in running)
    minutes = seconds / min(jobs, len(running) + waiting) / 60
    return f"; about {minutes:.0f} min left" if minutes >= 1 else "; under a minute left"
