"""Nodes and constants of an ONNX graph while it is being written; needs no onnx."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Attribute = int | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operator; its name is that of its output.

    Attributes:
        operator: name in the default operator set.
        inputs: names of tensors.
        output: name of the one tensor that it gives.
        attributes: by name.
    """

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[tuple[str, Attribute], ...] = ()

    def given(self) -> dict[str, Attribute]:
        """Returns the attributes as keyword arguments."""
        return dict(self.attributes)


class Nodes:
    """Nodes in the order in which they were asked for; what is asked for twice is there once.

    Attributes:
        nodes: so far.
        constants: arrays by name, no two alike.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self._names: dict[str, int] = {}
        self._outputs: dict[object, str] = {}
        self._known: dict[object, str] = {}

    def reserve(self, name: str) -> str:
        """Returns the name if it is free, else the name with a number."""
        count = self._names.get(name, 0) + 1
        self._names[name] = count
        return name if count == 1 else self.reserve(f"{name}.{count}")

    def add(self, scope: str, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Returns the output of an operator, which is called "scope/operator".

        Args:
            scope: what it belongs to.
            operator: name of the operator.
            inputs: names of tensors.
            attributes: of the operator.
        """
        given = tuple(attributes.items())
        key = operator, inputs, given
        if key not in self._outputs:
            output = self.reserve(f"{scope}/{operator}")
            self.nodes.append(Node(operator, inputs, output, given))
            self._outputs[key] = output
        return self._outputs[key]

    def constant(self, name: str, values: Array) -> str:
        """Returns the name of an array: this one, or an earlier one if that held the same."""
        key = values.dtype.str, values.shape, hashlib.sha256(values.tobytes()).digest()
        if key not in self._known:
            self._known[key] = self.reserve(name)
            self.constants[self._known[key]] = values
        return self._known[key]

    def identity(self, source: str, name: str) -> None:
        """Gives a tensor a name of its own, which has been reserved."""
        self.nodes.append(Node("Identity", (source,), name))

    def integers(self, *values: int) -> str:
        """Returns the name of an int64 vector."""
        return self.constant(f"int64{list(values)}", np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """Returns the name of an int64 scalar."""
        return self.constant(f"int64 {value}", np.array(value, np.int64))

    def number(self, value: float) -> str:
        """Returns the name of a float32 scalar."""
        return self.constant(f"float {value:g}", np.array(value, np.float32))
