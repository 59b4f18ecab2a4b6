"""An nnet3 network as plain data: no torch, nothing computed, everything a file holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.nnet3.descriptors import Descriptor

FieldKind = Literal[
    "int",
    "float",
    "double",
    "bool",
    "ints",
    "pairs",
    "vector",
    "matrix",
    "bare",
    "model",
    "numbers",
]
FieldValue = (
    int
    | float
    | bool
    | None
    | tuple[float, ...]
    | NDArray[np.float32]
    | NDArray[np.float64]
    | NDArray[np.int32]
    | tuple["Field", ...]
)


@dataclass(frozen=True)
class Field:
    """One `<Token> value` of a component, as it stands in the file.

    Attributes:
        token: name without the angle brackets, such as "LinearParams".
        kind: how the value is stored, so that it can be written back as it was.
        value: scalar; float32 or float64 vector or matrix; int32 [n] (ints) or [n, 2] (pairs);
            tuple of numbers behind one token (numbers); None for a bare token; the nested fields
            of a convolution's model.
    """

    token: str
    kind: FieldKind
    value: FieldValue


@dataclass(frozen=True, eq=False)
class Component:
    """A component: its type, its name, its fields in the order of the file.

    Attributes:
        kind: type name without the angle brackets, such as "TdnnComponent".
        name: name that nodes refer to.
        fields: what stands between the opening and the closing token.
    """

    kind: str
    name: str
    fields: tuple[Field, ...]

    def has(self, token: str) -> bool:
        """Returns whether a field of that name is there."""
        return any(field.token == token for field in self.fields)

    def get(self, token: str) -> FieldValue:
        """Returns the value of the first field of that name.

        Raises:
            KeyError: no such field.
        """
        for found in self.fields:
            if found.token == token:
                return found.value
        raise KeyError(token)

    def array(self, token: str) -> NDArray[np.float32]:
        """Returns a vector or matrix field as float32."""
        return np.asarray(self.get(token), dtype=np.float32)

    def integers(self, token: str) -> NDArray[np.int32]:
        """Returns an integer vector [n] or pair vector [n, 2]."""
        return np.asarray(self.get(token), dtype=np.int32)

    def number(self, token: str, default: float | None = None) -> float:
        """Returns a scalar field as a float; `default` where it is absent.

        Raises:
            KeyError: no such field and no default.
        """
        if default is not None and not self.has(token):
            return default
        value = self.get(token)
        assert isinstance(value, int | float)
        return float(value)


FEATURES, IVECTOR = "input", "ivector"
"""Names of the inputs that Kaldi's programs feed; the second is not padded."""


@dataclass(frozen=True)
class InputNode:
    """What is fed from outside: features or an i-vector."""

    name: str
    dim: int


@dataclass(frozen=True)
class ComponentNode:
    """A component applied to a descriptor. Several nodes may share one component."""

    name: str
    component: str
    input: Descriptor


@dataclass(frozen=True)
class DimRangeNode:
    """Columns `offset` to `offset + dim` of another node."""

    name: str
    source: str
    offset: int
    dim: int


@dataclass(frozen=True)
class OutputNode:
    """What may be asked for under the name of an output."""

    name: str
    input: Descriptor
    objective: str = "linear"


Node = InputNode | ComponentNode | DimRangeNode | OutputNode


@dataclass(frozen=True, eq=False)
class Network:
    """Nodes and components, both in the order of the file.

    Attributes:
        nodes: by name. An output's name may equal no other node's name.
        components: by name.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    components: dict[str, Component] = field(default_factory=dict)
