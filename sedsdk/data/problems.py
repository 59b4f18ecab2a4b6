"""What is wrong with a data set, one entry for each row, clip or file that it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class DataProblem:
    """Something that was listed and is not (fully) used.

    Attributes:
        kind: what problems are counted by, as in "missing audio".
        text: where it is and what is wrong.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def counts_in_words(problems: Iterable[DataProblem]) -> str:
    """Returns how many there are of each kind, most frequent first: "7 missing audio, 1 …"."""
    counts = Counter(problem.kind for problem in problems)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
