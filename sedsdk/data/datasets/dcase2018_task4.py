"""DCASE 2018 Task 4: domestic sounds, weakly labelled and unlabelled clips of ten seconds.

`dataset/metadata/{train,test,eval}` and `dataset/audio/...` of the 2018 baseline's repository.
"""

from __future__ import annotations

from pathlib import Path

from sedsdk.data.datasets.domestic_lists import DomesticPart, read_domestic_part
from sedsdk.data.datasets.layout import dataset_folder
from sedsdk.data.datasets.parts import Wanted, read_parts
from sedsdk.data.manifest import Manifest

PARTS = {
    "weak": DomesticPart(("train/weak",), ("train/weak",), "weak"),
    "unlabel_in_domain": DomesticPart(
        ("train/unlabel_in_domain",), ("train/unlabel_in_domain",), "nothing"
    ),
    "unlabel_out_of_domain": DomesticPart(
        ("train/unlabel_out_of_domain",), ("train/unlabel_out_of_domain",), "nothing"
    ),
    "testing": DomesticPart(("test/test",), ("test",), "strong"),
    "evaluation": DomesticPart(("eval/eval",), ("eval",), "strong"),
}
ALIASES = {"train": "weak/train", "validation": "weak/validation", "test": "testing"}


def read_dcase2018_task4(folder: str | Path, part: str) -> Manifest:
    """Reads a part, by its list.

    Args:
        folder: the baseline's `task4/dataset` or `task4`, or the folder that one lies in.
        part: "weak" (1578 clips, tags), "unlabel_in_domain", "unlabel_out_of_domain" (no
            labels), "testing" or "evaluation" (events); "train" and "validation" divide weak by
            video, "test" is testing.

    Returns:
        One clip per audio file that is there; its group is the video.

    Raises:
        DataError: an unknown part; no list; a malformed list, with file and line; no audio.
    """
    root = dataset_folder(folder)

    def read(name: str, piece: str, wanted: Wanted) -> Manifest:
        return read_domestic_part(root, name, PARTS[name], piece, wanted)

    return read_parts(part, tuple(PARTS), ALIASES, read)
