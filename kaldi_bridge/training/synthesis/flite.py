"""Speech from flite, which prints when each phone ends.

Measured on sentences full of s and sh: the noise above 3.5 kHz begins 16 ms behind flite's time and
ends 8 ms before the next one's (slt; awb 14 and 12, rms 14 and 16, kal16 14 and 9), as a fade in
and a fade out do on either side of a right boundary. Hence no offset is taken off. The last pause
of kal16, half of which flite does not play, is cut to the sound.
"""

from __future__ import annotations

import os
import subprocess
import tempfile

import numpy as np
import soundfile
from numpy.typing import NDArray

from kaldi_bridge.training.inventory import SILENCE, fold
from kaldi_bridge.training.speech import TimedPhone, Utterance
from kaldi_bridge.training.synthesis.voices import (
    FLITE_VOICES,
    MissingProgram,
    NothingToSay,
    Settings,
    SynthesisFailed,
    UnknownVoice,
    Voice,
)

RATES = (0.25, 4.0)
SEMITONES = (-24.0, 24.0)

_PITCH_DEVIATIONS = {"awb": 25.0, "kal16": 11.0, "slt": 27.0}
"""Hertz: each voice's own `int_f0_target_stddev`. rms has none, as its pitch cannot be set."""

_OWN_STRETCHES = {"kal16": 1.1}
"""Each voice's own `duration_stretch`, where it is not 1."""


def speak(text: str, voice: Voice, settings: Settings) -> Utterance:
    """Reads a text with one of flite's voices: one process and one temporary file a text.

    Args:
        text: what to read.
        voice: one whose engine is flite.
        settings: clipped to `RATES` and `SEMITONES`.

    Raises:
        NothingToSay: nothing in the text is pronounced.
        MissingProgram: flite is not installed.
        UnknownVoice: flite has no such voice, or one that reads no text.
        SynthesisFailed: flite ended with an error.
    """
    if voice.name not in FLITE_VOICES:
        raise UnknownVoice(
            f'flite reads with no voice "{voice.name}" here: choose {", ".join(FLITE_VOICES)}.'
        )
    handle, path = tempfile.mkstemp(prefix="flite-", suffix=".wav")
    os.close(handle)
    try:
        times = _run(["-voice", voice.name, *_options(voice.name, settings), "-t", text], path)
        samples, sample_rate = soundfile.read(path, dtype="float32")  # [N]
    finally:
        os.unlink(path)
    phones = timed_phones(times, len(samples) / sample_rate)
    if all(phone.phone == SILENCE for phone in phones):
        raise NothingToSay(f'flite pronounces nothing in "{text}": give at least one word.')
    values: NDArray[np.float32] = samples
    return Utterance(values, int(sample_rate), phones, str(voice), text)


def timed_phones(printed: str, duration: float) -> tuple[TimedPhone, ...]:
    """Turns what `flite -psdur` prints into phones that fill the sound exactly.

    Args:
        printed: "pau:0.164 hh:0.255 ..." with each phone's end in seconds.
        duration: of the sound in seconds; what lies behind it is cut, what is missing is silence.
    """
    phones: list[TimedPhone] = []
    start = 0.0
    for token in printed.split():
        label, _, seconds = token.rpartition(":")
        phone, end = fold(label), min(float(seconds), duration)
        if phone is not None and end > start:
            phones.append(TimedPhone(phone, start, end))
            start = end
    if phones and phones[-1].phone == SILENCE:
        phones[-1] = TimedPhone(SILENCE, phones[-1].start, duration)
    elif start < duration:
        phones.append(TimedPhone(SILENCE, start, duration))
    return tuple(phones)


def _options(name: str, settings: Settings) -> list[str]:
    rate = min(max(settings.rate, RATES[0]), RATES[1])
    features = {"duration_stretch": _OWN_STRETCHES.get(name, 1.0) / rate}
    if name in _PITCH_DEVIATIONS:
        semitones = min(max(settings.pitch_semitones, SEMITONES[0]), SEMITONES[1])
        features["f0_shift"] = 2 ** (semitones / 12)
        features["int_f0_target_stddev"] = _PITCH_DEVIATIONS[name] * settings.pitch_range
    return [word for key, value in features.items() for word in ("--setf", f"{key}={value:.5f}")]


def _run(arguments: list[str], path: str) -> str:
    try:
        done = subprocess.run(
            ["flite", "-psdur", *arguments, "-o", path], capture_output=True, check=True, text=True
        )
    except FileNotFoundError:
        raise MissingProgram("flite is not installed: apt-get install flite espeak-ng.") from None
    except subprocess.CalledProcessError as problem:
        raise SynthesisFailed(
            f'flite failed to read "{arguments[-1]}" into {path}: '
            f"{problem.stderr.strip() or f'exit status {problem.returncode}'}. Is the disk full?"
        ) from None
    return done.stdout
