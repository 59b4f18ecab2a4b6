"""The law on import cost, tried in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from sedsdk.testing.laws import Trial

HEAVY_MODULES = (
    "torch",
    "torchaudio",
    "speechbrain",
    "transformers",
    "tensorflow",
    "scipy",
    "sklearn",
    "pandas",
    "matplotlib",
    "librosa",
    "numba",
    "ray",
    "gradio",
    "fastapi",
    "onnxruntime",
)
"""What an entry module must leave to the modules behind its parts."""

_PROBE = """
import json, sys, traceback
sys.path[:0] = {path!r}
heavy, found = set({heavy!r}), []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in heavy and not found:
            frames = [f for f in traceback.extract_stack() if "importlib" not in f.filename]
            at = frames[-2] if len(frames) > 1 else frames[-1]
            found.append([name, f"{{at.filename}}:{{at.lineno}}: {{at.line}}"])
        return None
sys.meta_path.insert(0, Watch())
import {module}
print(json.dumps(found))
"""


def imports_nothing_heavy(module: str, heavy: Sequence[str], title: str) -> None:
    """Imports a module in a fresh interpreter and refuses heavy libraries.

    Args:
        module: dotted name.
        heavy: top-level names that may not be imported.
        title: the part or plugin in words.

    Raises:
        LawBroken: law "import cost", with the file and line of the first heavy import.
    """
    trial = Trial("import cost", title, f"import {module}")
    code = _PROBE.format(path=[p for p in sys.path if p], heavy=list(heavy), module=module)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    trial.require(run.returncode == 0, run.stderr.strip().rsplit("\n", 1)[-1])
    found = json.loads(run.stdout.strip().splitlines()[-1])
    if found:
        name, where = found[0]
        trial.require(False, f"imports {name} at {where}")
