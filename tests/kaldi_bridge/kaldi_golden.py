"""Where the golden files of Kaldi lie, for the tests that need them."""

from __future__ import annotations

from pathlib import Path

import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"
WITHOUT_GOLDEN = "needs the golden files of Kaldi in ../shared/golden/kaldi"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=WITHOUT_GOLDEN)
MODEL_DIRS = sorted(path.parent for path in GOLDEN.glob("models/*/final.raw"))
MODEL_FILES = [
    path
    for folder in MODEL_DIRS
    for path in sorted(folder.glob("final*"))
    if path.suffix in (".raw", ".mdl", ".gz")
]


def short_name(path: Path) -> str:
    """Returns a path of the golden folder for the name of a test."""
    return str(path).removeprefix(str(GOLDEN / "models") + "/")
