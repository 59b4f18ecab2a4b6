from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sedsdk.audio import write_audio
from sedsdk.builtin.log_mel import LogMel, LogMelConfig
from sedsdk.data.energy_mixer import EnergyBank, EnergyMixer
from sedsdk.data.mixture_plans import UNUSED, MixingConfig, MixturePlanner, MixturePlans
from sedsdk.data.sources import Source, SourceSet
from sedsdk.data.waveform_mixer import WaveformMixer
from sedsdk.types import FrameGrid, Targets

RATE, SECONDS, CLIPS = 8000, 4.0, 12
PLAIN: dict[str, Any] = {
    "clip_seconds": SECONDS,
    "equaliser_db": 0,
    "channel_db": 0,
    "swell": 0,
    "reverberation": 0,
    "rate": (1, 1),
    "shift": 0,
    "low_pass": 0,
    "gain_db": (0, 0),
    "event_to_background_db": (0, 12),
}
LABELS = ("dog", "siren")


class World:
    """Recordings of independent noise, each with its own colour."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)

        def made(name: str, label: str, seconds: float, level: float, tilt: float) -> Source:
            spectrum = np.fft.rfft(rng.normal(size=round(seconds * RATE)))
            spectrum *= (np.arange(len(spectrum)) / len(spectrum) + 0.1) ** tilt
            samples = np.fft.irfft(spectrum)
            samples *= level / samples.std()
            path = folder / f"{name}.wav"
            write_audio(path, samples.astype(np.float32), RATE, subtype="FLOAT")
            return Source(path, label, group=name)

        self.sources = SourceSet(
            (made("dog", "dog", 0.8, 0.1, 1.0), made("siren", "siren", 6.0, 0.05, -0.5)),
            (made("home", "home", 3.0, 0.02, -1.0), made("street", "home", 7.0, 0.05, 0.0)),
            (made("door", "door", 0.5, 0.1, 0.5),),
        )
        self.frontend = LogMel(LogMelConfig(sample_rate=RATE, n_mels=12))
        self.bank = EnergyBank.build(self.sources.sources, self.frontend)

    def plans(self, n: int = CLIPS, **options: Any) -> MixturePlans:
        config = MixingConfig(**{**PLAIN, **options})
        durations = [0.8, 6.0, 3.0, 7.0, 0.5]
        return MixturePlanner(self.sources, durations, LABELS, config, 1).draw(range(n))

    def mixer(self, rate: int = RATE) -> WaveformMixer:
        return WaveformMixer(self.sources.sources, 2, SECONDS, rate)

    def slow(self, plans: MixturePlans) -> tuple[Tensor, Targets]:
        audio, targets = self.mixer().render(plans, [RATE])
        with torch.no_grad():
            energies = self.frontend.energies(*audio[RATE])
        return energies.values[:, : round(SECONDS / 0.02)], targets(energies)

    def fast(self, plans: MixturePlans) -> tuple[Tensor, Targets]:
        features, targets = EnergyMixer(self.bank, 2, SECONDS).render(plans)
        return features.values, targets


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("sounds"))


def decibels(energies: Tensor) -> np.ndarray:
    """Mean level of every clip and band, over all frames but the first and last."""
    mean = energies[:, 1:-1].double().mean(1)
    return 10 * np.log10(mean.numpy())


class TestTwin:
    """Energies of a mixture of waveforms are, in the mean, the energy mixer's."""

    def test_levels_agree_without_augmentation(self, world: World) -> None:
        plans = world.plans(24)
        difference = decibels(world.slow(plans)[0]) - decibels(world.fast(plans)[0])
        # 200 frames of noise in a narrow band scatter by about half a decibel
        assert np.abs(difference).mean() < 0.3
        assert np.abs(difference).max() < 1.5
        assert abs(difference.mean()) < 0.15

    def test_levels_agree_with_equalisers_swells_and_gain(self, world: World) -> None:
        plans = world.plans(
            24, channel_db=1, equaliser_db=0.7, swell=1.0, gain_db=(-20, 5), presence=0.0,
            max_distractors=0,
        )  # fmt: skip
        difference = decibels(world.slow(plans)[0]) - decibels(world.fast(plans)[0])
        # the edge bands' centres lie within the mel axis, the curve's ends on its ends
        assert np.abs(difference).mean() < 0.4
        assert np.abs(difference[:, 2:-2]).max() < 1.2

    def test_tails_hold_the_same_energy(self, world: World) -> None:
        plans = world.plans(
            8, presence=1.0, max_distractors=0, max_events=1, reverberation=1.0,
            reverberation_db=(0, 0), reverberation_seconds=(0.3, 0.6),
            event_to_background_db=(20, 20),
        )  # fmt: skip
        plans = replace(plans, onset=np.zeros_like(plans.onset))
        slow, fast = (mix(plans)[0].sum((1, 2)).log10() * 10 for mix in (world.slow, world.fast))
        torch.testing.assert_close(slow, fast, atol=1.0, rtol=0)

    def test_labels_agree_to_the_frame(self, world: World) -> None:
        plans = world.plans(24, presence=1.0)
        on_grid = replace(plans, onset=np.round(plans.onset / 0.02) * 0.02)
        (_, slow), (_, fast) = world.slow(on_grid), world.fast(on_grid)
        assert torch.equal(slow.clip, fast.clip)
        one, other = slow.frames[:, :200], fast.frames
        onsets = [
            (frames.diff(dim=1, prepend=torch.zeros(24, 1, 2)) > 0) for frames in (one, other)
        ]
        assert torch.equal(*onsets)
        # a centred frontend gives a sound one frame more than it has hops
        assert int((one - other).abs().sum(1).max()) <= 2

    def test_labels_between_frames_are_a_frame_apart_at_most(self, world: World) -> None:
        plans = world.plans(24, presence=1.0, max_events=1)
        (_, slow), (_, fast) = world.slow(plans), world.fast(plans)
        first = [frames.argmax(1) for frames in (slow.frames[:, :200], fast.frames)]
        assert int((first[0] - first[1]).abs().max()) <= 1


class TestWaveforms:
    def test_the_event_ratio_is_the_plans(self, world: World) -> None:
        plans = world.plans(
            6, presence=1.0, max_events=1, max_distractors=0, noise_floor_db=(-300, -300)
        )
        silent = replace(plans, source=_without(plans.source, 3))
        both = world.mixer().render(plans, [RATE])[0][RATE][0].double().numpy()
        alone = world.mixer().render(silent, [RATE])[0][RATE][0].double().numpy()
        for row in range(6):
            event = both[row] - alone[row]
            (heard,) = np.nonzero(np.abs(event) > 1e-12)
            span = slice(heard[0], heard[-1] + 1)
            ratio = np.mean(event[span] ** 2) / np.mean(alone[row, span] ** 2)
            assert 10 * np.log10(ratio) == pytest.approx(plans.level_db[row, 3], abs=0.02)
            assert heard[0] / RATE == pytest.approx(plans.onset[row, 3], abs=2 / RATE)

    def test_low_pass_takes_50_db_above_its_share_of_the_mel_axis(self, world: World) -> None:
        plans = world.plans(3)
        cut = replace(plans, cut=np.array([0.3, 0.6, 0.9]))
        before, after = (
            np.abs(np.fft.rfft(world.mixer().render(p, [RATE])[0][RATE][0].double().numpy()))
            for p in (plans, cut)
        )
        hertz = np.fft.rfftfreq(round(SECONDS * RATE), 1 / RATE)
        for row in range(3):
            top = 2595 * np.log10(1 + RATE / 2 / 700) * cut.cut[row]  # mel, O'Shaughnessy
            edge = 700 * (10 ** (top / 2595) - 1)
            below, above = hertz < edge - 1, hertz > edge + 1
            np.testing.assert_allclose(after[row, below], before[row, below], atol=1e-3)
            lost = np.sum(after[row, above] ** 2) / np.sum(before[row, above] ** 2)
            assert 10 * np.log10(lost) == pytest.approx(-50, abs=0.1)

    def test_noise_has_its_level(self, world: World) -> None:
        plans = world.plans(3, presence=0, max_distractors=0, noise_floor_db=(-20, -20))
        quiet = replace(plans, level_db=np.where(np.arange(plans.source.shape[1]) == 2, -20, -300))
        quiet = replace(quiet, level_db=np.broadcast_to(quiet.level_db, plans.source.shape))
        waveforms = world.mixer().render(quiet, [RATE])[0][RATE][0]
        levels = 10 * waveforms.double().square().mean(1).log10()
        torch.testing.assert_close(levels, torch.full((3,), -20.0).double(), atol=0.2, rtol=0)
        assert not torch.equal(waveforms[0], waveforms[1])

    def test_unused_slots_never_stop_it(self, world: World) -> None:
        plans = world.plans(4, presence=0, max_distractors=0, max_events=8)
        assert (plans.source[:, 3:] == UNUSED).all()
        audio, _ = world.mixer().render(plans, [RATE])
        assert bool(torch.isfinite(audio[RATE][0]).all())

    def test_every_rate_asked_for_is_there(self, world: World) -> None:
        audio, _ = world.mixer().render(world.plans(2), [RATE, 4000])
        assert {rate: tuple(values.shape) for rate, (values, _) in audio.items()} == {
            8000: (2, 32000),
            4000: (2, 16000),
        }
        assert audio[4000][1].tolist() == [16000, 16000]

    def test_it_is_deterministic_clip_by_clip(self, world: World) -> None:
        plans = world.plans(4, reverberation=0.5, equaliser_db=3)
        first = world.mixer().render(plans, [RATE])[0][RATE][0]
        assert torch.equal(world.mixer().render(plans, [RATE])[0][RATE][0], first)
        turned = MixturePlans(**{name: value[::-1] for name, value in vars(plans).items()})
        assert torch.equal(world.mixer().render(turned, [RATE])[0][RATE][0], first.flip(0))

    def test_targets_follow_the_grid_that_they_are_asked_on(self, world: World) -> None:
        from sedsdk.types import Features

        plans = world.plans(4, presence=1.0, max_events=1)
        _, targets = world.mixer().render(plans, [RATE])
        grid = FrameGrid(0.1, 0.05)
        found = targets(Features(torch.zeros(4, 40, 3), torch.full((4,), 40), grid))
        assert found.grid == grid
        for row in range(4):
            label = plans.label[row, 3]
            onset = plans.onset[row, 3]
            seconds = 0.8 if label == 0 else SECONDS
            centres = 0.05 + 0.1 * np.arange(40)
            wanted = (centres >= onset) & (centres < onset + seconds)
            np.testing.assert_array_equal(found.frames[row, :, label].numpy() > 0, wanted)
            assert not found.frames[row, :, 1 - label].any()


def _without(source: np.ndarray, slot: int) -> np.ndarray:
    changed = source.copy()
    changed[:, slot] = UNUSED
    return changed
