"""Isolated events out of longer recordings: cut by strong labels, or by an energy gate."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sedsdk.audio import AUDIO_SUFFIXES, read_audio
from sedsdk.data.manifest import Manifest
from sedsdk.data.source_set import Source
from sedsdk.data.sources import read_origin
from sedsdk.errors import AudioError, DataError

_log = logging.getLogger(__name__)

GATE_FRAME_SECONDS = 0.02
GATE_RISE_DB = 12.0
"""A frame is loud if it exceeds the clip's quiet frames by this much …"""
GATE_RANGE_DB = 25.0
"""… and stays within this much of the clip's loudest frame."""
GATE_GAP_SECONDS = 0.35
GATE_SHORTEST_SECONDS = 0.25
GATE_PAD_SECONDS = 0.02
QUIET_PERCENTILE = 10


def cut_strong_events(root: Path, listed: str, labels: Sequence[str]) -> tuple[Source, ...]:
    """Returns every labelled span of a list of strong labels as an isolated event.

    Args:
        root: folder of recordings; its `origin.csv`, if there, gives groups and splits.
        listed: path of the list from `root`; audio paths in it count from `root` too.
        labels: classes wanted; events of others are left out.

    Raises:
        DataError: the list cannot be read.
    """
    origin, _ = read_origin(root)
    found: list[Source] = []
    for clip in Manifest.read(root / listed, audio_root=root):
        name = _name_in(root, clip.path)
        cells = origin[name].cells if name in origin else {}
        for event in clip.events or ():
            if event.label in labels:
                found.append(
                    Source(
                        clip.path,
                        event.label,
                        clip.start + event.onset,
                        clip.start + event.offset,
                        cells.get("group", "") or name,
                        cells.get("split", ""),
                    )
                )
    return tuple(found)


def gate_weak_events(root: Path, folder: str, label: str) -> tuple[Source, ...]:
    """Returns the loud spans of recordings that are known to hold a class somewhere.

    A gate knows nothing of classes: use it where the class is the loudest thing in its clips, for
    training only. A recording that cannot be read is left out with a warning.

    Args:
        root: folder of recordings; its `origin.csv`, if there, gives groups and splits.
        folder: subfolder with the recordings.
        label: class that they hold.

    Raises:
        DataError: the folder is missing.
    """
    place = root / folder
    if not place.is_dir():
        raise DataError(f"{place} is no folder of recordings.")
    origin, _ = read_origin(root)
    found: list[Source] = []
    for path in sorted(place.iterdir()):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        try:
            samples, rate = read_audio(path)
        except AudioError as error:
            _log.warning("left out of the training events: %s", error)
            continue
        name = _name_in(root, path)
        cells = origin[name].cells if name in origin else {}
        group, split = cells.get("group", "") or name, cells.get("split", "")
        for start, end in loud_spans(samples, rate):
            found.append(Source(path, label, start, end, group, split))
    return tuple(found)


def loud_spans(samples: np.ndarray, sample_rate: int) -> list[tuple[float, float]]:
    """Returns the spans of a recording that stand out of its quiet frames, in seconds.

    Frames of 20 ms are loud if their level exceeds the 10th percentile by 12 dB and lies within
    25 dB of the loudest; gaps up to 0.35 s are closed, spans below 0.25 s dropped.

    Args:
        samples: float [N].
        sample_rate: hertz.
    """
    frame = max(1, round(GATE_FRAME_SECONDS * sample_rate))
    count = len(samples) // frame
    if count < 3:
        return []
    power = np.mean(samples[: count * frame].reshape(count, frame).astype(np.float64) ** 2, axis=1)
    level = 10 * np.log10(power + 1e-10)
    level = np.convolve(np.pad(level, 1, mode="edge"), np.ones(3) / 3, "valid")
    limit = max(np.percentile(level, QUIET_PERCENTILE) + GATE_RISE_DB, level.max() - GATE_RANGE_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (level > limit).astype(int), [0]])))
    spans: list[list[float]] = []
    times = edges * (frame / sample_rate)
    for first, last in zip(times[::2].tolist(), times[1::2].tolist(), strict=True):
        if spans and first - spans[-1][1] <= GATE_GAP_SECONDS:
            spans[-1][1] = last
        else:
            spans.append([first, last])
    duration = len(samples) / sample_rate
    return [
        (max(0.0, first - GATE_PAD_SECONDS), min(duration, last + GATE_PAD_SECONDS))
        for first, last in spans
        if last - first >= GATE_SHORTEST_SECONDS
    ]


def _name_in(root: Path, path: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.as_posix()
