"""What the target of a spec leads to: a class or function of a module, or the text of a file."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from sedsdk.errors import PluginError


def import_target(target: str, what: str) -> Any:
    """Imports what "package.module:Name" names.

    Args:
        target: of a spec.
        what: what it is, as in "encoder mtfa/mtfa".

    Raises:
        PluginError: the module does not import, or has no such name.
    """
    module_name, attribute = target.split(":")
    try:
        return getattr(import_module(module_name), attribute)
    except Exception as error:  # a stranger's module may raise anything
        missing = (getattr(error, "name", None) or "").split(".")[0]
        cure = ""
        if isinstance(error, ModuleNotFoundError) and missing and missing not in sys.modules:
            cure = f" Install {missing}, or the extra that brings it."
        raise PluginError(f"{what}: cannot import {target} ({one_line(error)}).{cure}") from error


def target_text(target: str, what: str, plugin: str) -> str:
    """Reads the file that "package:path/inside/package.yaml" names.

    Args:
        target: of a spec.
        what: what it is, as in "recipe mtfa/small".
        plugin: who offers it.

    Raises:
        PluginError: the file is not in the plugin's package.
    """
    from importlib.resources import files

    package, path = target.split(":")
    try:
        return files(package).joinpath(path).read_text(encoding="utf-8")
    except (ImportError, OSError) as error:
        raise PluginError(f"{what}: plugin {plugin} does not hold {target} ({error}).") from error


def one_line(error: BaseException) -> str:
    """Returns an error's type and text, whitespace collapsed."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
