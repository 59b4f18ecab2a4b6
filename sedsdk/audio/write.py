"""Audio files out, whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sedsdk.audio.waveform import check_rate
from sedsdk.errors import AudioError, did_you_mean
from sedsdk.files import write_atomically

UNLIMITED_SUBTYPES = frozenset({"FLOAT", "DOUBLE"})


def write_audio(
    path: str | os.PathLike[str], samples: Any, rate: int, subtype: str = "PCM_16"
) -> None:
    """Writes samples; the format follows from the suffix (.wav, .flac, .ogg, ...).

    The file appears at once and complete: another of that name stays as it was until then, also
    if the disk is full. Missing folders are made.

    Args:
        path: the file.
        samples: float [N] or [N, channels] in [-1, 1].
        rate: sample rate in hertz.
        subtype: width and coding in libsndfile's names: "PCM_16", "PCM_24", "FLOAT", "VORBIS", ...

    Raises:
        AudioError: no samples, NaN or infinite ones; samples beyond ±1 that an integer subtype
            would clip; a suffix or subtype that libsndfile does not write; a folder or disk that
            cannot be written to.
    """
    target = Path(path)
    check_rate(rate, str(target))
    values = np.asarray(samples)
    if values.dtype.kind != "f" or values.ndim not in (1, 2) or values.size == 0:
        raise AudioError(
            f"{target}: {values.dtype} of shape {values.shape}. "
            f"Pass float samples [N] or [N, channels], at least one."
        )
    peak = float(np.abs(values).max())
    if not np.isfinite(peak):
        raise AudioError(f"{target}: NaN or infinite samples. Replace them before writing.")
    if peak > 1.0 and subtype not in UNLIMITED_SUBTYPES:
        raise AudioError(
            f"{target}: samples reach {peak:.4g} and {subtype} would clip them at 1. "
            f'Scale them down, clip them, or use subtype="FLOAT".'
        )
    audio_format = _format_of(target, subtype)
    encoded = io.BytesIO()
    soundfile.write(encoded, values, int(rate), subtype=subtype, format=audio_format)
    try:
        write_atomically(target, encoded.getvalue())
    except OSError as error:
        raise AudioError(
            f"{target} cannot be written: {error.strerror or error}. "
            f"Check the folder and the free space."
        ) from error


def _format_of(target: Path, subtype: str) -> str:
    suffix = target.suffix.lstrip(".").upper()
    name = {"AIF": "AIFF", "OPUS": "OGG"}.get(suffix, suffix)
    formats = soundfile.available_formats()
    if name not in formats:
        raise AudioError(f'{target}: no audio format "{target.suffix}". Use .wav, .flac or .ogg.')
    subtypes = soundfile.available_subtypes(name)
    if subtype not in subtypes:
        raise AudioError(
            f'{target}: {name} has no subtype "{subtype}".{did_you_mean(subtype, subtypes)} '
            f"It has: {', '.join(subtypes)}."
        )
    return name
