"""Every error that a user can cause, each with one message that names the cure.

All of them derive from `SedsdkError`, so an application catches one class; the
command line prints the message without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SedsdkError(Exception):
    """Base of every error that a user's input, file or installation can cause."""


class ConfigError(SedsdkError):
    """A pipeline or recipe that says something that is not allowed."""


class UnknownPart(SedsdkError):
    """A name that no installed plugin provides."""


class NameTaken(SedsdkError):
    """A name that two plugins provide."""


class PluginError(SedsdkError):
    """A plugin that cannot be used as it is."""


class MissingPlugin(PluginError):
    """A saved pipeline needs a plugin, or another version of it, that is not installed."""


class MissingDependency(SedsdkError):
    """An optional library is needed for what was asked."""


class AudioError(SedsdkError):
    """A recording that cannot be read or holds no usable samples."""


class DataError(SedsdkError):
    """A manifest, data set or recipe of mixtures that is wrong or incomplete."""


class BundleError(SedsdkError):
    """A saved detector that cannot be loaded or written."""


class TrainingError(SedsdkError):
    """A training run that cannot start or go on."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Returns `' Did you mean "x"?'` for the nearest known name, or an empty string."""
    close = get_close_matches(given, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""


def missing_dependency(library: str, purpose: str, extra: str) -> MissingDependency:
    """Builds the error for an optional library that is not installed.

    Args:
        library: import name of the library.
        purpose: what was asked, as in "scoring events".
        extra: the extra of this distribution that brings it.
    """
    return MissingDependency(
        f"{purpose} needs {library}, which is not installed. Install it with: "
        f'pip install "sedsdk[{extra}]"'
    )
