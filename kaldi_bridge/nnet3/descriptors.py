"""What a node takes as input: Kaldi's descriptors as a small tree, parsed and printed.

With t the requested time, each class says what it gives. Source: nnet3/nnet-descriptor.h and
nnet3/nnet-parse.cc of Kaldi 5.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


class Descriptor:
    """Base of the tree. `str()` gives Kaldi's spelling."""

    def children(self) -> tuple[Descriptor, ...]:
        """Returns the descriptors inside."""
        return ()

    def nodes(self) -> Iterator[str]:
        """Yields the names of the nodes that it reads, in order, with repeats."""
        for child in self.children():
            yield from child.nodes()


@dataclass(frozen=True)
class NodeRef(Descriptor):
    """The value of a node at t."""

    name: str

    def nodes(self) -> Iterator[str]:
        """Yields its one name."""
        yield self.name

    def __str__(self) -> str:
        return self.name


class _Nary(Descriptor):
    parts: tuple[Descriptor, ...]

    def children(self) -> tuple[Descriptor, ...]:
        """Returns the parts in order."""
        return self.parts

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.parts))})"


@dataclass(frozen=True)
class Append(_Nary):
    """The parts side by side."""

    parts: tuple[Descriptor, ...]

    __str__ = _Nary.__str__


@dataclass(frozen=True)
class Sum(_Nary):
    """The sum of the parts, two or more."""

    parts: tuple[Descriptor, ...]

    __str__ = _Nary.__str__


@dataclass(frozen=True)
class Switch(_Nary):
    """Part number t mod n, with n the number of parts."""

    parts: tuple[Descriptor, ...]

    __str__ = _Nary.__str__


@dataclass(frozen=True)
class Failover(_Nary):
    """The first of two parts if it can be computed, else the second."""

    parts: tuple[Descriptor, ...]

    __str__ = _Nary.__str__


class _Unary(Descriptor):
    part: Descriptor

    def children(self) -> tuple[Descriptor, ...]:
        """Returns the one descriptor inside."""
        return (self.part,)


@dataclass(frozen=True)
class IfDefined(_Unary):
    """The part if it can be computed, else zeros."""

    part: Descriptor

    def __str__(self) -> str:
        return f"IfDefined({self.part})"


@dataclass(frozen=True)
class Offset(_Unary):
    """The part at t + `t`."""

    part: Descriptor
    t: int
    x: int = 0

    def __str__(self) -> str:
        return f"Offset({self.part}, {self.t}{f', {self.x}' if self.x else ''})"


@dataclass(frozen=True)
class ReplaceIndex(_Unary):
    """The part at a fixed `value` of the index `variable` ("t" or "x"): how i-vectors come in."""

    part: Descriptor
    variable: str
    value: int

    def __str__(self) -> str:
        return f"ReplaceIndex({self.part}, {self.variable}, {self.value})"


@dataclass(frozen=True)
class Round(_Unary):
    """The part at t rounded down to a multiple of `modulus`."""

    part: Descriptor
    modulus: int

    def __str__(self) -> str:
        return f"Round({self.part}, {self.modulus})"


@dataclass(frozen=True)
class Scale(_Unary):
    """The part times `factor`."""

    factor: float
    part: Descriptor

    def __str__(self) -> str:
        return f"Scale({_shortest(self.factor)}, {self.part})"


@dataclass(frozen=True)
class Const(Descriptor):
    """`value` in each of `dim` places."""

    value: float
    dim: int

    def __str__(self) -> str:
        return f"Const({_shortest(self.value)}, {self.dim})"


def _shortest(value: float) -> str:
    """Kaldi's seven digits, or as many more as reading the same float32 back takes."""
    for digits in (7, 8):
        text = f"{value:.{digits}g}"
        if np.float32(text) == np.float32(value):
            return text
    return f"{value:.9g}"
