"""The 41 classes of the acoustic model, and what the labels of other inventories become."""

from __future__ import annotations

from kaldi_bridge.errors import KaldiError

SILENCE = "SIL"
NOISE = "SPN"
PHONES: tuple[str, ...] = (
    *("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G"),
    *("HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH"),
    *("T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)
"""The 39 phones of the CMU pronouncing dictionary."""

CLASSES: tuple[str, ...] = (SILENCE, NOISE, *PHONES)
"""Class number = pdf number = column of every posterior."""

CLASS_OF: dict[str, int] = {name: number for number, name in enumerate(CLASSES)}

_SILENCES = frozenset(("", "SIL", "<SIL>", "PAU", "SSIL", "H#", "#H", "#", "EPI", "SP"))
_NOISES = frozenset(("SPN", "<SPN>", "NSN", "<NSN>", "LAU", "BRTH", "BREATH", "OOV", "<UNK>"))
_CLOSURES = frozenset(
    ("CL", "VCL", "BCL", "DCL", "GCL", "PCL", "TCL", "KCL", "CHCL", "JHCL", "JCL", "Q")
)
_ALLOPHONES = {
    **{"AX": "AH", "AX-H": "AH", "AXH": "AH", "IX": "IH", "AXR": "ER", "UX": "UW"},
    **{"DX": "T", "NX": "N", "EN": "N", "EM": "M", "ENG": "NG", "EL": "L", "HV": "HH"},
}
_SCORED_AS = {"AO": "AA", "ZH": "SH"}


class UnknownPhone(KaldiError):
    """A label that no known inventory has."""


def fold(label: str) -> str | None:
    """Returns the class name that a label of another inventory stands for.

    Known are the labels of the CMU dictionary (with or without stress digits), of TIMIT, of HTS
    and Festival (flite's), and Kaldi's silence and noise words with or without the word position
    (`AA1_B`); letter case does not matter. Reduced vowels, syllabic consonants, flaps and voiced h
    become the phone that a dictionary has in their place.

    Args:
        label: "ax", "AH0", "pau", "tcl", ...

    Returns:
        A name of `CLASSES`, or None for a stop's closure and for a glottal stop: these have no
        class of their own and belong to the phone beside them.

    Raises:
        UnknownPhone: no inventory has this label.
    """
    name = label.strip().upper()
    base, mark, position = name.rpartition("_")
    if mark and position in ("B", "I", "E", "S"):
        name = base
    name = name.rstrip("012") or name
    if name in CLASS_OF:
        return name
    if name in _ALLOPHONES:
        return _ALLOPHONES[name]
    if name in _SILENCES:
        return SILENCE
    if name in _NOISES:
        return NOISE
    if name in _CLOSURES:
        return None
    raise UnknownPhone(
        f'unknown phone "{label}": expected a label of the CMU dictionary, TIMIT, HTS or flite '
        f"(such as {', '.join(PHONES[:4])}, ax, pau, tcl)."
    )


def merged(phone: str) -> str:
    """Returns the class that a phone is scored as: AO as AA and ZH as SH, all others as they are.

    These are what the folding to 39 classes of Lee and Hon (1989, table II) does to the phones of
    the CMU dictionary: speakers and dictionaries do not agree on where one ends and the other
    begins.

    Args:
        phone: a name of `CLASSES`.

    Raises:
        UnknownPhone: not a name of `CLASSES`; `fold` it first.
    """
    if phone not in CLASS_OF:
        raise UnknownPhone(f'"{phone}" is not one of the {len(CLASSES)} classes: fold() it first.')
    return _SCORED_AS.get(phone, phone)
