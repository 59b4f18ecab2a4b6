"""YAML that a plugin offers by name, or that lies in a file: recipes and plans of reproductions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sedsdk.errors import ConfigError, missing_dependency

YAML_SUFFIXES = (".yaml", ".yml")


def yaml_values(text: str, what: str) -> Any:
    """Returns what a YAML text holds: plain values, never objects.

    Args:
        text: YAML.
        what: names the text in an error.

    Raises:
        ConfigError: the text is not YAML.
        MissingDependency: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise missing_dependency("pyyaml", f"reading {what}", "train") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{what}: not valid YAML: {error}") from None


def named_yaml(name_or_path: str | Path, text_of: Callable[[str], str], what: str) -> Any:
    """Returns the values of a YAML file, by its path or by the name that a plugin gives it.

    Args:
        name_or_path: a path ends in .yaml or .yml; anything else is a name.
        text_of: gives the text of a name.
        what: names the file in an error.

    Raises:
        ConfigError: the file cannot be read or is not YAML.
        MissingDependency: PyYAML is not installed.
        UnknownPart: as `text_of` raises it.
    """
    if not str(name_or_path).endswith(YAML_SUFFIXES):
        return yaml_values(text_of(str(name_or_path)), what)
    try:
        text = Path(name_or_path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{what}: cannot read it ({error.strerror})") from None
    return yaml_values(text, what)
