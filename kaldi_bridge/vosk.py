"""Vosk's model folders: what its program sets and no file of a model says.

Source: src/model.cc of github.com/alphacep/vosk-api: `ConfigureV1`, `ConfigureV2`, `ReadDataFiles`.
"""

from __future__ import annotations

from pathlib import Path

SUBSAMPLING = 3
"""Input frames per output frame in the first layout, which has no file for it."""
MAX_COUNT = 100.0
"""`max-count` of the i-vectors, in both layouts; the rest is at Kaldi's defaults."""
EXTRACTOR = "ivector"
"""Name of the extractor's folder, in both layouts."""


def is_first_layout(root: Path) -> bool:
    """Returns whether a folder is a model in the first layout, with an extractor.

    Vosk itself asks for no extractor; without one a recipe's folder could look the same.
    """
    return all((root / name).exists() for name in ("final.mdl", "mfcc.conf", EXTRACTOR))


def is_second_layout(root: Path) -> bool:
    """Returns whether a folder is a model in the second layout: am, conf, graph, ivector."""
    return (root / "am" / "final.mdl").is_file()


def is_extractor(folder: Path) -> bool:
    """Returns whether a folder is the extractor of a model of Vosk."""
    root = folder.absolute().parent
    return folder.absolute().name == EXTRACTOR and (is_second_layout(root) or is_first_layout(root))


def statistics(root: Path) -> Path | None:
    """Returns the statistics that make Vosk normalise the features; None if it does not."""
    if is_second_layout(root):
        path = root / "am" / "global_cmvn.stats"
    elif is_first_layout(root):
        path = root / "global_cmvn.stats"
    else:
        return None
    return path if path.is_file() else None
