"""Event-based and segment-based scores: sed_eval's numbers, and what it leaves undefined."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from sedsdk.errors import ConfigError, DataError, MissingDependency
from sedsdk.evaluation import event_scores, rare_event_scores, segment_scores
from sedsdk.evaluation.events import import_sed_eval
from sedsdk.types import Event

LABELS = ["babycry", "glassbreak", "gunshot"]


def random_lists(seed: int, n_clips: int = 40) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(seed)

    def some(n: int) -> list[Event]:
        onsets = rng.uniform(0, 8, n)
        return [Event(t, t + rng.uniform(0.2, 2), LABELS[rng.integers(3)]) for t in onsets]

    reference = {f"clip{i}": some(rng.integers(0, 4)) for i in range(n_clips)}
    estimated = {
        clip: some(rng.integers(0, 2))
        + [
            Event(
                max(0.0, e.onset + rng.normal(0, 0.4)),
                e.offset + abs(rng.normal(0, 0.8)),
                e.label if rng.random() < 0.8 else LABELS[rng.integers(3)],
            )
            for e in events
        ]
        for clip, events in reference.items()
    }
    return reference, estimated


def plain(events: list[Event]) -> list[dict[str, Any]]:
    return [{"event_label": e.label, "onset": e.onset, "offset": e.offset} for e in events]


@pytest.mark.parametrize("offsets", [False, True])
def test_event_based_rates_are_sed_evals(offsets: bool) -> None:
    reference, estimated = random_lists(1)
    metric = import_sed_eval().sound_event.EventBasedMetrics(
        LABELS, evaluate_offset=offsets, t_collar=0.5, percentage_of_length=0.5
    )
    for clip in reference:
        metric.evaluate(plain(reference[clip]), plain(estimated[clip]))
    check_against(event_scores(reference, estimated, LABELS, offsets=offsets), metric)


def test_segment_based_rates_are_sed_evals() -> None:
    reference, estimated = random_lists(2)
    metric = import_sed_eval().sound_event.SegmentBasedMetrics(LABELS, time_resolution=1.0)
    for clip in reference:
        metric.evaluate(plain(reference[clip]), plain(estimated[clip]), 12.0)
    durations = dict.fromkeys(reference, 12.0)
    check_against(segment_scores(reference, estimated, LABELS, durations=durations), metric)


def check_against(scores: Any, metric: Any) -> None:
    for label in LABELS:
        error, f = metric.class_wise_error_rate(label), metric.class_wise_f_measure(label)
        assert scores.classes[label].error_rate == pytest.approx(error["error_rate"])
        assert scores.classes[label].f1 == pytest.approx(f["f_measure"])
        assert scores.classes[label].precision == pytest.approx(f["precision"])
        assert scores.classes[label].recall == pytest.approx(f["recall"])
    average = metric.results_class_wise_average_metrics()
    assert scores.average.error_rate == pytest.approx(average["error_rate"]["error_rate"])
    assert scores.average.f1 == pytest.approx(average["f_measure"]["f_measure"])
    overall = metric.overall_error_rate()
    assert scores.overall.error_rate == pytest.approx(overall["error_rate"])
    assert scores.overall.f1 == pytest.approx(metric.overall_f_measure()["f_measure"])
    n_ref = scores.overall.n_ref
    assert scores.overall.substitutions / n_ref == pytest.approx(overall["substitution_rate"])
    assert scores.overall.insertions / n_ref == pytest.approx(overall["insertion_rate"])
    assert scores.overall.deletions / n_ref == pytest.approx(overall["deletion_rate"])


SCORERS = [
    lambda reference, estimated: event_scores(reference, estimated, LABELS),
    lambda reference, estimated: event_scores(reference, estimated, LABELS, offsets=True),
    lambda reference, estimated: segment_scores(
        reference, estimated, LABELS, durations=dict.fromkeys(reference, 10.0)
    ),
    lambda reference, estimated: rare_event_scores(
        reference, estimated, LABELS, dict.fromkeys(reference, "gunshot")
    ),
]
HIT = Event(1.0, 2.0, "gunshot")


@pytest.mark.parametrize("score", SCORERS)
@pytest.mark.parametrize(
    ("wanted", "found", "error_rate", "f1", "precision", "recall"),
    [
        ([], [], 0.0, 1.0, 1.0, 1.0),
        ([], [HIT], None, 0.0, 0.0, 0.0),
        ([HIT], [], 1.0, 0.0, 0.0, 0.0),
        ([HIT], [HIT], 0.0, 1.0, 1.0, 1.0),
    ],
)
def test_silence_and_emptiness_are_defined(
    score: Any,
    wanted: list[Event],
    found: list[Event],
    error_rate: float | None,
    f1: float,
    precision: float,
    recall: float,
) -> None:
    result = score({"clip": wanted}, {"clip": found})
    gunshot = result.classes["gunshot"]
    expected = float(gunshot.insertions) if error_rate is None else error_rate
    assert (gunshot.error_rate, gunshot.f1) == (expected, f1)
    assert (gunshot.precision, gunshot.recall) == (precision, recall)
    assert result.classes["babycry"].error_rate == 0.0
    assert result.classes["babycry"].f1 == 1.0
    assert result.classes["babycry"].n_ref == 0
    for rates in (result.average, result.overall):
        assert all(
            math.isfinite(value)
            for value in (rates.error_rate, rates.f1, rates.precision, rates.recall)
        )


def test_a_confused_class_is_a_substitution_overall_and_two_errors_per_class() -> None:
    scores = event_scores({"a": [Event(1, 2, "gunshot")]}, {"a": [Event(1, 2, "babycry")]}, LABELS)
    assert (scores.overall.substitutions, scores.overall.error_rate) == (1, 1.0)
    assert scores.classes["gunshot"].deletions == 1
    assert scores.classes["babycry"].insertions == 1


def test_rare_event_protocol_looks_at_a_classs_own_clips_only() -> None:
    reference = {
        "cry1": [Event(1, 2, "babycry")],
        "cry2": [],
        "shot1": [Event(3, 4, "gunshot")],
    }
    estimated = {
        "cry1": [Event(1.2, 2, "babycry"), Event(5, 6, "gunshot")],
        "cry2": [Event(7, 8, "babycry")],
        "shot1": [Event(3, 4, "babycry")],
    }
    made_for = {"cry1": "babycry", "cry2": "babycry", "shot1": "gunshot"}
    scores = rare_event_scores(reference, estimated, ["babycry", "gunshot"], made_for)
    assert scores.classes["babycry"].error_rate == 1.0  # one right, one false alarm, of one
    assert scores.classes["babycry"].f1 == pytest.approx(2 / 3)
    assert scores.classes["gunshot"].error_rate == 1.0  # missed; the false alarm is not its clip
    assert scores.average.f1 == pytest.approx(1 / 3)
    with pytest.raises(DataError, match='"shot1"'):
        rare_event_scores(
            reference, {}, ["babycry", "gunshot"], {"cry1": "babycry", "cry2": "babycry"}
        )


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="reference of clip"):
        event_scores({"a": [Event(0, 1, "dog")]}, {}, LABELS)
    with pytest.raises(DataError, match="estimate of clip"):
        event_scores({"a": []}, {"a": [Event(0, 1, "dog")]}, LABELS)
    with pytest.raises(DataError, match='durations gives None for clip "a"'):
        segment_scores({"a": []}, {}, LABELS, durations={})
    with pytest.raises(ConfigError, match="resolution"):
        segment_scores({"a": []}, {}, LABELS, 0.0, durations={"a": 1.0})


def test_importing_sed_eval_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import_sed_eval()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("pkg_resources", 'pip install "setuptools<81"'),
        ("sed_eval", r'pip install "sedsdk\[train\]"'),
    ],
)
def test_a_missing_library_is_named_with_its_cure(
    missing: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("sed_eval", "dcase_util")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("sys.meta_path", [Blocked(missing), *sys.meta_path])
    monkeypatch.delitem(sys.modules, missing, raising=False)
    with pytest.raises(MissingDependency, match=message):
        import_sed_eval()


class Blocked:
    """An import finder that acts as if one library were not installed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
