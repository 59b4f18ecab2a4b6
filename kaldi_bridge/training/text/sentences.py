"""What the synthesisers read: an endless stream of varied plain English.

A grammar (`words_shapes.yaml`, `words_numbers.yaml`) over word lists with their inflections, so
that function words stand where speech weakens them. A share of numbers as they are spoken, and a
share of words without grammar, in which phones meet that sentences seldom bring together.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from kaldi_bridge.errors import KaldiError, MissingLibrary
from kaldi_bridge.training.text.grammar import Forms, Grammar
from kaldi_bridge.training.text.inflections import adjective_forms, noun_forms, verb_forms

LONGEST = 18
"""Words in a sentence, at most; longer ones are drawn again."""
ARTICLE = re.compile(r"\b([Aa]) ([A-Za-z]+)")
BEGINNING = re.compile(r"(?:^|(?<=[.?] ))[a-z]")


class ImpossibleShare(KaldiError):
    """Shares of the text that are below 0 or together above 1."""


def sentences(seed: int, *, numbers: float = 0.1, jumbles: float = 0.12) -> Iterator[str]:
    """An endless stream of sentences of 1 to 18 words, the same for the same seed.

    Letters, spaces and `, . ? '` only, and nothing that a synthesiser would expand. The stream
    depends neither on the version of Python nor on its hash seed.

    Args:
        seed: whole number from 0.
        numbers: share of the sentences that are numbers as they are spoken: digits alone and in
            strings, telephone numbers, times, dates, prices, years.
        jumbles: share of the sentences that are words without grammar.

    Raises:
        ImpossibleShare: a share below 0, or both above 1 together; raised by the call itself.
        KaldiFileError: a word list has a mistake.
        MissingLibrary: PyYAML, which reads the word lists, is not installed.
    """
    if numbers < 0 or jumbles < 0 or numbers + jumbles > 1:
        raise ImpossibleShare(
            f"numbers={numbers} and jumbles={jumbles} are shares of the sentences: "
            "choose both from 0 to 1 and together at most 1."
        )
    return _stream(grammar(), random.Random(seed), numbers, jumbles)


def vocabulary() -> tuple[str, ...]:
    """Every word form of the word lists, once each, in their order."""
    return grammar().words["vocabulary"][""]


@cache
def grammar() -> Grammar:
    """The grammar of the text: rules and word lists from the files beside this module."""
    words = _words()
    every = dict.fromkeys(
        word for forms in words.values() for form in forms.values() for word in form
    )
    rules = {**_read("words_shapes.yaml"), **_read("words_numbers.yaml")}
    return Grammar(rules, {**words, "vocabulary": {"": tuple(every)}}, "words_*.yaml")


def _stream(grammar: Grammar, rng: random.Random, numbers: float, jumbles: float) -> Iterator[str]:
    while True:
        kind = rng.random()
        if kind < numbers:
            text = grammar.say("number", rng)
        elif kind < numbers + jumbles:
            text = grammar.say("jumble", rng)
        else:
            text = grammar.say("sentence", rng)
        if len(text.split()) <= LONGEST:
            yield _spelled(grammar, text)


def _spelled(grammar: Grammar, text: str) -> str:
    """With `an` where a vowel follows, a capital at the beginning, a stop at the end."""
    consonant, vowel = (grammar.words[f"{kind}-sound"][""] for kind in ("consonant", "vowel"))

    def article(match: re.Match[str]) -> str:
        word = match[2].lower()
        begins_with_vowel = word in vowel or (word[0] in "aeiou" and word not in consonant)
        return f"{match[1]}{'n' if begins_with_vowel else ''} {match[2]}"

    text = ARTICLE.sub(article, text)
    text = BEGINNING.sub(lambda match: match[0].upper(), text)
    return text if text[-1] in ".?" else text + "."


def _words() -> dict[str, Forms]:
    verbs = _read("words_verbs.yaml")
    others = _read("words_others.yaml")
    doubling = set(verbs.pop("doubling").split())
    return {
        **_classes(_read("words_nouns.yaml"), noun_forms),
        **_classes(verbs, partial(verb_forms, doubling=doubling)),
        **_classes(others.pop("adjectives"), adjective_forms),
        **_classes(others.pop("words"), lambda entry: {"": entry}),
    }


def _classes(
    lists: Mapping[str, str], inflect: Callable[[str], Mapping[str, str]]
) -> dict[str, Forms]:
    classes: dict[str, Forms] = {}
    for name, text in lists.items():
        entries = [inflect(entry) for entry in dict.fromkeys(text.split())]
        classes[name] = {form: tuple(entry[form] for entry in entries) for form in entries[0]}
    return classes


def _read(name: str) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingLibrary(
            "Reading the word lists needs PyYAML: pip install 'sedsdk[train]'"
        ) from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with (Path(__file__).parent / name).open(encoding="ascii") as file:
        content: dict[str, Any] = yaml.load(file, Loader=loader)
    return content


def main() -> None:
    """Prints some sentences, one on each line."""
    parser = argparse.ArgumentParser(description="Prints text for the synthesisers to read.")
    parser.add_argument("--count", type=int, default=20, help="number of sentences")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for sentence in islice(sentences(options.seed), options.count):
        print(sentence)


if __name__ == "__main__":
    main()
