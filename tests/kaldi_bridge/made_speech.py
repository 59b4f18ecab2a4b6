"""A small folder laid out as the one of real speech, with recordings that name themselves.

Each recording is constant, and its level is its number / 1000: a scripted classifier knows from
the samples which recording it hears.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from kaldi_bridge.training.inventory import CLASS_OF, CLASSES
from kaldi_bridge.training.judging.classifiers import Posteriors

TEXT_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0.0
xmax = 0.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "word"
        xmin = 0.0
        xmax = 0.5
        intervals: size = 1
        intervals [1]:
            xmin = 0.0
            xmax = 0.5
            text = "he ""ripped"" it"
    item [2]:
        class = "IntervalTier"
        name = "phone"
        xmin = 0.0
        xmax = 0.5
        intervals: size = 4
        intervals [1]:
            xmin = 0.02
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.2
            text = "IH1"
        intervals [3]:
            xmin = 0.2
            xmax = 0.3
            text = "PT"
        intervals [4]:
            xmin = 0.3
            xmax = 0.5
            text = "AO0"
"""
TABLE = "start_s\tend_s\tphone\n0.000\t0.100\tpau\n0.100\t0.160\thh\n0.160\t0.400\tax\n"
DIGITS = [
    ("0_ann_1", "train"),
    ("9_ann_2", "train"),
    ("5_bob_1", "train"),
    ("5_bob_2", "dev"),
    ("9_ann_7", "dev"),
]
SENTENCES = ["arctic/a", "praatio/p", "speechbrain_samples/s"]
NOTES = {"speechbrain_samples/s": "phones (no times): dh ax cl t sil uw"}


def make_speech_folder(folder: Path, seconds: float = 0.5, rate: int = 8000) -> list[str]:
    """Writes recordings and labels; returns the recordings, in the order of their numbers."""
    listed = [(f"fsdd/{name}", part) for name, part in DIGITS]
    listed += [(name, "train") for name in SENTENCES]
    lines = ["file,split,text,notes"]
    for number, (name, part) in enumerate(listed, start=1):
        path = folder / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        level = np.full(round(seconds * rate), number / 1000, np.float32)
        soundfile.write(path, level, rate, subtype="PCM_24")
        lines.append(f'speech/{name}.flac,{part},,"{NOTES.get(name, "")}"')
    lines.append("speech/librispeech/x.flac,dev,,no transcript")
    (folder / "transcripts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "arctic/a.phones.csv").write_text(TABLE, encoding="utf-8")
    (folder / "praatio/p_phones.TextGrid").write_text(TEXT_GRID, encoding="utf-8")
    return [name for name, _ in listed]


class Scripted:
    """Hears what a script says: a recording's name → "PHONE seconds PHONE seconds ...".

    The chosen class gets 0.8 and the others share the rest.
    """

    name = "scripted"
    priors = None

    def __init__(self, names: list[str], script: Callable[[str], str], hop: float = 0.01) -> None:
        self.names, self.script, self.hop = names, script, hop

    def posteriors(self, samples: np.ndarray, sample_rate: int) -> Posteriors:
        words = self.script(self.names[round(float(samples[0]) * 1000) - 1]).split()
        centres = self.hop * (np.arange(int(len(samples) / sample_rate / self.hop)) + 0.5)
        ends = np.cumsum([float(seconds) for seconds in words[1::2]])
        classes = np.array([CLASS_OF[phone] for phone in words[::2]])
        said = classes[np.minimum(np.searchsorted(ends, centres, side="right"), len(ends) - 1)]
        rows = np.full((len(centres), len(CLASSES)), 0.2 / (len(CLASSES) - 1), np.float32)
        rows[np.arange(len(rows)), said] = 0.8
        return rows, self.hop, self.hop / 2
