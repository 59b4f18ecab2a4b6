"""The text part of a network: one line per node, and the descriptors in them.

Errors are `ParsingError` without a place; whoever reads a file adds file and line.
Source: nnet3/nnet-parse.cc, nnet-nnet.cc and nnet-descriptor.cc of Kaldi 5.5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from kaldi_bridge.errors import KaldiError
from kaldi_bridge.nnet3.descriptors import (
    Append,
    Const,
    Descriptor,
    Failover,
    IfDefined,
    NodeRef,
    Offset,
    ReplaceIndex,
    Round,
    Scale,
    Sum,
    Switch,
)
from kaldi_bridge.nnet3.network import ComponentNode, DimRangeNode, InputNode, Node, OutputNode
from kaldi_bridge.source import to_float32

DEEPEST = 64  # descriptors within descriptors; recipes need five
LONGEST_LINE = 1 << 16  # characters
LARGEST_DIM = 1 << 20  # of a node; also bounds what a false number can make anybody allocate
FARTHEST_FRAMES = 10_000  # of one time offset
LARGEST_MODULUS = 1_000  # frames

_PIECE = re.compile(r"\s*([(),]|[^\s(),]+)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\Z")
_INTEGER = re.compile(r"[+-]?\d{1,10}\Z")
_KEY = re.compile(r"(?:^|\s)([A-Za-z_][\w\-]*)=")


class ParsingError(KaldiError):
    """A line or descriptor that is not as Kaldi writes it."""


def parse_descriptor(text: str) -> Descriptor:
    """Reads a descriptor such as `Append(Offset(input, -1), input, ReplaceIndex(ivector, t, 0))`.

    White space is free. Names of nodes are not looked up here.

    Raises:
        ParsingError: not a descriptor, nested deeper than DEEPEST, or an impossible number.
    """
    pieces = _Pieces(text)
    found = _descriptor(pieces, 0)
    if pieces.next():
        raise pieces.unexpected("the end of the line")
    return found


def parse_node(line: str) -> Node:
    """Reads one line such as `component-node name=a component=a input=Offset(input, -1)`.

    Raises:
        ParsingError: another kind of line, or a key that is missing, unknown or twice there.
    """
    if len(line) > LONGEST_LINE:
        raise ParsingError(f"a line of {len(line)} characters; at most {LONGEST_LINE} are read.")
    kind, _, rest = line.strip().partition(" ")
    if kind not in _KINDS:
        raise ParsingError(f'a line starts with "{kind[:40]}"; known are {", ".join(_KINDS)}.')
    needed, optional = _KEYS[kind]
    values = _key_values(rest)
    for key in needed:
        if not values.get(key):
            raise ParsingError(f"a line of kind {kind} without {key}=.")
    for key in values:
        if key not in needed and key not in optional:
            raise ParsingError(f'unknown key "{key}" in a line of kind {kind}.')
    return _KINDS[kind](values)


def is_name(text: str) -> bool:
    """Returns whether a node or component may be called so: letters, digits, and `_`, `-`, `.`."""
    return _NAME.match(text) is not None


class _Pieces:
    """The names, numbers, brackets and commas of a descriptor, one after the other."""

    def __init__(self, text: str) -> None:
        self.text = text.rstrip()
        self.at = 0

    def next(self) -> str:
        found = _PIECE.match(self.text, self.at)
        return found.group(1) if found else ""

    def take(self) -> str:
        found = _PIECE.match(self.text, self.at)
        if found is None:
            raise self.unexpected("more")
        self.at = found.end()
        return found.group(1)

    def unexpected(self, wanted: str) -> ParsingError:
        rest = self.text[self.at :].strip()
        shown = f'"{rest[:30]}"' if rest else "the end of the line"
        return ParsingError(f"in a descriptor, expected {wanted}, got {shown}.")

    def punctuation(self, mark: str) -> None:
        if self.next() != mark:
            raise self.unexpected(f'"{mark}"')
        self.take()

    def integer(self, what: str, least: int, most: int) -> int:
        piece = self.next()
        if not _INTEGER.match(piece):
            raise self.unexpected(f"an integer ({what})")
        if not least <= int(piece) <= most:
            raise ParsingError(f"{what} {piece}; it must lie between {least} and {most}.")
        self.take()
        return int(piece)

    def real(self, what: str) -> float:
        piece = self.next()
        try:
            value = to_float32(float(piece.replace("_", "?")))
        except ValueError:
            raise self.unexpected(f"a number ({what})") from None
        if not math.isfinite(value):
            raise ParsingError(f"{what} {piece[:40]}; it must be a finite number.")
        self.take()
        return value


def _descriptor(pieces: _Pieces, depth: int) -> Descriptor:
    if depth > DEEPEST:
        raise ParsingError(f"a descriptor nested more than {DEEPEST} deep.")
    word = pieces.next()
    if not is_name(word):
        raise pieces.unexpected("a node or a descriptor")
    pieces.take()
    if word not in _OPERATORS:
        return NodeRef(word)
    pieces.punctuation("(")
    found = _OPERATORS[word](pieces, depth + 1)
    pieces.punctuation(")")
    return found


def _parts(pieces: _Pieces, depth: int) -> tuple[Descriptor, ...]:
    parts = [_descriptor(pieces, depth)]
    while pieces.next() == ",":
        pieces.take()
        parts.append(_descriptor(pieces, depth))
    return tuple(parts)


def _failover(pieces: _Pieces, depth: int) -> Descriptor:
    first = _descriptor(pieces, depth)
    pieces.punctuation(",")
    return Failover((first, _descriptor(pieces, depth)))


def _offset(pieces: _Pieces, depth: int) -> Descriptor:
    part = _descriptor(pieces, depth)
    pieces.punctuation(",")
    t = pieces.integer("time offset", -FARTHEST_FRAMES, FARTHEST_FRAMES)
    if pieces.next() != ",":
        return Offset(part, t)
    pieces.take()
    return Offset(part, t, pieces.integer("offset of x", -FARTHEST_FRAMES, FARTHEST_FRAMES))


def _replace_index(pieces: _Pieces, depth: int) -> Descriptor:
    part = _descriptor(pieces, depth)
    pieces.punctuation(",")
    variable = pieces.next()
    if variable not in ("t", "x"):
        raise pieces.unexpected("t or x")
    pieces.take()
    pieces.punctuation(",")
    value = pieces.integer("index", -FARTHEST_FRAMES, FARTHEST_FRAMES)
    return ReplaceIndex(part, variable, value)


def _round(pieces: _Pieces, depth: int) -> Descriptor:
    part = _descriptor(pieces, depth)
    pieces.punctuation(",")
    return Round(part, pieces.integer("modulus", 1, LARGEST_MODULUS))


def _scale(pieces: _Pieces, depth: int) -> Descriptor:
    factor = pieces.real("scale")
    pieces.punctuation(",")
    return Scale(factor, _descriptor(pieces, depth))


def _const(pieces: _Pieces, depth: int) -> Descriptor:
    value = pieces.real("constant")
    pieces.punctuation(",")
    return Const(value, pieces.integer("dimension", 1, LARGEST_DIM))


_OPERATORS: dict[str, Callable[[_Pieces, int], Descriptor]] = {
    "Append": lambda pieces, depth: Append(_parts(pieces, depth)),
    "Sum": lambda pieces, depth: Sum(_parts(pieces, depth)),
    "Switch": lambda pieces, depth: Switch(_parts(pieces, depth)),
    "Failover": _failover,
    "IfDefined": lambda pieces, depth: IfDefined(_descriptor(pieces, depth)),
    "Offset": _offset,
    "ReplaceIndex": _replace_index,
    "Round": _round,
    "Scale": _scale,
    "Const": _const,
}


def _key_values(text: str) -> dict[str, str]:
    """Splits `a=1 b=Sum(x, y)` where a key begins, since values hold blanks."""
    keys = list(_KEY.finditer(text))
    if text[: keys[0].start() if keys else None].strip():
        raise ParsingError(f'expected key=value, got "{text.strip()[:40]}".')
    values: dict[str, str] = {}
    ends = [key.start() for key in keys[1:]] + [len(text)]
    for key, end in zip(keys, ends, strict=False):
        if key.group(1) in values:
            raise ParsingError(f"{key.group(1)}= is given twice.")
        values[key.group(1)] = text[key.end() : end].strip()
    return values


def _name(values: dict[str, str], key: str = "name") -> str:
    if not is_name(values[key]):
        raise ParsingError(f"{key}={values[key][:40]}: not a name that Kaldi allows.")
    return values[key]


def _number(values: dict[str, str], key: str, least: int) -> int:
    text = values[key]
    if not _INTEGER.match(text) or not least <= int(text) <= LARGEST_DIM:
        raise ParsingError(f"{key}={text[:40]}; it must lie between {least} and {LARGEST_DIM}.")
    return int(text)


def _input_node(values: dict[str, str]) -> Node:
    return InputNode(_name(values), _number(values, "dim", 1))


def _component_node(values: dict[str, str]) -> Node:
    descriptor = parse_descriptor(values["input"])
    return ComponentNode(_name(values), _name(values, "component"), descriptor)


def _dim_range_node(values: dict[str, str]) -> Node:
    offset, dim = _number(values, "dim-offset", 0), _number(values, "dim", 1)
    return DimRangeNode(_name(values), _name(values, "input-node"), offset, dim)


def _output_node(values: dict[str, str]) -> Node:
    objective = values.get("objective", "linear")
    if objective not in ("linear", "quadratic"):
        raise ParsingError(f"objective={objective[:40]}; known are linear and quadratic.")
    return OutputNode(_name(values), parse_descriptor(values["input"]), objective)


_KINDS: dict[str, Callable[[dict[str, str]], Node]] = {
    "input-node": _input_node,
    "component-node": _component_node,
    "dim-range-node": _dim_range_node,
    "output-node": _output_node,
}
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "input-node": (("name", "dim"), ()),
    "component-node": (("name", "component", "input"), ()),
    "dim-range-node": (("name", "input-node", "dim-offset", "dim"), ()),
    "output-node": (("name", "input"), ("objective",)),
}
