"""Who can speak, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from kaldi_bridge.errors import KaldiError

Engine = Literal["flite", "espeak"]


class MissingProgram(KaldiError):
    """A speech synthesiser is not installed; the message has the command."""


class UnknownVoice(KaldiError):
    """A voice that the installed synthesiser does not have."""


class NothingToSay(KaldiError):
    """A text without anything that is pronounced."""


class SynthesisFailed(KaldiError):
    """A synthesiser ended with an error of its own."""


class ImpossibleSettings(KaldiError):
    """Settings that no voice can speak with."""


@dataclass(frozen=True)
class Voice:
    """A voice of one of the two synthesisers.

    Attributes:
        engine: "flite" or "espeak".
        name: flite's voice ("slt") or espeak's accent ("en-us").
        variant: espeak's variant of it ("f3"); "" for the accent's own voice.
    """

    engine: Engine
    name: str
    variant: str = ""

    def __str__(self) -> str:
        variant = f"+{self.variant}" if self.variant else ""
        return f"{self.engine}/{self.name}{variant}"


@dataclass(frozen=True)
class Settings:
    """How a voice shall speak, against its own manner.

    Each engine honours a range and goes to its end beyond it, which the phone times follow:

    | | rate | pitch | pitch range |
    |---|---|---|---|
    | flite's awb, slt, kal16 | 0.25 to 4 | −24 to 24 semitones | any |
    | flite's rms | 0.25 to 4 | none: it keeps its own | none |
    | espeak | 0.46 to 2.57 | about −8 to 9 semitones | up to 2, less at a raised pitch |

    Attributes:
        rate: 2 is twice as fast.
        pitch_semitones: added to the voice's own pitch.
        pitch_range: 2 is twice the voice's own movement of pitch, 0 is monotone.
    """

    rate: float = 1.0
    pitch_semitones: float = 0.0
    pitch_range: float = 1.0

    def __post_init__(self) -> None:
        """Raises ImpossibleSettings for what is not a number, no rate or a negative range."""
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ImpossibleSettings(f"rate must be above 0, not {self.rate}: 1 is the own rate.")
        if not math.isfinite(self.pitch_semitones):
            raise ImpossibleSettings(f"pitch_semitones must be finite, not {self.pitch_semitones}.")
        if not (math.isfinite(self.pitch_range) and self.pitch_range >= 0):
            raise ImpossibleSettings(f"pitch_range must be at least 0, not {self.pitch_range}.")

    @property
    def pitch_ratio(self) -> float:
        """Pitch against the voice's own as a ratio of frequencies."""
        return float(2 ** (self.pitch_semitones / 12))


OWN_MANNER = Settings()

FLITE_VOICES = ("awb", "kal16", "rms", "slt")
"""Left out: awb_time, which can only tell the time, and kal, which is kal16 at 8 kHz."""

ACCENTS = (
    *("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd"),
    *("en-029", "en-us-nyc"),
)

VARIANTS: tuple[str, ...] = (
    *("", "Alex", "Andrea", "Annie", "Denis", "Diogo", "Gene", "Hugo", "Mario", "Mike", "Nguyen"),
    *("Storm", "anika", "antonio", "aunty", "benjamin", "david", "ed", "edward"),
    *("f1", "f2", "f3", "f4", "f5", "iven3", "iven4", "john", "klatt2", "klatt3", "klatt4"),
    *("linda", "m1", "m2", "m3", "m4", "m6", "m7", "m8", "max", "miguel", "pablo", "paul"),
    *("pedro", "quincy", "rob", "sandro", "steph", "victor", "zac"),
)
"""Variants that pass for a person, by measure: voiced (autocorrelation at the pitch period above
0.8), no audible echo (26 dB down in a closure), first three formants moved alike (ratios within
1.25, so that a vowel stays what it is), and at least 2.5 dB of mean spectral distance to one
another."""

_ODD_VARIANTS = (
    *("whisper", "whisperf", "croak", "grandpa", "grandma", "shelby"),
    *("anikaRobot", "robosoft3", "robosoft7", "announcer"),
)

VOICES: tuple[Voice, ...] = (
    *(Voice("flite", name) for name in FLITE_VOICES),
    *(Voice("espeak", accent, variant) for accent in ACCENTS for variant in VARIANTS),
)
"""Everybody who sounds like a person."""

ODD_VOICES: tuple[Voice, ...] = tuple(
    Voice("espeak", "en-us", variant) for variant in _ODD_VARIANTS
)
"""Whispers, croaks, old age and robots."""
