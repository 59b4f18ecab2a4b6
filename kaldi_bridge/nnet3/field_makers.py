"""Fields of components from Python values, as current Kaldi stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.nnet3.checking import Mismatch, check_component
from kaldi_bridge.nnet3.network import Component, Field
from kaldi_bridge.nnet3.parsing import is_name
from kaldi_bridge.source import to_float32


@dataclass(frozen=True)
class Training:
    """What Kaldi needs to go on training a component; nothing of it matters at test time.

    Attributes:
        learning_rate: of this component, before the schedule's.
        max_change: largest change of its parameters per minibatch, as a 2-norm; 0 for any.
        l2_regularize: weight of the penalty on its parameters.
        orthonormal: 0, a fixed scale, or -1 for a floating one (factored layers).
    """

    learning_rate: float = 0.001
    max_change: float = 0.0
    l2_regularize: float = 0.0
    orthonormal: float = 0.0


PLAIN = Training()


def component(kind: str, name: str, *fields: Field) -> Component:
    """Returns a component that has been checked.

    Raises:
        ShapeError: a bad name, or arrays that disagree.
    """
    made = Component(kind, name, fields)
    if not is_name(name):
        raise Mismatch("a name has letters, digits, and any of _ - . only.", component=name)
    check_component(made)
    return made


def updatable(training: Training) -> list[Field]:
    """Returns the fields that every trainable component starts with."""
    fields = []
    if training.max_change > 0:
        fields.append(real("MaxChange", training.max_change))
    if training.l2_regularize > 0:
        fields.append(real("L2Regularize", training.l2_regularize))
    return [*fields, real("LearningRate", training.learning_rate)]


def weights_and_bias(weights: ArrayLike, bias: ArrayLike) -> list[Field]:
    """Returns the fields of an affine map."""
    return [matrix("LinearParams", weights), vector("BiasParams", bias)]


def ranks(weights: ArrayLike) -> tuple[int, int]:
    """Ranks of the natural gradient, as Kaldi chooses them."""
    rows, columns = np.shape(weights)
    return min(20, (columns + 1) // 2), min(80, (rows + 1) // 2)


def as_array(values: ArrayLike, dimensions: int) -> NDArray[np.float32]:
    """Returns float32 values of their own.

    Raises:
        ShapeError: another number of dimensions.
    """
    array = np.array(values, np.float32)
    if array.ndim != dimensions:
        raise Mismatch(f"an array of {array.ndim} dimensions where {dimensions} are expected.")
    return array


def matrix(token: str, values: ArrayLike) -> Field:
    """Returns a matrix of float32."""
    return Field(token, "matrix", as_array(values, 2))


def vector(token: str, values: ArrayLike) -> Field:
    """Returns a vector of float32."""
    return Field(token, "vector", as_array(values, 1))


def ints(token: str, values: Sequence[int]) -> Field:
    """Returns a vector of integers."""
    return Field(token, "ints", np.array(values, np.int32))


def integer(token: str, value: int) -> Field:
    """Returns an integer."""
    return Field(token, "int", int(value))


def boolean(token: str, value: bool) -> Field:
    """Returns a truth value."""
    return Field(token, "bool", bool(value))


def real(token: str, value: float) -> Field:
    """Returns a real number of 4 bytes."""
    return Field(token, "float", to_float32(value))


def double(token: str, value: float) -> Field:
    """Returns a real number of 8 bytes."""
    return Field(token, "double", float(value))
