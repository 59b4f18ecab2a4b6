"""The official mixture recipes of TUT Rare Sound Events 2017, and its YAML files, read safely."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypedDict

from sedsdk.data.tables import read_text
from sedsdk.errors import DataError, missing_dependency

PYTHON_TAG = "tag:yaml.org,2002:python/"
TEXT_TAGS = ("str", "unicode")


class TutRareRecipe(TypedDict):
    """One mixture of the official set: background + scaling_factor · event, all times 0.2.

    The fields of the event are None where `event_present` is false; `ebr` is then -inf.
    """

    mixture_audio_filename: str
    """Name of the WAV file that the mixture is written to."""
    bg_path: str
    """Background, from `source_data/bgs`."""
    bg_classname: str
    """Scene of the background."""
    event_present: bool
    ebr: float
    """Event-to-background ratio in dB."""
    event_path: str | None
    """Recording with the event, from `source_data/events`."""
    event_class: str | None
    event_start_in_mixture_seconds: float | None
    event_length_seconds: float | None
    segment_start_seconds: float | None
    """Where the event begins in its recording."""
    segment_end_seconds: float | None
    scaling_factor: float | None
    """What the event's samples are multiplied by."""


def read_tut_rare_recipes(path: str | Path) -> list[TutRareRecipe]:
    """Reads `mixture_recipes_<subset>_<class>.yaml`.

    `annotation_string` is left out: it repeats the other fields, and in the baseline's files it is
    wrong for mixtures without event. The patch of June 2017 leaves recipes of withdrawn mixtures
    in place: `sedsdk.data.tut_rare.screened_backgrounds` says which.

    Raises:
        DataError: the file is missing or no YAML; a field is missing or of the wrong type; a tag
            asks for a Python object.
        MissingDependency: PyYAML is not installed.
    """
    content = read_yaml(Path(path))
    if not isinstance(content, list) or not content:
        raise DataError(f"{path}: expected a list of recipes, found {type(content).__name__}.")
    return [_recipe(entry, f"{path}: recipe {index}") for index, entry in enumerate(content)]


def read_yaml(path: Path) -> Any:
    """Returns the plain values of a YAML file.

    Texts and tuples that Python 2 or PyYAML's full dumper tagged are read as texts and lists; any
    other tag is refused, so no file makes an object.

    Raises:
        DataError: the file is missing or no YAML, or holds another tag.
        MissingDependency: PyYAML is not installed.
    """
    text = read_text(path)
    try:
        import yaml
    except ImportError as error:
        raise missing_dependency("PyYAML", f"reading {path.name}", "train") from error

    class PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """The safe loader, with the harmless ones of Python's tags."""

    for tag in TEXT_TAGS:
        PlainLoader.add_constructor(PYTHON_TAG + tag, PlainLoader.construct_yaml_str)
    PlainLoader.add_constructor(PYTHON_TAG + "tuple", PlainLoader.construct_yaml_seq)
    try:
        return yaml.load(text, Loader=PlainLoader)
    except yaml.constructor.ConstructorError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DataError(
            f"{path}:{line}: {error.problem}. Only plain values are read, no Python or NumPy "
            f"objects: dump the file again with yaml.safe_dump."
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        reason = getattr(error, "problem", None) or error
        raise DataError(f"{path}:{line}: no YAML ({reason}). Unpack or make it again.") from error


def _recipe(entry: Any, place: str) -> TutRareRecipe:
    if not isinstance(entry, dict):
        raise DataError(f"{place}: {type(entry).__name__}, expected a mapping.")
    present = entry.get("event_present")
    if not isinstance(present, bool):
        raise DataError(f'{place}: "event_present" is {present!r}, expected true or false.')
    return TutRareRecipe(
        mixture_audio_filename=_text(entry, "mixture_audio_filename", place),
        bg_path=_text(entry, "bg_path", place),
        bg_classname=_text(entry, "bg_classname", place),
        event_present=present,
        ebr=_number(entry, "ebr", place) if present else -math.inf,
        event_path=_text(entry, "event_path", place) if present else None,
        event_class=_text(entry, "event_class", place) if present else None,
        event_start_in_mixture_seconds=(
            _number(entry, "event_start_in_mixture_seconds", place) if present else None
        ),
        event_length_seconds=_number(entry, "event_length_seconds", place) if present else None,
        segment_start_seconds=_number(entry, "segment_start_seconds", place) if present else None,
        segment_end_seconds=_number(entry, "segment_end_seconds", place) if present else None,
        scaling_factor=_number(entry, "scaling_factor", place) if present else None,
    )


def _text(entry: dict[str, Any], key: str, place: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(f'{place}: "{key}" is {value!r}, expected a text.')
    return value


def _number(entry: dict[str, Any], key: str, place: str) -> float:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DataError(f'{place}: "{key}" is {value!r}, expected a number.')
    return float(value)
