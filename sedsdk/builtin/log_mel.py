"""Frontend `log_mel`: mel-band energies, compressed, normalised, averaged and stacked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from sedsdk.audio.mel import MelScale, mel_filters
from sedsdk.builtin.mel_bands import MelBands, WindowName, window_values
from sedsdk.contract import PartConfig
from sedsdk.errors import ConfigError, TrainingError
from sedsdk.stages import Frontend, StreamSpec
from sedsdk.types import Features

SMALLEST_DEVIATION = 1e-6
"""Bands that vary less over the training data are centred only, not scaled."""


class LogMelConfig(PartConfig):
    """Options of `LogMel`."""

    sample_rate: int = Field(44100, gt=0, description="hertz")
    window_seconds: float = Field(0.04, gt=0, description="window length, rounded to whole samples")
    hop_seconds: float = Field(0.02, gt=0, description="frame distance, rounded to whole samples")
    n_fft: int | None = Field(
        None, ge=2, description="FFT size in samples; null: the window's next power of two"
    )
    window: WindowName = Field("hann", description="window function")
    periodic: bool = Field(True, description="periodic window (librosa); false: symmetric (Kaldi)")
    center: bool = Field(
        True,
        description="centre frame i at i hops, zeros beyond the clip (librosa); false: the first "
        "frame begins with the clip and the last ends within it (Kaldi)",
    )
    drop_last: bool = Field(
        False,
        description="with center, a clip of n hops has n + 1 frames, the last on its very end "
        "(30 s at 20 ms: 1501); true: n frames (10 s at 20 ms: 500)",
    )
    n_mels: int = Field(64, gt=0, description="mel bands")
    f_min: float = Field(0.0, ge=0, description="lower edge of the first band, in hertz")
    f_max: float | None = Field(
        None, gt=0, description="upper edge of the last band, in hertz; null: half the sample rate"
    )
    mel_scale: MelScale = Field("htk", description="mel scale")
    area_norm: bool = Field(False, description="filters of equal area (Slaney), not equal height")
    power: Literal[1, 2] = Field(2, description="spectrum to filter: 1 magnitude, 2 power")
    compression: Literal["log", "log1p", "db", "none"] = Field(
        "log",
        description="log: ln max(x, floor); log1p: ln(1 + log_factor x); "
        "db: decibels of max(x, floor); none: x",
    )
    floor: float = Field(1e-10, ge=1e-37, description="least energy that log and db tell apart")
    log_factor: float = Field(10000.0, gt=0, description="c of ln(1 + c x)")
    normalise: Literal["none", "band", "min_max"] = Field(
        "none",
        description="band: zero mean and unit deviation per band over the training data (needs "
        "fitting); min_max: each clip's smallest and largest value become 0 and 1",
    )
    skip_silence: bool = Field(
        True,
        description="leave frames of digital silence, such as zero padding in the files, out of "
        "the fitted mean and deviation",
    )
    average_frames: int = Field(1, ge=1, description="frames whose mean becomes one")
    context_frames: int = Field(
        0, ge=0, description="neighbours on each side that are stacked onto a frame"
    )

    @property
    def window_samples(self) -> int:
        """Window length in samples."""
        return round(self.window_seconds * self.sample_rate)

    @property
    def hop_samples(self) -> int:
        """Distance of frames before averaging, in samples."""
        return round(self.hop_seconds * self.sample_rate)

    @property
    def fft_size(self) -> int:
        """FFT size in samples."""
        return self.n_fft or max(2, 1 << (self.window_samples - 1).bit_length())

    @model_validator(mode="after")
    def _frames_fit(self) -> LogMelConfig:
        for name, samples in (
            ("window_seconds", self.window_samples),
            ("hop_seconds", self.hop_samples),
        ):
            if samples < 1:
                raise ValueError(
                    f"{name} = {getattr(self, name)} is below one sample at {self.sample_rate} Hz: "
                    f"give at least {1 / self.sample_rate:.3g}"
                )
        if self.window_samples > self.fft_size:
            raise ValueError(
                f"n_fft = {self.n_fft} is shorter than the window of {self.window_seconds} s, "
                f"{self.window_samples} samples: give at least that, or null"
            )
        return self

    @model_validator(mode="after")
    def _bands_fit(self) -> LogMelConfig:
        nyquist = self.sample_rate / 2
        top = nyquist if self.f_max is None else self.f_max
        if not self.f_min < top <= nyquist:
            raise ValueError(
                f"f_min = {self.f_min:g} and f_max = {top:g} must lie so that f_min < f_max <= "
                f"{nyquist:g} Hz, half the sample rate"
            )
        try:
            mel_filters(self.sample_rate, self.fft_size, self.n_mels, self.f_min, self.f_max)
        except ConfigError as error:
            raise ValueError(f"n_mels = {self.n_mels}: {error}") from None
        return self


class LogMel(Frontend):
    """Log-mel energies, [B, N] → [B, T, n_mels · (2 · context_frames + 1)].

    In this order: windowed DFT, |X|^power, mel filters, compression, normalisation, mean of every
    `average_frames` frames (a clip's last group may be smaller), stacking of each frame's
    neighbours from −context_frames to +context_frames (a clip's first and last frame repeated
    beyond its ends). Scales: S. Young et al., The HTK Book, section 5.4; M. Slaney, Auditory
    Toolbox, 1998.

    Frame i before averaging lies at i · hop with `center`, else at i · hop + window / 2. Zeros
    surround a clip wherever its buffer ends, so padding never shows. With the default options the
    values are those of `librosa.feature.melspectrogram(center=True, pad_mode="constant")` followed
    by a floored natural logarithm.

    With `power` 2 the frontend is additive: energies of sounds that are not correlated add up in
    expectation, and `compress` makes features of them.

    Buffers, with normalise "band" only: `mean` and `deviation` [n_mels], `fitted`.
    """

    Config = LogMelConfig
    config: LogMelConfig
    mean: Tensor
    deviation: Tensor
    fitted: Tensor

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__(config)
        self.sample_rate = config.sample_rate
        self.bands = MelBands(
            window_values(config.window, config.window_samples, config.periodic),
            config.hop_samples,
            config.fft_size,
            mel_filters(
                config.sample_rate,
                config.fft_size,
                config.n_mels,
                config.f_min,
                config.f_max,
                config.mel_scale,
                config.area_norm,
            ),
            config.power,
            config.center,
            config.drop_last,
            config.sample_rate,
        )
        self.spec = StreamSpec(
            config.n_mels * (2 * config.context_frames + 1),
            self.bands.grid.reduced(config.average_frames),
        )
        if config.normalise == "band":
            self.register_buffer("mean", torch.zeros(config.n_mels))
            self.register_buffer("deviation", torch.ones(config.n_mels))
            self.register_buffer("fitted", torch.tensor(False))

    def frame_count(self, n_samples: int) -> int:
        """Returns the number of frames for a clip of `n_samples` samples, at least 1."""
        return -(-self.bands.frame_count(n_samples) // self.config.average_frames)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Computes features: float64 for float64 waveforms, else float32.

        Args:
            waveforms: float [B, N] in [-1, 1]; samples at and after a clip's length are ignored.
            lengths: int64 [B], samples per clip, each from 1 to N.

        Returns:
            Features [B, T, size] with zero padding.

        Raises:
            AudioError: the shapes do not fit, or a clip has no samples.
            TrainingError: normalise is "band" and nothing has been fitted.
        """
        return self._features(self.bands(waveforms, lengths))

    # Energies

    @property
    def additive(self) -> bool:
        """True with `power` 2."""
        return self.config.power == 2

    @property
    def energy_spec(self) -> StreamSpec:
        """`n_mels` bands on the grid before averaging."""
        self._require_additive()
        return StreamSpec(self.config.n_mels, self.bands.grid)

    def energies(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Waveforms [B, N] → mel power [B, T, n_mels], before averaging; arguments as `forward`."""
        self._require_additive()
        bands: Features = self.bands(waveforms, lengths)
        return bands

    def compress(self, energies: Features) -> Features:
        """Mel power [B, T, n_mels] → the features that `forward` gives; the input is kept.

        Raises:
            TrainingError: normalise is "band" and nothing has been fitted.
        """
        self._require_additive()
        return self._features(energies)

    def _require_additive(self) -> None:
        if not self.additive:
            raise NotImplementedError(
                "log_mel with power = 1 is not additive: magnitudes of a mixture are not the sum "
                "of its parts' magnitudes. Set power = 2."
            )

    # Fitting

    @property
    def needs_fit(self) -> bool:
        """True while normalise is "band" and nothing has been fitted."""
        return self.config.normalise == "band" and not bool(self.fitted)

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Fits mean and deviation per band; does nothing unless normalise is "band".

        Args:
            batches: pairs of waveforms [B, N] and lengths [B] of training audio, on any device.

        Raises:
            TrainingError: there is no frame to fit on, or a value is not finite.
        """
        device = self.bands.filters.device
        self._fit(self.bands(wave.to(device), length.to(device)) for wave, length in batches)

    def fit_energies(self, batches: Iterable[Features]) -> None:
        """`fit` from energies [B, T, n_mels] of training audio.

        Raises:
            TrainingError: there is no frame to fit on, or a value is not finite.
        """
        self._require_additive()
        self._fit(batches)

    @torch.no_grad()
    def _fit(self, batches: Iterable[Features]) -> None:
        """Joins the moments of every batch in float64 (Chan, Golub and LeVeque 1983)."""
        if self.config.normalise != "band":
            return
        count = 0
        mean = torch.zeros_like(self.mean, dtype=torch.float64)
        squares = torch.zeros_like(mean)
        for energies in batches:
            used = energies.mask()
            if self.config.skip_silence:
                used = used & (energies.values != 0).any(-1)
            frames = self._compressed(energies.values[used]).to(mean)  # [frames, n_mels]
            if not len(frames):
                continue
            here = frames.mean(0)
            shift = here - mean
            total = count + len(frames)
            squares += (frames - here).square().sum(0) + shift.square() * (
                count * len(frames) / total
            )
            mean += shift * (len(frames) / total)
            count = total
        if not count:
            raise TrainingError(
                "log_mel has nothing to fit its mean and deviation on: the training audio is empty "
                "or digital silence. Check the training data, or set normalise to another value."
            )
        deviation = (squares / count).sqrt()
        if not bool((mean.isfinite() & deviation.isfinite()).all()):
            raise TrainingError(
                "log_mel cannot fit its mean and deviation: the training audio holds NaN or "
                "infinite samples. Read it with sedsdk.audio.read_audio, which refuses them."
            )
        deviation[deviation < SMALLEST_DEVIATION] = 1.0
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)
        self.fitted.fill_(True)

    # Features of energies

    def _features(self, energies: Features) -> Features:
        values = self._compressed(energies.values)
        mask = energies.mask().unsqueeze(-1)
        if self.config.normalise == "band":
            if self.needs_fit:
                raise TrainingError(
                    'log_mel with normalise = "band" has not been fitted. Call fit(batches) with '
                    "training audio, train with `sedsdk train`, or load a trained model."
                )
            values = (values - self.mean.to(values)) / self.deviation.to(values)
        elif self.config.normalise == "min_max":
            values = _min_max(values, mask)
        values = values.masked_fill(~mask, 0.0)
        features = Features(values, energies.lengths, energies.grid)
        if self.config.average_frames > 1:
            features = _averaged(features, self.config.average_frames)
        if self.config.context_frames:
            features = _stacked(features, self.config.context_frames)
        return features

    def _compressed(self, energies: Tensor) -> Tensor:
        config = self.config
        if config.compression == "none":
            return energies
        if config.compression == "log1p":
            return torch.log1p(config.log_factor * energies)
        logarithm = energies.clamp(min=config.floor).log()
        if config.compression == "log":
            return logarithm
        return logarithm * (20.0 / config.power / math.log(10.0))


def _min_max(values: Tensor, mask: Tensor) -> Tensor:
    """Scales each clip's valid values [B, T, F] to [0, 1]; a clip without contrast becomes 0."""
    lowest = values.masked_fill(~mask, math.inf).amin((1, 2), keepdim=True)
    highest = values.masked_fill(~mask, -math.inf).amax((1, 2), keepdim=True)
    spread = highest - lowest
    flat = spread <= torch.finfo(values.dtype).tiny
    scaled = (values - lowest) / spread.masked_fill(flat, 1.0)
    return scaled.masked_fill(flat, 0.0)


def _averaged(features: Features, factor: int) -> Features:
    """Joins every `factor` frames into the mean of those that the clip has."""
    batch, n_frames, bands = features.values.shape
    missing = -n_frames % factor
    frames = F.pad(features.values, (0, 0, 0, missing))
    known = F.pad(features.mask(), (0, missing))
    sums = frames.reshape(batch, -1, factor, bands).sum(2)
    counts = known.reshape(batch, -1, factor).sum(2).clamp(min=1)
    lengths = torch.div(features.lengths + factor - 1, factor, rounding_mode="floor")
    return Features(sums / counts.unsqueeze(-1), lengths, features.grid.reduced(factor))


def _stacked(features: Features, context: int) -> Features:
    """Puts the frames t − context … t + context side by side, each clip's ends repeated."""
    values = features.values
    batch, n_frames, _ = values.shape
    offsets = torch.arange(-context, context + 1, device=values.device)
    frame = torch.arange(n_frames, device=values.device).unsqueeze(1) + offsets  # [T, 2k + 1]
    last = (features.lengths - 1).clamp(min=0).view(-1, 1, 1)
    index = torch.minimum(frame.unsqueeze(0), last).clamp(min=0)  # [B, T, 2k + 1]
    clip = torch.arange(batch, device=values.device).view(-1, 1, 1)
    stacked = values[clip, index].flatten(2)
    return Features(stacked, features.lengths, features.grid).zero_padded()
