"""Descriptors drawn at random, nested as Kaldi's grammar lets them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LONGEST_OFFSET = 3
MODULI = (2, 3)
WIDEST = 16
"""Columns of an Append; a single node may have more."""


@dataclass
class DescriptorDrawing:
    """Draws descriptors, as text, of the nodes that it knows.

    Round and Switch never stand inside one another: there the period that Kaldi reckons with is
    not the true one. A scale is never ±1, so that no sum cancels to rounding noise.

    Attributes:
        random: source of all choices.
        rare: whether IfDefined, Failover and ReplaceIndex of a computed node may occur.
        periodic: whether Round and Switch may occur.
        dims: columns of every node that may be read at any time.
        ivector: columns of "ivector", 0 for none; it is read at time 0 only.
        fixed: nodes that depend on nothing but the i-vector.
    """

    random: np.random.Generator
    rare: bool
    periodic: bool
    ivector: int
    dims: dict[str, int] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)

    def descriptor(self) -> str:
        """Returns what a node may have as its input; it reads one node at least."""
        first, dim = self._summed(None)
        shape = self.random.random()
        if shape < 0.6:
            return first
        if shape < 0.65:
            second, _ = self._summed(dim)
            third, width = self._summed(None)
            other, _ = self._summed(width)
            if dim + width <= WIDEST:
                return f"Sum(Append({first}, {third}), Append({second}, {other}))"
        parts = [first]
        for _ in range(self.random.integers(1, 4)):
            part, width = self._summed(None)
            if self._chance(0.1):
                width = int(self.random.integers(1, 4))
                part = f"Const({self._factor()}, {width})"
            if dim + width <= WIDEST:
                parts.append(part)
                dim += width
        self.random.shuffle(parts)
        whole = f"Append({', '.join(parts)})" if len(parts) > 1 else first
        return self._moved_or_scaled(whole) if self._chance(0.3) else whole

    def _summed(self, dim: int | None, depth: int = 0) -> tuple[str, int]:
        """Draws a part of an Append, of `dim` columns if that is given."""
        text, dim = self._forwarded(dim)
        if depth < 2 and self._chance(0.3):
            others = [self._summed(dim, depth + 1)[0] for _ in range(self.random.integers(1, 3))]
            if self._chance(0.2):
                others.append(f"Const({self._factor()}, {dim})")
            text = f"Sum({', '.join([text, *others])})"
        if self._chance(0.15):
            text = self._moved_or_scaled(text)
        if self.rare and self._chance(0.15):
            text = f"IfDefined({text})"
        if self.rare and self._chance(0.1):
            text = f"Failover({text}, {self._forwarded(dim)[0]})"
        return text, dim

    def _forwarded(self, dim: int | None) -> tuple[str, int]:
        """Draws what reads one node for each time."""
        text, dim = self._simple(dim)
        kind = self.random.random() if self.periodic else 1.0
        if kind < 0.1:
            text = f"Round({text}, {self.random.choice(MODULI)})"
        elif kind < 0.2:
            parts = [text, *(self._simple(dim)[0] for _ in range(self.random.choice(MODULI) - 1))]
            text = f"Switch({', '.join(parts)})"
        return (self._moved_or_scaled(text) if self._chance(0.15) else text), dim

    def _simple(self, dim: int | None) -> tuple[str, int]:
        """Draws a node, perhaps at another time or scaled."""
        names = self._names(dim)
        if self.ivector and dim in (None, self.ivector) and self._chance(1 / (1 + len(names))):
            scaled = f"Scale({self._factor()}, ivector)" if self._chance(0.2) else "ivector"
            text, dim = f"ReplaceIndex({scaled}, t, 0)", self.ivector
        else:
            recent = names[-4:] if self._chance(0.6) else names
            name = str(self.random.choice(recent))
            text, dim = name, self.dims[name]
            if self.rare and name in self.fixed and self._chance(0.3):
                text = f"ReplaceIndex({name}, t, {self.random.integers(-2, 3)})"
            elif self._chance(0.03):
                text = f"ReplaceIndex({name}, x, 0)"
        return (self._moved_or_scaled(text) if self._chance(0.4) else text), dim

    def _names(self, dim: int | None) -> list[str]:
        return [name for name, width in self.dims.items() if dim in (None, width)]

    def _moved_or_scaled(self, text: str) -> str:
        for _ in range(self.random.integers(1, 3)):
            if self._chance(0.5):
                text = f"Scale({self._factor()}, {text})"
            else:
                offset = self.random.integers(-LONGEST_OFFSET, LONGEST_OFFSET + 1)
                text = f"Offset({text}, {offset}{', 0' if self._chance(0.05) else ''})"
        return text

    def _factor(self) -> str:
        return f"{self.random.choice((-1, 1)) * self.random.uniform(0.2, 0.9):.4g}"

    def _chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)
