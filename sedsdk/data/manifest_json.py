"""Manifests as JSON lines. `manifest_format` describes them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from sedsdk.data.manifest import Clip, Manifest, check_label
from sedsdk.data.manifest_entries import clip_at, default_id, relative_filename
from sedsdk.data.tables import read_text
from sedsdk.errors import DataError, did_you_mean
from sedsdk.types import Event

JSON_KEYS = ("filename", "id", "start", "end", "tags", "events", "group", "split")
EVENT_KEYS = ("onset", "offset", "label", "score")


def read_json_lines(
    path: Path, labels: tuple[str, ...], root: Path
) -> tuple[tuple[str, ...], list[Clip]]:
    """Reads the clips of a file of JSON lines.

    Args:
        path: the file.
        labels: the classes; () for those that the file states, or to take what comes.
        root: folder that file names are relative to.

    Returns:
        The classes that the file states, or (), and the clips.

    Raises:
        DataError: with file and line, and what is wrong there.
    """
    stated: tuple[str, ...] = ()
    clips: dict[str, tuple[str, Clip]] = {}
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        place = f"{path}:{line}"
        if not text.strip():
            continue
        entry = _json_object(text, place)
        if "labels" in entry and not clips and not stated:
            stated = tuple(_texts(entry["labels"], "labels", place))
            continue
        clip = _clip_of_json(entry, root, place)
        for label in clip.labels if labels or stated else ():
            check_label(label, labels or stated, place)
        if clip.id in clips:
            raise DataError(
                f'{place}: clip "{clip.id}" is already at {clips[clip.id][0]}. Remove one.'
            )
        clips[clip.id] = (place, clip)
    return stated, [clip for _, clip in clips.values()]


def _json_object(text: str, place: str) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place}: no JSON ({error.msg}, column {error.colno}). One object per line."
        ) from error
    if not isinstance(entry, dict):
        raise DataError(
            f"{place}: {type(entry).__name__} in place of an object. One object per line."
        )
    return entry


def _clip_of_json(entry: dict[str, Any], root: Path, place: str) -> Clip:
    _check_keys(entry, JSON_KEYS, place)
    filename = entry.get("filename")
    if not isinstance(filename, str) or not filename:
        raise DataError(f'{place}: "filename" is {filename!r}. Name a file.')
    start = _json_seconds(entry.get("start") or 0.0, "start", place)
    end = None if entry.get("end") is None else _json_seconds(entry["end"], "end", place)
    spans = ("" if start == 0 else repr(start), "" if end is None else repr(end))
    tags, events = entry.get("tags"), entry.get("events")
    if events is not None and not isinstance(events, list):
        raise DataError(f'{place}: "events" is {events!r}. Write a list of objects, or null.')
    return clip_at(
        place,
        entry.get("id") or default_id(filename, *spans),
        root / filename,
        start=start,
        end=end,
        tags=None if tags is None else tuple(_texts(tags, "tags", place)),
        events=None if events is None else tuple(_event_of_json(event, place) for event in events),
        group=entry.get("group") or "",
        split=entry.get("split") or "",
    )


def _event_of_json(entry: Any, place: str) -> Event:
    if not isinstance(entry, dict):
        raise DataError(f"{place}: the event {entry!r} is no object with onset, offset and label.")
    _check_keys(entry, EVENT_KEYS, place)
    label = entry.get("label")
    if not isinstance(label, str):
        raise DataError(f'{place}: the event\'s "label" is {label!r}. Name a class.')
    onset, offset, score = (
        _json_seconds(entry.get(key, default), key, place)
        for key, default in (("onset", None), ("offset", None), ("score", 1.0))
    )
    return Event(onset, offset, label, score)


def _json_seconds(value: Any, what: str, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DataError(f'{place}: "{what}" is {value!r}. Write a number, as in 1.25.')
    return float(value)


def _texts(value: Any, what: str, place: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError(f'{place}: "{what}" is {value!r}. Write a list of texts.')
    return value


def _check_keys(entry: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in entry:
        if key not in known:
            raise DataError(
                f'{place}: unknown key "{key}".{did_you_mean(key, known)} '
                f"Known: {', '.join(known)}."
            )


def json_text(manifest: Manifest, root: Path) -> str:
    """Returns a manifest as JSON lines; file names are relative to `root`."""
    lines: list[dict[str, Any]] = [{"labels": list(manifest.labels)}]
    for clip in manifest:
        events = None if clip.events is None else [event.as_dict() for event in clip.events]
        tags = None if clip.tags is None else list(clip.tags)
        filename = relative_filename(clip, root)
        values = (filename, clip.id, clip.start, clip.end, tags, events, clip.group, clip.split)
        lines.append(dict(zip(JSON_KEYS, values, strict=True)))
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
