"""Many small jobs over worker processes, results as they come."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from sedsdk.errors import DataError

Job = TypeVar("Job")
Result = TypeVar("Result")


def work_through(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[int, Result]]:
    """Calls a function on every job and yields (index of the job, result) in order of completion.

    With one worker (or one job) everything runs in this process. If the caller stops iterating,
    jobs that have not begun are dropped.

    Args:
        function: picklable, as are jobs and results.
        jobs: its arguments.
        workers: processes, at least 1.

    Raises:
        DataError: `workers` is below 1, or a worker process was killed.
        Exception: what `function` raises.
    """
    if workers < 1:
        raise DataError(f"workers must be at least 1, got {workers}.")
    if workers == 1 or len(jobs) < 2:
        for index, job in enumerate(jobs):
            yield index, function(job)
        return
    # Forked workers need no importable main module, so scripts and notebooks work as they are.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=context, initializer=_leave_interrupts
    )
    try:
        futures: dict[Future[Result], int] = {
            pool.submit(function, job): index for index, job in enumerate(jobs)
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process was killed (out of memory?). What is finished stays: run the same "
            "again with fewer workers."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts() -> None:
    """Leaves Ctrl-C to the main process, which drops the jobs that have not begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def remove_leftovers(files: Iterable[Path]) -> None:
    """Removes the temporary files that killed workers left where these files were to appear.

    Args:
        files: as they are handed to `sedsdk.files.write_atomically`.
    """
    wanted = set(files)
    for folder in {path.parent for path in wanted}:
        for leftover in folder.glob(".*.tmp"):
            name = leftover.name.removeprefix(".").rsplit(".", 2)[0]
            if folder / name in wanted:
                leftover.unlink(missing_ok=True)
