"""Waveforms as arrays: checked, averaged to mono, resampled.

Everything inside the package is float32 mono [N] in [-1, 1]; these functions bring there what an
application or a file has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from sedsdk.errors import AudioError

Waveform = npt.NDArray[np.float32]

RESAMPLER_QUALITY = "HQ"
MAX_CHANNELS = 128
LARGEST_PEAK = 64.0
"""Float samples beyond this are integers that were not scaled: +36 dB over full scale."""
INTEGER_SCALES = {2: 2.0**15, 4: 2.0**31}
"""Full scale of signed integers by their bytes."""


def check_waveform(array: Any, rate: float, what: str = "waveform") -> Waveform:
    """Returns an application's samples as float32 mono [N], or says what is wrong with them.

    Args:
        array: [N] or [N, channels], anything that NumPy turns into an array (a CPU tensor too).
            Floats are taken as they are; int16 is divided by 2^15 and int32 by 2^31. Channels are
            averaged. An array with more columns than rows is refused: it would be [channels, N].
        rate: sample rate in hertz.
        what: how error messages call it.

    Returns:
        float32 [N], contiguous. Silence (all zero) is fine.

    Raises:
        AudioError: empty; not [N] or [N, channels]; of another type; NaN, infinite, or floats far
            outside [-1, 1]; a rate that is no positive number.
    """
    check_rate(rate, what)
    try:
        samples = np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AudioError(
            f"{what}: NumPy cannot take it as an array ({error}). Pass [N] or [N, channels], "
            f"a tensor as tensor.detach().cpu()."
        ) from error
    if samples.dtype.kind == "i" and samples.dtype.itemsize in INTEGER_SCALES:
        samples = samples / INTEGER_SCALES[samples.dtype.itemsize]
    elif samples.dtype.kind != "f":
        raise AudioError(
            f"{what}: samples are {samples.dtype}. Pass float in [-1, 1], int16 or int32; "
            f"scale other integers to float yourself."
        )
    _check_shape(samples, what)
    mono = to_mono(samples)
    check_samples(mono, rate, what)
    return mono


def check_rate(rate: float, what: str) -> None:
    """Refuses a sample rate that is no positive, finite number.

    Raises:
        AudioError: it is not.
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise AudioError(f"{what}: the sample rate is {rate!r}. Pass a number in hertz.")
    if not (np.isfinite(rate) and rate > 0):
        raise AudioError(f"{what}: the sample rate is {rate}. Pass hertz, above 0.")


def check_samples(
    samples: npt.NDArray[np.floating[Any]], rate: float, what: str, start: int = 0
) -> None:
    """Refuses NaN, infinite and unscaled samples.

    Args:
        samples: [N], N at least 1.
        rate: hertz, for the position in the message.
        what: how error messages call it.
        start: index of the first sample in the whole recording.

    Raises:
        AudioError: with the place of the first bad sample.
    """
    low, high = float(samples.min()), float(samples.max())
    if np.isfinite(low) and np.isfinite(high) and max(-low, high) <= LARGEST_PEAK:
        return
    bad = np.flatnonzero(~np.isfinite(samples))
    if bad.size:
        kind = "NaN" if np.isnan(samples[bad[0]]) else "infinite"
        raise AudioError(
            f"{what}: sample {start + int(bad[0])} (at {(start + int(bad[0])) / rate:.3f} s) is "
            f"{kind}; {bad.size} of the {len(samples)} samples looked at are not finite. "
            f"Export it again, or replace them, e.g. with numpy.nan_to_num."
        )
    raise AudioError(
        f"{what}: float samples reach {max(-low, high):g}, full scale is 1. They look like "
        f"unscaled integers: divide by 32768 for 16 bits."
    )


def to_mono(array: npt.NDArray[Any]) -> Waveform:
    """Averages channels.

    Args:
        array: float [N] or [N, channels].

    Returns:
        float32 [N], contiguous; the array itself where it is that already.
    """
    if array.ndim == 1 or array.shape[1] == 1:
        return np.ascontiguousarray(array.reshape(len(array)), dtype=np.float32)
    return np.ascontiguousarray(array.mean(axis=1, dtype=np.float32))


def resample(array: Any, from_rate: float, to_rate: float) -> Waveform:
    """Resamples with soxr at its high quality (linear phase).

    Args:
        array: float [N] or [N, channels].
        from_rate: hertz of the array.
        to_rate: hertz wanted.

    Returns:
        float32 of round(N · to_rate / from_rate) samples, at least 1 if N is; the array itself
        (as float32) if the rates are the same.

    Raises:
        AudioError: a rate is no positive number.
    """
    check_rate(from_rate, "resample")
    check_rate(to_rate, "resample")
    samples = np.ascontiguousarray(array, dtype=np.float32)
    if from_rate == to_rate or len(samples) == 0:
        return samples
    resampled: Waveform = soxr.resample(samples, from_rate, to_rate, quality=RESAMPLER_QUALITY)
    return resampled if len(resampled) else samples[:1]


def _check_shape(samples: npt.NDArray[Any], what: str) -> None:
    if samples.ndim not in (1, 2):
        raise AudioError(
            f"{what}: shape {samples.shape}. Pass [N] or [N, channels], one clip at a time."
        )
    if samples.size == 0:
        raise AudioError(f"{what}: no samples, shape {samples.shape}. Pass at least one.")
    if samples.ndim == 1:
        return
    rows, columns = samples.shape
    if columns > rows:
        raise AudioError(
            f"{what}: shape {samples.shape} looks like [channels, N]. "
            f"Pass [N, channels], that is array.T, or one channel, array[0]."
        )
    if columns > MAX_CHANNELS:
        raise AudioError(
            f"{what}: shape {samples.shape} would be {columns} channels, at most {MAX_CHANNELS} "
            f"are read. Pass samples [N] or [N, channels], not features."
        )
