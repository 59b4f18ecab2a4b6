"""What shall become of a reading: numbers only, to be printed and kept."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from kaldi_bridge.training.synthesis.voices import Settings
from kaldi_bridge.training.varying.filters import SAMPLE_RATE

Happening = tuple[str, float, float]
"""A kind of EVENTS, where (0 to 1), and its level in decibels against the peak of the speech."""


@dataclass(frozen=True)
class Variation:
    """One way to speak and to be recorded, in the order in which things happen.

    Attributes:
        speed: tempo of the result over the voice's own; 2 is twice as fast.
        pitch_semitones: pitch of the result over the voice's own.
        pitch_range: 2 is twice the voice's own movement of pitch.
        formant: factor of all formants, above 1 for a shorter vocal tract.
        margins: seconds of silence left before the first and behind the last word; below 0 the word
            itself is cut; None for as many as the synthesiser made.
        events: made sounds in pauses, which grow to hold them; `where` chooses among the pauses.
        overlaid: made sounds anywhere; `where` is a share of the duration.
        room: reverberation time in seconds, direct-to-reverberant ratio in decibels; or None.
        noise: kind of BACKGROUNDS or "babble", and how many decibels speech is above it; or None.
        tilt_db: decibels per octave.
        equaliser_db: at `filters.EQUALISER_HERTZ`.
        band: low and high cut in hertz, None for none.
        polarity: 1 or −1.
        drive: of a soft saturation, tanh of so many times the signal; 0 for none.
        clipping_db: by how much the peak is cut off; 0 for nothing.
        gain_db: peak of what is recorded, in decibels below full scale (so 0 or less).
        channel_rate: hertz at which it is recorded.
        sixteen_bits: whether it is rounded to 16 bits there.
        codec: of `codecs.CODECS`, at that rate; or None.
        resampler: soxr's quality with which it comes back to 16 kHz.
    """

    speed: float = 1.0
    pitch_semitones: float = 0.0
    pitch_range: float = 1.0
    formant: float = 1.0
    margins: tuple[float | None, float | None] = (None, None)
    events: tuple[Happening, ...] = ()
    overlaid: tuple[Happening, ...] = ()
    room: tuple[float, float] | None = None
    noise: tuple[str, float] | None = None
    tilt_db: float = 0.0
    equaliser_db: tuple[float, ...] = ()
    band: tuple[float | None, float | None] = (None, None)
    polarity: int = 1
    drive: float = 0.0
    clipping_db: float = 0.0
    gain_db: float = -1.0
    channel_rate: int = SAMPLE_RATE
    sixteen_bits: bool = False
    codec: str | None = None
    resampler: str = "HQ"

    def to_json(self) -> str:
        """Returns the variation as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Variation:
        """Reads what `to_json` wrote."""
        return cls(**{name: _tuples(value) for name, value in json.loads(text).items()})


def synthesiser_settings(variation: Variation) -> Settings:
    """Returns how the voice must speak so that speed and pitch come out as they should.

    `apply` shifts formants by playing the reading `formant` times as fast, which raises its tempo
    and pitch by as much.
    """
    return Settings(
        rate=variation.speed / variation.formant,
        pitch_semitones=variation.pitch_semitones - 12.0 * math.log2(variation.formant),
        pitch_range=variation.pitch_range,
    )


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
