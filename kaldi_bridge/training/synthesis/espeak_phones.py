"""What espeak's English phonemes are among the phones of the CMU dictionary.

The set is what espeak-ng 1.51 says for some 40 000 words and 1500 sentences in every accent, plus
the phonemes of its English tables that these words do not need. Each was judged by its formants
(25, 50 and 80 % into it, the default voice): what is spoken decides, not what the word is spelt
with, so the accents differ. A phoneme that is a vowel and something more is cut in two.
"""

from __future__ import annotations

from kaldi_bridge.errors import KaldiError
from kaldi_bridge.training.inventory import SILENCE

Parts = tuple[tuple[str, float], ...]
"""(phone, share of the time), ...: the shares add up to 1."""


VOWELS = frozenset(
    ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
)
OBSTRUENTS = frozenset(
    ("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "P", "S", "SH", "T", "TH", "V", "Z", "ZH")
)


class UnknownMnemonic(KaldiError):
    """espeak said a phoneme that has no phone here."""


def _whole(phone: str, mnemonics: str) -> dict[str, Parts]:
    return {mnemonic: ((phone, 1.0),) for mnemonic in mnemonics.split()}


def _pair(first: str, share: float, second: str, mnemonics: str) -> dict[str, Parts]:
    return {mnemonic: ((first, share), (second, 1.0 - share)) for mnemonic in mnemonics.split()}


_CONSONANTS: dict[str, Parts] = {
    **_whole("B", "b"),
    **_whole("CH", "tS"),
    **_whole("D", "d d#"),
    **_whole("DH", "D"),
    **_whole("F", "f"),
    **_whole("G", "g"),
    **_whole("HH", "h x"),
    **_whole("JH", "dZ"),
    **_whole("K", "k"),
    **_whole("L", "l l#"),
    **_whole("M", "m"),
    **_whole("N", "n n^"),
    **_whole("NG", "N"),
    **_whole("P", "p"),
    **_whole("R", "r r-"),
    **_whole("S", "s"),
    **_whole("SH", "S"),
    **_whole("T", "t t2 t# t[ ?"),
    **_whole("TH", "T"),
    **_whole("V", "v"),
    **_whole("W", "w w#"),
    **_whole("Y", "j ;"),
    **_whole("Z", "z z#"),
    **_whole("ZH", "Z"),
    **_pair("AH", 0.25, "L", "@L"),
    **_pair("AH", 0.35, "N", "n-"),
    **_pair("AH", 0.35, "M", "m-"),
}

_VOWELS: dict[str, Parts] = {
    **_whole("AA", "A: A@ A# A~"),
    **_whole("AE", "a aa a2"),
    **_whole("AH", "V @ @- @2 @5 @# a# a#2 3"),
    **_whole("AO", "0 0# 02 O2 O: O O@ o@ o: O~"),
    **_whole("AW", "aU"),
    **_whole("AY", "aI aI# aI2"),
    **_whole("EH", "E E# E2 e# e@"),
    **_whole("ER", "3:"),
    **_whole("EY", "eI e:"),
    **_whole("IH", "I I2 I# I2#"),
    **_whole("IY", "i i:"),
    **_whole("OW", "oU oU#"),
    **_whole("OY", "OI"),
    **_whole("UH", "U"),
    **_whole("UW", "u: u"),
    **_pair("AY", 0.7, "AH", "aI@ aI3"),
    **_pair("AW", 0.7, "AH", "aU@"),
    **_pair("IY", 0.6, "AH", "i@"),
    **_pair("IH", 0.5, "AH", "i@3"),
    **_pair("UH", 0.5, "AH", "U@"),
}
"""Of an accent that drops the r of "car" (its F3 stays above 2300 Hz): all but two here."""

_PAUSES = _whole(SILENCE, "_ _: _| _! _:: __ __:")

_DIFFERENT: dict[str, dict[str, Parts]] = {
    # F3 falls below 2000 Hz half-way through the vowels of "car", "more", "there" and "near".
    "en-us": {
        **_whole("AA", "0 0#"),
        **_whole("ER", "3"),
        **_pair("AA", 0.6, "R", "A@"),
        **_pair("AO", 0.5, "R", "O@ o@"),
        **_pair("EH", 0.5, "R", "e@"),
        **_pair("IH", 0.5, "R", "i@3"),
        **_pair("UH", 0.5, "R", "U@"),
        **_pair("AY", 0.55, "ER", "aI3"),
        **_pair("AW", 0.55, "ER", "aU@"),
    },
    # "a" has 780/1180 Hz, the sound of "spa"; "foot" is "goose"; "fir" and "fur" have no r in F3.
    "en-gb-scotland": {
        **_whole("AA", "a aa a2"),
        **_whole("EH", "i"),
        **_whole("UW", "U"),
        **_whole("AH", "VR IR"),
        **_pair("EH", 0.5, "AH", "3: e@"),
        **_pair("IH", 0.5, "R", "i@3"),
    },
    "en-gb-x-rp": {**_whole("AA", "aa"), **_whole("AO", "U@")},
    "en-gb": _whole("AA", "aa"),
    "en-gb-x-gbclan": _whole("UH", "V"),
    # "it" has the vowel of "eat", "buy" that of "boy", "there" that of "fur".
    "en-gb-x-gbcwmd": {
        **_whole("UH", "V"),
        **_whole("IY", "I I2"),
        **_whole("OY", "aI"),
        **_whole("ER", "e@"),
        **_pair("OY", 0.7, "AH", "aI@"),
    },
    # one a of 860/1410 Hz for "trap", "bath", "spa" and "car"; "nurse" has the vowel of "north".
    "en-029": {
        **_whole("AE", "A: A@"),
        **_whole("AA", "0"),
        **_whole("AO", "3: V"),
        **_whole("IY", "I I2"),
        **_pair("EH", 0.5, "AH", "e@"),
    },
    "en-us-nyc": {},
}

_COMMON = {**_CONSONANTS, **_VOWELS, **_PAUSES}
_TABLES = {accent: {**_COMMON, **different} for accent, different in _DIFFERENT.items()}


_BEFORE_R = {"IY": "IH", "IH": "IH", "UH": "UH", "EH": "EH"}


def before_r(parts: Parts) -> Parts:
    """Returns a vowel's phones where an R follows it: the glide to a schwa is the way to the R.

    So "zero", of which espeak says `z i@ r oU`, is Z IH R OW as in the dictionary.

    Args:
        parts: as `parts_of` returns them.
    """
    if len(parts) == 2 and parts[1][0] == "AH" and parts[0][0] in _BEFORE_R:
        return ((_BEFORE_R[parts[0][0]], 1.0),)
    return parts


def parts_of(mnemonic: str, accent: str) -> Parts:
    """Returns the phones that one of espeak's phonemes consists of.

    Args:
        mnemonic: as espeak's phoneme events name it: "t#", "A@", "_:".
        accent: "en-us", ...; one that is not known counts as British.

    Raises:
        UnknownMnemonic: the accent has no such phoneme here.
    """
    table = _TABLES.get(accent, _TABLES["en-gb"])
    try:
        return table[mnemonic]
    except KeyError:
        raise UnknownMnemonic(
            f'espeak\'s accent {accent} has the phoneme "{mnemonic}", of which is not known what '
            "phone it is: add it to kaldi_bridge/training/espeak_phones.py, or leave out this text."
        ) from None
