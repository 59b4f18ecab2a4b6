"""The three target sounds of the built-in corpus: babycry, glassbreak and gunshot.

Each function draws one sound. `rng` gives what differs from sound to sound; `group` gives what a
recording group shares (the baby, the pane, the gun and its place), so two sounds made with equal
`group` generators come from the same "recording". Without `group`, both come from `rng`. The
ranges were set beside real recordings' spectrograms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sedsdk.data.corpus_signals import (
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
from sedsdk.data.corpus_voices import voiced

Sound = NDArray[np.float32]

CRY_SECONDS = (1.0, 4.0)
SHORTEST_BURST_SECONDS = 0.3
LONGEST_GASP_SECONDS = 0.4
GLASS_SECONDS = (0.35, 1.5)
GUNSHOT_SECONDS = (0.3, 1.3)


def babycry(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns a crying baby: voiced bursts with moving pitch, breaths drawn in between.

    Pitch rises and falls within a burst around a base of 350 to 600 Hz (the baby's), with vibrato
    and jitter; harmonics run through vowel-like formants near 1.1 and 3.2 kHz; some bursts turn
    rough (subharmonic) or shriek.

    Args:
        rng: what differs from cry to cry.
        sample_rate: hertz.
        group: draws the baby.

    Returns:
        float32 [N], 1 to 4 s, peak 0.25 to 0.9.
    """
    baby = group or rng
    base = baby.uniform(350.0, 560.0)
    scale = near(baby, 1.0, 1.15)
    formants = [
        (1150.0 * scale * near(baby, 1.0, 1.1), baby.uniform(150.0, 320.0)),
        (3300.0 * scale * near(baby, 1.0, 1.08), baby.uniform(250.0, 500.0)),
        (5600.0 * scale * near(baby, 1.0, 1.08), baby.uniform(600.0, 1100.0)),
        (8300.0 * scale, baby.uniform(1500.0, 3000.0)),
        (11500.0 * scale, baby.uniform(2000.0, 5000.0)),
    ]
    tilt = baby.uniform(-12.0, -6.0)
    breathiness = log_uniform(baby, 0.02, 0.2)
    roughness = baby.uniform(0.0, 1.0)
    burst_seconds = log_uniform(baby, 0.45, 1.3)
    room_seconds, room_amount = baby.uniform(0.15, 0.6), log_uniform(baby, 0.02, 0.2)

    total_seconds = rng.uniform(*CRY_SECONDS)
    parts: list[Signal] = []
    remaining = total_seconds
    while remaining > 0:
        length = min(near(rng, burst_seconds, 1.7), remaining)
        if remaining - length < SHORTEST_BURST_SECONDS + LONGEST_GASP_SECONDS:
            length = remaining
        parts.append(
            _cry_burst(
                rng,
                sample_rate,
                length,
                near(rng, base, 1.12),
                formants,
                tilt,
                breathiness,
                rough=rng.uniform() < 0.35 * roughness,
            )
        )
        remaining -= length
        if remaining > 0:
            gap = rng.uniform(0.12, LONGEST_GASP_SECONDS)
            parts.append(_gasp(rng, sample_rate, gap, formants))
            remaining -= gap
    return event_level(
        rng, reverberate(baby, np.concatenate(parts), sample_rate, room_seconds, room_amount)
    )


def _cry_burst(
    rng: Random,
    sample_rate: int,
    seconds: float,
    base_hz: float,
    formants: list[tuple[float, float]],
    tilt_db: float,
    breathiness: float,
    rough: bool,
) -> Signal:
    n_samples = int(seconds * sample_rate)
    top = rng.uniform(0.15, 0.55)
    semitones = through_points(
        [0.0, top * 0.4, top, 0.5 * (1 + top), 1.0],
        [
            -rng.uniform(2.0, 11.0),
            -rng.uniform(0.0, 3.0),
            rng.uniform(0.0, 3.0),
            rng.uniform(-3.0, 1.5),
            -rng.uniform(2.0, 11.0),
        ],
        n_samples,
    )
    time = seconds_axis(n_samples, sample_rate)
    vibrato = rng.uniform(0.0, 0.5) * np.sin(
        2.0 * np.pi * (rng.uniform(4.5, 8.0) * time + rng.uniform())
    )
    jitter = 0.15 * contour(rng, n_samples, sample_rate, 60.0)
    wander = rng.uniform(0.3, 1.5) * contour(rng, n_samples, sample_rate, 3.5)
    f0 = np.clip(base_hz * 2.0 ** ((semitones + vibrato + jitter + wander) / 12.0), 180.0, 900.0)
    opening = near(rng, 1.0, 1.12)
    mouth = [(centre * opening, width) for centre, width in formants]
    cry = voiced(rng, f0, sample_rate, mouth, tilt_db + rng.uniform(-1.0, 1.0), breathiness)
    if rough:
        # A subharmonic beats at half the pitch where the voice is pressed hardest.
        pressed = edges(n_samples, sample_rate, 0.35 * seconds, 0.35 * seconds)
        half_pitch = np.cos(np.pi * np.cumsum(f0) / sample_rate)
        noise = band(white_noise(rng, n_samples), sample_rate, low_hz=600.0, high_hz=9000.0)
        cry = cry * (1.0 + 0.7 * pressed * half_pitch) + 0.3 * pressed * unit_rms(noise)
    level = through_points(
        [0.0, 0.12, top + 0.1, 0.85, 1.0],
        [rng.uniform(0.05, 0.4), rng.uniform(0.3, 0.9), 1.0, rng.uniform(0.3, 0.9), 0.08],
        n_samples,
    )
    shimmer = 1.0 + 0.12 * contour(rng, n_samples, sample_rate, 25.0)
    return cry * level * shimmer * edges(n_samples, sample_rate, 0.03, 0.08)


def _gasp(
    rng: Random, sample_rate: int, seconds: float, formants: list[tuple[float, float]]
) -> Signal:
    """Returns the sound of breath drawn in, with silence around it."""
    n_samples = int(seconds * sample_rate)
    total = np.zeros(n_samples)
    length = int(n_samples * rng.uniform(0.5, 0.85))
    noise = white_noise(rng, length)
    breath = resonate(noise, sample_rate, formants[0][0] * 1.3, 600.0)
    breath = breath + 0.7 * resonate(noise, sample_rate, formants[1][0], 900.0)
    breath = breath * edges(length, sample_rate, 0.6 * seconds, 0.03)
    add_at(total, (n_samples - length) // 2, log_uniform(rng, 0.04, 0.3) * unit_rms(breath))
    return total


def glassbreak(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns breaking glass: a broadband hit, then many shards that ring inharmonically.

    The pane gives a set of 30 to 120 modes between 2 and 16 kHz; the hit excites all of them for
    a moment, and each of the shards that follow excites a few, higher and shorter ones.

    Args:
        rng: what differs from break to break.
        sample_rate: hertz.
        group: draws the pane.

    Returns:
        float32 [N], 0.35 to 1.5 s, peak 0.25 to 0.9.
    """
    pane = group or rng
    n_modes = int(pane.integers(30, 121))
    mode_hz = np.sort(np.exp(pane.uniform(np.log(2000.0), np.log(16000.0), n_modes)))
    mode_gain = pane.exponential(1.0, n_modes) * (4000.0 / mode_hz) ** pane.uniform(0.0, 0.9)
    ring = log_uniform(pane, 0.1, 0.7)
    thud_hz = log_uniform(pane, 180.0, 700.0)
    thud_amount = log_uniform(pane, 0.15, 1.2)
    shard_density = log_uniform(pane, 25.0, 250.0)
    tick_amount = log_uniform(pane, 0.05, 0.6)
    dust_amount = log_uniform(pane, 0.1, 0.6)
    crash_fall = log_uniform(pane, 0.15, 1.0)
    brightness = pane.uniform(7000.0, 18000.0)
    room_seconds, room_amount = pane.uniform(0.1, 0.5), log_uniform(pane, 0.03, 0.2)

    n_samples = int(rng.uniform(*GLASS_SECONDS) * sample_rate)
    total = _glass_hit(rng, sample_rate, n_samples, thud_hz, thud_amount, crash_fall)
    total += 0.5 * unit_peak(
        modes(
            mode_hz,
            ring * rng.uniform(0.5, 1.5, n_modes),
            mode_gain * rng.uniform(0.2, 1.0, n_modes),
            rng.uniform(0.0, 2.0 * np.pi, n_modes),
            n_samples,
            sample_rate,
        )
    )
    seconds = n_samples / sample_rate
    n_shards = int(shard_density * seconds * rng.uniform(0.7, 1.3)) + 4
    # Most shards fall early; a few land late and stand alone.
    onsets = 0.02 + seconds * rng.beta(1.1, 2.2, n_shards)
    for onset in onsets:
        shard = _shard(rng, sample_rate, mode_hz, ring, tick_amount)
        level = log_uniform(rng, 0.03, 0.5) * (1.0 - 0.5 * onset / seconds)
        add_at(total, int(onset * sample_rate), level * shard)
    total += dust_amount * _dust(rng, sample_rate, n_samples, onsets)
    total = band(total, sample_rate, high_hz=brightness, order=1)
    total = reverberate(pane, total, sample_rate, room_seconds, room_amount)
    return event_level(rng, total * edges(n_samples, sample_rate, 0.0005, 0.12 * seconds))


def _glass_hit(
    rng: Random,
    sample_rate: int,
    n_samples: int,
    thud_hz: float,
    thud_amount: float,
    crash_fall: float,
) -> Signal:
    crash = band(white_noise(rng, n_samples), sample_rate, low_hz=900.0, order=1)
    crash = crash * decay(n_samples, sample_rate, near(rng, crash_fall, 1.3))
    click = white_noise(rng, n_samples) * decay(n_samples, sample_rate, rng.uniform(0.01, 0.04))
    thud = resonate(click, sample_rate, near(rng, thud_hz, 1.15), 0.6 * thud_hz)
    return 0.6 * unit_peak(crash) + 0.8 * unit_peak(click) + thud_amount * unit_peak(thud)


def _dust(rng: Random, sample_rate: int, n_samples: int, onsets: Signal) -> Signal:
    """Returns the hiss of splinters, as dense as the shards fall."""
    counts = np.zeros(n_samples)
    np.add.at(counts, np.minimum((onsets * sample_rate).astype(np.int64), n_samples - 1), 1.0)
    density = band(counts, sample_rate, high_hz=log_uniform(rng, 3.0, 12.0), order=1)
    noise = band(white_noise(rng, n_samples), sample_rate, low_hz=log_uniform(rng, 400.0, 3000.0))
    return unit_peak(noise * density)


def _shard(
    rng: Random, sample_rate: int, mode_hz: Signal, ring: float, tick_amount: float
) -> Signal:
    n_modes = int(rng.integers(2, 7))
    frequencies = rng.choice(mode_hz, n_modes) * rng.uniform(0.8, 1.5, n_modes)
    fall = ring * log_uniform(rng, 0.1, 1.0)
    n_samples = int(1.2 * fall * sample_rate) + 1
    ringing = modes(
        frequencies,
        fall * rng.uniform(0.4, 1.0, n_modes),
        rng.exponential(1.0, n_modes),
        rng.uniform(0.0, 2.0 * np.pi, n_modes),
        n_samples,
        sample_rate,
    )
    tick_length = min(n_samples, int(0.012 * sample_rate))
    tick = white_noise(rng, tick_length) * decay(tick_length, sample_rate, 0.01)
    shard = unit_peak(ringing)
    shard[:tick_length] += tick_amount * rng.uniform(0.3, 1.7) * unit_peak(tick)
    return shard


def gunshot(rng: Random, sample_rate: int = 44100, group: Random | None = None) -> Sound:
    """Returns a shot: an impulse with a fast attack, a low decaying tail, and echoes.

    The muzzle blast is a Friedlander wave, p(t) = (1 - t/T)·exp(-b·t/T), with gas noise on it;
    the place gives a tail of low-passed noise and 2 to 6 low-passed echoes at 30 to 300 ms. One
    in three groups also has the N-shaped shock wave of a fast bullet just before the blast.

    Args:
        rng: what differs from shot to shot.
        sample_rate: hertz.
        group: draws the gun and the place.

    Returns:
        float32 [N], 0.3 to 1.3 s, peak 0.25 to 0.9.
    """
    from scipy.signal import oaconvolve

    gun = group or rng
    blast_seconds = log_uniform(gun, 0.0008, 0.005)
    tail_fall = log_uniform(gun, 0.25, 1.4)
    tail_hz = log_uniform(gun, 250.0, 1400.0)
    tail_amount = log_uniform(gun, 0.08, 0.5)
    gas_amount = log_uniform(gun, 0.15, 0.9)
    gas_fall = log_uniform(gun, 0.04, 0.16)
    distance_hz = log_uniform(gun, 1800.0, 16000.0)
    place = _echo_response(gun, sample_rate)
    supersonic = gun.uniform() < 0.33
    shock_lead = gun.uniform(0.004, 0.03)

    seconds = float(np.clip(near(rng, 0.25 + 0.55 * tail_fall, 1.3), *GUNSHOT_SECONDS))
    n_samples = int(seconds * sample_rate)
    time = seconds_axis(n_samples, sample_rate)
    blast_length = near(rng, blast_seconds, 1.15)
    blast = (1.0 - time / blast_length) * np.exp(-rng.uniform(0.7, 1.3) * time / blast_length)
    gas = white_noise(rng, n_samples) * decay(n_samples, sample_rate, near(rng, gas_fall, 1.2))
    gas = band(gas, sample_rate, low_hz=150.0, order=1)
    dry = blast + near(rng, gas_amount, 1.3) * unit_peak(gas)
    if supersonic:
        # The bullet's shock arrives first: the blast is set back behind it.
        n_wave_length = max(int(rng.uniform(0.0003, 0.0008) * sample_rate), 4)
        delayed = np.zeros(n_samples)
        add_at(delayed, int(shock_lead * sample_rate), dry)
        add_at(delayed, 0, rng.uniform(0.4, 1.0) * np.linspace(1.0, -1.0, n_wave_length))
        dry = delayed
    wet = oaconvolve(dry, place)[:n_samples]
    tail = band(white_noise(rng, n_samples), sample_rate, high_hz=near(rng, tail_hz, 1.2), order=1)
    tail = tail * decay(n_samples, sample_rate, near(rng, tail_fall, 1.15))
    build_up = 1.0 - np.exp(-time / 0.012)
    swell = 1.0 + 0.3 * contour(rng, n_samples, sample_rate, 12.0)
    total = wet + near(rng, tail_amount, 1.25) * unit_peak(tail) * build_up * swell
    total = band(total, sample_rate, low_hz=40.0, high_hz=distance_hz, order=1)
    return event_level(rng, total * edges(n_samples, sample_rate, 0.0002, 0.2 * seconds))


def _echo_response(gun: Random, sample_rate: int) -> Signal:
    """Returns a place's impulse response: the direct path, then 2 to 6 blurred, dull echoes."""
    n_echoes = int(gun.integers(2, 7))
    response = np.zeros(int(0.45 * sample_rate))
    response[0] = 1.0
    for delay in np.sort(gun.uniform(0.03, 0.3, n_echoes)):
        blur_seconds = log_uniform(gun, 0.015, 0.15)
        length = int(blur_seconds * sample_rate)
        blur = white_noise(gun, length) * decay(length, sample_rate, blur_seconds)
        blur = band(blur, sample_rate, high_hz=gun.uniform(400.0, 3000.0))
        blur /= np.sqrt(np.sum(np.square(blur)))
        add_at(
            response,
            int(delay * sample_rate),
            gun.uniform(0.05, 0.45) * np.exp(-2.5 * delay) * blur,
        )
    return response
