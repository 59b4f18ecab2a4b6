"""Audio files in: whole, in part, or block by block in constant memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from sedsdk.audio.containers import truncation
from sedsdk.audio.waveform import (
    RESAMPLER_QUALITY,
    Waveform,
    check_rate,
    check_samples,
    resample,
    to_mono,
)
from sedsdk.errors import AudioError

READ_FRAMES = 1 << 16
"""Samples per channel that a block-wise read takes from the file at a time."""
LOSSY_LENGTH_TOLERANCE = 0.02
"""Share by which the length that an MP3 states may be off: it is an estimate in some files."""
UNKNOWN_LENGTH = 1 << 62
"""libsndfile's length of a stream that does not state it is at least this."""

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class AudioInfo:
    """What an audio file's header says.

    Attributes:
        sample_rate: hertz.
        n_samples: samples per channel, at least 1.
        channels: at least 1.
    """

    sample_rate: int
    n_samples: int
    channels: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate


@dataclass(frozen=True)
class AudioBlock:
    """A span of a longer recording.

    Attributes:
        start_sample: index of its first sample in the recording, at `sample_rate`.
        samples: float32 [N], at least one.
        sample_rate: hertz of the samples.
    """

    start_sample: int
    samples: Waveform
    sample_rate: int

    @property
    def start_seconds(self) -> float:
        """Time of its first sample in the recording."""
        return self.start_sample / self.sample_rate


def audio_info(path: PathLike) -> AudioInfo:
    """Returns rate, length and channels from a file's header; no sample is decoded.

    Raises:
        AudioError: the file is missing, a folder, not readable, empty, not audio, truncated (as
            far as its container shows it), or has no samples or states no length.
    """
    with _opened(path) as sound:
        return AudioInfo(sound.samplerate, sound.frames, sound.channels)


def read_audio(
    path: PathLike, sample_rate: int | None = None, start: float = 0.0, end: float | None = None
) -> tuple[Waveform, int]:
    """Reads a recording, or a span of it, as mono.

    Any rate, width and channel count that libsndfile reads. Channels are averaged. The span is
    cut at the file's own rate, and resampled alone.

    Args:
        path: the file.
        sample_rate: hertz wanted; None for the file's own.
        start: begin of the span, in seconds from the start of the file.
        end: its end in seconds; None, or a time after the end of the file, for the end of the file.

    Returns:
        float32 [N], N at least 1, and its sample rate.

    Raises:
        AudioError: as `audio_info`; the span is empty or begins after the end; the file holds
            fewer samples than its header says, or NaN or infinite ones.
    """
    name = os.fspath(path)
    with _opened(path) as sound:
        rate: int = sound.samplerate
        first, last = _span(name, start, end, rate, sound.frames)
        with _decoding(name):
            if first:
                sound.seek(first)
            samples = to_mono(sound.read(last - first, dtype="float32", always_2d=True))
        if _falls_short(sound.format, len(samples), last - first):
            raise _too_short(name, first + len(samples), last, rate)
    check_samples(samples, rate, name, first)
    if sample_rate is None:
        return samples, rate
    check_rate(sample_rate, name)
    return resample(samples, rate, sample_rate), sample_rate


def read_blocks(
    path: PathLike, sample_rate: int | None, block_seconds: float, overlap_seconds: float = 0.0
) -> Iterator[AudioBlock]:
    """Reads a recording of any length block by block; memory does not grow with its length.

    Without overlap the concatenated blocks equal the whole file resampled at once. Every block
    but the last has round(block_seconds · rate) samples, and shares its first
    round(overlap_seconds · rate) with the one before; the last one holds at least one new sample.

    Args:
        path: the file.
        sample_rate: hertz wanted; None for the file's own.
        block_seconds: length of a block, above 0.
        overlap_seconds: what neighbouring blocks share, at least 0 and below `block_seconds`.

    Yields:
        Blocks in order.

    Raises:
        AudioError: lengths out of range; else as `read_audio`, when the reading gets there.
    """
    name = os.fspath(path)
    with _opened(path) as sound:
        rate: int = sound.samplerate if sample_rate is None else sample_rate
        check_rate(rate, name)
        block, overlap = round(block_seconds * rate), round(overlap_seconds * rate)
        if not 0 <= overlap < block:
            raise AudioError(
                f"{name}: blocks of {block_seconds:g} s with {overlap_seconds:g} s of overlap. "
                f"block_seconds must be above 0 and above overlap_seconds, which is at least 0."
            )
        start, count = 0, 0
        waiting: list[Waveform] = []
        for piece in _resampled(_decoded(sound, name), sound.samplerate, rate):
            waiting.append(piece)
            count += len(piece)
            if count <= block:
                continue
            joined = np.concatenate(waiting)
            while len(joined) > block:
                yield AudioBlock(start, joined[:block].copy(), rate)
                start += block - overlap
                joined = joined[block - overlap :]
            waiting, count = [joined.copy()], len(joined)
        yield AudioBlock(start, np.concatenate(waiting), rate)


def _decoded(sound: Any, name: str) -> Iterator[Waveform]:
    """Yields mono pieces, each checked."""
    done = 0
    while done < sound.frames:
        with _decoding(name):
            block = sound.read(READ_FRAMES, dtype="float32", always_2d=True)
        if len(block) == 0:
            break
        piece = to_mono(block)
        check_samples(piece, sound.samplerate, name, done)
        done += len(piece)
        yield piece
    if _falls_short(sound.format, done, sound.frames):
        raise _too_short(name, done, sound.frames, sound.samplerate)


def _resampled(pieces: Iterator[Waveform], from_rate: int, to_rate: int) -> Iterator[Waveform]:
    if from_rate == to_rate:
        yield from pieces
        return
    stream = soxr.ResampleStream(
        from_rate, to_rate, num_channels=1, dtype="float32", quality=RESAMPLER_QUALITY
    )
    given, first = 0, np.zeros(1, np.float32)
    for piece in pieces:
        first = piece[:1] if given == 0 else first
        resampled = stream.resample_chunk(piece)
        given += len(resampled)
        yield resampled
    rest = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    yield rest if given + len(rest) else first


def _span(name: str, start: float, end: float | None, rate: int, n_samples: int) -> tuple[int, int]:
    first = round(start * rate)
    last = n_samples if end is None else min(round(end * rate), n_samples)
    if start < 0 or first >= n_samples or last <= first:
        until = "its end" if end is None else f"{end:g} s"
        raise AudioError(
            f"{name}: no samples from {start:g} s to {until}; the file lasts "
            f"{n_samples / rate:.3f} s. Give a start below the end, both inside the file."
        )
    return first, last


@contextmanager
def _opened(path: PathLike) -> Iterator[Any]:
    """Opens a file for reading after everything that can be told without decoding it."""
    name = os.fspath(path)
    shortage = _checked_file(Path(name))
    try:
        sound = soundfile.SoundFile(name)
    except (soundfile.LibsndfileError, TypeError) as error:
        if shortage:
            raise _truncated(name, shortage) from error
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise AudioError(
            f"{name} is no audio that can be read ({reason}). "
            f"Convert it to WAV or FLAC, e.g. with: ffmpeg -i INPUT OUTPUT.wav"
        ) from error
    with sound:
        if shortage:
            raise _truncated(name, shortage)
        if sound.frames <= 0:
            raise AudioError(f"{name} has a header and no samples. Record or export it again.")
        if sound.frames >= UNKNOWN_LENGTH:
            raise AudioError(
                f"{name} was streamed and does not state its length. "
                f"Write it again, e.g. with: ffmpeg -i INPUT OUTPUT.flac"
            )
        yield sound


def _checked_file(path: Path) -> str:
    """Returns how the container falls short, or ""; raises what has a plain reason."""
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder. Give an audio file.")
        if path.stat().st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes). Copy or download it again.")
        return truncation(path)
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist. Check the path.") from error
    except PermissionError as error:
        raise AudioError(
            f"{path} may not be read. Change its permissions, e.g. chmod u+r."
        ) from error
    except OSError as error:
        raise AudioError(
            f"{path} cannot be read: {error.strerror or error}. Check the disk."
        ) from error


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).rstrip(".")
        raise AudioError(
            f"{name} is truncated or damaged ({reason}). Copy or download it again."
        ) from error


def _falls_short(audio_format: str, got: int, promised: int) -> bool:
    tolerance = LOSSY_LENGTH_TOLERANCE * promised if audio_format == "MP3" else 0
    return promised - got > tolerance or got == 0


def _too_short(name: str, got: int, promised: int, rate: int) -> AudioError:
    return _truncated(
        name, f"its header promises {promised / rate:.3f} s and it ends after {got / rate:.3f} s"
    )


def _truncated(name: str, reason: str) -> AudioError:
    return AudioError(f"{name} is truncated: {reason}. Copy or download it again.")
