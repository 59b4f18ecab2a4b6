"""What can be set about features, and what follows from it: sizes, dimensions, frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["mfcc", "fbank"]


@dataclass(frozen=True)
class FeatureSettings:
    """Settings of one kind of feature, whether they make sense or not.

    Names, units and defaults are Kaldi's; `FeatureOptions` says what they mean.
    """

    kind: Kind = "mfcc"
    sample_frequency: float = 16000.0
    frame_length: float = 25.0
    frame_shift: float = 10.0
    preemphasis_coefficient: float = 0.97
    remove_dc_offset: bool = True
    dither: float = 1.0
    window_type: str = "povey"
    round_to_power_of_two: bool = True
    blackman_coeff: float = 0.42
    snip_edges: bool = True
    num_mel_bins: int = 23
    low_freq: float = 20.0
    high_freq: float = 0.0
    num_ceps: int = 13
    use_energy: bool | None = None
    energy_floor: float = 0.0
    raw_energy: bool = True
    cepstral_lifter: float = 22.0
    htk_compat: bool = False
    use_log_fbank: bool = True
    use_power: bool = True

    @property
    def feature_dim(self) -> int:
        """Columns of a row."""
        if self.kind == "mfcc":
            return self.num_ceps
        return self.num_mel_bins + bool(self.use_energy)

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return int(self.sample_frequency)

    @property
    def window_samples(self) -> int:
        """Samples that one frame looks at, rounded down as Kaldi does."""
        return self._samples(self.frame_length)

    @property
    def shift_samples(self) -> int:
        """Samples from one frame to the next, rounded down as Kaldi does."""
        return self._samples(self.frame_shift)

    @property
    def frame_shift_seconds(self) -> float:
        """Time from one frame to the next."""
        return self.shift_samples / self.sample_rate

    @property
    def fft_size(self) -> int:
        """Points of the Fourier transform."""
        window = self.window_samples
        return 1 << (window - 1).bit_length() if self.round_to_power_of_two else window

    @property
    def context_samples(self) -> int:
        """Samples that a frame shares with the next one: what a stream has to remember."""
        return max(self.window_samples - self.shift_samples, 0)

    def first_sample(self, frame: int) -> int:
        """First sample that a frame looks at; without `snip_edges` it may be negative."""
        begin = frame * self.shift_samples
        if self.snip_edges:
            return begin
        return begin + self.shift_samples // 2 - self.window_samples // 2

    def frame_count(self, n_samples: int) -> int:
        """Rows that so many samples give; none if `snip_edges` and not even one frame fits."""
        if not self.snip_edges:
            return (n_samples + self.shift_samples // 2) // self.shift_samples
        if n_samples < self.window_samples:
            return 0
        return 1 + (n_samples - self.window_samples) // self.shift_samples

    def _samples(self, milliseconds: float) -> int:
        # Kaldi keeps both factors in float32, multiplies in float64 and cuts off the rest.
        return int(
            float(np.float32(self.sample_frequency)) * 0.001 * float(np.float32(milliseconds))
        )
