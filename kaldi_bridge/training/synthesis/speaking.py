"""Has a text read by any voice."""

from __future__ import annotations

from kaldi_bridge.training.speech import Utterance
from kaldi_bridge.training.synthesis import espeak, flite
from kaldi_bridge.training.synthesis.voices import (
    OWN_MANNER,
    NothingToSay,
    Settings,
    UnknownVoice,
    Voice,
)


def speak(text: str, voice: Voice, settings: Settings = OWN_MANNER) -> Utterance:
    """Reads a text aloud.

    Args:
        text: plain English; digits and numbers are read out.
        voice: who reads; of espeak any that is installed, listed here or not.
        settings: how.

    Returns:
        16 000 Hz and flite's own level, or 22 050 Hz and a peak of 0.5 from espeak (not clipped: it
        speaks softly and is raised). flite starts with a pause of about 0.2 s, espeak with none.
        flite says the same again to the sample; espeak only if the process has said the same
        before, for the flutter of its voices goes on from text to text.

    Raises:
        NothingToSay: nothing in the text is pronounced.
        MissingProgram: the synthesiser is not installed.
        UnknownVoice: it has no such voice.
        SynthesisFailed: it ended with an error of its own.
    """
    spoken = text.replace("\0", " ").strip()
    if not spoken:
        raise NothingToSay("the text is empty: give at least one word.")
    if voice.engine == "flite":
        return flite.speak(spoken, voice, settings)
    if voice.engine == "espeak":
        return espeak.speak(spoken, voice, settings)
    raise UnknownVoice(f'no synthesiser "{voice.engine}": expected flite or espeak.')
