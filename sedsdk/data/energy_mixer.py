"""Renders plans of mixtures on band energies: thousands of training clips a minute.

Energies of independent sounds add, so a mixture needs no waveform: gather the frames of each
sound, change them, add them, and let the frontend compress the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sedsdk.audio import read_audio
from sedsdk.data.feature_cache import FeatureCache
from sedsdk.data.mixture_plans import NO_LABEL, UNUSED, MixturePlans
from sedsdk.data.source_set import Source
from sedsdk.stages import Frontend
from sedsdk.types import Features, FrameGrid, Targets

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE_SECONDS = 20.0
LOWEST_POWER = 1e-9
"""Mean square below which a background counts as silence when levels are set: −90 dB."""
LOST_BAND_GAIN = 1e-5


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
            progress: called with (recordings done, recordings in all).

        Raises:
            AudioError: a recording cannot be read.
        """
        rate = frontend.sample_rate
        banks: list[np.ndarray] = []
        for done, source in enumerate(sources):
            if progress:
                progress(done, len(sources))

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


@dataclass(frozen=True)
class _Layout:
    """What every slot S of a batch plays.

    Attributes:
        heard: bool [B, S, T].
        frame: int64 [B, S, T], frame of the bank.
        gain: [B, S, T], power gain, zero where nothing is heard.
        equaliser: [B, S, bands], power gain.
    """

    heard: Tensor
    frame: Tensor
    gain: Tensor
    equaliser: Tensor


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
        bank = self.bank
        batch, slots = plans.source.shape
        drawn = {
            name: torch.from_numpy(np.ascontiguousarray(value)).to(bank.energies.device)
            for name, value in vars(plans).items()
        }
        layout = self._layout(drawn, plans.noise_slot)
        total = bank.energies.new_zeros(batch, self.n_frames, bank.energies.shape[1])
        used = plans.source != UNUSED
        with_tail = used & np.isfinite(plans.reverberation_db)
        for slot in range(slots):
            if slot <= plans.noise_slot:
                self._add_running(total, layout, slot, np.flatnonzero(used[:, slot]))
                continue
            dry = np.flatnonzero(used[:, slot] & ~with_tail[:, slot])
            if dry.size:
                clip, time, sound = self._placed(layout, drawn, slot, dry)
                total.view(-1, sound.shape[1]).index_add_(0, clip * self.n_frames + time, sound)
            wet = np.flatnonzero(with_tail[:, slot])
            if wet.size:
                self._add_with_tails(total, layout, drawn, slot, wet)
        total *= _channel(drawn, total.shape[2]).unsqueeze(1)
        lengths = torch.full((batch,), self.n_frames, device=total.device)
        return Features(total, lengths, bank.grid), self._targets(drawn["label"], layout.heard)

    def _layout(self, drawn: Mapping[str, Tensor], noise_slot: int) -> _Layout:
        """Says which bank frame every slot plays when, and how loud."""
        bank, grid = self.bank, self.bank.grid
        used, looped = drawn["source"] != UNUSED, drawn["looped"].unsqueeze(-1)
        source = drawn["source"].clamp(min=0)
        times = torch.from_numpy(grid.times(self.n_frames)).to(source.device)
        since = times - drawn["onset"].unsqueeze(-1)  # [B, S, T]
        seconds = since * drawn["rate"].unsqueeze(-1) + drawn["start"].unsqueeze(-1)
        index = (seconds / grid.hop_seconds).round_().long()
        count = bank.frames[source].unsqueeze(-1)
        inside = (index >= 0) & (index < count) & (since >= -grid.hop_seconds / 2)
        heard = used.unsqueeze(-1) & (looped | inside)
        played = torch.where(
            looped, _there_and_back(index, count), index.clamp_(min=0).minimum(count - 1)
        )
        frame = bank.first[source].unsqueeze(-1) + played

        loud = heard.to(bank.power.dtype)
        power = bank.power[frame] * loud
        gain = (
            _decibel_power(drawn["level_db"])
            .to(loud.dtype)
            .unsqueeze(-1)
            .repeat_interleave(self.n_frames, -1)
        )
        gain[:, :noise_slot] *= _curve(drawn["swell_db"], self.n_frames).unsqueeze(1)
        behind = (power * gain)[:, :noise_slot].sum(1, keepdim=True)  # [B, 1, T]
        heard_frames = loud.sum(-1).clamp(min=1)
        under = ((behind * loud).sum(-1) / heard_frames).clamp(min=LOWEST_POWER)
        own = (power.sum(-1) / heard_frames).clamp(min=LOWEST_POWER)
        gain[:, noise_slot + 1 :] *= (under / own)[:, noise_slot + 1 :].unsqueeze(-1)
        equaliser = _curve(drawn["equaliser_db"], bank.energies.shape[1])
        return _Layout(heard, frame, gain * loud, equaliser)

    def _add_running(
        self, total: Tensor, layout: _Layout, slot: int, clips: NDArray[np.intp]
    ) -> None:
        """Adds the backgrounds or the noise of those clips that have one in the slot."""
        if not clips.size:
            return
        rows = torch.from_numpy(clips).to(total.device)
        sound = self.bank.energies[layout.frame[rows, slot]]  # [n, T, bands]
        sound *= layout.gain[rows, slot].unsqueeze(-1)
        sound *= layout.equaliser[rows, slot].unsqueeze(1)
        total.index_add_(0, rows, sound)

    def _placed(
        self,
        layout: _Layout,
        drawn: Mapping[str, Tensor],
        slot: int,
        clips: NDArray[np.intp],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the heard frames of a slot: row in `clips` → clip [N], frame [N], sound."""
        rows = torch.from_numpy(clips).to(layout.heard.device)
        row, time = layout.heard[rows, slot].nonzero(as_tuple=True)
        clip = rows[row]
        sound = self.bank.energies[layout.frame[clip, slot, time]]  # [N, bands]
        sound = _shifted(sound, drawn["shift"][clip, slot] * sound.shape[1])
        sound *= layout.gain[clip, slot, time].unsqueeze(-1)
        sound *= layout.equaliser[clip, slot]
        return clip, time, sound

    def _add_with_tails(
        self,
        total: Tensor,
        layout: _Layout,
        drawn: Mapping[str, Tensor],
        slot: int,
        clips: NDArray[np.intp],
    ) -> None:
        rows = torch.from_numpy(clips).to(total.device)
        clip, time, sound = self._placed(layout, drawn, slot, clips)
        spread = total.new_zeros(len(rows), *total.shape[1:])
        spread[torch.searchsorted(rows, clip), time] = sound
        spread = _reverberated(
            spread,
            drawn["reverberation_db"][rows, slot],
            drawn["reverberation_seconds"][rows, slot],
            self.bank.grid.hop_seconds,
        )
        total.index_add_(0, rows, spread)

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


def _channel(drawn: Mapping[str, Tensor], bands: int) -> Tensor:
    """Returns the power gain of the whole clip per band: [B, bands]."""
    gain = _curve(drawn["channel_db"], bands)
    gain = gain * _decibel_power(drawn["gain_db"]).to(gain.dtype).unsqueeze(-1)
    axis = (torch.arange(bands, device=gain.device) + 0.5) / bands
    lost = axis.unsqueeze(0) > drawn["cut"].unsqueeze(-1)
    return torch.where(lost, gain * LOST_BAND_GAIN, gain)


def _shifted(sound: Tensor, bands: Tensor) -> Tensor:
    """Moves frames [N, F] by a fractional number of bands each; the edge band fills up."""
    n = sound.shape[1]
    wanted = torch.arange(n, device=sound.device) - bands.unsqueeze(-1)  # [N, F]
    low = wanted.floor()
    share = (wanted - low).to(sound.dtype)
    lower = sound.gather(1, low.long().clamp_(0, n - 1))
    upper = sound.gather(1, (low.long() + 1).clamp_(0, n - 1))
    return torch.lerp(lower, upper, share)


def _reverberated(sound: Tensor, level_db: Tensor, seconds: Tensor, hop_seconds: float) -> Tensor:
    """Adds an exponential tail: y = x + level · (1 − a) Σ_k a^k x_{t−1−k}, a = 10^(−6 hop / T60).

    The sum runs until it has fallen by 60 dB, and is built by doubling: each step adds what came
    2^i frames before. A clip's own T60 ends its sum, so that other clips' tails do not matter.
    """
    frames = (seconds / hop_seconds).view(-1, 1, 1)  # in which the tail falls by 60 dB
    decay = 10.0 ** (-6.0 / frames)
    tail = F.pad(sound, (0, 0, 1, 0))[:, :-1].contiguous()
    delay, longest = 1, min(float(frames.max()), sound.shape[1] - 1)
    while delay < longest:
        share = torch.where(frames > delay, decay**delay, torch.zeros_like(decay))
        tail[:, delay:] += share.to(sound.dtype) * tail[:, :-delay]
        delay *= 2
    level = _decibel_power(level_db).view(-1, 1, 1) * (1 - decay)
    return tail.mul_(level.to(sound.dtype)).add_(sound)
