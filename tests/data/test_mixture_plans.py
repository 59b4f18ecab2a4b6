from __future__ import annotations

import pickle
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sedsdk.config import read_model
from sedsdk.data.mixture_plans import (
    BACKGROUND_SLOTS,
    NO_LABEL,
    UNUSED,
    MixingConfig,
    MixturePlanner,
    MixturePlans,
)
from sedsdk.data.sources import Source, SourceSet
from sedsdk.errors import ConfigError, DataError

# One group of "dog" holds nine recordings, the other one; "siren" has a single recording.
EVENTS = (
    *(Source(Path(f"dog{i}.wav"), "dog", group="prolific") for i in range(9)),
    Source(Path("dog9.wav"), "dog", group="rare"),
    Source(Path("siren.wav"), "siren", group="one"),
)
BACKGROUNDS = tuple(Source(Path(f"home{i}.wav"), "home", group=f"g{i % 2}") for i in range(4))
DISTRACTORS = (
    *(Source(Path(f"cough{i}.wav"), "cough", group=f"c{i}") for i in range(8)),
    Source(Path("door.wav"), "door", group="d"),
)
SOURCES = SourceSet(EVENTS, BACKGROUNDS, DISTRACTORS)
DURATIONS = [1.0] * 10 + [14.0] + [30.0] * 4 + [0.5] * 9
LABELS = ("siren", "dog")
NOISE = len(SOURCES.sources)


def planner(seed: int = 1, sources: SourceSet = SOURCES, **options: Any) -> MixturePlanner:
    return MixturePlanner(sources, DURATIONS, LABELS, MixingConfig(**options), seed)


def assert_same(first: MixturePlans, second: MixturePlans) -> None:
    for field in fields(MixturePlans):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


def draw_elsewhere(indices: list[int]) -> bytes:
    return pickle.dumps(planner().draw(indices))


class TestDeterminism:
    @given(st.lists(st.integers(0, 2**31), min_size=1, max_size=5))
    @settings(max_examples=25, deadline=None)
    def test_a_clip_depends_on_seed_and_index_alone(self, indices: list[int]) -> None:
        together = planner().draw(indices)
        for row, index in enumerate(indices):
            alone = planner().draw([index])
            for field in fields(MixturePlans):
                np.testing.assert_array_equal(
                    getattr(together, field.name)[row], getattr(alone, field.name)[0]
                )

    def test_another_process_draws_the_same(self) -> None:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            elsewhere = pickle.loads(pool.submit(draw_elsewhere, [7, 3, 7]).result())
        assert_same(elsewhere, planner().draw([7, 3, 7]))

    def test_seed_and_index_matter(self) -> None:
        levels = [p.draw([i]).gain_db[0] for p in (planner(1), planner(2)) for i in (0, 1)]
        assert len(set(levels)) == 4


class TestShares:
    many = planner().draw(range(3000))

    def used(self, first: int, last: int) -> np.ndarray:
        return np.asarray(self.many.source[:, first:last] != UNUSED)

    def test_presence(self) -> None:
        # standard deviation of the share: √(0.6 · 0.4 / 3000) = 0.009
        assert self.used(3, 5).any(1).mean() == pytest.approx(0.6, abs=0.036)
        assert planner(presence=0).draw(range(50)).label.max() == NO_LABEL
        assert (planner(presence=1).draw(range(50)).label >= 0).any(1).all()

    def test_numbers_of_events_labels_and_second_backgrounds(self) -> None:
        events = self.used(3, 5).sum(1)
        assert np.mean(events[events > 0] == 2) == pytest.approx(0.5, abs=0.05)
        labels = self.many.label[self.many.label != NO_LABEL]
        assert np.mean(labels == 1) == pytest.approx(0.5, abs=0.04)
        assert self.used(1, 2).mean() == pytest.approx(0.3, abs=0.034)
        distractors = np.bincount(self.used(5, 7).sum(1), minlength=3) / 3000
        np.testing.assert_allclose(distractors, 1 / 3, atol=0.035)

    def test_groups_are_drawn_before_recordings(self) -> None:
        dogs = self.many.source[self.many.label == 1]
        assert np.mean(dogs == 9) == pytest.approx(0.5, abs=0.05)
        heard = Counter(dogs[dogs < 9].tolist())
        assert set(heard) == set(range(9))
        assert max(heard.values()) < 2 * min(heard.values())

    def test_labels_of_distractors_are_drawn_before_their_groups(self) -> None:
        distractors = self.many.source[:, 5:][self.used(5, 7)]
        assert np.mean(distractors == NOISE - 1) == pytest.approx(0.5, abs=0.05)


class TestLayout:
    @given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 3))
    @settings(max_examples=30, deadline=None)
    def test_slots_and_ranges(self, index: int, events: int, distractors: int) -> None:
        drawn = planner(max_events=events, max_distractors=distractors, presence=1.0)
        plan = drawn.draw([index])
        slots = 3 + events + distractors
        assert drawn.config.slots == slots
        source = plan.source[0]
        assert source.shape == (slots,)
        first = BACKGROUND_SLOTS + 1
        assert 11 <= source[0] < 15
        assert source[1] == UNUSED or 11 <= source[1] < 15
        assert plan.noise_slot == BACKGROUND_SLOTS
        assert source[plan.noise_slot] == NOISE
        for slot in range(first, first + events):
            if source[slot] == UNUSED:
                assert plan.label[0, slot] == NO_LABEL
            else:
                assert SOURCES.sources[source[slot]].label == LABELS[plan.label[0, slot]]
        assert all(s == UNUSED or 15 <= s < NOISE for s in source[first + events :])
        assert (plan.label[0, first + events :] == NO_LABEL).all()
        np.testing.assert_array_equal(plan.looped[0, :first], source[:first] != UNUSED)
        assert not plan.looped[0, first:].any()
        self.check_ranges(plan, drawn.config, first)

    def check_ranges(self, plan: MixturePlans, config: MixingConfig, first: int) -> None:
        placed = plan.source[0, first:] != UNUSED
        rate, onset, start = plan.rate[0, first:], plan.onset[0, first:], plan.start[0, first:]
        duration = np.array(DURATIONS)[plan.source[0, first:].clip(0, NOISE - 1)]
        assert ((rate >= config.rate[0]) & (rate <= config.rate[1])).all()
        ends = onset + duration / rate
        short = placed & (duration / rate <= config.clip_seconds)
        assert (ends[short] <= config.clip_seconds + 1e-9).all()
        assert (start[short] == 0).all()
        long = placed & ~short
        assert (onset[long] == 0).all()
        left = (duration - start) / rate
        assert (left[long] >= config.clip_seconds - 1e-9).all()
        wet = np.isfinite(plan.reverberation_db[0])
        assert not wet[:first].any()
        assert (np.abs(plan.shift[0]) <= config.shift).all()
        assert config.low_pass_from <= plan.cut[0] <= 1

    def test_what_is_switched_off_changes_nothing(self) -> None:
        off = planner(
            equaliser_db=0, channel_db=0, swell_db=0, reverberation=0, rate=(1, 1), shift=0,
            low_pass=0, gain_db=(0, 0),
        ).draw(range(20))  # fmt: skip
        for zero in (off.equaliser_db, off.channel_db, off.swell_db, off.shift, off.gain_db):
            assert not zero.any()
        assert np.isneginf(off.reverberation_db).all()
        assert (off.rate == 1).all()
        assert (off.cut == 1).all()


class TestRefusals:
    def test_a_label_without_recordings(self) -> None:
        with pytest.raises(DataError, match=r'no training recording of "cat".*dog, siren'):
            MixturePlanner(SOURCES, DURATIONS, ("cat",), MixingConfig(), 0)

    def test_no_background(self) -> None:
        with pytest.raises(DataError, match="at least one background"):
            planner(sources=SourceSet(EVENTS, (), DISTRACTORS))

    def test_no_distractor_is_fine(self) -> None:
        plans = planner(sources=SourceSet(EVENTS, BACKGROUNDS, ())).draw(range(20))
        assert (plans.source[:, 5:] == UNUSED).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"gain_db": (3, -3)}, "gain_db: the lowest value comes first"),
            ({"rate": (0, 1)}, "must be above 0"),
            ({"reverberation_seconds": (0, 1)}, "must be above 0"),
            ({"presence": 1.5}, "presence = 1.5"),
            ({"clip_seconds": 0}, "clip_seconds = 0"),
            ({"low_pass_from": 0}, "low_pass_from = 0"),
            ({"max_events": 0}, "max_events = 0"),
            ({"gain_db": (0, float("inf"))}, "finite"),
            ({"swel": 0.5}, 'Did you mean "swell"'),
        ],
    )
    def test_wrong_ranges(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            read_model(MixingConfig, options, "mixing")
