import pytest

from kaldi_bridge.training.inventory import (
    CLASS_OF,
    CLASSES,
    NOISE,
    PHONES,
    SILENCE,
    UnknownPhone,
    fold,
    merged,
)

# the 61 labels of TIMIT's phoncode.doc, and what a dictionary has in their place
TIMIT = {
    **{phone.lower(): phone for phone in PHONES},
    **dict.fromkeys(("bcl", "dcl", "gcl", "pcl", "tcl", "kcl", "q"), None),
    **dict.fromkeys(("pau", "epi", "h#"), SILENCE),
    **{"ax": "AH", "ax-h": "AH", "ix": "IH", "axr": "ER", "ux": "UW", "hv": "HH", "dx": "T"},
    **{"nx": "N", "en": "N", "em": "M", "eng": "NG", "el": "L"},
}


def test_the_classes_are_silence_noise_and_the_39_phones_in_order() -> None:
    assert len(PHONES) == 39
    assert list(PHONES) == sorted(set(PHONES))
    assert CLASSES[:3] == (SILENCE, NOISE, "AA")
    assert CLASSES[-1] == "ZH"
    assert [CLASS_OF[name] for name in CLASSES] == list(range(41))


def test_all_61_labels_of_timit_are_known() -> None:
    assert len(TIMIT) == 61
    assert {label: fold(label) for label in TIMIT} == TIMIT


@pytest.mark.parametrize(
    ("label", "phone"),
    [
        ("AH0", "AH"),
        ("er1", "ER"),
        ("AA2_B", "AA"),
        ("T_S", "T"),
        ("SIL", SILENCE),
        ("", SILENCE),
        ("SPN_S", NOISE),
        ("cl", None),
        ("vcl", None),
        (" Dh ", "DH"),
    ],
)
def test_stress_word_positions_and_case_do_not_matter(label: str, phone: str | None) -> None:
    assert fold(label) == phone


@pytest.mark.parametrize("label", ["xx", "AH3", "a", "0", "S_X", "_B_"])
def test_an_unknown_label_is_named(label: str) -> None:
    with pytest.raises(UnknownPhone, match=f'"{label}"'):
        fold(label)


def test_two_phones_are_scored_as_another() -> None:
    scored = {phone: merged(phone) for phone in CLASSES}
    assert {phone: into for phone, into in scored.items() if phone != into} == {
        "AO": "AA",
        "ZH": "SH",
    }
    with pytest.raises(UnknownPhone, match="fold"):
        merged("ao")
