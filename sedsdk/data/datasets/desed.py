"""DESED: domestic sounds, recorded and synthetic soundscapes (DCASE 2019 to 2023 Task 4).

Layouts: `dataset/` of the challenges and of the public evaluation set, `real/` and `synthetic/`
of the repository, or the archives of Zenodo side by side (`dcase_synth/`, and a metadata folder
spelt `synhtetic21_train`). Source: README of DESED and configuration of the challenge's baselines.
"""

from __future__ import annotations

from pathlib import Path

from sedsdk.data.datasets.domestic_lists import DomesticPart, read_domestic_part
from sedsdk.data.datasets.layout import dataset_folder
from sedsdk.data.datasets.parts import Wanted, read_parts
from sedsdk.data.manifest import Manifest


def _soundscapes(side: str, *names: str) -> DomesticPart:
    places = tuple(f"{side}/{name}/soundscapes" for name in names)
    return DomesticPart(places, places, "strong", numbered=True)


RECORDED = ("validation/validation", "validation")
PARTS = {
    "weak": DomesticPart(("train/weak",), ("train/weak",), "weak"),
    "unlabel_in_domain": DomesticPart(
        ("train/unlabel_in_domain",), ("train/unlabel_in_domain",), "nothing"
    ),
    "strong_real": DomesticPart(("train/audioset_strong",), ("train/strong_label_real",), "strong"),
    "synthetic19_train": DomesticPart(
        ("train/synthetic",), ("train/synthetic",), "strong", numbered=True
    ),
    "synthetic20_train": _soundscapes("train", "synthetic20", "synthetic20_train"),
    "synthetic20_validation": _soundscapes("validation", "synthetic20", "synthetic20_validation"),
    "synthetic21_train": _soundscapes("train", "synthetic21_train", "synhtetic21_train"),
    "synthetic21_validation": _soundscapes(
        "validation", "synthetic21_validation", "synhtetic21_validation"
    ),
    "validation": DomesticPart(("validation/validation",), RECORDED, "strong"),
    "test_dcase2018": DomesticPart(("validation/test_dcase2018",), RECORDED, "strong"),
    "eval_dcase2018": DomesticPart(("validation/eval_dcase2018",), RECORDED, "strong"),
    "eval_public": DomesticPart(("eval/public",), ("eval/public",), "strong"),
}
ALIASES = {"train": "weak", "test": "eval_public"}


def read_desed(folder: str | Path, part: str) -> Manifest:
    """Reads a part, by its list.

    Args:
        folder: the one with `metadata` and `audio`, or one that holds it, or several of them.
        part: one of `PARTS`; "train" is weak, "test" is eval_public. The parts of a training set
            are joined by "+": "weak+synthetic21_train".

    Returns:
        One clip per audio file that is there; its group is the video, or the soundscape. Ids of
        soundscapes have the part in front, as their files are numbered.

    Raises:
        DataError: an unknown part; no list; a malformed list, with file and line; no audio.
    """
    root = dataset_folder(folder)

    def read(name: str, piece: str, wanted: Wanted) -> Manifest:
        return read_domestic_part(root, name, PARTS[name], piece, wanted)

    return read_parts(part, tuple(PARTS), ALIASES, read)
