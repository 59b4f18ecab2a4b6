"""Mel scales and triangular mel filters in float64 NumPy; no torch.

Two scales are in use and differ: HTK's (S. Young et al., The HTK Book, section 5.4) and the one of
Slaney's Auditory Toolbox (Interval Research report 1998-010), linear up to 1 kHz.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from sedsdk.errors import ConfigError, did_you_mean

FloatArray = npt.NDArray[np.float64]
MelScale = Literal["htk", "slaney"]
MEL_SCALES: tuple[MelScale, ...] = get_args(MelScale)

HTK_FACTOR = 2595.0
HTK_CORNER_HZ = 700.0
SLANEY_HZ_PER_MEL = 200.0 / 3.0
SLANEY_CORNER_HZ = 1000.0
SLANEY_CORNER_MEL = SLANEY_CORNER_HZ / SLANEY_HZ_PER_MEL
SLANEY_LOG_STEP = float(np.log(6.4)) / 27.0
LARGEST_SUGGESTED_FFT = 1 << 20


def hz_to_mel(frequency: npt.ArrayLike, scale: MelScale = "htk") -> FloatArray:
    """Returns mel values of frequencies.

    htk: 2595 log10(1 + f / 700). slaney: 3 f / 200 below 1 kHz, and 15 + 27 ln(f / 1000) / ln 6.4
    above.

    Args:
        frequency: hertz, at least 0, any shape.
        scale: "htk" or "slaney".

    Returns:
        float64 of the same shape.

    Raises:
        ConfigError: the scale is unknown.
    """
    _check_scale(scale)
    hertz = np.asarray(frequency, dtype=np.float64)
    if scale == "htk":
        return np.asarray(HTK_FACTOR * np.log10(1.0 + hertz / HTK_CORNER_HZ))
    above = np.maximum(hertz, SLANEY_CORNER_HZ)
    logarithmic = SLANEY_CORNER_MEL + np.log(above / SLANEY_CORNER_HZ) / SLANEY_LOG_STEP
    return np.where(hertz < SLANEY_CORNER_HZ, hertz / SLANEY_HZ_PER_MEL, logarithmic)


def mel_to_hz(mel: npt.ArrayLike, scale: MelScale = "htk") -> FloatArray:
    """Returns frequencies of mel values, in hertz: the inverse of `hz_to_mel`.

    Args:
        mel: mel values, at least 0, any shape.
        scale: "htk" or "slaney".

    Returns:
        float64 of the same shape.

    Raises:
        ConfigError: the scale is unknown.
    """
    _check_scale(scale)
    mels = np.asarray(mel, dtype=np.float64)
    if scale == "htk":
        return np.asarray(HTK_CORNER_HZ * (10.0 ** (mels / HTK_FACTOR) - 1.0))
    above = np.maximum(mels, SLANEY_CORNER_MEL)
    exponential = SLANEY_CORNER_HZ * np.exp(SLANEY_LOG_STEP * (above - SLANEY_CORNER_MEL))
    return np.where(mels < SLANEY_CORNER_MEL, mels * SLANEY_HZ_PER_MEL, exponential)


def mel_filters(
    sample_rate: float,
    n_fft: int,
    n_mels: int,
    f_min: float = 0.0,
    f_max: float | None = None,
    scale: MelScale = "htk",
    area_norm: bool = False,
) -> FloatArray:
    """Returns triangular filters whose corners are equally spaced in mel.

    Filter `m` rises from corner m to 1 at corner m + 1 and falls to 0 at corner m + 2, linearly in
    hertz, sampled at the bins k * sample_rate / n_fft. With `area_norm` each filter is multiplied
    by 2 / (its width in hertz), so that all have the same area (Slaney's normalisation).

    Args:
        sample_rate: hertz.
        n_fft: FFT size in samples, at least 2.
        n_mels: bands, at least 1.
        f_min: lower corner of the first band, in hertz.
        f_max: upper corner of the last band, in hertz; None for half the sample rate.
        scale: "htk" or "slaney".
        area_norm: equal areas instead of equal peaks.

    Returns:
        float64 [n_mels, n_fft // 2 + 1], not negative.

    Raises:
        ConfigError: a value is out of range, or a band lies between two bins and would be empty.
    """
    nyquist = sample_rate / 2
    top = nyquist if f_max is None else f_max
    _check_scale(scale)
    if not sample_rate > 0 or n_fft < 2 or n_mels < 1:
        raise ConfigError(
            f"mel filters need sample_rate above 0, n_fft of at least 2 and n_mels of at least 1; "
            f"got {sample_rate}, {n_fft} and {n_mels}."
        )
    if not 0 <= f_min < top <= nyquist:
        raise ConfigError(
            f"mel filters need 0 <= f_min < f_max <= {nyquist:g} Hz (half the sample rate), "
            f"got f_min {f_min:g} and f_max {top:g}."
        )
    filters = _triangles(sample_rate, n_fft, _corners(n_mels, f_min, top, scale), area_norm)
    empty = np.flatnonzero(~filters.any(axis=1))
    if empty.size:
        raise ConfigError(
            f"{empty.size} of {n_mels} mel bands hold no FFT bin (the first is band {empty[0]}): "
            f"bins are {sample_rate / n_fft:.4g} Hz apart at n_fft {n_fft} and {sample_rate:g} Hz. "
            f"Use fewer bands{_enough_fft(sample_rate, n_fft, n_mels, f_min, top, scale)}."
        )
    return filters


def _corners(n_mels: int, f_min: float, f_max: float, scale: MelScale) -> FloatArray:
    low, high = hz_to_mel([f_min, f_max], scale)
    return mel_to_hz(np.linspace(low, high, n_mels + 2), scale)


def _triangles(sample_rate: float, n_fft: int, corners: FloatArray, area_norm: bool) -> FloatArray:
    bins = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)  # [K]
    distance = corners[:, np.newaxis] - bins  # [n_mels + 2, K]
    width = np.diff(corners)[:, np.newaxis]  # [n_mels + 1, 1]
    rising = -distance[:-2] / width[:-1]  # [n_mels, K]
    falling = distance[2:] / width[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if area_norm:
        filters *= (2.0 / (corners[2:] - corners[:-2]))[:, np.newaxis]
    return np.asarray(filters)


def _enough_fft(
    sample_rate: float, n_fft: int, n_mels: int, f_min: float, f_max: float, scale: MelScale
) -> str:
    """Returns " or an n_fft of ..." for the smallest power of two that fills all bands, or ""."""
    corners = _corners(n_mels, f_min, f_max, scale)
    size = 1 << n_fft.bit_length()
    while size <= LARGEST_SUGGESTED_FFT:
        if _triangles(sample_rate, size, corners, area_norm=False).any(axis=1).all():
            return f" or an n_fft of {size}"
        size *= 2
    return ""


def _check_scale(scale: str) -> None:
    if scale not in MEL_SCALES:
        raise ConfigError(
            f'unknown mel scale "{scale}".{did_you_mean(scale, MEL_SCALES)} '
            f"Choose one of: {', '.join(MEL_SCALES)}."
        )
