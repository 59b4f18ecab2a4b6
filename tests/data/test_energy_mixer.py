from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sedsdk.audio import write_audio
from sedsdk.builtin.log_mel import LogMel, LogMelConfig
from sedsdk.data.energy_mixer import LOST_BAND_GAIN, EnergyBank, EnergyMixer
from sedsdk.data.feature_cache import FeatureCache
from sedsdk.data.mixture_plans import (
    EQUALISER_POINTS,
    NO_LABEL,
    SWELL_POINTS,
    UNUSED,
    MixingConfig,
    MixturePlanner,
    MixturePlans,
)
from sedsdk.data.sources import Source, SourceSet
from sedsdk.types import FrameGrid

HOP, BANDS = 0.02, 16
SECONDS, FRAMES = 1.0, 50
SILENT = -300.0
EVENT, BACKGROUND, OTHER, NOISE = 0, 1, 2, 3


def bank(seed: int = 0) -> EnergyBank:
    """An event of 10 frames, a background of 8, another of 70, and noise; their power is known."""
    counts = torch.tensor([10, 8, 70, 100])
    generator = torch.Generator().manual_seed(seed)
    energies = torch.rand(int(counts.sum()), BANDS, generator=generator) + 0.5
    first = torch.cumsum(counts, 0) - counts
    return EnergyBank(energies, energies.sum(1), first, counts, FrameGrid(HOP))


BANK = bank()


def of_source(source: int) -> Tensor:
    first, count = int(BANK.first[source]), int(BANK.frames[source])
    return BANK.energies[first : first + count]


def plan(**sounds: dict[str, Any]) -> MixturePlans:
    """One clip without augmentation. Slots: background, second, noise, event, distractor."""
    slots = 5
    names = ("background", "second", "noise", "event", "distractor")
    values: dict[str, Any] = {
        "source": np.full((1, slots), UNUSED),
        "looped": np.zeros((1, slots), bool),
        "label": np.full((1, slots), NO_LABEL),
        "onset": np.zeros((1, slots)),
        "start": np.zeros((1, slots)),
        "rate": np.ones((1, slots)),
        "shift": np.zeros((1, slots)),
        "level_db": np.zeros((1, slots)),
        "equaliser_db": np.zeros((1, slots, EQUALISER_POINTS)),
        "reverberation_db": np.full((1, slots), -np.inf),
        "reverberation_seconds": np.ones((1, slots)),
        "swell_db": np.zeros((1, SWELL_POINTS)),
        "channel_db": np.zeros((1, EQUALISER_POINTS)),
        "gain_db": np.zeros(1),
        "cut": np.ones(1),
    }
    for name, value in sounds.pop("clip", {}).items():
        values[name][0] = value
    for name, given_ in sounds.items():
        slot = names.index(name)
        values["looped"][0, slot] = slot < 3
        for field, value in given_.items():
            values[field][0, slot] = value
    return MixturePlans(**values)


def stack(*plans: MixturePlans) -> MixturePlans:
    return MixturePlans(
        **{
            field.name: np.concatenate([getattr(one, field.name) for one in plans])
            for field in fields(MixturePlans)
        }
    )


def render(one: MixturePlans) -> tuple[Tensor, Tensor]:
    features, targets = EnergyMixer(BANK, 2, SECONDS).render(one)
    assert features.lengths.tolist() == [FRAMES] * len(one)
    return features.values.double(), targets.frames


ONLY = {"source": BACKGROUND, "level_db": 0.0}
SILENCE = {"source": BACKGROUND, "level_db": SILENT}


def event(**options: Any) -> dict[str, Any]:
    return {"source": EVENT, "label": 1, "onset": 20 * HOP, **options}


def event_alone(**options: Any) -> Tensor:
    """The event as it is heard over a background too faint to matter, scaled to its own power."""
    one = plan(background=SILENCE, event=event(**options))
    values = render(one)[0][0]
    return values / 1e-9 * float(of_source(EVENT).sum(1).mean())


class TestBackgrounds:
    def test_a_short_one_runs_there_and_back(self) -> None:
        values, _ = render(plan(background={**ONLY, "start": 3 * HOP}))
        way = [0, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 2, 1]
        order = [way[(3 + t) % 14] for t in range(FRAMES)]
        torch.testing.assert_close(values[0], of_source(BACKGROUND)[order].double())

    def test_two_add_with_their_levels_and_swells(self) -> None:
        swell = np.linspace(-6, 8, SWELL_POINTS)
        values, _ = render(
            plan(
                background={"source": OTHER},
                second={"source": OTHER, "start": 5 * HOP, "level_db": -4.0},
                clip={"swell_db": swell},
            )
        )
        sounds = of_source(OTHER).double()
        gain = 10 ** (np.linspace(-6, 8, FRAMES) / 10)
        wanted = (sounds[:50] + 10**-0.4 * sounds[5:55]) * torch.from_numpy(gain)[:, None]
        torch.testing.assert_close(values[0], wanted, rtol=1e-5, atol=1e-6)

    def test_noise_has_its_level_in_full_scale_and_no_swell(self) -> None:
        values, _ = render(plan(noise={"source": NOISE, "level_db": -30.0}, clip={"swell_db": 9.0}))
        torch.testing.assert_close(values[0], 1e-3 * of_source(NOISE)[:50].double())


class TestEvents:
    @given(st.floats(-12, 15), st.integers(0, 45))
    @settings(max_examples=20, deadline=None)
    def test_the_level_is_that_over_the_background_under_it(self, level: float, at: int) -> None:
        background = {"source": OTHER, "level_db": -7.0}
        alone, _ = render(plan(background=background))
        both, _ = render(plan(background=background, event=event(level_db=level, onset=at * HOP)))
        heard = slice(at, min(at + 10, FRAMES))
        own = (both - alone)[0, heard].sum(1).mean()  # the bank's power is the sum of the bands
        under = alone[0, heard].sum(1).mean()
        assert 10 * np.log10(own / under) == pytest.approx(level, abs=0.01)
        outside = torch.ones(FRAMES, dtype=torch.bool)
        outside[heard] = False
        torch.testing.assert_close(both[0, outside], alone[0, outside])

    def test_frames_keep_their_order_and_shape(self) -> None:
        values = event_alone()
        torch.testing.assert_close(values[20:30], of_source(EVENT).double(), rtol=1e-4, atol=1e-5)
        assert float(values[30:].max()) < 1e-3

    def test_labels_are_where_it_is_heard(self) -> None:
        for onset, frames in ((20, range(20, 30)), (45, range(45, 50)), (0, range(10))):
            _, labels = render(plan(background=ONLY, event=event(onset=onset * HOP)))
            assert labels[0, :, 1].nonzero().flatten().tolist() == list(frames)
            assert not labels[0, :, 0].any()

    def test_speed_and_start_pick_the_frames(self) -> None:
        _, labels = render(plan(background=ONLY, event=event(rate=2.0)))
        assert labels[0, :, 1].nonzero().flatten().tolist() == list(range(20, 25))
        wanted = of_source(EVENT)[4:].double()
        found = event_alone(start=4 * HOP)[20:26]
        torch.testing.assert_close(found / found.mean(), wanted / wanted.mean())

    def test_a_distractor_is_heard_and_has_no_label(self) -> None:
        alone, _ = render(plan(background=ONLY))
        values, labels = render(plan(background=ONLY, distractor={"source": EVENT}))
        assert bool((values[0, :10] > alone[0, :10]).all())
        assert not labels.any()

    def test_targets_are_all_known_and_clip_labels_follow(self) -> None:
        _, targets = EnergyMixer(BANK, 2, SECONDS).render(
            stack(plan(background=ONLY), plan(background=ONLY, event=event()))
        )
        assert targets.clip.tolist() == [[0, 0], [0, 1]]
        assert bool(targets.clip_mask.all())
        assert bool(targets.frame_mask.all())
        assert targets.frames.shape == targets.frame_mask.shape == (2, FRAMES, 2)


class TestAugmentation:
    @pytest.mark.parametrize("bands", [2.0, -3.0, 1.5])
    def test_a_shift_moves_bands_and_fills_the_edge(self, bands: float) -> None:
        moved = event_alone(shift=bands / BANDS)[20:30].numpy()
        still = event_alone()[20:30].numpy()
        at = np.arange(BANDS) - bands
        wanted = np.stack([np.interp(at, np.arange(BANDS), frame) for frame in still])
        np.testing.assert_allclose(moved, wanted, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("seconds", [0.1, 0.3])
    def test_a_tail_is_its_recursion_and_energy(self, seconds: float) -> None:
        wet = event_alone(onset=0.0, reverberation_db=-5.0, reverberation_seconds=seconds)
        dry = event_alone(onset=0.0).numpy()
        a = 10 ** (-6 * HOP / seconds)
        tail = np.zeros_like(dry)
        for t in range(1, FRAMES):
            tail[t] = a * tail[t - 1] + dry[t - 1]
        wanted = dry + 10**-0.5 * (1 - a) * tail
        np.testing.assert_allclose(wet, wanted, rtol=1e-4, atol=2e-4)
        # the whole tail holds the stated share of the direct energy
        assert wet.sum() / dry.sum() - 1 == pytest.approx(10**-0.5, rel=0.002)

    def test_a_tail_does_not_depend_on_other_tails(self) -> None:
        short, long = (
            plan(background=SILENCE, event=event(reverberation_db=0.0, reverberation_seconds=s))
            for s in (0.15, 5.0)
        )
        together, _ = render(stack(long, short, long))
        for row, one in enumerate((long, short, long)):
            assert torch.equal(together[row], render(one)[0][0])

    def test_low_pass_removes_the_bands_above(self) -> None:
        still, _ = render(plan(background=ONLY))
        values, _ = render(plan(background=ONLY, clip={"cut": 0.5}))
        torch.testing.assert_close(values[..., :8], still[..., :8])
        torch.testing.assert_close(values[..., 8:], still[..., 8:] * LOST_BAND_GAIN)

    def test_equaliser_channel_and_gain_are_decibels_over_the_bands(self) -> None:
        points, channel = np.array([0, 5, -5, 2, 2, -9.0]), np.array([1, 2, 3, 4, 5, 6.0])
        still, _ = render(plan(background=ONLY))
        values, _ = render(
            plan(
                background={**ONLY, "equaliser_db": points},
                clip={"channel_db": channel, "gain_db": -12.0},
            )
        )
        at = np.linspace(0, 5, BANDS)
        curve = np.interp(at, range(6), points) + np.interp(at, range(6), channel) - 12
        wanted = still * torch.from_numpy(10 ** (curve / 10))
        torch.testing.assert_close(values, wanted, rtol=1e-4, atol=1e-6)


class TestBatches:
    def test_a_clip_does_not_depend_on_the_others(self) -> None:
        events = tuple(Source(Path(f"{i}"), "dog", group=str(i)) for i in range(1))
        backgrounds = (Source(Path("b"), "home"),)
        sources = SourceSet(events, backgrounds, (Source(Path("c"), "cough"),))
        planner = MixturePlanner(
            sources, BANK.durations, ["dog"], MixingConfig(clip_seconds=SECONDS), 3
        )
        mixer = EnergyMixer(BANK, 1, SECONDS)
        features, targets = mixer.render(planner.draw(range(12)))
        for index in range(12):
            alone, own = mixer.render(planner.draw([index]))
            torch.testing.assert_close(alone.values[0], features.values[index], rtol=1e-6, atol=0)
            assert torch.equal(own.frames[0], targets.frames[index])
        again, _ = mixer.render(planner.draw(range(12)))
        assert torch.equal(again.values, features.values)

    def test_plans_and_bank_are_left_as_they_are(self) -> None:
        one = plan(background=ONLY, event=event(reverberation_db=-3.0, shift=0.1))
        kept = {field.name: getattr(one, field.name).copy() for field in fields(MixturePlans)}
        energies, power = BANK.energies.clone(), BANK.power.clone()
        render(one)
        for name, value in kept.items():
            np.testing.assert_array_equal(getattr(one, name), value)
        assert torch.equal(BANK.energies, energies)
        assert torch.equal(BANK.power, power)


class TestBank:
    def test_it_holds_energies_and_power_of_spans(self, tmp_path: Path) -> None:
        rate = 8000
        rng = np.random.default_rng(0)
        samples = rng.uniform(-0.5, 0.5, rate).astype(np.float32)
        write_audio(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
        sources = [Source(tmp_path / "a.wav", "x"), Source(tmp_path / "a.wav", "x", 0.25, 0.5)]
        frontend = LogMel(LogMelConfig(sample_rate=rate, n_mels=8, drop_last=True))
        cache = FeatureCache(tmp_path / "cache", {"n_mels": 8})
        counted: list[tuple[int, int]] = []
        built = EnergyBank.build(sources, frontend, cache, lambda *done: counted.append(done))
        assert counted == [(0, 2), (1, 2)]
        assert built.frames.tolist() == [50, 12, 1000]
        assert built.first.tolist() == [0, 50, 62]
        assert built.durations == pytest.approx([1.0, 0.24])
        with torch.no_grad():
            waveform = torch.from_numpy(samples[2000:4000]).unsqueeze(0)
            wanted = frontend.energies(waveform, torch.tensor([2000])).values[0]
        torch.testing.assert_close(built.energies[50:62], wanted)
        around = [samples[max(0, t * 160 - 80) : t * 160 + 80] for t in range(50)]
        np.testing.assert_allclose(
            built.power[:50], [np.mean(part.astype(float) ** 2) for part in around], rtol=1e-5
        )
        assert float(built.power[62:].mean()) == pytest.approx(1.0, rel=0.02)
        again = EnergyBank.build(sources, frontend, cache)
        assert torch.equal(again.energies, built.energies)
