"""Log-mel spectrograms for the eye, in NumPy, at a cost that does not grow with the recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sedsdk.audio.mel import hz_to_mel, mel_filters
from sedsdk.errors import AudioError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

FloatArray = npt.NDArray[np.float64]

WINDOW_SECONDS = 0.04
SHORTEST_HOP_SECONDS = 0.01
MOST_COLUMNS = 1200
"""Columns of a picture: about its width in dots."""
MOST_WINDOWS_PER_COLUMN = 16
"""Windows averaged for one column; in longer columns they are spread evenly."""
MOST_BANDS = 96
MELS_PER_BAND = 25.0
FLOOR_DB = -120.0
SHOWN_RANGE_DB = 75.0
TICKS_HERTZ = (100, 250, 500, 1000, 2000, 4000, 8000, 16000)


@dataclass(frozen=True)
class Spectrogram:
    """Band levels over time.

    Attributes:
        levels: float64 [bands, columns] in dB re a full-scale sine, at least -120.
        seconds: duration of the recording; the columns divide it equally.
        top_hertz: upper end of the mel axis; its lower end is 0 Hz.
        first_seconds: where the samples begin in the recording that they are a span of.
    """

    levels: FloatArray
    seconds: float
    top_hertz: float
    first_seconds: float = 0.0

    def band_position(self, hertz: float) -> float:
        """Returns where a frequency lies on the band axis: 0 at 0 Hz, `bands` at the top."""
        return float(hz_to_mel(hertz) / hz_to_mel(self.top_hertz)) * len(self.levels)


def log_mel_spectrogram(
    samples: npt.ArrayLike, sample_rate: float, most_columns: int = MOST_COLUMNS
) -> Spectrogram:
    """Computes a log-mel spectrogram of at most `most_columns` columns.

    Hann windows of 40 ms, HTK mel bands with peak 1. A column is the mean power of the windows
    whose centres lie in it, of 16 evenly spread ones at most, so a day costs what ten minutes do.

    Args:
        samples: [N] in [-1, 1], one channel, at least one sample.
        sample_rate: hertz.
        most_columns: at least 1.

    Raises:
        AudioError: there are no samples, more than one channel, or samples that are not finite.
    """
    signal = np.asarray(samples)
    if signal.ndim != 1 or signal.size == 0:
        raise AudioError(
            f"a spectrogram needs samples [N] of one channel, at least one; got {signal.shape}."
        )
    window = np.hanning(max(16, round(WINDOW_SECONDS * sample_rate)) + 1)[:-1]
    n_fft = 1 << (2 * len(window) - 1).bit_length()
    seconds = signal.size / sample_rate
    n_columns = int(np.clip(seconds / SHORTEST_HOP_SECONDS, 1, most_columns))
    per_column = int(
        np.clip(seconds / n_columns / (WINDOW_SECONDS / 2), 1, MOST_WINDOWS_PER_COLUMN)
    )
    n_bands = int(np.clip(hz_to_mel(sample_rate / 2) / MELS_PER_BAND, 8, MOST_BANDS))
    filters = mel_filters(sample_rate, n_fft, n_bands)

    centres = (np.arange(n_columns * per_column) + 0.5) / (n_columns * per_column) * signal.size
    starts = np.round(centres).astype(np.int64) - len(window) // 2
    offsets = np.arange(len(window))
    scale = 4.0 / (n_fft * np.square(window).sum())  # one-sided power, 1 for a full-scale sine
    powers = np.empty((n_columns, n_bands))
    for first in range(0, n_columns, 64):
        rows = starts[first * per_column : (first + 64) * per_column]
        index = rows[:, np.newaxis] + offsets  # [windows, window]
        inside = (index >= 0) & (index < signal.size)
        frames = np.where(inside, signal[np.clip(index, 0, signal.size - 1)], 0.0) * window
        spectrum = np.abs(np.fft.rfft(frames, n_fft)) ** 2  # [windows, n_fft // 2 + 1]
        bands = spectrum @ filters.T * scale
        powers[first : first + 64] = bands.reshape(-1, per_column, n_bands).mean(1)
    if not np.isfinite(powers).all():
        raise AudioError(
            "the recording holds samples that are not finite (NaN or infinite); repair it first."
        )
    levels = 10.0 * np.log10(np.maximum(powers.T, 10.0 ** (FLOOR_DB / 10.0)))
    return Spectrogram(levels, seconds, sample_rate / 2)


def draw_spectrogram(axes: Axes, colour_axes: Axes | None, spectrogram: Spectrogram) -> AxesImage:
    """Draws a spectrogram with a mel axis in kHz and a colour bar in dB.

    Args:
        axes: where the picture goes.
        colour_axes: where its colour bar goes; None for no bar.
        spectrogram: what is drawn; the loudest 75 dB of it are told apart.
    """
    levels = spectrogram.levels
    top = max(float(np.percentile(levels, 99.8)), FLOOR_DB + SHOWN_RANGE_DB)
    image = axes.imshow(
        levels,
        origin="lower",
        aspect="auto",
        extent=(
            spectrogram.first_seconds,
            spectrogram.first_seconds + spectrogram.seconds,
            0.0,
            float(len(levels)),
        ),
        cmap="magma",
        vmin=top - SHOWN_RANGE_DB,
        vmax=top,
        interpolation="nearest",
    )
    hertz = [value for value in TICKS_HERTZ if value <= spectrogram.top_hertz]
    axes.set_yticks(
        [spectrogram.band_position(value) for value in hertz],
        [f"{value / 1000:g}" for value in hertz],
    )
    axes.set_ylabel("frequency (kHz, mel)", fontsize=11)
    if colour_axes is not None:
        bar: Any = axes.figure.colorbar(image, cax=colour_axes)
        bar.set_label("level (dB re full-scale sine)", fontsize=10)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=9)
    return image
