"""Clips in which nobody speaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kaldi_bridge.training.inventory import SILENCE
from kaldi_bridge.training.speech import TimedPhone, Utterance
from kaldi_bridge.training.varying.backgrounds import BABBLE
from kaldi_bridge.training.varying.drawing import DEFAULTS, VaryingOptions, draw_variation
from kaldi_bridge.training.varying.events import EVENTS
from kaldi_bridge.training.varying.filters import SAMPLE_RATE, Signal
from kaldi_bridge.training.varying.varying import apply

MOST_EVENTS = 6
QUIET_CHANCE = 0.2
"""Of a clip with a background alone, all of it silence to the acoustic model."""
SILENCE_SECONDS = (0.5, 3.0)
"""Around the sounds, which make the clip longer."""
EVENT_DB = (-20.0, 0.0)


def noise_clip(
    rng: np.random.Generator, options: VaryingOptions = DEFAULTS
) -> tuple[Signal, tuple[TimedPhone, ...]]:
    """Returns a clip of made sounds and a background, in rooms and channels as speech has them.

    Args:
        rng: of everything.
        options: of the rooms, microphones and channels.

    Returns:
        float32 [N] in [−1, 1] at 16 kHz and its phones, SIL and SPN alone.
    """
    seconds = rng.uniform(*SILENCE_SECONDS)
    n_events = 0 if rng.random() < QUIET_CHANCE else int(rng.integers(1, MOST_EVENTS + 1))
    events = tuple(
        (EVENTS[int(rng.integers(len(EVENTS)))], rng.random(), rng.uniform(*EVENT_DB))
        for _ in range(n_events)
    )
    backgrounds = tuple(kind for kind in options.backgrounds if kind != BABBLE)
    if not n_events:
        options = replace(options, noise_chance=1.0)
    variation = draw_variation(rng, replace(options, backgrounds=backgrounds or ("pink",)))
    variation = replace(variation, events=events, overlaid=(), formant=1.0)
    silence = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    whole = TimedPhone(SILENCE, 0.0, len(silence) / SAMPLE_RATE)
    return apply(Utterance(silence, SAMPLE_RATE, (whole,), "", ""), variation, rng)
