"""One row per check: what was compared, how far apart it is, and whether that is near enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import KaldiError

Arrays = Mapping[str, NDArray[Any]]

EXACT = 0.0


@dataclass(frozen=True)
class Row:
    """The result of a check.

    Attributes:
        file: the golden file, from the folder on.
        what: what was computed for it.
        shape: rows and dimension that were compared.
        difference: the largest difference, in the measure that the bound is of.
        bound: the bound in words.
        ok: whether it is within the bound.
        note: why not, or what the numbers do not say.
    """

    file: str
    what: str
    shape: str
    difference: float | None
    bound: str
    ok: bool
    note: str = ""

    def line(self, widths: tuple[int, int]) -> str:
        """Returns the row for a terminal.

        Args:
            widths: of the columns of files and of what was computed.
        """
        number = "-" if self.difference is None else f"{self.difference:.1e}"
        verdict = "ok" if self.ok else "FALLS SHORT"
        note = f"  ({self.note})" if self.note else ""
        file, what = f"{self.file:<{widths[0]}}", f"{self.what:<{widths[1]}}"
        return f"{file}  {what}  {self.shape:>11}  {number:>8}  {self.bound:<24} {verdict}{note}"


def heading(widths: tuple[int, int]) -> str:
    """Returns the line above the rows; see `Row.line`."""
    file, what = f"{'file':<{widths[0]}}", f"{'what':<{widths[1]}}"
    return f"{file}  {what}  {'rows×dim':>11}  {'differ':>8}  {'bound':<24} verdict"


@dataclass(frozen=True)
class Check:
    """A check that has not been run.

    Attributes:
        file: the golden file.
        what: what is to be computed for it.
        run: does so.
    """

    file: Path
    what: str
    run: Callable[[], Outcome]

    def row(self, root: Path) -> Row:
        """Runs it; whatever goes wrong becomes a row that falls short."""
        name = str(self.file.relative_to(root))
        try:
            outcome = self.run()
        except Exception as problem:
            text = " ".join(str(problem).split())
            return Row(name, self.what, "-", None, "-", False, f"{type(problem).__name__}: {text}")
        return Row(
            name,
            self.what,
            outcome.shape,
            outcome.difference,
            outcome.bound,
            outcome.ok,
            outcome.note,
        )


@dataclass(frozen=True)
class Outcome:
    """What a check found; see `Row`."""

    shape: str
    difference: float
    bound: str
    ok: bool
    note: str = ""


Measure = Callable[[NDArray[Any], NDArray[Any]], float]


def over_rms(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference over the root mean square of what is expected."""
    return _ratio(np.abs(found - expected).max(initial=0.0), np.sqrt(np.mean(np.square(expected))))


def relative_frobenius(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The root mean square of the differences over that of what is expected."""
    return _ratio(np.linalg.norm(found - expected), np.linalg.norm(expected))


def largest(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference."""
    return float(np.abs(found - expected).max(initial=0.0))


MEASURES: dict[Measure, str] = {
    over_rms: "max/rms",
    relative_frobenius: "rel. Frobenius",
    largest: "max",
}


def compared(
    found: Arrays, expected: Arrays, bound: float, measure: Measure = over_rms, note: str = ""
) -> Outcome:
    """Compares arrays of the same names, each with its own; the worst one counts.

    Raises:
        KaldiError: names or shapes that differ.
    """
    if found.keys() != expected.keys():
        odd = sorted(found.keys() ^ expected.keys())
        raise KaldiError(f"in one of the two only: {', '.join(odd[:8])}")
    if not expected:
        raise KaldiError("nothing to compare.")
    worst, name = -1.0, ""
    for key, reference in expected.items():
        if found[key].shape != reference.shape:
            raise KaldiError(f"{key}: {_size(found[key])} computed, {_size(reference)} expected.")
        difference = measure(found[key].astype(np.float64), reference.astype(np.float64))
        if math.isnan(difference) or difference > worst:  # no number is larger than NaN
            worst, name = difference, key
    ok = bool(worst <= bound)
    words = f"{MEASURES[measure]} ≤ {bound:.0e}" if bound else "equal"
    worst_is = "" if ok or len(expected) == 1 else f"worst: {name}"
    note = "; ".join(filter(None, (note, worst_is)))
    return Outcome(total_size(expected), worst, words, ok, note)


def pick(arrays: Arrays, names: Iterable[str]) -> Arrays:
    """Returns the arrays of these names."""
    return {name: arrays[name] for name in names}


def total_size(arrays: Arrays) -> str:
    """Returns all rows × the dimension, or × dimensions where they differ."""
    rows = sum(array.shape[0] if array.ndim > 1 else 1 for array in arrays.values())
    dims = sorted({array.shape[-1] for array in arrays.values()})
    return f"{rows}×{dims[0]}" if len(dims) == 1 else f"{rows}×{dims[0]}..{dims[-1]}"


def _size(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))


def _ratio(difference: Any, scale: Any) -> float:
    if scale > 0:
        return float(difference / scale)
    return 0.0 if difference == 0 else float("inf")
