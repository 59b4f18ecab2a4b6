"""PSDS where its value follows by hand, and the cases that its library does not take."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sedsdk.errors import ConfigError, DataError, MissingDependency
from sedsdk.evaluation import PSDS_SCENARIO_1, PSDS_SCENARIO_2, PsdsParameters, psds_scores
from sedsdk.types import ClipPrediction, Event, FrameGrid

pytest.importorskip("sed_scores_eval", reason='needs sed_scores_eval: pip install "sedsdk[psds]"')

LABELS = ("babycry", "gunshot")
GRID = FrameGrid(1.0, 0.5)
HOUR = 3600.0


def clip_with(frames: np.ndarray) -> ClipPrediction:
    return ClipPrediction(LABELS, frames.max(axis=0), frames.astype(np.float32), GRID)


def perfect() -> tuple[dict[str, ClipPrediction], dict[str, list[Event]]]:
    frames = np.full((60, 2), 0.1)
    frames[10:20, 0] = frames[30:40, 1] = 0.9
    return {"a": clip_with(frames)}, {"a": [Event(10, 20, "babycry"), Event(30, 40, "gunshot")]}


@pytest.mark.parametrize("parameters", [PSDS_SCENARIO_1, PSDS_SCENARIO_2])
def test_perfect_probabilities_score_one(parameters: PsdsParameters) -> None:
    predictions, reference = perfect()
    result = psds_scores(predictions, reference, {"a": 60.0}, parameters)
    assert result.psds == pytest.approx(1.0)
    assert result.classes == {"babycry": pytest.approx(1.0), "gunshot": pytest.approx(1.0)}


def test_one_false_alarm_an_hour_above_the_event_costs_a_hundredth() -> None:
    frames = np.full((3600, 2), 0.1)
    frames[100:110] = 0.6
    frames[500:510] = 0.9
    reference = {"a": [Event(100, 110, label) for label in LABELS]}
    result = psds_scores({"a": clip_with(frames)}, reference, {"a": HOUR})
    assert result.psds == pytest.approx(0.99)


@pytest.mark.parametrize(("alpha_st", "expected"), [(0.0, 0.5), (0.5, 0.25), (1.0, 0.0)])
def test_spread_over_the_classes_is_punished(alpha_st: float, expected: float) -> None:
    predictions, reference = perfect()
    frames = predictions["a"].frames.copy()
    frames[:, 1] = 0.0
    frames[50:51, 1] = 0.9  # a detection that covers nothing
    result = psds_scores(
        {"a": clip_with(frames)},
        reference,
        {"a": 60.0},
        PsdsParameters(0.7, 0.7, alpha_st=alpha_st, max_efpr=50.0),
    )
    assert result.psds == pytest.approx(expected)
    assert result.classes == {"babycry": pytest.approx(1.0), "gunshot": pytest.approx(0.0)}


def test_a_class_without_references_is_left_out() -> None:
    predictions, reference = perfect()
    only = {"a": reference["a"][:1]}
    for parameters in (PSDS_SCENARIO_1, PSDS_SCENARIO_2):
        result = psds_scores(predictions, only, {"a": 60.0}, parameters)
        assert result.psds == pytest.approx(1.0)
        assert result.classes["gunshot"] is None


def test_no_references_at_all_is_none() -> None:
    predictions, _ = perfect()
    result = psds_scores(predictions, {"a": []}, {"a": 60.0})
    assert result.psds is None
    assert result.as_dict()["classes"] == {"babycry": None, "gunshot": None}


def test_overlapping_and_empty_references_are_joined_and_dropped() -> None:
    predictions, reference = perfect()
    split = [Event(10, 16, "babycry"), Event(14, 20, "babycry"), Event(5, 5, "babycry")]
    result = psds_scores(predictions, {"a": split + reference["a"][1:]}, {"a": 60.0})
    assert result.psds == pytest.approx(1.0)


def test_mistakes_are_named() -> None:
    predictions, reference = perfect()
    with pytest.raises(DataError, match="same clips"):
        psds_scores(predictions, {**reference, "b": []}, {"a": 60.0})
    with pytest.raises(DataError, match="durations"):
        psds_scores(predictions, reference, {})
    empty = ClipPrediction(LABELS, np.zeros(2), np.zeros((0, 2)), GRID)
    with pytest.raises(DataError, match="0 frames"):
        psds_scores({"a": empty}, reference, {"a": 60.0})
    with pytest.raises(ConfigError, match="dtc_threshold"):
        PsdsParameters(1.5, 0.5)
    with pytest.raises(ConfigError, match="together"):
        PsdsParameters(0.5, 0.5, alpha_ct=1.0)
    with pytest.raises(ConfigError, match="max_efpr"):
        PsdsParameters(0.5, 0.5, max_efpr=0)


def test_a_missing_library_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sed_scores_eval", None)
    predictions, reference = perfect()
    with pytest.raises(MissingDependency, match=r"sed_scores_eval.*sedsdk\[psds\]"):
        psds_scores(predictions, reference, {"a": 60.0})
