from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sedsdk.builtin.mixup import Mixup, MixupConfig
from sedsdk.errors import ConfigError
from sedsdk.stages import StreamSpec
from sedsdk.testing import check_part
from sedsdk.types import Features, FrameGrid, Inputs, Targets, frame_mask

GRID, SLOW = FrameGrid(0.02), FrameGrid(0.04)


def identity_batch(*lengths: int) -> tuple[Inputs, Targets]:
    """Features and labels of clip i are 1 in column i: a mixture shows its partner and shares."""
    counts, clips = torch.tensor(lengths), len(lengths)
    rows = torch.eye(clips).unsqueeze(1).expand(clips, max(lengths), clips)
    features = Features(rows.clone(), counts, GRID).zero_padded()
    known = features.mask().unsqueeze(-1).expand_as(rows).clone()
    targets = Targets(
        torch.eye(clips), torch.ones(clips, clips).bool(), features.values.clone(), known, GRID
    )
    return Inputs({"main": features}), targets


def mix(inputs: Inputs, targets: Targets, seed: int = 0, **options: Any) -> tuple[Inputs, Targets]:
    streams = {name: StreamSpec(inputs[name].values.shape[2], inputs[name].grid) for name in inputs}
    part = Mixup(MixupConfig(**{"alpha": 1.0, "streams": tuple(streams), **options}), streams)
    mixed, moved = part(inputs, targets, torch.Generator().manual_seed(seed))
    assert moved is not None
    return mixed, moved


def seed_that_swaps(*lengths: int) -> int:
    """Returns a seed with which two clips are mixed with each other."""
    for seed in range(100):
        mixed, _ = mix(*identity_batch(*lengths), seed)
        if bool((mixed.main.values[:, 0] > 0).all()):
            return seed
    raise AssertionError("no seed of 100 swaps two clips")


class TestShares:
    @given(st.integers(0, 10_000), st.sampled_from(["pair", "batch"]))
    @settings(max_examples=30, deadline=None)
    def test_features_and_targets_share_alike(self, seed: int, draw: str) -> None:
        inputs, targets = identity_batch(5, 5, 5, 5)
        mixed, moved = mix(inputs, targets, seed, draw=draw)
        values = mixed.main.values
        torch.testing.assert_close(values.sum(-1), torch.ones(4, 5))
        assert bool(((values > 0).sum(-1) <= 2).all())
        torch.testing.assert_close(values, values[:, :1].expand_as(values))
        torch.testing.assert_close(moved.frames, values)
        torch.testing.assert_close(moved.clip, values[:, 0])
        partners = [
            next((int(j) for j in row.nonzero().flatten() if j != i), i)
            for i, row in enumerate(values[:, 0])
        ]
        assert sorted(partners) == [0, 1, 2, 3]
        if draw == "batch":
            own = {round(float(values[i, 0, i]), 5) for i in range(4) if partners[i] != i}
            assert len(own) <= 1

    @pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
    def test_beta_distribution(self, alpha: float) -> None:
        """Beta(α, α) has mean 1/2 and variance 1 / (4 (2 α + 1))."""
        clips = 400
        inputs, targets = identity_batch(*[1] * clips)
        own = np.concatenate(
            [
                np.diagonal(mix(inputs, targets, seed, alpha=alpha)[0].main.values[:, 0])
                for seed in range(5)
            ]
        )
        own = own[own < 1 - 1e-6] if alpha >= 1 else own
        assert own.mean() == pytest.approx(0.5, abs=0.03)
        assert own.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.015)

    @pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.25, 60, 140)])
    def test_probability(self, probability: float, low: int, high: int) -> None:
        inputs, targets = identity_batch(*[1] * 400)
        mixed, moved = mix(inputs, targets, probability=probability)
        changed = (mixed.main.values != inputs.main.values).any(-1).sum()
        assert low <= int(changed) <= high
        if probability == 0:
            assert torch.equal(moved.clip, targets.clip)

    def test_streams_share_alike(self) -> None:
        inputs, targets = identity_batch(6, 6, 6)
        slow = Features(inputs.main.values[:, ::2], torch.tensor([3, 3, 3]), SLOW)
        mixed, _ = mix(inputs.with_stream("asr", slow), targets)
        torch.testing.assert_close(mixed["asr"].values, mixed["main"].values[:, ::2])
        assert not torch.equal(mixed["asr"].values, slow.values)

    def test_seed_alone_decides(self) -> None:
        inputs, targets = identity_batch(4, 4, 4, 4)
        kept = inputs.main.values.clone()
        torch.manual_seed(1)
        state = torch.get_rng_state()
        first = mix(inputs, targets, 3)[0].main.values
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        assert torch.equal(mix(inputs, targets, 3)[0].main.values, first)
        assert not torch.equal(mix(inputs, targets, 4)[0].main.values, first)
        assert torch.equal(inputs.main.values, kept)

    def test_without_targets(self) -> None:
        inputs, _ = identity_batch(4, 4)
        part = Mixup(MixupConfig(), {"main": StreamSpec(2, GRID)})
        assert part(inputs, None, torch.Generator())[1] is None


class TestLengths:
    LENGTHS = (6, 4)

    def swapped(self, targets: Targets | None = None) -> tuple[Inputs, Targets]:
        inputs, plain = identity_batch(*self.LENGTHS)
        return mix(inputs, targets or plain, seed_that_swaps(*self.LENGTHS))

    def test_lengths_stay(self) -> None:
        mixed, moved = self.swapped()
        assert mixed.main.lengths.tolist() == list(self.LENGTHS)
        assert not mixed.main.values[1, 4:].any()
        assert torch.equal(moved.frame_mask.any(-1), frame_mask(torch.tensor(self.LENGTHS), 6))

    def test_behind_a_shorter_partner_the_clip_goes_on_alone(self) -> None:
        mixed, moved = self.swapped()
        for values in (mixed.main.values, moved.frames):
            assert bool((values[0, :4] > 0).all())
            assert values[0, 4:].tolist() == [[1.0, 0.0]] * 2
        assert bool((moved.clip[0] > 0).all())
        assert bool(moved.clip_mask[0].all())

    @pytest.mark.parametrize(
        ("event", "frames_known", "label", "known"),
        [
            (range(0, 2), True, True, True),
            (range(4, 6), True, False, True),
            (range(4, 6), False, None, False),
            (range(0), False, False, True),
        ],
        ids=["kept", "cut off", "perhaps cut off", "absent"],
    )
    def test_clip_label_of_a_cut_partner(
        self, event: range, frames_known: bool, label: bool | None, known: bool
    ) -> None:
        """Clip 1 has 4 frames and is mixed with the first 4 of clip 0, which has 6."""
        _, targets = identity_batch(*self.LENGTHS)
        frames = torch.zeros_like(targets.frames)
        frames[0, list(event), 0] = 1.0
        frame_mask_ = targets.frame_mask.clone()
        frame_mask_[0] &= frames_known
        clip = torch.tensor([[float(len(event) > 0), 0.0], [0.0, 0.0]])
        _, moved = self.swapped(replace(targets, clip=clip, frames=frames, frame_mask=frame_mask_))
        assert bool(moved.clip_mask[1, 0]) is known
        if label is not None:
            assert bool(moved.clip[1, 0] > 0) is label

    def test_noise_in_padding_never_shows(self) -> None:
        inputs, targets = identity_batch(*self.LENGTHS)
        noisy = inputs.main.values.clone()
        noisy[1, 4:] = float("nan")
        seed = seed_that_swaps(*self.LENGTHS)
        expected = mix(inputs, targets, seed)[0].main.values
        got = mix(Inputs({"main": replace(inputs.main, values=noisy)}), targets, seed)
        assert torch.equal(got[0].main.values, expected)


def test_known_only_where_both_are() -> None:
    inputs, targets = identity_batch(5, 5)
    known = targets.frame_mask.clone()
    known[0, 1, 0] = known[1, 3, 0] = False
    clip_known = torch.tensor([[True, False], [True, True]])
    targets = replace(targets, frame_mask=known, clip_mask=clip_known)
    _, moved = mix(inputs, targets, seed_that_swaps(5, 5))
    both = [[True, False, True, False, True]] * 2
    assert moved.frame_mask[..., 0].tolist() == both
    assert bool(moved.frame_mask[..., 1].all())
    assert moved.clip_mask.tolist() == [[True, False]] * 2


def test_unmixed_clip_keeps_what_is_known() -> None:
    inputs, targets = identity_batch(5, 5)
    known = targets.clip_mask.clone()
    known[0, 1] = False
    _, moved = mix(inputs, replace(targets, clip_mask=known), probability=0.0)
    assert torch.equal(moved.clip_mask, known)


def test_every_stream_has_to_be_mixed() -> None:
    streams = {"main": StreamSpec(4, GRID), "asr": StreamSpec(4, SLOW)}
    with pytest.raises(ConfigError, match="streams names main, the pipeline has main, asr"):
        Mixup(MixupConfig(), streams)


@pytest.mark.parametrize(
    "options", [{}, {"draw": "batch", "alpha": 1.0, "mode": "append"}], ids=str
)
def test_conforms(options: dict[str, Any]) -> None:
    check_part("conditioner", "mixup", options)
