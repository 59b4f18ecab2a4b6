"""The acoustic model that comes with the package, in Kaldi's own files; README.md is its card."""

from __future__ import annotations

from pathlib import Path

from kaldi_bridge.errors import MissingFile

BUNDLED = Path(__file__).parent
"""Folder of the model: final.mdl, phones.txt, conf/mfcc_hires.conf, frame_subsampling_factor."""

NAME = "bundled"
"""What commands call it."""


def bundled_model() -> Path:
    """Returns the folder of the bundled model, as `AcousticModel.load` and `find_model` take it.

    Raises:
        MissingFile: this copy of the package has no model; says how to make one.
    """
    if not (BUNDLED / "final.mdl").is_file():
        raise MissingFile(
            f"{BUNDLED}: no final.mdl, so this copy of kaldi_bridge comes without its acoustic "
            "model. Train it with `python -m kaldi_bridge.training`, or give a model of your own."
        )
    return BUNDLED


def model_called(name: str | Path) -> Path:
    """Returns the bundled model for "bundled", if no such file or folder is here, else the path.

    Raises:
        MissingFile: this copy of the package has no model.
    """
    path = Path(name)
    return bundled_model() if str(name) == NAME and not path.exists() else path
