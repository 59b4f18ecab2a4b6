"""Renders plans of mixtures on band energies: thousands of training clips a minute.

Energies of independent sounds add, so a mixture needs no waveform: gather the frames of each
sound, change them, add them, and let the frontend compress the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sedsdk.audio import read_audio
from sedsdk.data.feature_cache import FeatureCache
from sedsdk.data.mixture_plans import NO_LABEL, UNUSED, MixturePlans
from sedsdk.data.sources import Source
from sedsdk.stages import Frontend
from sedsdk.types import Features, FrameGrid, Targets

NOISE_SECONDS = 20.0
LOWEST_POWER = 1e-9
"""Mean square below which a background counts as silence when levels are set: −90 dB."""
LOST_BAND_GAIN = 1e-5
REVERBERATION_DOUBLINGS = 7


@dataclass(frozen=True)
class EnergyBank:
    """Band energies of every source, one after the other, and of white noise at the end.

    Attributes:
        energies: float32 [frames of all sources, bands].
        power: float32 [frames], mean square of the waveform around each frame.
        first: int64 [sources + 1], where each source begins.
        frames: int64 [sources + 1], how many frames it has.
        grid: of the energies.
    """

    energies: Tensor
    power: Tensor
    first: Tensor
    frames: Tensor
    grid: FrameGrid

    @classmethod
    def build(
        cls,
        sources: Sequence[Source],
        frontend: Frontend,
        cache: FeatureCache | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> EnergyBank:
        """Computes the energies of every source, or reads them from the cache.

        Args:
            sources: recordings.
            frontend: an additive one.
            cache: where energies are kept between runs.
            progress: called with (done, total).

        Raises:
            AudioError: a recording cannot be read.
        """
        rate = frontend.sample_rate
        banks: list[np.ndarray] = []
        for index, source in enumerate(sources):
            if progress is not None:
                progress(index, len(sources))

            def compute(source: Source = source) -> np.ndarray:
                samples, _ = read_audio(source.path, rate, source.start, source.end)
                return _energies_and_power(samples, frontend)

            banks.append(compute() if cache is None else cache.get(source, compute))
        noise = np.random.default_rng(0).normal(size=int(NOISE_SECONDS * rate)).astype(np.float32)
        banks.append(_energies_and_power(noise, frontend))
        frames = torch.tensor([len(bank) for bank in banks])
        joined = torch.from_numpy(np.concatenate(banks))
        return cls(
            joined[:, :-1].contiguous(),
            joined[:, -1].contiguous(),
            torch.cumsum(frames, 0) - frames,
            frames,
            frontend.energy_spec.grid,
        )

    @property
    def durations(self) -> list[float]:
        """Seconds of each source, without the noise."""
        return [float(n) * self.grid.hop_seconds for n in self.frames[:-1]]

    def to(self, device: torch.device | str) -> EnergyBank:
        """Moves the bank, so that mixing happens there."""
        return EnergyBank(
            self.energies.to(device),
            self.power.to(device),
            self.first.to(device),
            self.frames.to(device),
            self.grid,
        )


def _energies_and_power(samples: np.ndarray, frontend: Frontend) -> np.ndarray:
    """Returns [T, bands + 1]: band energies, and the mean square around each frame."""
    waveform = torch.from_numpy(samples).unsqueeze(0).to(frontend.device)
    length = torch.tensor([len(samples)], device=frontend.device)
    with torch.no_grad():
        energies = frontend.energies(waveform, length).values[0].cpu()
    hop = frontend.energy_spec.grid.hop_seconds * frontend.sample_rate
    squares = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    centres = frontend.energy_spec.grid.times(len(energies)) * frontend.sample_rate
    begin = np.clip(np.rint(centres - hop / 2), 0, len(samples) - 1).astype(int)
    end = np.clip(np.rint(centres + hop / 2), begin + 1, len(samples)).astype(int)
    power = (squares[end] - squares[begin]) / (end - begin)
    return np.concatenate([energies.numpy(), power[:, None]], axis=1).astype(np.float32)


class EnergyMixer:
    """Turns plans into band energies and frame targets, on the bank's device.

    Args:
        bank: energies of the sources.
        n_classes: C.
        clip_seconds: length of a clip.
    """

    def __init__(self, bank: EnergyBank, n_classes: int, clip_seconds: float) -> None:
        self.bank = bank
        self.n_classes = n_classes
        self.n_frames = max(1, round(clip_seconds / bank.grid.hop_seconds))

    def render(self, plans: MixturePlans) -> tuple[Features, Targets]:
        """Renders a batch.

        Returns:
            Energies [B, T, bands] and targets with frame labels [B, T, C] on the same grid; all
            clips have the full length.
        """
        bank, device = self.bank, self.bank.energies.device
        batch, slots = plans.source.shape
        grid, bands = bank.grid, bank.energies.shape[1]
        as_tensor = {
            name: torch.from_numpy(np.ascontiguousarray(value)).to(device)
            for name, value in vars(plans).items()
        }
        used = as_tensor["source"] != UNUSED
        source = as_tensor["source"].clamp(min=0)

        times = torch.from_numpy(grid.times(self.n_frames)).to(device)
        since = times - as_tensor["onset"].unsqueeze(-1)  # [B, S, T]
        position = (
            since * as_tensor["rate"].unsqueeze(-1) + as_tensor["start"].unsqueeze(-1)
        ) / grid.hop_seconds
        index = position.round().long()
        count = bank.frames[source].unsqueeze(-1)
        looped = as_tensor["looped"].unsqueeze(-1)
        heard = used.unsqueeze(-1) & (
            looped | ((index >= 0) & (index < count) & (since >= -grid.hop_seconds / 2))
        )
        there = _there_and_back(index, count)
        frame = bank.first[source].unsqueeze(-1) + torch.where(
            looped, there, index.clamp(min=0).minimum(count - 1)
        )

        loud = heard.to(torch.float32)
        power = bank.power[frame] * loud  # [B, S, T]
        swell = _curve(as_tensor["swell_db"], self.n_frames).unsqueeze(1)  # [B, 1, T]
        background_slots = torch.zeros(slots, dtype=torch.bool, device=device)
        background_slots[: plans.noise_slot] = True
        gains = _decibel_power(as_tensor["level_db"]).float().unsqueeze(-1)  # [B, S, 1]
        gains = torch.where(background_slots.view(1, -1, 1), gains * swell, gains)
        behind = (power * gains)[:, : plans.noise_slot].sum(1, keepdim=True)  # [B, 1, T]
        heard_frames = loud.sum(-1).clamp(min=1)
        under = ((behind * loud).sum(-1) / heard_frames).clamp(min=LOWEST_POWER)
        own = (power.sum(-1) / heard_frames).clamp(min=LOWEST_POWER)
        placed = torch.arange(slots, device=device) > plans.noise_slot
        gains = torch.where(placed.view(1, -1, 1), gains * (under / own).unsqueeze(-1), gains)

        equaliser = _curve(as_tensor["equaliser_db"], bands)  # [B, S, bands]
        total = torch.zeros(batch, self.n_frames, bands, device=device)
        for slot in range(slots):
            if not bool(used[:, slot].any()):
                continue
            sound = bank.energies[frame[:, slot]]  # [B, T, bands]
            if bool(placed[slot]):
                sound = _shifted(sound, as_tensor["shift"][:, slot] * bands)
            sound = sound * equaliser[:, slot].unsqueeze(1)
            sound = sound * (gains[:, slot] * loud[:, slot]).unsqueeze(-1)
            if bool(placed[slot]):
                sound = _reverberated(
                    sound,
                    as_tensor["reverberation_db"][:, slot],
                    as_tensor["reverberation_seconds"][:, slot],
                    grid.hop_seconds,
                )
            total += sound
        channel = _curve(as_tensor["channel_db"], bands) * _decibel_power(
            as_tensor["gain_db"]
        ).float().unsqueeze(-1)
        axis = (torch.arange(bands, device=device) + 0.5) / bands
        lost = axis.unsqueeze(0) > as_tensor["cut"].unsqueeze(-1)
        channel = torch.where(lost, channel * LOST_BAND_GAIN, channel)
        lengths = torch.full((batch,), self.n_frames, device=device)
        features = Features(total * channel.unsqueeze(1), lengths, grid)
        return features, self._targets(as_tensor["label"], heard)

    def _targets(self, label: Tensor, heard: Tensor) -> Targets:
        batch, _, n_frames = heard.shape
        one_hot = F.one_hot(label.clamp(min=0), self.n_classes).bool()
        one_hot &= (label != NO_LABEL).unsqueeze(-1)  # [B, S, C]
        frames = (heard.unsqueeze(-1) & one_hot.unsqueeze(2)).any(1).float()  # [B, T, C]
        known = torch.ones(batch, self.n_classes, dtype=torch.bool, device=heard.device)
        return Targets(
            frames.amax(1),
            known,
            frames,
            known.unsqueeze(1).expand(-1, n_frames, -1),
            self.bank.grid,
        )


def _decibel_power(decibel: Tensor) -> Tensor:
    return 10.0 ** (decibel / 10.0)


def _there_and_back(index: Tensor, count: Tensor) -> Tensor:
    """Folds an index into 0 … count − 1, running forwards and backwards."""
    period = (2 * (count - 1)).clamp(min=1)
    folded = index.remainder(period)
    return torch.where(folded >= count, period - folded, folded)


def _curve(points_db: Tensor, n: int) -> Tensor:
    """Returns power gains [..., n] interpolated linearly in dB between points [..., K]."""
    flat = points_db.float().flatten(0, -2).unsqueeze(1)
    curve = F.interpolate(flat, size=n, mode="linear", align_corners=True)
    return _decibel_power(curve.view(*points_db.shape[:-1], n))


def _shifted(sound: Tensor, bands: Tensor) -> Tensor:
    """Moves [B, T, F] by a fractional number of bands per clip; the edge band fills up."""
    n = sound.shape[2]
    wanted = torch.arange(n, device=sound.device) - bands.unsqueeze(-1)  # [B, F]
    low = wanted.floor()
    share = (wanted - low).to(sound.dtype).unsqueeze(1)
    lower = low.long().clamp(0, n - 1).unsqueeze(1).expand_as(sound)
    upper = (low.long() + 1).clamp(0, n - 1).unsqueeze(1).expand_as(sound)
    return sound.gather(2, lower) * (1 - share) + sound.gather(2, upper) * share


def _reverberated(sound: Tensor, level_db: Tensor, seconds: Tensor, hop_seconds: float) -> Tensor:
    """Adds an exponential tail: y = x + level · (1 − a) Σ_k a^k x_{t−1−k}, a = 10^(−6 hop / T60).

    The sum runs over 2^7 frames and is built by doubling: seven shifted additions.
    """
    if bool(torch.isneginf(level_db).all()):
        return sound
    decay = (10.0 ** (-6.0 * hop_seconds / seconds)).to(sound.dtype).view(-1, 1, 1)
    tail = F.pad(sound, (0, 0, 1, 0))[:, :-1]
    for step in range(REVERBERATION_DOUBLINGS):
        delay = 2**step
        if delay >= sound.shape[1]:
            break
        tail = tail + decay**delay * F.pad(tail, (0, 0, delay, 0))[:, :-delay]
    level = _decibel_power(level_db).to(sound.dtype).view(-1, 1, 1)
    return sound + level * (1 - decay) * tail
