"""Threshold fitting: finds what is best, alike for every recording group, on plateaus."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sedsdk.config import PartRef
from sedsdk.contract import PartConfig, PostProcessor
from sedsdk.errors import ConfigError, DataError, UnknownPart
from sedsdk.evaluation import event_scores, fit_postprocessors, rare_event_scores
from sedsdk.evaluation.search import central_minimum, on_plateau
from sedsdk.hooks import PartSpec, hookimpl
from sedsdk.host import Host
from sedsdk.types import ClipPrediction, Event, FrameGrid

LABELS = ("babycry", "gunshot")
GRID = FrameGrid(0.1, 0.05)
HOST = Host(discover=False)
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
EXACT: dict[str, Any] = {"spread_weight": 0.0, "plateau_weight": 0.0, "host": HOST}


def clip_with(*bumps: tuple[int, float], n_classes: int = 2, column: int = 0) -> ClipPrediction:
    """A clip of 100 frames; each bump is five frames at a probability."""
    frames = np.full((100, n_classes), 0.02, dtype=np.float32)
    for first, probability in bumps:
        frames[first : first + 5, column] = probability
    return ClipPrediction(LABELS[:n_classes], frames.max(axis=0), frames, GRID)


def event_at(first: int, label: str = "babycry") -> Event:
    return Event(first / 10, first / 10 + 0.5, label)


def noisy_set(seed: int = 0, n_clips: int = 24) -> tuple[list[ClipPrediction], list[list[Event]]]:
    rng = np.random.default_rng(seed)
    clips, reference = [], []
    for _ in range(n_clips):
        noise = rng.normal(-2, 1.2, (100, 2))
        events = []
        for column, label in enumerate(LABELS):
            if rng.random() < 0.6:
                first = int(rng.integers(5, 80))
                noise[first : first + 10, column] += rng.uniform(2, 5)
                events.append(Event(first / 10, first / 10 + 1.0, label))
        frames = (1 / (1 + np.exp(-noise))).astype(np.float32)
        clips.append(ClipPrediction(LABELS, frames.max(axis=0), frames, GRID))
        reference.append(events)
    return clips, reference


def run(refs: Any, clips: list[ClipPrediction]) -> list[tuple[Event, ...]]:
    found = []
    for clip in clips:
        for ref in refs:
            part, config = ref.resolve("postprocessor", HOST)
            clip = part(config, clip.labels)(clip)
        assert clip.events is not None
        found.append(clip.events)
    return found


def as_lists(events: Any) -> dict[str, Any]:
    return {str(index): list(each) for index, each in enumerate(events)}


@pytest.mark.parametrize("objective", ["error_rate", "f1"])
@pytest.mark.parametrize("offsets", [False, True])
def test_the_chosen_threshold_is_the_best_by_sed_eval(objective: Any, offsets: bool) -> None:
    clips, reference = noisy_set()
    fitted = fit_postprocessors(
        ["threshold", {"part": "fill_gaps", "seconds": 0.2}, "to_events"],
        clips,
        reference,
        objective=objective,
        offsets=offsets,
        search={"threshold": {"value": THRESHOLDS}, "fill_gaps": {}},
        **EXACT,
    )
    scores = {}
    for value in THRESHOLDS:
        refs = [
            PartRef.model_validate(ref)
            for ref in (
                {"part": "threshold", "value": value},
                {"part": "fill_gaps", "seconds": 0.2},
                "to_events",
            )
        ]
        scores[value] = event_scores(
            as_lists(reference), as_lists(run(refs, clips)), LABELS, offsets=offsets
        )
    for label in LABELS:
        chosen = fitted.chosen[label]
        of_class = {value: score.classes[label] for value, score in scores.items()}
        if objective == "error_rate":
            assert chosen.error_rate == pytest.approx(min(s.error_rate for s in of_class.values()))
            assert chosen.cost == pytest.approx(chosen.error_rate)
        else:
            assert chosen.f1 == pytest.approx(max(s.f1 for s in of_class.values()))
            assert chosen.cost == pytest.approx(1 - chosen.f1)
        for trial in fitted.trials:
            if trial.label == label and trial.setting["threshold.value"] in of_class:
                score = of_class[trial.setting["threshold.value"]]
                assert trial.error_rate == pytest.approx(score.error_rate)
                assert trial.f1 == pytest.approx(score.f1)


def test_the_fitted_parts_give_the_chosen_scores() -> None:
    clips, reference = noisy_set(1)
    fitted = fit_postprocessors(
        ["hysteresis", "fill_gaps", "minimum_duration", "to_events"], clips, reference, host=HOST
    )
    scores = event_scores(as_lists(reference), as_lists(run(fitted.postprocessors, clips)), LABELS)
    for label in LABELS:
        assert fitted.chosen[label].error_rate == pytest.approx(scores.classes[label].error_rate)
    high = fitted.postprocessors[0].options["high"]
    assert list(high) == list(LABELS)
    assert json.loads(json.dumps(fitted.as_dict(), allow_nan=False))["objective"] == "error_rate"
    assert len({(t.label, tuple(t.setting.values())) for t in fitted.trials}) == len(fitted.trials)


def test_every_recording_group_counts_alike() -> None:
    easy = [(clip_with((10, 0.35)), [event_at(10)]) for _ in range(9)]
    hard = [(clip_with((10, 0.85), (60, 0.65)), [event_at(10)])]
    clips, reference = map(list, zip(*easy, *hard, strict=True))
    groups = ["easy"] * 9 + ["hard"]
    chain = ["threshold", "to_events"]
    search = {"threshold": {"value": (0.2, 0.75)}}
    pooled = fit_postprocessors(chain, clips, reference, search=search, **EXACT)
    assert pooled.chosen["babycry"].setting == {"threshold.value": 0.2}
    assert pooled.chosen["babycry"].error_rate == pytest.approx(0.1)

    grouped = fit_postprocessors(
        chain, clips, reference, groups=groups, search=search, **EXACT
    ).trials
    costs = {t.setting["threshold.value"]: t for t in grouped if t.label == "babycry"}
    assert costs[0.2].groups == pytest.approx({"easy": 0.0, "hard": 1.0})
    assert costs[0.75].groups == pytest.approx({"easy": 1.0, "hard": 0.0})
    assert costs[0.2].cost == pytest.approx(costs[0.75].cost)


def test_the_spread_over_groups_is_punished() -> None:
    # 0.2 finds all but gives three false alarms, all in one place; 0.75 misses one in each place.
    clips, reference, groups = [], [], []
    for place in range(3):
        alarms = [(40, 0.4), (60, 0.4), (80, 0.4)] if place == 0 else []
        clips += [clip_with((10, 0.9), *alarms), clip_with((10, 0.5))]
        reference += [[event_at(10)], [event_at(10)]]
        groups += [f"place{place}"] * 2
    options: dict[str, Any] = {
        "groups": groups,
        "search": {"threshold": {"value": (0.2, 0.75)}},
        "plateau_weight": 0.0,
        "host": HOST,
    }
    chain = ["threshold", "to_events"]
    fitted = fit_postprocessors(chain, clips, reference, spread_weight=0.1, **options)
    trials = {t.setting["threshold.value"]: t for t in fitted.trials if t.label == "babycry"}
    assert trials[0.2].cost == pytest.approx(0.5 + 0.1 * np.std([1.5, 0, 0]))
    assert trials[0.75].cost == pytest.approx(0.5)
    assert fitted.chosen["babycry"].setting == {"threshold.value": 0.75}


def test_a_plateau_is_preferred_to_a_sharp_minimum_and_its_middle_taken() -> None:
    # One error from 0.3 to 0.8; at 0.2 one error fewer, between two bad neighbours.
    clips = [clip_with((10, 0.85)) for _ in range(9)]
    clips += [clip_with((10, 0.25), (50, 0.15), (70, 0.15))]
    reference = [[event_at(10)] for _ in range(10)]
    options: dict[str, Any] = {"search": {"threshold": {"value": THRESHOLDS}}, "host": HOST}
    chain = ["threshold", "to_events"]
    sharp = fit_postprocessors(chain, clips, reference, plateau_weight=0.0, **options)
    assert sharp.chosen["babycry"].setting["threshold.value"] == 0.2
    flat = fit_postprocessors(chain, clips, reference, plateau_weight=0.8, **options)
    assert flat.chosen["babycry"].setting["threshold.value"] == 0.5  # of 0.3 to 0.7


def test_a_class_is_fitted_as_if_it_were_alone() -> None:
    clips, reference = noisy_set(2)
    chain = ["hysteresis", "fill_gaps", "to_events"]
    together = fit_postprocessors(chain, clips, reference, host=HOST, max_settings=100)
    for column, label in enumerate(LABELS):
        alone = fit_postprocessors(
            chain,
            [
                ClipPrediction((label,), c.clip[[column]], c.frames[:, [column]], GRID)
                for c in clips
            ],
            [[event for event in events if event.label == label] for events in reference],
            host=HOST,
            max_settings=100,
        )
        assert alone.chosen[label] == together.chosen[label]


def test_searching_part_by_part_never_ends_worse_than_it_began() -> None:
    clips, reference = noisy_set(3)
    chain = [{"part": "hysteresis", "high": 0.5, "low_ratio": 0.5}, "minimum_duration", "to_events"]
    calls: list[int] = []
    fitted = fit_postprocessors(
        chain, clips, reference, max_settings=20, progress=calls.append, **EXACT
    )
    for label in LABELS:
        first = next(trial for trial in fitted.trials if trial.label == label)
        assert first.setting["hysteresis.high"] == 0.5
        assert fitted.chosen[label].cost <= first.cost
    assert calls == list(range(1, fitted.parameters["settings_tried"] + 1))


def test_a_class_without_references_keeps_what_was_configured() -> None:
    clips = [clip_with((10, 0.85)) for _ in range(3)]
    fitted = fit_postprocessors(
        [{"part": "threshold", "value": {"babycry": 0.5, "gunshot": 0.77}}, "to_events"],
        clips,
        [[event_at(10)]] * 3,
        host=HOST,
    )
    assert fitted.unfitted == ("gunshot",)
    assert fitted.postprocessors[0].options["value"]["gunshot"] == 0.77
    assert {trial.label for trial in fitted.trials} == {"babycry"}


def test_a_class_may_be_fitted_on_its_own_clips_only() -> None:
    clips, reference = noisy_set(4)
    made_for = [LABELS[index % 2] for index in range(len(clips))]
    fitted = fit_postprocessors(
        ["threshold", "to_events"], clips, reference, clip_class=made_for, host=HOST
    )
    scores = rare_event_scores(
        as_lists(reference),
        as_lists(run(fitted.postprocessors, clips)),
        LABELS,
        {str(index): label for index, label in enumerate(made_for)},
    )
    for label in LABELS:
        assert fitted.chosen[label].error_rate == pytest.approx(scores.classes[label].error_rate)


def test_clips_may_have_ids() -> None:
    clips, reference = noisy_set(5, n_clips=6)
    groups = ["a", "a", "b", "b", "c", "c"]
    chain = ["threshold", "to_events"]
    listed = fit_postprocessors(chain, clips, reference, groups=groups, host=HOST)
    ids = [f"clip {index}" for index in range(6)]
    named = fit_postprocessors(
        chain,
        dict(zip(ids, clips, strict=True)),
        dict(reversed(list(zip(ids, reference, strict=True)))),
        groups=dict(zip(ids, groups, strict=True)),
        host=HOST,
    )
    assert named.chosen == listed.chosen


def test_the_score_table_can_be_drawn() -> None:
    clips, reference = noisy_set(6, n_clips=8)
    fitted = fit_postprocessors(["hysteresis", "to_events"], clips, reference, host=HOST)
    table = fitted.score_table()
    assert set(table) == set(LABELS)
    assert all(0 <= value <= 1 and 0 <= f1 <= 1 for pairs in table.values() for value, f1 in pairs)
    assert fitted.score_table("hysteresis.low_ratio") != table
    with pytest.raises(ConfigError, match="was not searched"):
        fitted.score_table("median.seconds")


def test_a_plugins_part_is_searched_too() -> None:
    class plugin:  # noqa: N801 - stands for a module
        SEDSDK_API = (1, 1)

        @staticmethod
        @hookimpl
        def sedsdk_postprocessors() -> Any:
            yield PartSpec("scaled", f"{__name__}:Scaled", "multiplies", "this test")

    host = Host([("mine", plugin)], discover=False, strict=True)
    clips = [clip_with((10, 0.3)) for _ in range(3)]
    fitted = fit_postprocessors(
        ["mine/scaled", {"part": "threshold", "value": 0.5}, "to_events"],
        clips,
        [[event_at(10)]] * 3,
        search={"threshold": {}},
        host=host,
    )
    assert fitted.chosen["babycry"].setting == {"mine/scaled.factor": 2.0}


class ScaledConfig(PartConfig):
    factor: float | dict[str, float] = 1.0


class Scaled(PostProcessor):
    Config = ScaledConfig

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        factor = self.config.factor
        values = factor if isinstance(factor, float) else list(factor.values())
        frames = (clip.frames * np.array(values)).astype(np.float32)
        return ClipPrediction(clip.labels, clip.clip, frames, clip.grid)

    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        return {"factor": (0.5, 1.0, 2.0)}


def test_mistakes_are_named() -> None:
    clips, reference = noisy_set(7, n_clips=3)

    def fit(chain: Any = ("threshold", "to_events"), **changes: Any) -> Any:
        options = {"clips": clips, "reference": reference, "host": HOST, **changes}
        return fit_postprocessors(chain, **options)

    with pytest.raises(DataError, match="no validation clips"):
        fit(clips=[], reference=[])
    with pytest.raises(DataError, match="reference has 2 entries for 3 clips"):
        fit(reference=reference[:2])
    with pytest.raises(DataError, match="both be lists"):
        fit(groups={"0": "a"})
    with pytest.raises(DataError, match='label "dog"'):
        fit(reference=[[Event(0, 1, "dog")], [], []])
    with pytest.raises(ConfigError, match="End them with to_events"):
        fit(["threshold"])
    with pytest.raises(ConfigError, match="Put threshold"):
        fit(["fill_gaps", "to_events"])
    with pytest.raises(UnknownPart, match="Did you mean"):
        fit(["thresold", "to_events"])
    with pytest.raises(ConfigError, match='search names "median"'):
        fit(search={"median": {}})
    with pytest.raises(ConfigError, match='no field "values"'):
        fit(search={"threshold": {"values": (0.5,)}})
    with pytest.raises(ConfigError, match="lists no values"):
        fit(search={"threshold": {"value": ()}})
    with pytest.raises(ConfigError, match="postprocessor threshold"):
        fit(search={"threshold": {"value": (0.5, 1.5)}})
    with pytest.raises(ConfigError, match="objective"):
        fit(objective="er")
    with pytest.raises(ConfigError, match="plateau_weight"):
        fit(plateau_weight=2.0)


def test_worse_neighbours_are_charged_along_every_axis() -> None:
    costs = np.array([[0.0, 4.0], [8.0, 2.0]])
    # Of [0, 0]: edge 0, below 8, edge 0, right 4 → mean 3. Of [1, 1]: 2, 4, 2, 8 → mean 4.
    assert on_plateau(costs, 1.0)[0, 0] == pytest.approx(3.0)
    assert on_plateau(costs, 0.5)[0, 0] == pytest.approx(1.5)
    assert on_plateau(costs, 1.0)[1, 1] == pytest.approx(4.0)
    assert on_plateau(costs, 1.0)[1, 0] == pytest.approx(8.0)  # nothing worse beside it
    np.testing.assert_array_equal(on_plateau(costs, 0.0), costs)
    np.testing.assert_array_equal(on_plateau(costs[:1, :1], 1.0), costs[:1, :1])


def test_the_middle_of_equal_minima_is_taken() -> None:
    assert central_minimum(np.array([3.0, 1.0, 1.0, 1.0, 2.0])) == (2,)
    assert central_minimum(np.array([[1.0, 2.0], [2.0, 2.0]])) == (0, 0)
