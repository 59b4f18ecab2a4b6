"""Backgrounds of the built-in corpus: eight kinds of ambience without any target sound.

Each function takes (rng, sample_rate, group, seconds) and returns float32 [N]; `rng` gives the
moments, `group` the place (see `corpus_events`). Their levels lie between -44 and -26 dBFS rms,
as those of field recordings do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sedsdk.data.corpus_signals import (
    Random,
    Signal,
    add_at,
    band,
    coloured_noise,
    contour,
    decay,
    edges,
    log_uniform,
    near,
    resonate,
    reverberate,
    scatter,
    seconds_axis,
    unit_peak,
    unit_rms,
    white_noise,
)
from sedsdk.data.corpus_voices import draw_vowels, talker

Background = Callable[[Random, int, "Random | None", float], NDArray[np.float32]]

LEVEL_DBFS = (-44.0, -26.0)


def street(
    rng: Random, sample_rate: int = 44100, group: Random | None = None, seconds: float = 30.0
) -> NDArray[np.float32]:
    """Returns distant traffic: low rumble, and cars that pass by."""
    place = group or rng
    slope = place.uniform(-7.0, -4.5)
    cars_per_minute = place.uniform(2.0, 14.0)
    car_hz = log_uniform(place, 500.0, 1600.0)
    car_level = place.uniform(0.6, 2.5)
    n_samples = int(seconds * sample_rate)
    total = coloured_noise(rng, n_samples, sample_rate, slope, low_hz=60.0)
    tyres = band(white_noise(rng, n_samples), sample_rate, 0.3 * car_hz, 2.2 * car_hz, order=1)
    time = seconds_axis(n_samples, sample_rate)
    passing = np.zeros(n_samples)
    for _ in range(int(rng.poisson(cars_per_minute * seconds / 60.0))):
        closest, width = rng.uniform(0.0, seconds), rng.uniform(0.6, 2.5)
        passing += rng.uniform(0.3, 1.0) / (1.0 + np.square((time - closest) / width))
    return _finished(place, total + car_level * unit_rms(tyres) * passing)


def wind(
    rng: Random, sample_rate: int = 44100, group: Random | None = None, seconds: float = 30.0
) -> NDArray[np.float32]:
    """Returns wind: noise with slow swells whose pitch follows their strength."""
    place = group or rng
    slope = place.uniform(-8.0, -5.0)
    whistle_hz = log_uniform(place, 300.0, 1000.0)
    whistle_level = log_uniform(place, 0.05, 0.8)
    gustiness = place.uniform(0.6, 1.5)
    n_samples = int(seconds * sample_rate)
    gusts = np.exp(
        gustiness * contour(rng, n_samples, sample_rate, 0.25)
        + 0.4 * contour(rng, n_samples, sample_rate, 1.5)
    )
    base = coloured_noise(rng, n_samples, sample_rate, slope, low_hz=50.0) * gusts
    noise = white_noise(rng, n_samples)
    low = unit_rms(resonate(noise, sample_rate, whistle_hz, 0.25 * whistle_hz))
    high = unit_rms(resonate(noise, sample_rate, 1.7 * whistle_hz, 0.3 * whistle_hz))
    share = gusts / (1.0 + gusts)
    return _finished(place, base + whistle_level * ((1.0 - share) * low + share * high) * gusts)


def hum(
    rng: Random, sample_rate: int = 44100, group: Random | None = None, seconds: float = 30.0
) -> NDArray[np.float32]:
    """Returns a machine room: mains hum with harmonics, a fan, its blade tone."""
    place = group or rng
    mains_hz = float(place.choice([50.0, 60.0])) * place.uniform(0.999, 1.001)
    n_partials = int(place.integers(4, 16))
    gains = place.exponential(1.0, n_partials) * np.arange(1, n_partials + 1) ** -0.8
    blade_hz = log_uniform(place, 80.0, 420.0)
    blade_level = log_uniform(place, 0.02, 0.6)
    fan_level, fan_slope = log_uniform(place, 0.2, 2.0), place.uniform(-6.0, -2.0)
    n_samples = int(seconds * sample_rate)
    time = seconds_axis(n_samples, sample_rate)
    total = np.zeros(n_samples)
    for index, gain in enumerate(gains):
        angle = 2.0 * np.pi * (mains_hz * (index + 1) * time + rng.uniform())
        total += gain * np.sin(angle)
    drift = blade_hz * (1.0 + 0.004 * contour(rng, n_samples, sample_rate, 0.3))
    turn = 2.0 * np.pi * np.cumsum(drift) / sample_rate
    blades = np.sin(turn) + 0.5 * np.sin(2.0 * turn) + 0.25 * np.sin(3.0 * turn)
    fan = coloured_noise(rng, n_samples, sample_rate, fan_slope, low_hz=100.0)
    return _finished(place, unit_rms(total) + blade_level * blades + fan_level * fan)


def babble(
    rng: Random, sample_rate: int = 44100, group: Random | None = None, seconds: float = 30.0
) -> NDArray[np.float32]:
    """Returns a few people talking at once in a room, without words."""
    place = group or rng
    n_talkers = int(place.integers(2, 5))
    voices = [
        (log_uniform(place, 90.0, 240.0), draw_vowels(place, 2, near(place, 1.08, 1.1)))
        for _ in range(n_talkers)
    ]
    room_seconds, room_amount = place.uniform(0.3, 0.9), place.uniform(0.3, 1.0)
    floor_level = log_uniform(place, 0.1, 0.6)
    n_samples = int(seconds * sample_rate)
    total = np.zeros(n_samples)
    for pitch_hz, vowels in voices:
        speech = talker(rng, n_samples, sample_rate, pitch_hz, vowels, rng.uniform(3.0, 5.0))
        turns = np.clip(2.0 * contour(rng, n_samples, sample_rate, 0.4) + 0.7, 0.0, 1.0)
        total += rng.uniform(0.4, 1.0) * speech * turns
    floor = coloured_noise(rng, n_samples, sample_rate, -5.0, low_hz=80.0)
    total = reverberate(place, total, sample_rate, room_seconds, room_amount)
    return _finished(place, total + floor_level * floor)


def rain(
    rng: Random, sample_rate: int = 44100, group: Random | None = None, seconds: float = 30.0
) -> NDArray[np.float32]:
    """Returns rain: hiss, and droplets that hit something that rings briefly."""
    place = group or rng
    drops_per_second = log_uniform(place, 15.0, 400.0)
    drop_hz = log_uniform(place, 800.0, 5000.0)
    drop_level = log_uniform(place, 0.3, 2.0)
    hiss_slope = place.uniform(-3.0, 1.0)
    grains = [_droplet(place, sample_rate, near(place, drop_hz, 1.8)) for _ in range(8)]
    n_samples = int(seconds * sample_rate)
    swell = np.exp(0.4 * contour(rng, n_samples, sample_rate, 0.2))
    hiss = band(
        coloured_noise(rng, n_samples, sample_rate, hiss_slope, low_hz=200.0),
        sample_rate,
        low_hz=300.0,
        high_hz=place.uniform(9000.0, 17000.0),
        order=1,
    )
    drops = scatter(rng, n_samples, sample_rate, drops_per_second, grains, 6.0, swell)
    return _finished(place, unit_rms(hiss) * swell + drop_level * unit_rms(drops))


def birds(
    rng: Random, sample_rate: int = 44100, group: Random | None = None, seconds: float = 30.0
) -> NDArray[np.float32]:
    """Returns a park: several birds that sing phrases of chirps over soft noise."""
    place = group or rng
    n_birds = int(place.integers(2, 6))
    floor_slope, floor_level = place.uniform(-6.0, -3.0), log_uniform(place, 0.1, 1.0)
    n_samples = int(seconds * sample_rate)
    total = np.zeros(n_samples)
    for _ in range(n_birds):
        centre_hz, loudness = log_uniform(place, 2000.0, 6500.0), log_uniform(place, 0.2, 1.0)
        calls_per_second, reach = place.uniform(4.0, 14.0), place.uniform(0.05, 0.4)
        warble_hz, chirp_seconds = place.uniform(0.0, 40.0), place.uniform(0.03, 0.12)
        onset = rng.uniform(0.0, 4.0)
        while onset < seconds:
            for index in range(int(rng.integers(2, 10))):
                chirp = _chirp(rng, sample_rate, centre_hz, reach, warble_hz, chirp_seconds)
                start = int((onset + index / calls_per_second) * sample_rate)
                add_at(total, start, loudness * rng.uniform(0.5, 1.0) * chirp)
            onset += rng.uniform(1.0, 7.0)
    total = reverberate(place, total, sample_rate, place.uniform(0.3, 1.2), 0.3)
    floor = coloured_noise(rng, n_samples, sample_rate, floor_slope, low_hz=80.0)
    return _finished(place, unit_rms(total) + floor_level * floor)


def crowd(
    rng: Random, sample_rate: int = 44100, group: Random | None = None, seconds: float = 30.0
) -> NDArray[np.float32]:
    """Returns a hall full of people: modulated noise in speech bands, steps, clatter."""
    place = group or rng
    size = place.uniform(0.2, 0.9)
    clatter_per_second = log_uniform(place, 0.2, 4.0)
    clatter_level = log_uniform(place, 0.1, 0.7)
    grains = [_tap(place, sample_rate) for _ in range(6)]
    room_seconds = place.uniform(0.6, 1.8)
    n_samples = int(seconds * sample_rate)
    total = np.zeros(n_samples)
    for centre_hz in (250.0, 450.0, 700.0, 1100.0, 1700.0, 2500.0, 3600.0):
        voice = resonate(white_noise(rng, n_samples), sample_rate, centre_hz, 0.35 * centre_hz)
        chatter = np.exp((1.1 - size) * contour(rng, n_samples, sample_rate, 5.0))
        total += (400.0 / (200.0 + centre_hz)) * unit_rms(voice) * chatter
    total = total * np.exp(0.35 * contour(rng, n_samples, sample_rate, 0.25))
    total = unit_rms(total)
    total += clatter_level * unit_rms(
        scatter(rng, n_samples, sample_rate, clatter_per_second, grains, 6.0)
    )
    return _finished(place, reverberate(place, total, sample_rate, room_seconds, 0.5))


def train(
    rng: Random, sample_rate: int = 44100, group: Random | None = None, seconds: float = 30.0
) -> NDArray[np.float32]:
    """Returns the inside of a train: rumble, motor tone, and pairs of clacks at the rail joints."""
    place = group or rng
    slope = place.uniform(-8.0, -5.5)
    joint_seconds = place.uniform(0.6, 1.6)
    axle_seconds = place.uniform(0.09, 0.2)
    clack_level = log_uniform(place, 0.3, 2.5)
    clack = resonate(_tap(place, sample_rate), sample_rate, log_uniform(place, 120.0, 600.0), 150.0)
    motor_hz, motor_level = log_uniform(place, 150.0, 700.0), log_uniform(place, 0.02, 0.3)
    n_samples = int(seconds * sample_rate)
    total = coloured_noise(rng, n_samples, sample_rate, slope, low_hz=50.0)
    speed = 1.0 + 0.08 * contour(rng, n_samples, sample_rate, 0.1)
    turn = 2.0 * np.pi * motor_hz * np.cumsum(speed) / sample_rate
    total += motor_level * (np.sin(turn) + 0.4 * np.sin(2.0 * turn) + 0.2 * np.sin(5.0 * turn))
    onset = rng.uniform(0.0, joint_seconds)
    while onset < seconds:
        for delay in (0.0, axle_seconds):
            level = clack_level * rng.uniform(0.5, 1.0)
            add_at(total, int((onset + delay) * sample_rate), level * unit_peak(clack))
        onset += joint_seconds * rng.uniform(0.96, 1.04)
    return _finished(place, total)


BACKGROUNDS: Mapping[str, Background] = {
    "street": street,
    "wind": wind,
    "hum": hum,
    "babble": babble,
    "rain": rain,
    "birds": birds,
    "crowd": crowd,
    "train": train,
}


def _finished(place: Random, signal: Signal) -> NDArray[np.float32]:
    level = 10.0 ** (place.uniform(*LEVEL_DBFS) / 20.0)
    limited = np.clip(level * unit_rms(signal - signal.mean()), -0.95, 0.95)
    background: NDArray[np.float32] = limited.astype(np.float32)
    return background


def _droplet(rng: Random, sample_rate: int, centre_hz: float) -> Signal:
    length = int(0.03 * sample_rate)
    click = white_noise(rng, length) * decay(length, sample_rate, log_uniform(rng, 0.003, 0.02))
    return unit_peak(resonate(click, sample_rate, centre_hz, 0.4 * centre_hz) + 0.2 * click)


def _tap(rng: Random, sample_rate: int) -> Signal:
    length = int(0.12 * sample_rate)
    click = white_noise(rng, length) * decay(length, sample_rate, log_uniform(rng, 0.02, 0.1))
    return unit_peak(band(click, sample_rate, high_hz=log_uniform(rng, 700.0, 6000.0), order=1))


def _chirp(
    rng: Random,
    sample_rate: int,
    centre_hz: float,
    reach: float,
    warble_hz: float,
    chirp_seconds: float,
) -> Signal:
    seconds = near(rng, chirp_seconds, 1.4)
    length = int(seconds * sample_rate)
    sweep = np.linspace(-1.0, 1.0, length) * rng.choice([-1.0, 1.0]) * reach
    warble = 0.06 * np.sin(2.0 * np.pi * warble_hz * seconds_axis(length, sample_rate))
    pitch = np.minimum(centre_hz * (1.0 + 0.5 * sweep + warble), 0.45 * sample_rate)
    tone = np.sin(2.0 * np.pi * np.cumsum(pitch) / sample_rate)
    return tone * edges(length, sample_rate, 0.3 * seconds, 0.4 * seconds)
