"""From the outputs of a network to phones: their names, posteriors per frame, and a phone path.

A network has one output per pdf, a leaf of the decision tree. The transition model says which
phones use a pdf. Chain outputs are scores like log-likelihoods, not normalised; cross-entropy
outputs are log posteriors. A softmax over pdfs serves both: it leaves log posteriors as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import KaldiFileError, MissingFile, ShapeError
from kaldi_bridge.nnet3.transitions import TransitionModel
from kaldi_bridge.phone_path import FrameClock, PhoneSegment, viterbi_phones

__all__ = [
    "FrameClock",
    "PhoneMap",
    "PhoneSegment",
    "log_probabilities",
    "phone_posteriors",
    "read_phone_table",
    "viterbi_phones",
]

POSITIONS = ("_B", "_E", "_I", "_S")
"""Kaldi's marks for where in a word a phone stands: begin, end, inside, singleton."""
LEAST_PROBABILITY = 1e-20
"""Floor before a logarithm; Kaldi's softmax has the same."""


@dataclass(frozen=True, eq=False)
class PhoneMap:
    """Which phones the outputs of a network stand for.

    Attributes:
        names: the phones, in the order of their first number in the transition model.
        weights: float32 [P, n_phones], the share of each pdf that goes to each phone. Rows sum to
            one, but for a pdf that no phone has.
    """

    names: tuple[str, ...]
    weights: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        transitions: TransitionModel,
        table: Path | str | Mapping[int, str] | None = None,
        *,
        merge_positions: bool = True,
        merge_stress: bool = False,
        shared: Literal["split", "set"] = "split",
    ) -> PhoneMap:
        """Makes the map of a model.

        The trees of recipes put all positions, and in English all stresses, of a phone below one
        root, so many pdfs are shared by several phones. Phones are merged first; what is still
        shared is then split evenly among the phones, or named as a set.

        Args:
            transitions: transition model of the network.
            table: `phones.txt`, or number → name; without it, phones are named by their numbers.
            merge_positions: AA_B, AA_E, AA_I and AA_S become AA (only where all four exist).
            merge_stress: AA0, AA1 and AA2 become AA; so would tones, where digits mark tones.
            shared: "split" gives each phone that shares a pdf the same part of it; "set" makes
                phones that can never be told apart by a pdf into one, such as "AA/AO".

        Raises:
            MissingFile: no such table.
            KaldiFileError: a line of the table is not "name number".
        """
        known = _names(table)
        whole = {number: known.get(number, str(number)) for number in transitions.phones}
        short = _merged(whole, set(known.values()), merge_positions, merge_stress)
        users = [
            tuple(dict.fromkeys(short.get(number, str(number)) for number in numbers))
            for numbers in transitions.pdf_to_phones()
        ]
        if shared == "set":
            users = [("/".join(sorted(names)),) if names else () for names in users]
            names = tuple(dict.fromkeys(name for (name,) in filter(None, users)))
        else:
            names = tuple(dict.fromkeys(short.values()))
        column = {name: index for index, name in enumerate(names)}
        weights = np.zeros((len(users), len(names)), np.float32)
        for pdf, sharing in enumerate(users):
            for name in sharing:
                weights[pdf, column[name]] = 1 / len(sharing)
        return cls(names, weights)


def read_phone_table(path: Path | str) -> dict[int, str]:
    """Reads `phones.txt`: one "name number" per line; returns number → name.

    Raises:
        MissingFile: no such file.
        KaldiFileError: a line of another form, or a number that is there twice.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise MissingFile(f"{path}: no such table of phones.") from None
    except OSError as problem:
        raise KaldiFileError(path, "line 1", f"cannot be read: {problem.strerror}.") from None
    table: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2 or not re.fullmatch(r"\d{1,9}", fields[1]):
            wrong = f'expected a name and a number, got "{line.strip()[:60]}".'
            raise KaldiFileError(path, f"line {number}", wrong)
        if int(fields[1]) in table:
            raise KaldiFileError(path, f"line {number}", f"number {fields[1]} is there twice.")
        table[int(fields[1])] = fields[0]
    return table


def phone_posteriors(
    scores: ArrayLike, phones: PhoneMap, *, scale: float = 1.0
) -> NDArray[np.float32]:
    """Returns the probability of each phone in each frame.

    The softmax over pdfs, then the sum over the pdfs of a phone.

    Args:
        scores: [T, P], the network's output, chain or cross-entropy.
        phones: map of the same model.
        scale: factor before the softmax; below 1 softens.

    Returns:
        [T, n_phones], rows summing to one.

    Raises:
        ShapeError: another number of pdfs, or scores that are not finite.
    """
    x = np.asarray(scores, np.float64)
    if x.ndim != 2 or x.shape[1] != len(phones.weights):
        raise ShapeError(
            f"scores of shape {list(x.shape)}: expected [T, {len(phones.weights)}], one column "
            "per pdf of the transition model."
        )
    if not np.isfinite(x).all():
        raise ShapeError("scores that are not finite: check the features and the model.")
    x = x * scale
    x = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    x /= x.sum(axis=1, keepdims=True)
    return np.asarray(x @ phones.weights, np.float32)


def log_probabilities(posteriors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Returns the logarithm, floored at that of LEAST_PROBABILITY."""
    return np.log(np.maximum(np.asarray(posteriors, np.float64), LEAST_PROBABILITY))


def _names(table: Path | str | Mapping[int, str] | None) -> Mapping[int, str]:
    if table is None:
        return {}
    return table if isinstance(table, Mapping) else read_phone_table(table)


def _merged(
    whole: Mapping[int, str], known: set[str], positions: bool, stress: bool
) -> dict[int, str]:
    """Number → name without the marks that are to be merged."""
    short = {}
    for number, name in whole.items():
        base = name[:-2]
        marked = name.endswith(POSITIONS) and {base + mark for mark in POSITIONS} <= known
        name = base if positions and marked else name
        short[number] = re.sub(r"(?<=\D)\d+$", "", name) if stress else name
    return short
