"""MFCC and filter bank in plain float64 NumPy, one frame after another: what Kaldi computes.

Written from the equations (KALDI_NOTES.md, section 6), sharing no code with the package.
"""

from __future__ import annotations

import math

import numpy as np

FLOOR = 2.0**-23


def mel(hertz):
    return 1127.0 * np.log(1.0 + np.asarray(hertz, np.float64) / 700.0)


def triangles(n_bins, fft_size, rate, low, high):
    """Weights [n_bins, fft_size / 2], linear in mel; the bin at half the rate is never used."""
    high = high if high > 0 else rate / 2 + high
    corners = np.linspace(mel(low), mel(high), n_bins + 2)
    here = mel(np.arange(fft_size // 2) * rate / fft_size)
    weights = np.zeros((n_bins, fft_size // 2))
    for row in range(n_bins):
        left, centre, right = corners[row : row + 3]
        rising, falling = (here - left) / (centre - left), (right - here) / (right - centre)
        weights[row] = np.where((here > left) & (here < right), np.minimum(rising, falling), 0)
    return weights


def window(kind, length, blackman_coeff=0.42):
    turn = 2 * np.pi * np.arange(length) / (length - 1)
    return {
        "povey": (0.5 - 0.5 * np.cos(turn)) ** 0.85,
        "hanning": 0.5 - 0.5 * np.cos(turn),
        "hamming": 0.54 - 0.46 * np.cos(turn),
        "sine": np.sin(turn / 2),
        "rectangular": np.ones(length),
        "blackman": blackman_coeff - 0.5 * np.cos(turn) + (0.5 - blackman_coeff) * np.cos(2 * turn),
    }[kind]


def frames_of(samples, length, shift, snip_edges):
    """Cuts the frames [T, length]; without snipping, samples outside are mirrored."""
    n = len(samples)
    if snip_edges:
        count = 0 if n < length else 1 + (n - length) // shift
        starts = [shift * t for t in range(count)]
    else:
        starts = [shift * t + shift // 2 - length // 2 for t in range((n + shift // 2) // shift)]
    rows = []
    for start in starts:
        row = []
        for index in range(start, start + length):
            folded = index % (2 * n)  # ... 1 0 | 0 1 ... n-1 | n-1 ... 1 0 | 0 ...
            row.append(samples[folded if folded < n else 2 * n - 1 - folded])
        rows.append(row)
    return np.array(rows, np.float64).reshape(len(starts), length)


def features(
    waveform,
    kind="mfcc",
    *,
    sample_frequency=16000,
    frame_length=25.0,
    frame_shift=10.0,
    preemphasis_coefficient=0.97,
    remove_dc_offset=True,
    window_type="povey",
    round_to_power_of_two=True,
    blackman_coeff=0.42,
    snip_edges=True,
    num_mel_bins=23,
    low_freq=20.0,
    high_freq=0.0,
    num_ceps=13,
    use_energy=None,
    energy_floor=0.0,
    raw_energy=True,
    cepstral_lifter=22.0,
    htk_compat=False,
    use_log_fbank=True,
    use_power=True,
):
    """Returns float64 [T, F] of a waveform in [-1, 1], with Kaldi's defaults and no dither."""
    use_energy = kind == "mfcc" if use_energy is None else use_energy
    length = int(sample_frequency * 0.001 * frame_length)
    shift = int(sample_frequency * 0.001 * frame_shift)
    x = frames_of(np.asarray(waveform, np.float64) * 32768, length, shift, snip_edges)
    if remove_dc_offset:
        x = x - x.mean(axis=1, keepdims=True)
    raw = np.log(np.maximum((x**2).sum(axis=1), FLOOR))
    before = np.concatenate([x[:, :1], x[:, :-1]], axis=1)
    x = (x - preemphasis_coefficient * before) * window(window_type, length, blackman_coeff)
    windowed = np.log(np.maximum((x**2).sum(axis=1), FLOOR))
    energy = raw if raw_energy else windowed
    if energy_floor > 0:
        energy = np.maximum(energy, math.log(energy_floor))

    size = 2 ** math.ceil(math.log2(length)) if round_to_power_of_two else length
    spectrum = np.abs(np.fft.rfft(x, size, axis=1))[:, : size // 2]
    spectrum = spectrum**2 if use_power or kind == "mfcc" else spectrum
    bands = spectrum @ triangles(num_mel_bins, size, sample_frequency, low_freq, high_freq).T
    logs = np.log(np.maximum(bands, FLOOR))
    if kind == "fbank":
        out = logs if use_log_fbank else bands
        if use_energy:
            pair = [out, energy[:, None]] if htk_compat else [energy[:, None], out]
            out = np.concatenate(pair, axis=1)
        return out

    k, n = np.arange(num_ceps)[:, None], np.arange(num_mel_bins)[None]
    dct = np.sqrt(2 / num_mel_bins) * np.cos(np.pi / num_mel_bins * (n + 0.5) * k)
    dct[0] = np.sqrt(1 / num_mel_bins)
    out = logs @ dct.T
    if cepstral_lifter:
        out = out * (
            1 + cepstral_lifter / 2 * np.sin(np.pi * np.arange(num_ceps) / cepstral_lifter)
        )
    if use_energy:
        out[:, 0] = energy
    if htk_compat:
        first = out[:, :1] * (1 if use_energy else math.sqrt(2))
        out = np.concatenate([out[:, 1:], first], axis=1)
    return out
