"""Sounds of the built-in corpus that are no target: hard negatives of eleven classes.

Some are close to a target on purpose: laughter and speech to a cry, clinking metal to glass, a
slammed door and claps to a shot. Arguments and result are those of `corpus_events`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sedsdk.data.corpus_signals import (
    HIGHEST_PARTIAL,
    Random,
    Signal,
    add_at,
    band,
    contour,
    decay,
    edges,
    event_level,
    log_uniform,
    modes,
    near,
    resonate,
    reverberate,
    seconds_axis,
    through_points,
    unit_peak,
    unit_rms,
    white_noise,
)
from sedsdk.data.corpus_voices import draw_vowels, talker, voiced

Sound = NDArray[np.float32]
SoundMaker = Callable[[Random, int, "Random | None"], Sound]


def dog_bark(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns 1 to 4 barks: short rough voiced bursts with a falling pitch."""
    dog = group or rng
    base_hz, seconds = log_uniform(dog, 220.0, 620.0), log_uniform(dog, 0.12, 0.3)
    size = 600.0 / base_hz
    formants = [
        (near(dog, 900.0, 1.2) / size**0.4, 250.0),
        (near(dog, 2000.0, 1.2), 400.0),
        (near(dog, 3600.0, 1.2), 700.0),
    ]
    breathiness = dog.uniform(0.3, 1.0)
    room_seconds, room_amount = dog.uniform(0.15, 0.5), dog.uniform(0.05, 0.3)
    parts: list[Signal] = []
    for _ in range(int(rng.integers(1, 5))):
        n_samples = int(near(rng, seconds, 1.2) * sample_rate)
        pitch = near(rng, base_hz, 1.08) * through_points(
            [0.0, 0.25, 1.0], [0.75, 1.15, 0.6], n_samples
        )
        bark = voiced(rng, pitch, sample_rate, formants, -6.0, breathiness)
        level = through_points([0.0, 0.15, 0.5, 1.0], [0.1, 1.0, 0.6, 0.02], n_samples)
        parts += [bark * level, np.zeros(int(rng.uniform(0.1, 0.5) * sample_rate))]
    total = reverberate(dog, np.concatenate(parts), sample_rate, room_seconds, room_amount)
    return event_level(rng, total)


def door_knock(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns 2 to 6 knocks on wood."""
    door = group or rng
    body_hz = door.uniform(90.0, 500.0, 4)
    fall, gap = log_uniform(door, 0.04, 0.15), door.uniform(0.13, 0.35)
    n_knocks = int(rng.integers(2, 7))
    total = np.zeros(int((n_knocks * gap + 0.4) * sample_rate))
    for index in range(n_knocks):
        length = int(2 * fall * sample_rate)
        click = white_noise(rng, length) * decay(length, sample_rate, 0.012)
        knock = np.sum([resonate(click, sample_rate, hz, 40.0 + 0.2 * hz) for hz in body_hz], 0)
        knock = unit_peak(knock) + 0.25 * unit_peak(click)
        onset = index * gap * rng.uniform(0.95, 1.05)
        add_at(total, int(onset * sample_rate), rng.uniform(0.6, 1.0) * knock)
    return event_level(rng, reverberate(door, total, sample_rate, door.uniform(0.2, 0.7), 0.3))


def door_slam(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns a slammed door: a dull thump, the latch, a rattle, the room."""
    door = group or rng
    thump_hz, fall = log_uniform(door, 45.0, 140.0), log_uniform(door, 0.15, 0.5)
    dull_hz, latch_delay = log_uniform(door, 400.0, 1800.0), door.uniform(0.02, 0.08)
    rattle_hz = door.uniform(10.0, 30.0)
    n_samples = int(rng.uniform(0.5, 1.2) * sample_rate)
    noise = white_noise(rng, n_samples) * decay(n_samples, sample_rate, near(rng, fall, 1.2))
    total = unit_peak(band(noise, sample_rate, high_hz=dull_hz, order=1))
    total += unit_peak(resonate(noise, sample_rate, thump_hz, 30.0))
    total *= 1.0 - np.exp(-seconds_axis(n_samples, sample_rate) / 0.004)
    length = int(0.05 * sample_rate)
    latch = white_noise(rng, length) * decay(length, sample_rate, 0.03)
    add_at(total, int(latch_delay * sample_rate), 0.4 * unit_peak(band(latch, sample_rate, 1500.0)))
    for index in range(int(rng.integers(0, 6))):
        onset = 0.06 + (index + rng.uniform(-0.2, 0.2)) / rattle_hz
        add_at(total, int(onset * sample_rate), 0.25 * 0.6**index * unit_peak(latch))
    return event_level(rng, reverberate(door, total, sample_rate, door.uniform(0.3, 1.2), 0.4))


def car_horn(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns 1 to 3 blows of a two-tone horn."""
    car = group or rng
    tones = [log_uniform(car, 300.0, 480.0)]
    tones.append(tones[0] * car.uniform(1.18, 1.35))
    formants = [(near(car, 1500.0, 1.4), 500.0), (near(car, 3000.0, 1.2), 700.0)]
    tilt = car.uniform(-5.0, -2.0)
    parts: list[Signal] = []
    for _ in range(int(rng.integers(1, 4))):
        n_samples = int(log_uniform(rng, 0.15, 1.5) * sample_rate)
        drift = 1.0 + 0.002 * contour(rng, n_samples, sample_rate, 3.0)
        blow = np.sum([voiced(rng, hz * drift, sample_rate, formants, tilt) for hz in tones], 0)
        parts.append(blow * edges(n_samples, sample_rate, 0.02, 0.05))
        parts.append(np.zeros(int(rng.uniform(0.08, 0.4) * sample_rate)))
    total = reverberate(car, np.concatenate(parts), sample_rate, car.uniform(0.3, 1.0), 0.2)
    return event_level(rng, total)


def siren(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns a siren: a wail that rises and falls, or two alternating tones."""
    vehicle = group or rng
    low_hz = log_uniform(vehicle, 350.0, 700.0)
    high_hz = low_hz * vehicle.uniform(1.25, 2.3)
    period, two_tone = log_uniform(vehicle, 0.4, 4.0), vehicle.uniform() < 0.4
    formants = [(near(vehicle, 1200.0, 1.3), 500.0), (near(vehicle, 2600.0, 1.2), 800.0)]
    n_samples = int(rng.uniform(2.0, 5.0) * sample_rate)
    sweep = np.sin(2.0 * np.pi * (seconds_axis(n_samples, sample_rate) / period + rng.uniform()))
    if two_tone:
        sweep = band(np.sign(sweep), sample_rate, high_hz=30.0, order=1)
    pitch = low_hz * (high_hz / low_hz) ** (0.5 + 0.5 * np.clip(sweep, -1.0, 1.0))
    wail = voiced(rng, pitch, sample_rate, formants, vehicle.uniform(-8.0, -4.0))
    wail *= np.exp(0.4 * contour(rng, n_samples, sample_rate, 0.5))
    wail *= edges(n_samples, sample_rate, 0.4, 0.6)
    return event_level(rng, reverberate(vehicle, wail, sample_rate, 0.9, 0.4))


def telephone(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns a ringing telephone: a warbling pair of tones or a struck bell, 1 to 3 rings."""
    phone = group or rng
    first_hz = log_uniform(phone, 600.0, 2200.0)
    second_hz, warble_hz = first_hz * phone.uniform(1.1, 1.5), phone.uniform(10.0, 28.0)
    ring_seconds, is_bell = phone.uniform(0.5, 1.2), phone.uniform() < 0.5
    partials = np.array([1.0, 2.41, 3.93, 5.4, 6.8]) * phone.uniform(0.97, 1.03, 5)
    parts: list[Signal] = []
    for _ in range(int(rng.integers(1, 4))):
        n_samples = int(ring_seconds * sample_rate)
        time = seconds_axis(n_samples, sample_rate)
        if is_bell:
            stroke = modes(
                first_hz * partials,
                np.full(5, 0.3),
                0.6 ** np.arange(5.0),
                np.zeros(5),
                int(0.35 * sample_rate),
                sample_rate,
            )
            ring = np.zeros(n_samples)
            for index in range(int(ring_seconds * warble_hz)):
                start = int((index + rng.uniform(-0.03, 0.03)) / warble_hz * sample_rate)
                add_at(ring, start, rng.uniform(0.8, 1.0) * stroke)
        else:
            which = np.sin(2.0 * np.pi * warble_hz * time) > 0
            angle = 2.0 * np.pi * np.cumsum(np.where(which, first_hz, second_hz)) / sample_rate
            ring = np.sum(
                [
                    gain * np.sin(harmonic * angle)
                    for harmonic, gain in ((1, 1.0), (2, 0.3), (3, 0.15))
                    if harmonic * second_hz < HIGHEST_PARTIAL * sample_rate
                ],
                axis=0,
            )
        parts += [
            unit_peak(ring) * edges(n_samples, sample_rate, 0.005, 0.03),
            np.zeros(int(rng.uniform(0.3, 0.8) * sample_rate)),
        ]
    return event_level(rng, reverberate(phone, np.concatenate(parts), sample_rate, 0.4, 0.2))


def laughing(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns laughter: a run of short breathy vowels whose pitch falls."""
    person = group or rng
    base_hz, rate_hz = log_uniform(person, 160.0, 480.0), person.uniform(4.0, 6.5)
    scale = 1.0 + 0.2 * np.log2(base_hz / 160.0)
    vowel = draw_vowels(person, 1, scale)[0]
    breathiness, tilt = person.uniform(0.15, 0.7), person.uniform(-11.0, -7.0)
    n_laughs = int(rng.integers(3, 12))
    total = np.zeros(int((n_laughs / rate_hz + 0.3) * sample_rate))
    for index in range(n_laughs):
        seconds = rng.uniform(0.45, 0.8) / rate_hz
        n_samples = int(seconds * sample_rate)
        fall = 1.25 - 0.4 * index / n_laughs
        pitch = base_hz * fall * through_points([0.0, 0.3, 1.0], [0.95, 1.1, 0.85], n_samples)
        vowel_sound = voiced(rng, pitch, sample_rate, vowel, tilt, breathiness)
        vowel_sound *= edges(n_samples, sample_rate, 0.3 * seconds, 0.5 * seconds)
        start = int((index + rng.uniform(-0.08, 0.08)) / rate_hz * sample_rate)
        add_at(total, start, rng.uniform(0.6, 1.0) * 0.95**index * vowel_sound)
    return event_level(rng, reverberate(person, total, sample_rate, 0.4, 0.15))


def clapping(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns 2 to 10 hand claps."""
    hands = group or rng
    centre_hz, gap = log_uniform(hands, 800.0, 2800.0), hands.uniform(0.18, 0.5)
    fall, dull_hz = log_uniform(hands, 0.015, 0.05), log_uniform(hands, 4000.0, 14000.0)
    n_claps = int(rng.integers(2, 11))
    total = np.zeros(int((n_claps * gap + 0.3) * sample_rate))
    for index in range(n_claps):
        length = int(2 * fall * sample_rate)
        burst = white_noise(rng, length) * decay(length, sample_rate, near(rng, fall, 1.2))
        clap = unit_rms(resonate(burst, sample_rate, near(rng, centre_hz, 1.15), 0.6 * centre_hz))
        clap = band(clap + 0.3 * unit_rms(burst), sample_rate, high_hz=dull_hz, order=1)
        onset = index * gap * rng.uniform(0.97, 1.03)
        add_at(total, int(onset * sample_rate), rng.uniform(0.6, 1.0) * clap)
    return event_level(rng, reverberate(hands, total, sample_rate, hands.uniform(0.2, 0.9), 0.3))


def coughing(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns 1 to 4 coughs: a burst of noise through a vocal tract, then a short voiced part."""
    person = group or rng
    pitch_hz = log_uniform(person, 110.0, 320.0)
    vowel = draw_vowels(person, 1, 1.0 + 0.15 * np.log2(pitch_hz / 110.0))[0]
    hoarseness, tail = person.uniform(0.4, 1.2), person.uniform(0.2, 0.8)
    parts: list[Signal] = []
    for _ in range(int(rng.integers(1, 5))):
        n_samples = int(rng.uniform(0.2, 0.4) * sample_rate)
        noise = white_noise(rng, n_samples)
        burst = np.sum([resonate(noise, sample_rate, hz, 4.0 * width) for hz, width in vowel], 0)
        burst = unit_rms(burst) + 0.4 * unit_rms(band(noise, sample_rate, 2000.0, 9000.0))
        burst *= through_points([0.0, 0.04, 0.3, 1.0], [0.0, 1.0, 0.25, 0.0], n_samples)
        pitch = pitch_hz * np.linspace(1.3, 0.8, n_samples)
        voice = voiced(rng, pitch, sample_rate, vowel, -9.0, hoarseness)
        voice *= through_points([0.0, 0.2, 0.5, 1.0], [0.0, 0.3, 1.0, 0.0], n_samples)
        parts += [burst + tail * voice, np.zeros(int(rng.uniform(0.05, 0.4) * sample_rate))]
    return event_level(rng, reverberate(person, np.concatenate(parts), sample_rate, 0.4, 0.15))


def metal_clink(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns 1 to 5 clinks of cutlery or keys: few stable modes that ring long, no crash."""
    thing = group or rng
    n_modes = int(thing.integers(3, 9))
    mode_hz = log_uniform(thing, 900.0, 4000.0) * np.sort(thing.uniform(1.0, 6.0, n_modes))
    fall, gains = log_uniform(thing, 0.15, 1.2), thing.exponential(1.0, n_modes)
    n_samples = int((rng.uniform(0.3, 1.2) + fall) * sample_rate)
    total = np.zeros(n_samples)
    for _ in range(int(rng.integers(1, 6))):
        clink = modes(
            mode_hz,
            fall * np.linspace(1.0, 0.4, n_modes),
            gains * rng.uniform(0.3, 1.0, n_modes),
            rng.uniform(0.0, 2.0 * np.pi, n_modes),
            int(1.2 * fall * sample_rate),
            sample_rate,
        )
        start = int(rng.uniform(0.0, 0.5) * n_samples) if total.any() else 0
        add_at(total, start, log_uniform(rng, 0.3, 1.0) * unit_peak(clink))
    total *= edges(n_samples, sample_rate, 0.0003, 0.1)
    return event_level(rng, reverberate(thing, total, sample_rate, 0.3, 0.1))


def speech(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns one to three seconds of a man, a woman or a child talking, without words."""
    person = group or rng
    pitch_hz = log_uniform(person, 90.0, 360.0)
    vowels = draw_vowels(person, 4, 1.0 + 0.13 * np.log2(pitch_hz / 90.0))
    pace = person.uniform(3.0, 5.5)
    n_samples = int(rng.uniform(1.0, 3.0) * sample_rate)
    talk = talker(rng, n_samples, sample_rate, near(rng, pitch_hz, 1.1), vowels, pace)
    talk *= edges(n_samples, sample_rate, 0.05, 0.15)
    room_seconds, room_amount = person.uniform(0.2, 0.7), person.uniform(0.05, 0.4)
    return event_level(rng, reverberate(person, talk, sample_rate, room_seconds, room_amount))


DISTRACTORS: Mapping[str, SoundMaker] = {
    "dog_bark": dog_bark,
    "door_knock": door_knock,
    "door_slam": door_slam,
    "car_horn": car_horn,
    "siren": siren,
    "telephone": telephone,
    "laughing": laughing,
    "clapping": clapping,
    "coughing": coughing,
    "metal_clink": metal_clink,
    "speech": speech,
}
