from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sedsdk.builtin.spec_augment import LARGEST_SEED, SpecAugment, SpecAugmentConfig
from sedsdk.errors import ConfigError, MissingDependency
from sedsdk.stages import StreamSpec
from sedsdk.testing import check_part
from sedsdk.types import Features, FrameGrid, Inputs, Targets, frame_mask

pytest.importorskip("speechbrain", reason='needs speechbrain: pip install "sedsdk[train]"')

GRID = FrameGrid(0.02)
BANDS, CLASSES = 16, 2
NOTHING: dict[str, Any] = {"time_masks": 0, "frequency_masks": 0, "time_warp_frames": 0}
WARP_ONLY: dict[str, Any] = {**NOTHING, "time_warp_frames": 8}
TWO_STREAMS = {"main": StreamSpec(BANDS, GRID), "asr": StreamSpec(6, FrameGrid(0.03))}


def made(**options: Any) -> SpecAugment:
    return SpecAugment(SpecAugmentConfig(**options), {"main": StreamSpec(BANDS, GRID)})


def batch(*lengths: int, seed: int = 0) -> tuple[Inputs, Targets]:
    """Positive features, and frame labels of random events."""
    generator = torch.Generator().manual_seed(seed)
    counts, n_frames = torch.tensor(lengths), max(lengths)
    values = torch.rand(len(lengths), n_frames, BANDS, generator=generator) + 1.0
    frames = (torch.rand(len(lengths), n_frames, CLASSES, generator=generator) < 0.4).float()
    valid = frame_mask(counts, n_frames).unsqueeze(-1)
    targets = Targets(
        (frames * valid).amax(1),
        torch.ones(len(lengths), CLASSES, dtype=torch.bool),
        frames * valid,
        valid.expand_as(frames).clone(),
        GRID,
    )
    return Inputs({"main": Features(values, counts, GRID).zero_padded()}), targets


def run(part: SpecAugment, inputs: Inputs, targets: Targets, seed: int) -> tuple[Tensor, Targets]:
    changed, moved = part(inputs, targets, torch.Generator().manual_seed(seed))
    assert moved is not None
    return changed.main.values, moved


class TestSpeechbrainsImplementation:
    """One clip through SpeechBrain's own modules, from the seed that the clip gets."""

    @staticmethod
    def seeded(seed: int) -> None:
        drawn = torch.randint(LARGEST_SEED, (1,), generator=torch.Generator().manual_seed(seed))
        torch.manual_seed(int(drawn))

    @pytest.mark.parametrize("seed", range(5))
    def test_masks(self, seed: int) -> None:
        from speechbrain.augment.freq_domain import SpectrogramDrop

        inputs, targets = batch(50)
        part = made(fill="zero", time_mask_frames=7, frequency_masks=3, frequency_mask_bands=4)
        self.seeded(seed)
        expected = SpectrogramDrop(0, 5, 3, 3, dim=2)(inputs.main.values.clone())
        expected = SpectrogramDrop(0, 8, 2, 2, dim=1)(expected)
        assert torch.equal(run(part, inputs, targets, seed)[0], expected)

    @pytest.mark.parametrize("seed", range(5))
    def test_warp(self, seed: int) -> None:
        from speechbrain.augment.freq_domain import Warping

        inputs, targets = batch(50)
        part = made(**{**NOTHING, "time_warp_frames": 10})
        self.seeded(seed)
        expected = Warping(10, "bilinear")(inputs.main.values.clone())
        values, moved = run(part, inputs, targets, seed)
        torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-5)
        self.seeded(seed)
        expected = Warping(10, "bilinear")(targets.frames.clone())
        torch.testing.assert_close(moved.frames, expected, rtol=1e-4, atol=1e-4)


class TestEachOnItsOwn:
    @pytest.mark.parametrize(("time", "frequency", "warp"), product((0, 1), repeat=3))
    def test_combinations_of_table_2(self, time: int, frequency: int, warp: int) -> None:
        """With a time ramp as features, each change leaves a trace of its own."""
        part = made(
            time_masks=2 * time,
            frequency_masks=2 * frequency,
            time_warp_frames=12 * warp,
            fill="zero",
        )
        ramp = torch.arange(1.0, 61.0).view(1, -1, 1).expand(1, 60, BANDS).clone()
        inputs = Inputs({"main": Features(ramp, torch.tensor([60]), GRID)})
        targets = batch(60)[1]
        masked_frames = masked_bands = warped = False
        for seed in range(10):
            zero = (values := run(part, inputs, targets, seed)[0])[0] == 0
            masked_frames |= bool((zero.all(1) & ~zero.all()).any())
            masked_bands |= bool((zero.all(0) & ~zero.all()).any())
            warped |= not torch.equal(values[0][~zero], ramp[0][~zero])
        assert (masked_frames, masked_bands, warped) == (bool(time), bool(frequency), bool(warp))

    def test_nothing(self) -> None:
        inputs, targets = batch(30, 20)
        values, moved = run(made(**NOTHING), inputs, targets, 0)
        assert torch.equal(values, inputs.main.values)
        assert torch.equal(moved.frames, targets.frames)


class TestMasks:
    @given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 60))
    @settings(max_examples=40, deadline=None)
    def test_at_most_so_many_so_wide_within_the_clip(self, seed: int, one: int, two: int) -> None:
        inputs, targets = batch(one, two)
        part = made(fill="zero", time_mask_frames=9, frequency_mask_bands=3, time_mask_share=0.2)
        values, _ = run(part, inputs, targets, seed)
        for clip, length in enumerate((one, two)):
            zero = values[clip, :length] == 0
            assert int(zero.all(1).sum()) <= 2 * min(9, length // 5)
            assert int(zero.all(0).sum()) <= 2 * 3
            kept = ~(zero.all(1).unsqueeze(1) | zero.all(0))
            assert torch.equal(values[clip, :length][kept], inputs.main.values[clip, :length][kept])
            assert not values[clip, length:].any()

    def test_filled_with_the_mean_of_the_clip(self) -> None:
        inputs, targets = batch(60, 30)
        values, _ = run(made(), inputs, targets, 3)
        for clip, length in enumerate((60, 30)):
            before, after = inputs.main.values[clip, :length], values[clip, :length]
            changed = after != before
            assert bool(changed.any())
            torch.testing.assert_close(after[changed], before.mean().expand(int(changed.sum())))

    def test_targets_stay(self) -> None:
        inputs, targets = batch(60, 30)
        _, moved = run(made(), inputs, targets, 0)
        assert moved is targets


class TestWarp:
    @pytest.mark.parametrize("seed", range(5))
    def test_targets_move_with_the_features(self, seed: int) -> None:
        inputs, targets = batch(40, 25)
        values = inputs.main.values.clone()
        values[..., :CLASSES] = targets.frames
        inputs = Inputs({"main": replace(inputs.main, values=values)})
        warped, moved = run(made(**WARP_ONLY), inputs, targets, seed)
        assert not torch.equal(warped, values)
        torch.testing.assert_close(moved.frames, warped[..., :CLASSES])
        assert bool(((moved.frames >= 0) & (moved.frames <= 1)).all())
        assert torch.equal(moved.clip, targets.clip)

    @pytest.mark.parametrize("seed", range(5))
    def test_known_where_all_that_it_is_made_of_is(self, seed: int) -> None:
        inputs, targets = batch(40)
        known = torch.ones_like(targets.frame_mask)
        known[0, 20:, 0] = False
        frames = targets.frames.masked_fill(~known, float("nan"))
        targets = replace(targets, frames=frames, frame_mask=known)
        _, moved = run(made(**WARP_ONLY), inputs, targets, seed)
        assert bool(moved.frames.isfinite().all())
        assert bool(moved.frame_mask[..., 1].all())
        edge = int(moved.frame_mask[0, :, 0].sum())
        assert 20 - 8 <= edge <= 20 + 8
        assert bool(moved.frame_mask[0, :edge, 0].all())

    def test_short_clips_stay(self) -> None:
        inputs, targets = batch(16, 1)
        values, moved = run(made(**WARP_ONLY), inputs, targets, 0)
        assert torch.equal(values, inputs.main.values)
        assert torch.equal(moved.frames, targets.frames)

    def test_first_and_last_frame_stay(self) -> None:
        inputs, targets = batch(40, 30)
        values, _ = run(made(**WARP_ONLY), inputs, targets, 1)
        for clip, length in enumerate((40, 30)):
            for frame in (0, length - 1):
                assert torch.equal(values[clip, frame], inputs.main.values[clip, frame])


class TestDraws:
    def test_same_seed_same_result(self) -> None:
        inputs, targets = batch(60, 50)
        torch.manual_seed(1)
        first, labels = run(made(time_warp_frames=8), inputs, targets, 7)
        state = torch.get_rng_state()
        torch.manual_seed(2)
        again, labels_again = run(made(time_warp_frames=8), inputs, targets, 7)
        assert torch.equal(first, again)
        assert torch.equal(labels.frames, labels_again.frames)
        assert not torch.equal(first, run(made(time_warp_frames=8), inputs, targets, 8)[0])
        torch.manual_seed(1)
        assert torch.equal(torch.get_rng_state(), state)

    def test_clips_differ(self) -> None:
        inputs, targets = batch(60)
        twice = Inputs(
            {"main": Features(inputs.main.values.repeat(2, 1, 1), torch.tensor([60, 60]), GRID)}
        )
        values = made()(twice, None, torch.Generator().manual_seed(0))[0].main.values
        assert not torch.equal(values[0], values[1])
        assert targets.frames.shape[1] == 60

    def test_neighbours_and_padding_do_not_matter(self) -> None:
        part = made(time_warp_frames=8)
        inputs, targets = batch(60, 50, 40)
        together, labels = run(part, inputs, targets, 5)
        other, other_targets = batch(60, 90, 40, seed=9)
        values = other.main.values.clone()
        values[0, :60] = inputs.main.values[0]
        values[2, :40] = inputs.main.values[2, :40]
        values[2, 40:] = float("nan")
        frames = other_targets.frames.clone()
        frames[0, :60] = targets.frames[0]
        got, moved = run(
            part,
            Inputs({"main": replace(other.main, values=values)}),
            replace(other_targets, frames=frames),
            5,
        )
        torch.testing.assert_close(got[0, :60], together[0, :60])
        torch.testing.assert_close(got[2, :40], together[2, :40])
        assert not got[2, 40:].any()
        torch.testing.assert_close(moved.frames[0, :60], labels.frames[0, :60])

    def test_input_is_kept(self) -> None:
        inputs, targets = batch(60, 50)
        kept = inputs.main.values.clone(), targets.frames.clone()
        run(made(time_warp_frames=8), inputs, targets, 0)
        assert torch.equal(inputs.main.values, kept[0])
        assert torch.equal(targets.frames, kept[1])


class TestStreams:
    def test_acts_on_the_named_ones_only(self) -> None:
        config = SpecAugmentConfig(streams=("asr",), frequency_mask_bands=2)
        part = SpecAugment(config, TWO_STREAMS)
        inputs, targets = batch(60, 30)
        asr = Features(torch.rand(2, 40, 6), torch.tensor([40, 20]), FrameGrid(0.03))
        both = inputs.with_stream("asr", asr.zero_padded())
        changed, _ = part(both, targets, torch.Generator().manual_seed(0))
        assert changed["main"] is inputs.main
        assert not torch.equal(changed["asr"].values, both["asr"].values)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"streams": ("asrr",)}, 'streams names "asrr", the pipeline has: main, asr'),
            ({"time_warp_frames": 5}, r"against those of the others \(main, asr\)\. Set it to 0"),
            ({"streams": ("asr",)}, 'frequency_mask_bands = 8, but stream "asr" has 6 bands'),
        ],
    )
    def test_refusals(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            SpecAugment(SpecAugmentConfig(**options), TWO_STREAMS)


def test_without_speechbrain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved detector that was trained with it still loads; only training needs the library."""
    monkeypatch.setitem(sys.modules, "speechbrain.augment", None)
    part = made()
    with pytest.raises(MissingDependency, match=r'pip install "sedsdk\[train\]"'):
        part(*batch(9), torch.Generator())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**NOTHING, "time_masks": 1, "mode": "append"},
        {**NOTHING, "frequency_masks": 1},
        {"time_warp_frames": 5, "fill": "zero"},
    ],
    ids=str,
)
def test_conforms(options: dict[str, Any]) -> None:
    check_part("conditioner", "spec_augment", options)
