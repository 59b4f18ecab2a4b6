"""Lossy codecs there and back, in memory, through libsndfile: whichever it was built with."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import soundfile

from kaldi_bridge.errors import KaldiError
from kaldi_bridge.training.varying.filters import Signal

PROBE_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 0.5
PROBE_SEED = 610
SHORTEST_SECONDS = 0.1
"""Anything shorter is filled up by silence for the codec: some refuse a few samples."""


class MissingCodec(KaldiError):
    """A codec that this libsndfile cannot do, or not at this rate."""


@dataclass(frozen=True)
class Codec:
    """How libsndfile is asked for a codec.

    Attributes:
        format: container, as in `soundfile.available_formats()`.
        subtype: encoding inside.
        rates: hertz at which it is used here.
        options: of `soundfile.write`; a higher compression level is a lower quality.
    """

    format: str
    subtype: str
    rates: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


TELEPHONE = (8000,)
ANY = (8000, 11025, 12000, 16000)
CODECS: dict[str, Codec] = {
    "ulaw": Codec("WAV", "ULAW", TELEPHONE),
    "alaw": Codec("WAV", "ALAW", TELEPHONE),
    "gsm": Codec("WAV", "GSM610", TELEPHONE),
    "g721": Codec("AU", "G721_32", TELEPHONE),
    "g723_24": Codec("AU", "G723_24", TELEPHONE),
    "nms_adpcm_16": Codec("WAV", "NMS_ADPCM_16", TELEPHONE),
    "ima_adpcm": Codec("WAV", "IMA_ADPCM", ANY),
    "ms_adpcm": Codec("WAV", "MS_ADPCM", ANY),
    "vorbis_low": Codec("OGG", "VORBIS", ANY, {"compression_level": 1.0}),
    "vorbis": Codec("OGG", "VORBIS", ANY, {"compression_level": 0.7}),
    "mp3_low": Codec("MP3", "MPEG_LAYER_III", ANY, {"compression_level": 0.95}),
    "mp3": Codec("MP3", "MPEG_LAYER_III", ANY, {"compression_level": 0.7}),
    "opus_low": Codec("OGG", "OPUS", (8000, 12000, 16000), {"compression_level": 0.95}),
    "opus": Codec("OGG", "OPUS", (8000, 12000, 16000), {"compression_level": 0.88}),
}
"""The codecs by name. Those for telephones alone run at 8 kHz, as in telephones."""


def available(rate: int) -> tuple[str, ...]:
    """Returns the codecs that this machine's libsndfile does at a rate, by a trial of each."""
    return tuple(name for name in CODECS if _delay(name, rate) is not None)


def round_trip(samples: Signal, rate: int, name: str) -> Signal:
    """Returns samples [N] in [−1, 1] after encoding and decoding, as long and in time with them.

    Args:
        samples: float32 [N].
        rate: hertz, one of the codec's `rates`.
        name: one of CODECS.

    Raises:
        MissingCodec: this libsndfile cannot do it.
    """
    delay = _delay(name, rate) if name in CODECS else None
    if delay is None:
        raise MissingCodec(
            f'codec "{name}" at {rate} Hz: this libsndfile ({soundfile.__libsndfile_version__}) '
            f"does {', '.join(available(rate)) or 'none'}. Choose one of these or install a newer "
            "soundfile."
        )
    behind = max(delay, int(SHORTEST_SECONDS * rate) - len(samples))
    padded = np.concatenate([samples, np.zeros(behind, np.float32)])
    decoded = _decoded(padded, rate, CODECS[name])[delay : delay + len(samples)]
    missing = len(samples) - len(decoded)
    return np.concatenate([decoded, np.zeros(missing, np.float32)]) if missing else decoded


def _decoded(samples: Signal, rate: int, codec: Codec) -> Signal:
    buffer = io.BytesIO()
    soundfile.write(
        buffer, samples, rate, format=codec.format, subtype=codec.subtype, **codec.options
    )
    buffer.seek(0)
    decoded, decoded_rate = soundfile.read(buffer, dtype="float32")
    if decoded_rate != rate:
        raise MissingCodec(f"{codec.subtype} came back at {decoded_rate} Hz instead of {rate} Hz.")
    return np.asarray(decoded, np.float32)


@cache
def _delay(name: str, rate: int) -> int | None:
    """Returns by how many samples a codec is late, measured on noise; None where it fails."""
    codec = CODECS[name]
    formats = soundfile.available_formats()
    if rate not in codec.rates or codec.format not in formats:
        return None
    if codec.subtype not in soundfile.available_subtypes(codec.format):
        return None
    noise = np.random.default_rng(PROBE_SEED).standard_normal(int(PROBE_SECONDS * rate))
    probe = (0.1 * np.convolve(noise, np.hanning(12), "same")).astype(np.float32)
    try:
        late = _decoded(probe, rate, codec)
    except (soundfile.SoundFileError, MissingCodec, TypeError):  # TypeError: soundfile below 0.13
        return None
    size = 2 * max(len(probe), len(late))
    product = np.fft.rfft(late, size) * np.conj(np.fft.rfft(probe, size))
    likeness = np.fft.irfft(product, size)[: int(LONGEST_DELAY_SECONDS * rate)]
    return int(np.argmax(likeness))
