"""Says at the start of training what of the data is left out, and keeps the whole list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sedsdk.data.problems import DataProblem, counts_in_words
from sedsdk.files import write_atomically

PROBLEMS_FILE = "problems.txt"
FIRST_PROBLEMS = 10
"""So many are said one by one; of more, the first ones and the counts."""
UNUSABLE_AUDIO = "unusable audio"


def say_problems(problems: Sequence[DataProblem], run: Path, say: Callable[[str], None]) -> None:
    """Says each problem, or how many there are of each kind where they are many.

    Args:
        problems: of all parts.
        run: folder of the run, where `write_problems` leaves the whole list.
        say: takes lines for the reader.
    """
    for problem in problems[:FIRST_PROBLEMS]:
        say(f"left out: {problem}")
    if len(problems) > FIRST_PROBLEMS:
        say(
            f"left out in all: {counts_in_words(problems)}; every one is listed in "
            f"{run / PROBLEMS_FILE}"
        )


def write_problems(problems: Sequence[str], run: Path) -> None:
    """Writes the problems into the run's folder, a line each; without any there is no file."""
    if problems:
        text = "".join(f"{problem}\n" for problem in problems)
        write_atomically(run / PROBLEMS_FILE, text.encode())
    else:
        (run / PROBLEMS_FILE).unlink(missing_ok=True)
