"""Which saved detectors a command line names, and what they are called in tables and pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sedsdk.runtime.detector import Detector

BUNDLE_FOLDER = "detector"
"""Where a training run keeps its detector."""


def load_models(folders: Sequence[Path]) -> dict[str, Detector]:
    """Loads the detectors of runs or bundles.

    Args:
        folders: of saved detectors, or of training runs that hold one.

    Returns:
        Detectors in order, by `model_names`.

    Raises:
        BundleError: a folder holds no detector that can be loaded.
    """
    from sedsdk.runtime.detector import load

    bundles = [bundle_of(folder) for folder in folders]
    return {name: load(bundle) for name, bundle in zip(model_names(bundles), bundles, strict=True)}


def bundle_of(folder: Path) -> Path:
    """Returns the folder of a run's detector; that of a saved detector stays as it is."""
    inside = folder / BUNDLE_FOLDER
    return inside if inside.is_dir() else folder


def model_names(bundles: Sequence[Path]) -> list[str]:
    """Returns the shortest names that tell saved detectors apart.

    A detector in the folder "detector" is named after its run; equal names get as many folders in
    front as it takes. The same folder twice gets numbers.
    """
    paths = [Path(os.path.abspath(bundle)) for bundle in bundles]
    steps = [
        path.parent.parts if path.name == BUNDLE_FOLDER and len(path.parts) > 2 else path.parts
        for path in paths
    ]
    names = [parts[-1] for parts in steps]
    for depth in range(2, max(map(len, steps), default=0) + 1):
        if len(set(names)) == len(set(paths)):
            break
        names = [
            "/".join(parts[-depth:]) if names.count(name) > 1 else name
            for name, parts in zip(names, steps, strict=True)
        ]
    return [
        f"{name} ({names[: index + 1].count(name)})" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]
