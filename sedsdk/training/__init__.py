"""Training: recipes, data on the fly, SpeechBrain's loop, resumable runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedsdk.training.recipe import Recipe, load_recipe
    from sedsdk.training.run import TrainingResult, train

__all__ = ["Recipe", "TrainingResult", "load_recipe", "train"]

_MODULE_OF = {
    "Recipe": "sedsdk.training.recipe",
    "TrainingResult": "sedsdk.training.run",
    "load_recipe": "sedsdk.training.recipe",
    "train": "sedsdk.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'sedsdk.training' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
