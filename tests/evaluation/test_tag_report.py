"""Reports on tags: scikit-learn's numbers, strict JSON, readable, written whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from sedsdk.errors import DataError
from sedsdk.evaluation import ClipTags, Report, TagReport, fit_tag_thresholds, read_clip_tags
from sedsdk.types import ClipPrediction, Event, FrameGrid

LABELS = ("babycry", "glassbreak", "gunshot")
THRESHOLDS = {"babycry": 0.4, "glassbreak": 0.5, "gunshot": 0.6}
N_CLIPS = 40


def clips(n_unknown: int = 0, thresholds=THRESHOLDS) -> ClipTags:
    rng = np.random.default_rng(1)
    truth = rng.random((N_CLIPS, 3)) < 0.35
    predictions, present = {}, {}
    for row in range(N_CLIPS):
        clip = np.clip(0.4 * truth[row] + 0.6 * rng.random(3), 0, 1).astype(np.float32)
        frames = np.tile(clip, (100, 1))
        predictions[f"c{row}"] = ClipPrediction(LABELS, clip, frames, FrameGrid(0.1, 0.05))
        if row >= n_unknown:
            present[f"c{row}"] = [
                label for label, held in zip(LABELS, truth[row], strict=True) if held
            ]
    groups = {clip_id: f"g{int(clip_id[1:]) // 4}" for clip_id in predictions}
    return ClipTags.of(predictions, present, groups=groups, thresholds=thresholds)


def test_the_numbers_are_scikit_learns():
    tags = clips(n_unknown=4)
    durations = dict.fromkeys(tags.clip_ids, 10.0)
    report = TagReport.build(tags, durations=durations, resamples=200)
    truth, scores = tags.truth[4:], tags.probabilities[4:]
    found = scores > np.float32(list(THRESHOLDS.values()))
    assert (report.n_clips, report.n_unknown, report.n_groups) == (36, 4, 9)
    assert report.seconds == 360
    assert report.tags.auc == pytest.approx(sklearn.metrics.roc_auc_score(truth, scores))
    assert report.tags.mean_average_precision == pytest.approx(
        sklearn.metrics.average_precision_score(truth, scores)
    )
    assert report.tags.f1 == pytest.approx(sklearn.metrics.f1_score(truth, found, average="macro"))
    for interval, value in (
        (report.intervals.auc, report.tags.auc),
        (report.intervals.mean_average_precision, report.tags.mean_average_precision),
        (report.intervals.f1, report.tags.f1),
    ):
        assert interval.low < value < interval.high
    assert (report.intervals.unit, report.intervals.n_units) == ("group", 9)


def test_json_is_strict_and_markdown_tells_the_same(tmp_path: Path):
    tags = clips(n_unknown=4)
    report = TagReport.build(
        tags,
        title="Tags of the evening",
        postprocessors=[{"part": "tag_threshold", "threshold": THRESHOLDS}],
        notes=["thresholds of tags set on validation data only"],
        resamples=50,
    )
    (tmp_path / "counts.json").write_text("of an earlier report", encoding="utf-8")
    report.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report.json",
        "report.md",
        "tag_scores.npz",
    ]
    values = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert values == json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["format"] == "sedsdk-tag-report/1"
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert page.startswith("# Tags of the evening\n")
    assert f"AUC {100 * report.tags.auc:.1f} % (" in page
    assert "4 more clips have no known labels and are left out." in page
    assert "- thresholds of tags set on validation data only" in page
    (table,) = [block for block in page.split("\n\n") if block.startswith("|")]
    assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "nan" not in page.lower()
    read = read_clip_tags(tmp_path / "tag_scores.npz")
    assert read.scores() == report.tags


def test_a_class_that_no_clip_holds_is_left_out_of_everything():
    tags = clips()
    truth = tags.truth.copy()
    truth[:, 1] = False
    report = TagReport.build(ClipTags(**{**vars(tags), "truth": truth}), resamples=50)
    values = json.loads(report.to_json())
    assert values["tags"]["without_positives"] == ["glassbreak"]
    assert values["tag_intervals"]["classes"]["glassbreak"]["auc"] is None
    assert "In no clip, left out: glassbreak." in report.to_markdown()


def test_a_report_on_events_has_tags_at_the_thresholds_given(tmp_path: Path):
    tags = clips()
    predictions, reference = {}, {}
    for row, clip_id in enumerate(tags.clip_ids):
        clip = tags.probabilities[row]
        grid = FrameGrid(0.1, 0.05)
        predictions[clip_id] = ClipPrediction(
            LABELS, clip, np.tile(clip, (100, 1)), grid, events=()
        )
        held = [label for label, there in zip(LABELS, tags.truth[row], strict=True) if there]
        reference[clip_id] = [Event(1.0, 2.0, label) for label in held]
    report = Report.build(
        predictions, reference, groups=tags.groups, tag_thresholds=THRESHOLDS, resamples=50
    )
    alone = TagReport.build(tags, resamples=50)
    assert report.tags == alone.tags
    assert report.tag_intervals == alone.intervals
    values = json.loads(report.to_json())
    assert values["format"] == "sedsdk-report/1"
    assert values["tags"]["classes"]["gunshot"]["threshold"] == 0.6
    read = read_clip_tags(report.write(tmp_path) / "tag_scores.npz")
    assert read.groups == tags.groups
    np.testing.assert_array_equal(read.probabilities, tags.probabilities)


def test_groups_that_only_name_the_class_are_no_units():
    predictions, reference = {}, {}
    for row in range(4):
        clip = np.array([0.2 * row, 0.1, 0.1], dtype=np.float32)
        frames = np.tile(clip, (10, 1))
        predictions[f"c{row}"] = ClipPrediction(
            LABELS, clip, frames, FrameGrid(0.1, 0.05), events=()
        )
        reference[f"c{row}"] = [Event(0.0, 0.5, "babycry")] if row > 1 else []
    made_for = dict.fromkeys(predictions, "babycry")
    report = Report.build(
        predictions, reference, groups=made_for, clip_class=made_for, resamples=10
    )
    assert report.clip_tags.unit == "clip"
    assert report.tag_intervals.n_units == 4


def test_nothing_known_is_an_error():
    with pytest.raises(DataError, match="no clip has known labels"):
        TagReport.build(clips(n_unknown=N_CLIPS))
    with pytest.raises(DataError, match="no validation clips"):
        fit_tag_thresholds(clips(n_unknown=N_CLIPS))


def test_fitted_thresholds_have_the_best_f1_of_known_clips():
    tags = clips(n_unknown=4)
    truth = tags.truth.copy()
    truth[:, 2] = False
    tags = ClipTags(**{**vars(tags), "truth": truth})
    fitted = fit_tag_thresholds(tags)
    assert fitted.unfitted == ("gunshot",)
    assert fitted.thresholds["gunshot"] == 0.6  # as configured
    assert fitted.n_clips == 36
    for column, label in enumerate(LABELS[:2]):
        held, scores = truth[4:, column], tags.probabilities[4:, column]

        def f1(threshold, held=held, scores=scores):
            return sklearn.metrics.f1_score(held, scores > np.float32(threshold))

        best = max(f1(value) for value in [0.0, *np.unique(scores)[:-1]])
        assert fitted.f1[label] == pytest.approx(best)
        assert f1(fitted.thresholds[label]) == pytest.approx(best)
        table = fitted.score_table[label]
        assert len(table) == 20
        assert table == sorted(table)
        for threshold, score in table:
            assert score == pytest.approx(f1(threshold))
    assert json.loads(json.dumps(fitted.as_dict(), allow_nan=False))["objective"] == "f1"
