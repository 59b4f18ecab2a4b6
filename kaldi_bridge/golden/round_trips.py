"""Every golden model, read, written and read again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import KaldiError
from kaldi_bridge.golden.layout import Golden
from kaldi_bridge.golden.models import MODEL_FILES
from kaldi_bridge.golden.rows import EXACT, Check, Outcome, compared, largest
from kaldi_bridge.nnet3.network import Field
from kaldi_bridge.nnet3.reading import Model, read_model
from kaldi_bridge.nnet3.writing import write_model


def round_trip_checks(golden: Golden) -> Iterator[Check]:
    """Yields a check for each model file, written in binary and in text."""
    for folder in sorted({path.parent for path in golden.root.glob("models/*/final*")}):
        for path in (path for pattern in MODEL_FILES for path in sorted(folder.glob(pattern))):
            for binary in (True, False):
                what = f"read, write {'binary' if binary else 'text'}, read"
                yield Check(path, what, partial(_again, path, binary))


def _again(path: Path, binary: bool) -> Outcome:
    before = read_model(path)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "written"
        write_model(before, written, binary=binary)
        after = read_model(written)
    if structure(before) != structure(after):
        raise KaldiError("the nodes, components or kinds of fields are not the same.")
    return compared(numbers(after), numbers(before), EXACT, largest)


def structure(model: Model) -> list[str]:
    """Returns all that is no number: nodes, components and the kinds of their fields."""
    lines = [f"{name} = {node}" for name, node in model.network.nodes.items()]
    for component in model.network.components.values():
        lines.append(f"<{component.kind}> {component.name}")
        lines += [f"{token} {kind}" for token, kind, _ in _flat(component.fields)]
    if model.transitions is not None:
        lines.append(str(model.transitions.topology))
    return lines


def numbers(model: Model) -> dict[str, NDArray[Any]]:
    """Returns all numbers, by component, place and token."""
    found: dict[str, NDArray[Any]] = {
        "priors": np.atleast_1d(model.priors),
        "contexts": np.array([model.left_context, model.right_context]),
    }
    for component in model.network.components.values():
        for place, (token, _, value) in enumerate(_flat(component.fields)):
            if value is not None:
                found[f"{component.name} {place} {token}"] = np.atleast_1d(np.asarray(value))
    if model.transitions is not None:
        found["tuples"] = model.transitions.tuples
        found["log_probs"] = model.transitions.log_probs
    return found


def _flat(fields: tuple[Field, ...]) -> Iterator[tuple[str, str, Any]]:
    for each in fields:
        if isinstance(each.value, tuple) and each.value and isinstance(each.value[0], Field):
            yield each.token, each.kind, None
            yield from _flat(tuple(part for part in each.value if isinstance(part, Field)))
        else:
            yield each.token, each.kind, each.value
