"""Which feature options make sense together.

Kaldi stops with an assertion where these are violated; kaldi-native-fbank ends the process or
computes rubbish. Here each gets a sentence that names the option and what is allowed.
"""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.features.settings import FeatureSettings

WINDOW_TYPES = ("povey", "hamming", "hanning", "rectangular", "blackman", "sine")
MAX_WINDOW_SAMPLES = 1 << 20  # a minute at 16 kHz
LEAST_MEL_BINS = 3
FASTEST_HERTZ = 1e7


def what_is_wrong(options: FeatureSettings) -> str:
    """Returns what is wrong with the options and what is allowed; "" if nothing is."""
    return _wrong_numbers(options) or _wrong_frames(options) or _wrong_bands(options)


def _wrong_numbers(options: FeatureSettings) -> str:
    for field in fields(options):
        value = getattr(options, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            return f"--{field.name.replace('_', '-')} must be a finite number, got {value}."
    rate = options.sample_frequency
    if not 0 < rate <= FASTEST_HERTZ or rate != int(rate):
        return f"--sample-frequency must be a whole number of hertz above 0, got {rate:g}."
    if not 0 <= options.preemphasis_coefficient <= 1:
        given = options.preemphasis_coefficient
        return f"--preemphasis-coefficient must be from 0 to 1, got {given:g}."
    if options.dither < 0:
        return f"--dither must be 0 or more, got {options.dither:g}."
    if options.window_type not in WINDOW_TYPES:
        return f'--window-type="{options.window_type}" must be one of {", ".join(WINDOW_TYPES)}.'
    return ""


def _wrong_frames(options: FeatureSettings) -> str:
    rate, length, shift = options.sample_rate, options.frame_length, options.frame_shift
    if not 2 <= options.window_samples <= MAX_WINDOW_SAMPLES:
        return (
            f"--frame-length={length:g} makes frames of {options.window_samples} samples at "
            f"{rate} Hz; 2 to {MAX_WINDOW_SAMPLES} are allowed."
        )
    if not 1 <= options.shift_samples <= MAX_WINDOW_SAMPLES:
        return (
            f"--frame-shift={shift:g} is a step of {options.shift_samples} samples at {rate} Hz; "
            f"1 to {MAX_WINDOW_SAMPLES} are allowed."
        )
    if options.fft_size % 2:
        return (
            f"frames of {options.window_samples} samples cannot be transformed, the number has "
            "to be even: set --round-to-power-of-two=true."
        )
    return ""


def _wrong_bands(options: FeatureSettings) -> str:
    half, bands = options.sample_frequency / 2, options.num_mel_bins
    low, high = options.low_freq, options.high_freq
    high = high if high > 0 else half + high
    if not 0 <= low < high <= half:
        return (
            f"--low-freq={low:g} and --high-freq={options.high_freq:g} ask for bands from {low:g} "
            f"to {high:g} Hz; they must rise and lie between 0 and {half:g} Hz."
        )
    if bands < LEAST_MEL_BINS:
        return f"--num-mel-bins must be {LEAST_MEL_BINS} or more, got {bands}."
    if bands > options.fft_size or _has_empty_band(options, low, high):
        return (
            f"--num-mel-bins={bands} is too many: a band between {low:g} and {high:g} Hz holds no "
            f"point of a transform of {options.fft_size}. Use fewer bands or longer frames."
        )
    if options.kind == "mfcc" and not 1 <= options.num_ceps <= bands:
        return f"--num-ceps={options.num_ceps} must be from 1 to --num-mel-bins={bands}."
    return ""


def _has_empty_band(options: FeatureSettings, low: float, high: float) -> bool:
    """Whether a triangle falls between two points; in float32, as Kaldi and the library do."""
    width = np.float32(options.sample_frequency) / np.float32(options.fft_size)
    points = _mel(width * np.arange(options.fft_size // 2, dtype=np.float32))
    begin, end = _mel(np.array([low, high], np.float32))
    step = (end - begin) / np.float32(options.num_mel_bins + 1)
    left = begin + np.arange(options.num_mel_bins, dtype=np.float32) * step
    right = begin + np.arange(2, options.num_mel_bins + 2, dtype=np.float32) * step
    inside = np.searchsorted(points, right, "left") - np.searchsorted(points, left, "right")
    return bool((inside <= 0).any())


def _mel(hertz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel of hertz: 1127 ln(1 + f / 700)."""
    mels: NDArray[np.float32] = np.float32(1127) * np.log(np.float32(1) + hertz / np.float32(700))
    return mels
