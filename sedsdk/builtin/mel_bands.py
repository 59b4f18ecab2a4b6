"""Waveforms to mel-band energies: framing, window, FFT and mel filters, in bounded memory."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedsdk.errors import AudioError, ConfigError, did_you_mean
from sedsdk.types import Features, FrameGrid, frame_mask

WindowName = Literal["hann", "hamming", "rectangular", "povey"]
POVEY_EXPONENT = 0.85
CPU_BLOCK_VALUES = 1 << 17
"""Samples that are windowed and transformed at a time on a CPU: 1 MB in float64, so that a block
and its spectrum stay in the cache."""
BANDS_PER_PRODUCT = 32
"""Bands that are filtered at a time on a CPU, from the bins that they cover and no others."""
DEVICE_BLOCK_VALUES = 1 << 24
"""Samples at a time on an accelerator, where few large steps are faster than many small ones."""


def window_values(
    name: WindowName, n_samples: int, periodic: bool = True
) -> npt.NDArray[np.float64]:
    """Returns a window function.

    With u = n / M, where M is `n_samples` for a periodic window and `n_samples` − 1 for a symmetric
    one: hann 0.5 − 0.5 cos 2πu, hamming 0.54 − 0.46 cos 2πu, povey hann^0.85 (Kaldi's),
    rectangular 1.

    Args:
        name: "hann", "hamming", "rectangular" or "povey".
        n_samples: at least 1; a window of one sample is 1.
        periodic: one period of the cosine; False: first and last value are equal.

    Returns:
        float64 [n_samples].

    Raises:
        ConfigError: the window is unknown.
    """
    known = get_args(WindowName)
    if name not in known:
        raise ConfigError(
            f'unknown window "{name}".{did_you_mean(name, known)} '
            f"Choose one of: {', '.join(known)}."
        )
    if name == "rectangular" or n_samples == 1:
        return np.ones(n_samples)
    turns = np.arange(n_samples) / (n_samples if periodic else n_samples - 1)
    cosine = np.cos(2 * np.pi * turns)
    if name == "hamming":
        return np.asarray(0.54 - 0.46 * cosine)
    hann = 0.5 - 0.5 * cosine
    return np.asarray(hann**POVEY_EXPONENT if name == "povey" else hann)


class MelBands(nn.Module):
    """Waveforms [B, N] → mel-band energies [B, T, n_mels].

    Frame i is the window's samples from `i * hop + first_sample` on, zero before the clip and at
    and behind its end; its energies are Σ_k filters[m, k] |X[k]|^power of its DFT.

    With `center` the window's middle lies at sample i · hop, as in librosa with
    `pad_mode="constant"`. Without, frame 0 begins at sample 0 and the last one ends within the
    clip, as in Kaldi with `snip_edges`; a clip shorter than the window still gives one frame.

    Window and DFT are computed in float64 (float32 on Apple's mps, which lacks it), the rest in the
    precision of the result. In float32, rounding in a loud band hides a band that is 100 dB below,
    as recordings hold above the bandwidth that they were made with.

    Args:
        window: float64 [W], W at most `n_fft`.
        hop: samples between frames, at least 1.
        n_fft: FFT size in samples.
        filters: float64 [n_mels, n_fft // 2 + 1].
        power: 1 (magnitude) or 2 (power).
        center: see above.
        drop_last: with `center`, give N // hop frames (but at least 1) instead of N // hop + 1.
        sample_rate: hertz.
    """

    filters: Tensor

    def __init__(
        self,
        window: npt.NDArray[np.float64],
        hop: int,
        n_fft: int,
        filters: npt.NDArray[np.float64],
        power: int,
        center: bool,
        drop_last: bool,
        sample_rate: int,
    ) -> None:
        super().__init__()
        self.hop = hop
        self.n_fft = n_fft
        self.power = power
        self.center = center
        self.drop_last = drop_last
        self.sample_rate = sample_rate
        self.window_size = len(window)
        self.first_sample = (n_fft - len(window)) // 2 - n_fft // 2 if center else 0
        first_seconds = 0.0 if center else len(window) / 2 / sample_rate
        self.grid = FrameGrid(hop / sample_rate, first_seconds)
        self._exact_window = window
        self._exact_filters = np.ascontiguousarray(filters.T)  # [bins, n_mels]
        self._groups = _groups(filters)
        self.register_buffer(
            "filters", torch.from_numpy(self._exact_filters).float(), persistent=False
        )

    def frame_count(self, n_samples: int) -> int:
        """Returns the number of frames for a clip of `n_samples` samples, at least 1."""
        if not self.center:
            return 1 + max(0, n_samples - self.window_size) // self.hop
        frames = n_samples // self.hop
        return max(1, frames) if self.drop_last else 1 + frames

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Features:
        """Computes band energies: float64 for float64 waveforms, else float32.

        Args:
            waveforms: float [B, N]; samples at and after a clip's length are ignored.
            lengths: int64 [B], samples per clip, each from 1 to N.

        Returns:
            Features [B, T, n_mels], not negative, zero on padding.

        Raises:
            AudioError: the shapes do not fit, or a clip has no samples or more than there are.
        """
        counts = self._checked_lengths(waveforms, lengths)
        frames = [self.frame_count(count) for count in counts]
        dtype = torch.float64 if waveforms.dtype == torch.float64 else torch.float32
        with torch.autocast(waveforms.device.type, enabled=False):
            waveforms = waveforms.to(dtype)
            gradient = torch.is_grad_enabled() and waveforms.requires_grad
            if gradient or waveforms.device.type != "cpu":
                values = self._batched(waveforms, lengths, max(frames))
            else:
                values = self._clip_by_clip(waveforms.detach(), counts, frames)
        features = Features(values, torch.tensor(frames, device=waveforms.device), self.grid)
        return features if min(frames) == max(frames) else features.zero_padded()

    def _checked_lengths(self, waveforms: Tensor, lengths: Tensor) -> list[int]:
        if waveforms.dim() != 2 or lengths.shape != waveforms.shape[:1] or not len(lengths):
            raise AudioError(
                f"a frontend reads waveforms [B, N] and lengths [B] of at least one clip, "
                f"got {tuple(waveforms.shape)} and {tuple(lengths.shape)}."
            )
        counts: list[int] = lengths.tolist()
        for clip, count in enumerate(counts):
            if not 1 <= count <= waveforms.shape[1]:
                raise AudioError(
                    f"clip {clip} is said to have {count} samples, in waveforms of "
                    f"{waveforms.shape[1]}. Give lengths from 1 to N; leave empty clips out."
                )
        return counts

    def _tables(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the window [W] and filters [bins, n_mels], whatever the module was cast to."""
        device = waveforms.device
        exact = torch.float32 if device.type == "mps" else torch.float64
        window = torch.as_tensor(self._exact_window, dtype=exact, device=device)
        if waveforms.dtype == self.filters.dtype == torch.float32:
            return window, self.filters
        return window, torch.as_tensor(self._exact_filters, dtype=waveforms.dtype, device=device)

    def _batched(self, waveforms: Tensor, lengths: Tensor, n_frames: int) -> Tensor:
        """Differentiable, all clips at once, a block of frames after the other."""
        batch, n_samples = waveforms.shape
        window, filters = self._tables(waveforms)
        clean = waveforms.masked_fill(~frame_mask(lengths, n_samples), 0.0)
        before = -self.first_sample
        behind = (n_frames - 1) * self.hop + self.window_size - before - n_samples
        padded = F.pad(clean, (before, max(0, behind)))
        frames = padded.unfold(1, self.window_size, self.hop)[:, :n_frames]  # [B, T, W]
        per_block = max(1, DEVICE_BLOCK_VALUES // (batch * self.n_fft))
        blocks = []
        for block in torch.split(frames, per_block, dim=1):
            spectrum = torch.fft.rfft(block * window, self.n_fft)  # [B, T, bins]
            power = torch.view_as_real(spectrum).square().sum(-1).to(waveforms.dtype)
            if self.power == 1:
                power = power.clamp(min=torch.finfo(power.dtype).tiny).sqrt()
            blocks.append(power @ filters)
        return torch.cat(blocks, dim=1)

    def _clip_by_clip(self, waveforms: Tensor, counts: list[int], n_frames: list[int]) -> Tensor:
        """The same without gradients, in place, in blocks that stay in a CPU's cache."""
        window, filters = self._tables(waveforms)
        size = self.window_size
        per_block = min(max(n_frames), max(1, CPU_BLOCK_VALUES // self.n_fft))
        windowed = window.new_zeros(per_block, self.n_fft)
        energies = waveforms.new_zeros(len(counts), max(n_frames), filters.shape[1])
        for clip, (n_samples, total) in enumerate(zip(counts, n_frames, strict=True)):
            for frame in range(0, total, per_block):
                many = min(per_block, total - frame)
                begin = frame * self.hop + self.first_sample
                end = begin + (many - 1) * self.hop + size
                samples = waveforms[clip, max(0, begin) : min(end, n_samples)].to(window.dtype)
                if begin < 0 or end > n_samples:
                    samples = F.pad(samples, (max(0, -begin), max(0, end - max(n_samples, begin))))
                block = windowed[:many]
                torch.mul(samples.unfold(0, size, self.hop), window, out=block[:, :size])
                parts = torch.view_as_real(torch.fft.rfft(block)).square_()  # [T, bins, 2]
                power = (parts[..., 0] + parts[..., 1]).to(waveforms.dtype)
                if self.power == 1:
                    power.sqrt_()
                block_energies = energies[clip, frame : frame + many]  # [T, n_mels]
                for bins, bands in self._groups:
                    torch.mm(power[:, bins], filters[bins, bands], out=block_energies[:, bands])
        return energies


def _groups(filters: npt.NDArray[np.float64]) -> list[tuple[slice, slice]]:
    """Returns bins and bands of each group of neighbouring filters [n_mels, bins]."""
    groups = []
    for first in range(0, len(filters), BANDS_PER_PRODUCT):
        bands = slice(first, min(first + BANDS_PER_PRODUCT, len(filters)))
        used = np.flatnonzero(filters[bands].any(axis=0))
        groups.append((slice(int(used[0]), int(used[-1]) + 1), bands))
    return groups
