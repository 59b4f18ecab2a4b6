"""Makes a clean reading sound like a recording: a speaker, a room, a microphone, a channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import soxr

from kaldi_bridge.training.speech import TimedPhone, Utterance
from kaldi_bridge.training.varying.backgrounds import BABBLE, babble, background
from kaldi_bridge.training.varying.codecs import round_trip
from kaldi_bridge.training.varying.drawing import (
    ImpossibleVariation,
    VaryingOptions,
    draw_variation,
)
from kaldi_bridge.training.varying.events import audible, event
from kaldi_bridge.training.varying.filters import (
    FILTER_ORIGIN,
    SAMPLE_RATE,
    Signal,
    convolved,
    decibels_to_gain,
    microphone,
    rms,
)
from kaldi_bridge.training.varying.rooms import impulse_response
from kaldi_bridge.training.varying.timeline import Labelled
from kaldi_bridge.training.varying.variation import Happening, Variation, synthesiser_settings

__all__ = [
    "ImpossibleVariation",
    "Variation",
    "VaryingOptions",
    "apply",
    "draw_variation",
    "synthesiser_settings",
]

CHANNEL_EDGE = 0.47
"""A channel's own low-pass, as a share of its sampling rate."""
EVENT_PAD_SECONDS = 0.05
"""Silence on either side of a sound that is put into a pause."""
SILENT_PEAK, SILENT_RMS = 0.3, 0.03
"""What levels are measured against where there is no speech."""
SIXTEEN_BITS = 32768


def apply(
    utterance: Utterance,
    variation: Variation,
    rng: np.random.Generator,
    others: Sequence[Signal] = (),
) -> tuple[Signal, tuple[TimedPhone, ...]]:
    """Returns the varied sound and its phones, which have moved with it.

    Nothing here delays: a phone begins where its direct sound begins. Silence in which a made
    sound stands clearly above all else is called noise, SPN; speech is called what it was.

    Args:
        utterance: as a synthesiser made it, with `synthesiser_settings(variation)`.
        variation: what to do.
        rng: of what a variation leaves open: reflections, noises, the made sounds themselves.
        others: utterances at 16 kHz for a background of "babble".

    Returns:
        float32 [N] in [−1, 1] at 16 kHz, and phones contiguous from 0 to N / 16000.

    Raises:
        MissingCodec: this machine's libsndfile lacks the variation's codec.
        MissingVoices: babble without `others`.
    """
    dry = _played(utterance, variation.formant).with_margins(*variation.margins)
    dry, made = _with_made_sounds(dry, variation, rng)
    microphone_response = _microphone(variation)
    tracks = np.stack([dry.samples, made])  # [2, N]
    if variation.room:
        tracks = convolved(tracks, impulse_response(*variation.room, rng))
    speech, made = convolved(tracks, microphone_response, FILTER_ORIGIN)
    rest = speech
    if variation.noise:
        kind, snr_db = variation.noise
        n = len(speech)
        noise = babble(others, n, rng) if kind == BABBLE else background(kind, n, rng)
        noise = convolved(noise, microphone_response, FILTER_ORIGIN)
        wanted = _level(dry, speech, made) * decibels_to_gain(-snr_db)
        rest = speech + noise * np.float32(wanted / max(rms(noise), 1e-12))
    heard = audible(made, rest) if made.any() else []
    recorded = _recorded(rest + made, variation)
    return recorded, dry.with_noises(heard).phones


def _played(utterance: Utterance, factor: float) -> Labelled:
    """The reading at 16 kHz, `factor` times as fast."""
    rate = utterance.sample_rate * factor
    samples = utterance.samples
    if rate != SAMPLE_RATE:
        samples = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)
    return Labelled.of(samples, utterance.phones, 1.0 / factor)


def _with_made_sounds(
    dry: Labelled, variation: Variation, rng: np.random.Generator
) -> tuple[Labelled, Signal]:
    """The reading with wider pauses, and a track [N] of the made sounds."""
    peak = float(np.abs(dry.samples).max(initial=0.0)) or SILENT_PEAK
    pad = int(EVENT_PAD_SECONDS * SAMPLE_RATE)
    placed: list[tuple[int, Signal]] = []
    for happening in variation.events:
        sound = _sound(happening, peak, rng)
        pauses = dry.pauses()
        at = pauses[min(int(happening[1] * len(pauses)), len(pauses) - 1)]
        gap = len(sound) + 2 * pad
        dry = dry.with_silence(at, gap)
        placed = [(start + gap if start >= at else start, other) for start, other in placed]
        placed.append((at + pad, sound))
    for happening in variation.overlaid:
        sound = _sound(happening, peak, rng)[: len(dry.samples)]
        placed.append((int(happening[1] * (len(dry.samples) - len(sound))), sound))
    track = np.zeros(len(dry.samples), np.float32)
    for start, sound in placed:
        track[start : start + len(sound)] += sound
    return dry, track


def _sound(happening: Happening, peak: float, rng: np.random.Generator) -> Signal:
    kind, _, level_db = happening
    return np.asarray(event(kind, rng) * np.float32(peak * decibels_to_gain(level_db)))


def _microphone(variation: Variation) -> Signal:
    low, high = variation.band
    if variation.channel_rate < SAMPLE_RATE:
        high = min(high or SAMPLE_RATE, CHANNEL_EDGE * variation.channel_rate)
    return microphone((low, high), variation.tilt_db, variation.equaliser_db)


def _level(dry: Labelled, speech: Signal, made: Signal) -> float:
    """The rms of what is spoken, of the made sounds where nothing is, or else a constant."""
    return (
        rms(replace(dry, samples=speech).spoken_samples())
        or rms(made[np.abs(made) > 0.01 * np.abs(made).max(initial=0.0)])
        or SILENT_RMS
    )


def _recorded(sound: Signal, variation: Variation) -> Signal:
    """What the recorder's amplifier, converter and codec make of a sound."""
    peak = float(np.abs(sound).max(initial=0.0))
    x = sound * np.float32(variation.polarity / peak) if peak > 0 else sound
    if variation.drive:
        x = np.tanh(np.float32(variation.drive) * x) / np.float32(np.tanh(variation.drive))
    if variation.clipping_db:
        x = np.clip(x * np.float32(decibels_to_gain(variation.clipping_db)), -1.0, 1.0)
    x = x * np.float32(decibels_to_gain(variation.gain_db))
    rate = variation.channel_rate
    if rate != SAMPLE_RATE:
        x = np.asarray(soxr.resample(x, SAMPLE_RATE, rate), np.float32)
    x = np.clip(x, -1.0, 1.0)
    if variation.sixteen_bits:
        x = np.round(x * SIXTEEN_BITS) / np.float32(SIXTEEN_BITS)
    if variation.codec:
        x = round_trip(x, rate, variation.codec)
    if rate != SAMPLE_RATE:
        x = np.asarray(soxr.resample(x, rate, SAMPLE_RATE, quality=variation.resampler), np.float32)
    result = np.zeros(len(sound), np.float32)
    n = min(len(sound), len(x))
    result[:n] = np.clip(x[:n], -1.0, 1.0)
    return result
