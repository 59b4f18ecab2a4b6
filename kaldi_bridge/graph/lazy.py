"""Values that are not computed yet: linear combinations of columns of computed matrices.

Splicing, delta features, batch norm, bypass, scales, permutations and column ranges never move
data: they only change a `Lazy`, and the next matrix product takes its weights through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]


@dataclass(eq=False)
class Core:
    """A matrix that is really computed: one row per `phases` frames, at t = phases · row + phase.

    Attributes:
        name: node that it belongs to.
        phase: which of the frames.
        dim: columns.
        steady: the same for all frames of a segment (it comes from the i-vector): one row.
        fed: an input: nothing computes it.
    """

    name: str
    phase: int
    dim: int
    steady: bool = False
    fed: bool = False


@dataclass(eq=False)
class Term:
    """Columns `source` of a core, `shift` rows later, scaled, added to columns `target`.

    Attributes:
        core: where from.
        shift: rows; row q of the value takes row q + shift of the core.
        source: columns of the core [n].
        target: columns of the value [n], each at most once per term.
        factor: scalar weight.
        weights: weight per column [n], or None for one.
    """

    core: Core
    shift: int
    source: Indices
    target: Indices
    factor: float = 1.0
    weights: Tensor | None = None

    def covers(self, dim: int) -> bool:
        """Returns whether it is the whole core, in its order, giving a value of `dim` columns."""
        return (
            len(self.source) == dim == self.core.dim
            and bool((self.source == np.arange(dim)).all())
            and bool((self.target == np.arange(dim)).all())
        )

    def scale(self) -> Tensor | float:
        """Returns factor · weights."""
        return self.factor if self.weights is None else self.weights * self.factor


@dataclass(eq=False)
class Lazy:
    """A value of `dim` columns: the sum of its terms and a constant row [dim] or None."""

    dim: int
    terms: list[Term]
    constant: Tensor | None = None

    def shifted(self, rows: int) -> Lazy:
        """Returns the value `rows` rows later."""
        if not rows:
            return self
        terms = [
            term if term.core.steady else replace(term, shift=term.shift + rows)
            for term in self.terms
        ]
        return Lazy(self.dim, terms, self.constant)

    def scaled(self, factor: float) -> Lazy:
        """Returns the value times a scalar."""
        terms = [replace(term, factor=term.factor * factor) for term in self.terms]
        return Lazy(self.dim, terms, None if self.constant is None else self.constant * factor)

    def weighted(self, scale: Tensor | None, offset: Tensor | None) -> Lazy:
        """Returns value · scale + offset, both per column [dim] or None."""
        terms, constant = self.terms, self.constant
        if scale is not None:
            terms = [
                replace(term, weights=_times(term.weights, _taken(scale, term.target)))
                for term in terms
            ]
            constant = None if constant is None else constant * scale
        if offset is not None:
            constant = offset if constant is None else constant + offset
        return Lazy(self.dim, terms, constant)

    def columns(self, chosen: Indices) -> Lazy:
        """Returns the value whose column i is column `chosen[i]` of this one."""
        terms = []
        for term in self.terms:
            place = np.full(self.dim, -1, dtype=np.int64)
            place[term.target] = np.arange(len(term.target))
            at = place[chosen]
            target = np.flatnonzero(at >= 0)
            if len(target):
                kept = at[target]
                weights = None if term.weights is None else _taken(term.weights, kept)
                terms.append(
                    replace(term, source=term.source[kept], target=target, weights=weights)
                )
        constant = None if self.constant is None else _taken(self.constant, chosen)
        return Lazy(len(chosen), terms, constant)

    def cost(self) -> int:
        """Returns how many columns a matrix product on it would have to read."""
        used: dict[tuple[int, int], list[Indices]] = {}
        for term in self.terms:
            if not term.core.steady:
                used.setdefault((id(term.core), term.shift), []).append(term.source)
        return sum(len(np.unique(np.concatenate(columns))) for columns in used.values())

    def sole(self) -> Term | None:
        """Returns its one term if that covers a whole core, else None."""
        if len(self.terms) == 1 and self.terms[0].covers(self.dim):
            return self.terms[0]
        return None


def of_core(core: Core) -> Lazy:
    """Returns the value that is a core as it stands."""
    every = np.arange(core.dim)
    return Lazy(core.dim, [Term(core, 0, every, every)])


def appended(parts: Sequence[Lazy]) -> Lazy:
    """Returns the parts side by side."""
    terms: list[Term] = []
    start = 0
    for part in parts:
        terms += [replace(term, target=term.target + start) for term in part.terms]
        start += part.dim
    constant = None
    known = next((part.constant for part in parts if part.constant is not None), None)
    if known is not None:
        constant = torch.cat(
            [
                known.new_zeros(part.dim) if part.constant is None else part.constant
                for part in parts
            ]
        )
    return Lazy(start, terms, constant)


def summed(parts: Iterable[Lazy]) -> Lazy:
    """Returns the sum of parts of one width."""
    terms: list[Term] = []
    constant: Tensor | None = None
    dim = 0
    for part in parts:
        dim = part.dim
        terms += part.terms
        if part.constant is not None:
            constant = part.constant if constant is None else constant + part.constant
    return Lazy(dim, terms, constant)


def _times(first: Tensor | None, second: Tensor) -> Tensor:
    return second if first is None else first * second


def _taken(values: Tensor, indices: Indices) -> Tensor:
    """Columns of a vector; the same object where that is all of them, so that equals stay equal."""
    if len(indices) == len(values) and bool((indices == np.arange(len(values))).all()):
        return values
    return values[torch.from_numpy(indices).to(values.device)]
