"""Speed and memory of `kaldi_bridge`: `python benchmarks/kaldi_bridge.py --help`.

What is measured, and how, is in kaldi_speed.py. This file bears the name of the package, so that
`import kaldi_bridge` finds it wherever benchmarks/ comes first on the path; it then gives the
package.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "kaldi_bridge"


def give_the_package() -> None:
    """Puts the package in the place of this module."""
    spec = importlib.util.spec_from_file_location(
        "kaldi_bridge", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["kaldi_bridge"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    from kaldi_speed import main

    sys.exit(main())
give_the_package()
