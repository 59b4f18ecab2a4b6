"""What a measure of finished trainings is: the columns of a table, as values and resamples.

A plan names its measure. A measure reads the score folders of runs and knows nothing of plans,
launching or tables, so a new one is a class, named in `measures.MEASURES`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
AVERAGE = "average"
REPORT_FILE = "report.json"

Trainings = Sequence[Sequence[Path]]
"""Score folders of one row: a sequence per training, a folder in it per model."""


@dataclass(frozen=True)
class ScoreKind:
    """One number of a cell.

    Attributes:
        name: in JSON.
        heading: in a table.
        axis: in a picture, with its unit.
        decimals: shown.
        factor: from the number to what is shown, 100 for per cent.
        from_zero: a picture's axis begins at 0.
    """

    name: str
    heading: str
    axis: str
    decimals: int
    factor: float = 1.0
    from_zero: bool = True

    def text(self, value: float) -> str:
        """Returns a number as a table shows it."""
        return f"{value * self.factor:.{self.decimals}f}"


@dataclass(frozen=True)
class Sampled:
    """A score of one row.

    Attributes:
        by_training: [S], in the order of the trainings.
        draws: [RESAMPLES], of resampled recordings and trainings; draw r is of the same recordings
            in every row that was measured together. NaN where a draw does not define the score.
    """

    by_training: NDArray[np.float64]
    draws: NDArray[np.float64]


Measured = dict[str, dict[str, Sampled]]
"""Column (a class, or "average") → name of a score → its values."""


@dataclass(frozen=True)
class Measurement:
    """Rows measured together.

    Attributes:
        rows: by the row's name.
        resampled: what was drawn, in words, as in "27 recording groups".
        tested: what was tested on, in words.
    """

    rows: dict[str, Measured]
    resampled: str
    tested: str


class Measure(Protocol):
    """Turns score folders into columns.

    Attributes:
        scores: the numbers of a cell; the first one decides differences and pictures.
        explanation: of the numbers, one sentence under the table.
    """

    scores: tuple[ScoreKind, ...]
    explanation: str

    def headline(self, folder: Path) -> str:
        """Returns the most telling number of one finished run, as in "ER 0.31"."""
        ...

    def measured(self, rows: Mapping[str, Trainings]) -> Measurement:
        """Measures rows on the same test.

        Args:
            rows: row's name → its trainings, at least one.

        Raises:
            DataError: a score folder is incomplete, or what is in several does not fit together.
        """
        ...
