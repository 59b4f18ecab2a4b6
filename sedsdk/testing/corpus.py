"""A folder of short recordings with strong labels, made from a seed: the fixture `tiny_corpus`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sedsdk.types import Event

if TYPE_CHECKING:
    from sedsdk.data.manifest import Manifest

SAMPLE_RATE = 16000
CLIP_SECONDS = 1.0
NOISE_LEVEL = 0.01
TONE_LEVEL = 0.4
TONES = {"high": 3000.0, "low": 400.0}
"""Frequency of each class's tone, in hertz."""


@dataclass(frozen=True)
class TinyCorpus:
    """Where the recordings are and what is in them.

    Attributes:
        folder: holds the WAV files (16 kHz, mono, 16 bit) and `labels.tsv`.
        events: per file name, in order of onset; some files hold none.
        sample_rate: hertz.
    """

    folder: Path
    events: dict[str, tuple[Event, ...]]
    sample_rate: int = SAMPLE_RATE

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, sorted."""
        return tuple(TONES)

    @property
    def manifest_path(self) -> Path:
        """The strong labels as a table: filename, onset, offset, event_label."""
        return self.folder / "labels.tsv"

    @property
    def manifest(self) -> Manifest:
        """The labels, read."""
        from sedsdk.data.manifest import Manifest

        return Manifest.read(self.manifest_path, labels=self.labels)


def write_tiny_corpus(folder: Path, clips: int = 6, seed: int = 0) -> TinyCorpus:
    """Writes one-second recordings of tones in noise, with their labels.

    Clip 0 holds no event, every other one or two tones of 0.2 to 0.4 s, one per class at most.

    Args:
        folder: made if it is not there.
        clips: number of recordings.
        seed: the same seed writes the same bytes.
    """
    import numpy as np
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    n_samples = int(CLIP_SECONDS * SAMPLE_RATE)
    seconds = np.arange(n_samples) / SAMPLE_RATE
    events: dict[str, tuple[Event, ...]] = {}
    rows = ["filename\tonset\toffset\tevent_label"]
    for index in range(clips):
        name = f"clip{index}.wav"
        audio = generator.normal(0.0, NOISE_LEVEL, n_samples)
        found = []
        for order, (label, frequency) in enumerate(TONES.items()):
            if index == 0 or (index % 3 and index % 2 != order):
                continue
            onset = round(float(generator.uniform(0.05, 0.5)), 2)
            offset = round(onset + float(generator.uniform(0.2, 0.4)), 2)
            inside = (seconds >= onset) & (seconds < offset)
            audio += TONE_LEVEL * inside * np.sin(2 * np.pi * frequency * seconds)
            found.append(Event(onset, offset, label))
        soundfile.write(folder / name, audio.astype(np.float32), SAMPLE_RATE, subtype="PCM_16")
        events[name] = tuple(sorted(found))
        rows += [f"{name}\t{e.onset}\t{e.offset}\t{e.label}" for e in events[name]]
        rows += [] if found else [f"{name}\t\t\t"]
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return TinyCorpus(folder, events)
