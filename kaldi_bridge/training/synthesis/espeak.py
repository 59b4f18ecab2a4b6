"""Speech from espeak-ng, whose events say when each phoneme begins."""

from __future__ import annotations

import math

import numpy as np

from kaldi_bridge.training.inventory import SILENCE
from kaldi_bridge.training.speech import Utterance
from kaldi_bridge.training.synthesis.espeak_library import PITCH, RANGE, RATE, VOLUME, library
from kaldi_bridge.training.synthesis.espeak_times import timed_phones
from kaldi_bridge.training.synthesis.voices import NothingToSay, Settings, Voice

WORDS_PER_MINUTE = 175
"""The own rate. From 80 to 449 are honoured: above, espeak squeezes the sound but not the times."""

_SLOWEST, _FASTEST = 80, 449
_QUIET_VOLUME = 20  # of 100: from 40 on the loudest variants clip
_PEAK = 0.5

_FIXED_SHARE = 0.28
"""Share of a voice's pitch that espeak's pitch parameter p does not move. Its median pitch with p
and the pitch range r (both 50 if not set) is, in units of what it is if not set,

    (1 − f) · 2^((p − 50) / 50) + 0.63 f + 0.37 f · r / 50

with the share f. Fitted to eight variants, seven settings each: 1 % off in the median, and most (a
quarter) for rob at the widest range.
"""

_RANGE_SHARE = 0.37

_FIXED_SHARES = {
    **{"Alex": 0.07, "Andrea": 0.22, "Annie": 0.55, "Hugo": 0.46, "Mario": 0.39, "Mike": 0.35},
    **{"Nguyen": 0.46, "Storm": 0.39, "antonio": 0.34, "aunty": -0.12, "ed": 0.36, "f2": 0.33},
    **{"f3": 0.41, "iven3": 0.35, "iven4": 0.35, "linda": 0.16, "m2": 0.2, "m4": 0.34},
    **{"m7": 0.39, "m8": 0.34, "miguel": 0.37, "pablo": 0.35, "rob": 0.62, "steph": 0.14},
    "zac": 0.37,
}
"""0.77 of the distance between the two pitches in the variant's file over their mean, where they
are not 82 and 118 Hz; Annie, aunty and rob as measured."""


def speak(text: str, voice: Voice, settings: Settings) -> Utterance:
    """Reads a text with one of espeak's voices.

    One text is read at a time in a process, as the library has one state.

    Args:
        text: what to read.
        voice: one whose engine is espeak.
        settings: clipped to what espeak can do (see `Settings`).

    Raises:
        NothingToSay: nothing in the text is pronounced.
        MissingProgram: espeak-ng is not installed.
        UnknownVoice: espeak has no such accent or variant.
        UnknownMnemonic: a phoneme of which is not known what phone it is.
    """
    engine = library()
    name = "en" if voice.name == "en-gb" else voice.name
    full_name = f"{name}+{voice.variant}" if voice.variant else name
    wave, events = engine.say(text, full_name, parameters_for(settings, voice.variant))
    samples = wave.astype(np.float32)  # [N]
    samples *= np.float32(_PEAK / max(float(np.abs(samples).max(initial=0.0)), 1.0))
    phones = timed_phones(events, samples, engine.sample_rate, voice.name)
    if all(phone.phone == SILENCE for phone in phones):
        raise NothingToSay(f'espeak pronounces nothing in "{text}": give at least one word.')
    return Utterance(samples, engine.sample_rate, phones, str(voice), text)


def parameters_for(settings: Settings, variant: str = "") -> dict[int, int]:
    """Turns settings into espeak's parameters.

    A raised pitch gets a wider range (which is in hertz) to stay as lively, and a changed range
    another base to stay where it is.

    Args:
        settings: against the voice's own manner.
        variant: the voice's variant.
    """
    ratio = settings.pitch_ratio
    fixed = _FIXED_SHARES.get(variant, _FIXED_SHARE)
    range_value = min(max(50 * settings.pitch_range * ratio, 0.0), 99.0)
    still = (1 - _RANGE_SHARE) * fixed + _RANGE_SHARE * fixed * range_value / 50
    lift = max((ratio - still) / (1 - fixed), 0.5)
    pitch_value = min(50 + 50 * math.log2(lift), 99.0)
    rate = min(max(WORDS_PER_MINUTE * settings.rate, _SLOWEST), _FASTEST)
    return {
        RATE: round(rate),
        VOLUME: _QUIET_VOLUME,
        PITCH: round(pitch_value),
        RANGE: round(range_value),
    }
