"""Inflected forms of English words by rule: plurals, the five forms of a verb, comparison.

A word list writes a word alone, or with the forms that no rule gives: `mouse/mice`, `go/went/gone`,
`good/better/best`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

SIBILANT = re.compile(r"(s|x|z|ch|sh)$")
CONSONANT_Y = re.compile(r"[^aeiou]y$")
CONSONANT_O = re.compile(r"[^aeiou]o$")
SHORT_SYLLABLE = re.compile(r"^[^aeiou]*(qu)?[aeiou][bdfgklmnprtvz]$")
"""A word of one syllable with one vowel letter and one final consonant, which endings double."""
SILENT_E = re.compile(r"[^eoy]e$")


def noun_forms(entry: str) -> dict[str, str]:
    """The singular under "" and the plural under "s".

    Args:
        entry: `dog`, or `mouse/mice`.
    """
    singular, *given = entry.split("/")
    return {"": singular, "s": given[0] if given else _with_s(singular)}


def verb_forms(entry: str, doubling: Collection[str] = ()) -> dict[str, str]:
    """The base under "", and "s", "ing", "ed" (past tense), "en" (past participle).

    Args:
        entry: `walk`, or `go/went/gone`.
        doubling: verbs of more than one syllable whose final consonant doubles, such as `admit`.
    """
    base, *given = entry.split("/")
    past, *participle = given or [_with_vowel(base, "ed", base in doubling)]
    third_person = base + "es" if CONSONANT_O.search(base) else _with_s(base)
    return {
        "": base,
        "s": third_person,
        "ing": _with_ing(base, base in doubling),
        "ed": past,
        "en": participle[0] if participle else past,
    }


def adjective_forms(entry: str) -> dict[str, str]:
    """The positive under "", and "er", "est".

    Args:
        entry: `tall`, or `good/better/best`.
    """
    positive, *given = entry.split("/")
    comparative, superlative = given or [_with_vowel(positive, e, False) for e in ("er", "est")]
    return {"": positive, "er": comparative, "est": superlative}


def _with_s(word: str) -> str:
    if CONSONANT_Y.search(word):
        return word[:-1] + "ies"
    return word + ("es" if SIBILANT.search(word) else "s")


def _with_ing(base: str, doubles: bool) -> str:
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if SILENT_E.search(base):
        return base[:-1] + "ing"
    return _doubled(base, doubles) + "ing"


def _with_vowel(word: str, ending: str, doubles: bool) -> str:
    """The word with an ending that begins with e."""
    if word.endswith("e"):
        return word + ending[1:]
    if CONSONANT_Y.search(word):
        return word[:-1] + "i" + ending
    return _doubled(word, doubles) + ending


def _doubled(word: str, doubles: bool) -> str:
    return word + word[-1] if doubles or SHORT_SYLLABLE.search(word) else word
