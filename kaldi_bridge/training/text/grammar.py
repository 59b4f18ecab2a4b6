"""Random phrases from a weighted grammar whose symbols can ask for, and hand on, a word's form.

A rule is a text with one alternative on each line. A leading whole number is its weight (1 if there
is none), words stand for themselves, and three kinds of calls stand in angle brackets:

    <noun>      anything that `noun` can be
    <noun.s>    the same in the form "s": a plural
    <*eating>   in the form that was asked of this rule, so that `<vp.ed>` reaches the verb in it
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from kaldi_bridge.errors import KaldiFileError

WEIGHTED = re.compile(r"(?:(\d+) )?(.+)")
CALL = re.compile(r"<(\*?)([a-z-]+)(?:\.([a-z]+))?>")


class Call(NamedTuple):
    """A symbol inside an alternative, and the form it is wanted in (None: the rule's own)."""

    symbol: str
    form: str | None


class Rule(NamedTuple):
    """The alternatives of a symbol, and the running sum of their weights."""

    alternatives: tuple[tuple[str | Call, ...], ...]
    sums: tuple[int, ...]


Forms = Mapping[str, tuple[str, ...]]
"""The words of a class by form, aligned: `{"": ("dog", "mouse"), "s": ("dogs", "mice")}`."""


class Grammar:
    """Rules and words, checked: every call can be answered, and no rule comes back to itself."""

    def __init__(self, rules: Mapping[str, str], words: Mapping[str, Forms], source: str) -> None:
        """Args:
            rules: the text of each symbol's rule.
            words: word classes, by symbol.
            source: what an error calls the origin of the rules.

        Raises:
            KaldiFileError: a symbol is both a rule and a word class, or a rule is empty, or calls a
                symbol or form that does not exist, or itself, or cannot hand a form on.
        """
        self.words = dict(words)
        self.rules = {name: _rule(name, text, source) for name, text in rules.items()}
        seen: set[tuple[str, str]] = set()
        for name in self.rules:
            if name in self.words:
                raise _mistake(source, name, "is a rule and a word class: rename one of them.")
            self._check(name, "", source, (), seen)

    def say(self, symbol: str, rng: random.Random, form: str = "") -> str:
        """One random phrase for the symbol.

        Only `rng.random()` is drawn from, whose sequence Python keeps from version to version.

        Args:
            symbol: a rule or a word class.
            rng: where the choices come from.
            form: the form asked for.

        Raises:
            KeyError: there is no such symbol or form.
        """
        if symbol in self.words:
            return pick(self.words[symbol][form], rng)
        alternatives, sums = self.rules[symbol]
        parts = alternatives[bisect_right(sums, int(rng.random() * sums[-1]))]
        return "".join(
            part
            if isinstance(part, str)
            else self.say(part.symbol, rng, form if part.form is None else part.form)
            for part in parts
        )

    def _check(
        self,
        symbol: str,
        form: str,
        source: str,
        trail: tuple[str, ...],
        seen: set[tuple[str, str]],
    ) -> None:
        """Follows every call from a rule; `trail` leads there, `seen` was followed already."""
        if symbol in trail:
            problem = f"calls itself, by way of {' > '.join(trail)}: a grammar must come to an end."
            raise _mistake(source, symbol, problem)
        if (symbol, form) in seen:
            return
        seen.add((symbol, form))
        for parts in self.rules[symbol].alternatives:
            calls = [part for part in parts if isinstance(part, Call)]
            if form and all(call.form is not None for call in calls):
                said = "".join(f"<{p.symbol}>" if isinstance(p, Call) else p for p in parts)
                problem = f'is asked for its form "{form}", but "{said}" hands it to no <*symbol>.'
                raise _mistake(source, symbol, problem)
            for call in calls:
                wanted = form if call.form is None else call.form
                if call.symbol in self.rules:
                    self._check(call.symbol, wanted, source, (*trail, symbol), seen)
                elif call.symbol not in self.words:
                    problem = f"<{call.symbol}> is nowhere defined: check its spelling."
                    raise _mistake(source, symbol, problem)
                elif wanted not in self.words[call.symbol]:
                    forms = ", ".join(filter(None, self.words[call.symbol])) or "none"
                    problem = f"<{call.symbol}.{wanted}> does not exist; its forms: {forms}."
                    raise _mistake(source, symbol, problem)


def pick(words: tuple[str, ...], rng: random.Random) -> str:
    """One of the words, each as likely as the others."""
    return words[int(rng.random() * len(words))]


def _rule(name: str, text: str, source: str) -> Rule:
    weights, alternatives = [], []
    for line in filter(None, map(str.strip, text.splitlines())):
        match = WEIGHTED.fullmatch(line)
        if match is None or match[1] == "0":
            raise _mistake(source, name, f'"{line}" is no alternative: write "[weight] words".')
        weights.append(int(match[1] or 1))
        alternatives.append(tuple(_parts(match[2])))
    if not weights:
        raise _mistake(source, name, "has no alternative: write at least one line.")
    return Rule(tuple(alternatives), tuple(accumulate(weights)))


def _parts(text: str) -> Iterable[str | Call]:
    end = 0
    for match in CALL.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        yield Call(match[2], None if match[1] else match[3] or "")
        end = match.end()
    if end < len(text):
        yield text[end:]


def _mistake(source: str, name: str, problem: str) -> KaldiFileError:
    return KaldiFileError(source, f'rule "{name}"', problem)
