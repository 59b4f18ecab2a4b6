"""Makes the small Kaldi models of the suite's own tests importable: they are no package."""

from __future__ import annotations

import sys
from pathlib import Path

KALDI_TESTS = Path(__file__).parents[3] / "tests" / "kaldi_bridge"

if KALDI_TESTS.is_dir() and str(KALDI_TESTS) not in sys.path:
    sys.path.append(str(KALDI_TESTS))
