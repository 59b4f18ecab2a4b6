"""Manifests, data set readers, recordings to mix, mixtures, and the built-in corpus.

Every public name is loaded when it is first asked for: `import sedsdk.data` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedsdk.data.corpus import CorpusSound, corpus_sounds, make_corpus
    from sedsdk.data.corpus_events import babycry, glassbreak, gunshot
    from sedsdk.data.manifest import Clip, FileProblem, Manifest, check_files
    from sedsdk.data.mixture_drawing import MixtureSettings, draw_recipes
    from sedsdk.data.mixture_recipes import MixtureRecipe, PlacedSound, recipe_from_tut
    from sedsdk.data.mixture_render import AudioCache, render
    from sedsdk.data.mixtures import read_recipes, synthesise, synthesise_recipes, synthesise_tut
    from sedsdk.data.source_set import Source, SourceSet
    from sedsdk.data.sources import read_sources
    from sedsdk.data.tut_rare import (
        read_tut_rare,
        read_tut_rare_sources,
        screened_backgrounds,
    )
    from sedsdk.data.tut_rare_recipes import TutRareRecipe, read_tut_rare_recipes

PUBLIC_NAMES = {
    "Clip": "sedsdk.data.manifest",
    "FileProblem": "sedsdk.data.manifest",
    "Manifest": "sedsdk.data.manifest",
    "check_files": "sedsdk.data.manifest",
    "Source": "sedsdk.data.source_set",
    "SourceSet": "sedsdk.data.source_set",
    "read_sources": "sedsdk.data.sources",
    "TutRareRecipe": "sedsdk.data.tut_rare_recipes",
    "read_tut_rare": "sedsdk.data.tut_rare",
    "read_tut_rare_recipes": "sedsdk.data.tut_rare_recipes",
    "read_tut_rare_sources": "sedsdk.data.tut_rare",
    "screened_backgrounds": "sedsdk.data.tut_rare",
    "CorpusSound": "sedsdk.data.corpus",
    "corpus_sounds": "sedsdk.data.corpus",
    "make_corpus": "sedsdk.data.corpus",
    "babycry": "sedsdk.data.corpus_events",
    "glassbreak": "sedsdk.data.corpus_events",
    "gunshot": "sedsdk.data.corpus_events",
    "MixtureSettings": "sedsdk.data.mixture_drawing",
    "draw_recipes": "sedsdk.data.mixture_drawing",
    "MixtureRecipe": "sedsdk.data.mixture_recipes",
    "PlacedSound": "sedsdk.data.mixture_recipes",
    "recipe_from_tut": "sedsdk.data.mixture_recipes",
    "AudioCache": "sedsdk.data.mixture_render",
    "render": "sedsdk.data.mixture_render",
    "read_recipes": "sedsdk.data.mixtures",
    "synthesise": "sedsdk.data.mixtures",
    "synthesise_recipes": "sedsdk.data.mixtures",
    "synthesise_tut": "sedsdk.data.mixtures",
}
"""Public name → the module that it is loaded from."""

__all__ = [
    "AudioCache",
    "Clip",
    "CorpusSound",
    "FileProblem",
    "Manifest",
    "MixtureRecipe",
    "MixtureSettings",
    "PlacedSound",
    "Source",
    "SourceSet",
    "TutRareRecipe",
    "babycry",
    "check_files",
    "corpus_sounds",
    "draw_recipes",
    "glassbreak",
    "gunshot",
    "make_corpus",
    "read_recipes",
    "read_sources",
    "read_tut_rare",
    "read_tut_rare_recipes",
    "read_tut_rare_sources",
    "recipe_from_tut",
    "render",
    "screened_backgrounds",
    "synthesise",
    "synthesise_recipes",
    "synthesise_tut",
]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PUBLIC_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC_NAMES})
