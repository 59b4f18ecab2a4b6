"""Rows of MFCC or filter-bank features, by the library kaldi-native-fbank, block by block.

What the library does otherwise than Kaldi is set right here: it rounds the length of frames in
float32 and looks at no option (the frame sizes are handed over such that they cannot be rounded
wrongly, the options are checked before), it takes NaN and any rate without a word, keeps every row
until it is told to drop it, and works on samples of 16-bit scale as Kaldi does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import MissingLibrary, ShapeError
from kaldi_bridge.features.options import FeatureOptions

FULL_SCALE = 32768.0
LOUDEST = 64.0  # 36 dB above full scale: louder means samples of 16-bit scale
BLOCK_SAMPLES = 1 << 16  # four seconds at 16 kHz


def compute_features(waveform: ArrayLike, options: FeatureOptions) -> NDArray[np.float32]:
    """Computes the features of a whole recording; memory beside the result stays the same.

    With a dither above 0 the rows are random, as Kaldi's are: see `options.without_dither()`.

    Args:
        waveform: float samples in [-1, 1], [N].
        options: kind of features.

    Returns:
        float32 [options.frame_count(N), options.feature_dim]. A recording shorter than one frame
        gives no rows (with `snip_edges`; without, shorter than half a frame shift).

    Raises:
        ShapeError: not one row of float samples, NaN or infinite samples, or 16-bit scale.
        MissingLibrary: kaldi-native-fbank is not installed.
    """
    samples = _as_samples(waveform)
    rows = np.empty((options.frame_count(len(samples)), options.feature_dim), np.float32)
    stream = FeatureStream(options)
    done = 0
    for begin in range(0, len(samples), BLOCK_SAMPLES):
        block = stream.push(samples[begin : begin + BLOCK_SAMPLES])
        rows[done : done + len(block)] = block
        done += len(block)
    rows[done:] = stream.finish()
    return rows


class FeatureStream:
    """Features of a recording that arrives in blocks.

    Whatever the sizes of the blocks, all rows together equal those of `compute_features` bit by
    bit (if `options.dither` is 0). A row appears as soon as its last sample has arrived; only a
    frame's worth of samples is kept.
    """

    def __init__(self, options: FeatureOptions) -> None:
        """Args:
        options: kind of features.

        Raises:
            MissingLibrary: kaldi-native-fbank is not installed.
        """
        self.options = options
        self._computer = _computer(options)
        self._taken = 0
        self._finished = False

    def push(self, samples: ArrayLike) -> NDArray[np.float32]:
        """Takes the next samples.

        Args:
            samples: float samples in [-1, 1], [n]; n may be 0.

        Returns:
            The rows that are complete now, float32 [k, options.feature_dim].

        Raises:
            ShapeError: wrong samples (nothing is taken then), or the stream was finished.
        """
        if self._finished:
            raise ShapeError("this stream is finished: make a new FeatureStream.")
        samples = _as_samples(samples)
        parts = []
        for begin in range(0, len(samples), BLOCK_SAMPLES):
            block = samples[begin : begin + BLOCK_SAMPLES] * np.float32(FULL_SCALE)
            # A memoryview is what the library copies fastest, of all that it accepts.
            self._computer.accept_waveform(self.options.sample_frequency, memoryview(block))
            parts.append(self._rows())
        return parts[0] if len(parts) == 1 else np.concatenate([self._no_rows(), *parts])

    def finish(self) -> NDArray[np.float32]:
        """Ends the recording and returns the rows that waited for its end, float32 [k, F].

        Raises:
            ShapeError: the stream was finished before.
        """
        if self._finished:
            raise ShapeError("this stream is finished: make a new FeatureStream.")
        self._finished = True
        self._computer.input_finished()
        return self._rows()

    def _rows(self) -> NDArray[np.float32]:
        ready = self._computer.num_frames_ready
        rows = np.empty((ready - self._taken, self.options.feature_dim), np.float32)
        for row, frame in zip(rows, range(self._taken, ready), strict=True):
            row[:] = self._computer.get_frame(frame)
        self._computer.pop(ready - self._taken)
        self._taken = ready
        return rows

    def _no_rows(self) -> NDArray[np.float32]:
        return np.empty((0, self.options.feature_dim), np.float32)


def _as_samples(waveform: ArrayLike) -> NDArray[np.float32]:
    """Checks samples and returns them as float32 [N]."""
    try:
        samples = np.asarray(waveform)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise ShapeError(f"samples must be an array of floats in memory: {problem}") from None
    if samples.ndim != 1:
        raise ShapeError(
            f"expected the samples of one channel [N], got shape {list(samples.shape)}: hand over "
            "one channel, or their mean."
        )
    if not np.issubdtype(samples.dtype, np.floating):
        raise ShapeError(
            f"expected float samples in [-1, 1], got {samples.dtype}: divide 16-bit samples by "
            f"{FULL_SCALE:g}."
        )
    with np.errstate(over="ignore"):
        samples = samples.astype(np.float32, copy=False)
    loudest = max(samples.max(), -samples.min()) if len(samples) else 0.0
    if not np.isfinite(loudest):
        raise ShapeError("the samples hold NaN or infinite values.")
    if loudest > LOUDEST:
        raise ShapeError(
            f"expected samples in [-1, 1], got {loudest:g}: divide 16-bit samples by "
            f"{FULL_SCALE:g}."
        )
    return samples


def _computer(options: FeatureOptions) -> Any:
    """Makes the library's object for these options."""
    library = _library()
    mfcc = options.kind == "mfcc"
    settings = library.MfccOptions() if mfcc else library.FbankOptions()
    frames, bands = settings.frame_opts, settings.mel_opts
    frames.samp_freq = options.sample_frequency
    # The library multiplies in float32 and rounds down: half a sample more is safe from that.
    frames.frame_shift_ms = (options.shift_samples + 0.5) * 1000 / options.sample_frequency
    frames.frame_length_ms = (options.window_samples + 0.5) * 1000 / options.sample_frequency
    frames.dither = options.dither
    frames.preemph_coeff = options.preemphasis_coefficient
    for name in (
        "remove_dc_offset",
        "window_type",
        "round_to_power_of_two",
        "blackman_coeff",
        "snip_edges",
    ):
        setattr(frames, name, getattr(options, name))
    bands.num_bins = options.num_mel_bins
    bands.low_freq = options.low_freq
    bands.high_freq = options.high_freq
    own = ("num_ceps", "cepstral_lifter") if mfcc else ("use_log_fbank", "use_power")
    for name in (*own, "use_energy", "energy_floor", "raw_energy", "htk_compat"):
        setattr(settings, name, getattr(options, name))
    return library.OnlineMfcc(settings) if mfcc else library.OnlineFbank(settings)


def _library() -> Any:
    try:
        import kaldi_native_fbank
    except ImportError:
        raise MissingLibrary(
            'features are computed by kaldi-native-fbank: pip install "sedsdk[kaldi]"'
        ) from None
    return kaldi_native_fbank
