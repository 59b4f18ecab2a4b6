"""The report: complete, strict JSON, readable, written whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation import Report
from sedsdk.types import ClipPrediction, Event, FrameGrid

LABELS = ("babycry", "gunshot")
GRID = FrameGrid(0.1, 0.05)


def clip_with(events: list[Event] | None, clip: tuple[float, float]) -> ClipPrediction:
    return ClipPrediction(
        LABELS,
        np.array(clip, dtype=np.float32),
        np.full((100, 2), 0.1, dtype=np.float32),
        GRID,
        events=None if events is None else tuple(events),
    )


def small_test() -> tuple[dict[str, ClipPrediction], dict[str, list[Event]]]:
    cry, shot = Event(1.0, 2.0, "babycry"), Event(4.0, 4.5, "gunshot")
    predictions = {
        "a": clip_with([Event(1.1, 4.0, "babycry", 0.9)], (0.9, 0.2)),
        "b": clip_with([Event(4.0, 4.5, "gunshot", 0.8)], (0.1, 0.8)),
        "c": clip_with([Event(7.0, 8.0, "gunshot", 0.7)], (0.1, 0.7)),
        "d": clip_with([], (0.0, 0.1)),
    }
    return predictions, {"a": [cry], "b": [shot], "c": [], "d": []}


def test_the_numbers_follow_from_the_events() -> None:
    report = Report.build(*small_test(), resamples=50).to_dict()
    onset = report["event_based_onset"]
    assert onset["classes"]["babycry"]["error_rate"] == 0.0
    assert onset["classes"]["gunshot"]["error_rate"] == 1.0  # one false alarm, one reference
    assert onset["average"]["error_rate"] == 0.5
    assert report["event_based_onset_offset"]["classes"]["babycry"]["error_rate"] == 2.0
    # Cry: segment 1 right, 2 and 3 extra. Shot: segment 4 right, 7 extra.
    assert report["segment_based"]["classes"]["babycry"]["n_sys"] == 3
    assert report["segment_based"]["classes"]["gunshot"]["error_rate"] == 1.0
    assert report["tags"]["auc"] == 1.0
    assert report["seconds"] == pytest.approx(40.0)
    assert (report["n_clips"], report["n_groups"]) == (4, None)


def test_rare_event_protocol_and_groups() -> None:
    predictions, reference = small_test()
    made_for = {"a": "babycry", "b": "gunshot", "c": "babycry", "d": "gunshot"}
    report = Report.build(
        predictions,
        reference,
        clip_class=made_for,
        groups={"a": "x", "b": "x", "c": "y", "d": "y"},
        resamples=50,
    )
    assert report.onset.average.error_rate == 0.0  # the false gunshot is in a clip of babycry
    assert (report.n_groups, report.intervals.n_units) == (2, 2)
    assert "each class on the clips made for it" in report.to_markdown()


def test_json_is_strict_and_markdown_tells_the_same() -> None:
    report = Report.build(
        *small_test(),
        postprocessors=[
            {"part": "threshold", "value": {"babycry": 0.4, "gunshot": 0.25}},
            "to_events",
        ],
        tag_thresholds={"babycry": 0.5, "gunshot": 0.75},
        title="Real recordings",
        notes=["thresholds fitted on validation folds"],
        resamples=50,
    )
    values = json.loads(report.to_json())
    assert values == json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["postprocessors"][0]["value"]["gunshot"] == 0.25
    page = report.to_markdown()
    assert page.startswith("# Real recordings\n")
    assert "class average: ER 0.50" in page
    assert "`threshold`: value = babycry 0.4, gunshot 0.25" in page
    assert "- thresholds fitted on validation folds" in page
    for line in page.splitlines():
        if line.startswith("| babycry"):
            assert "nan" not in line.lower()


def test_tables_have_as_many_cells_as_headings() -> None:
    page = Report.build(*small_test(), with_psds=True, resamples=20).to_markdown()
    tables = [block for block in page.split("\n\n") if block.startswith("|")]
    assert len(tables) == 5
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_silence_against_nothing_is_defined() -> None:
    predictions = {"a": clip_with([], (0.0, 0.0))}
    report = Report.build(predictions, {"a": []}, with_psds=True, resamples=10)
    values = json.loads(report.to_json())
    assert values["event_based_onset"]["average"]["error_rate"] == 0.0
    assert values["tags"]["auc"] is None
    assert values["tags"]["without_positives"] == list(LABELS)
    assert values["psds"]["scenario_1"]["psds"] is None
    assert "left out: babycry, gunshot" in report.to_markdown()


def test_tags_may_be_known_where_events_are_not() -> None:
    predictions, reference = small_test()
    present = {"a": ["babycry"], "b": ["gunshot"], "c": ["gunshot"], "d": []}
    report = Report.build(predictions, reference, present=present, resamples=10)
    assert report.tags.classes["gunshot"].n_positive == 2


def test_its_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    report = Report.build(*small_test(), resamples=10)
    folder = report.write(tmp_path / "scores")
    assert sorted(path.name for path in folder.iterdir()) == [
        "counts.json",
        "report.json",
        "report.md",
        "tag_scores.npz",
    ]
    assert json.loads((folder / "report.json").read_text()) == json.loads(report.to_json())
    assert (folder / "report.md").read_text() == report.to_markdown()


def test_mistakes_are_named() -> None:
    predictions, reference = small_test()

    def build(**changes: Any) -> Any:
        return Report.build(
            **{"predictions": predictions, "reference": reference, "resamples": 5, **changes}
        )

    with pytest.raises(ConfigError, match="to_events at the end"):
        build(predictions={**predictions, "d": clip_with(None, (0, 0))})
    with pytest.raises(DataError, match="same clips"):
        build(reference={"a": []})
    with pytest.raises(DataError, match="not finite"):
        build(predictions={**predictions, "d": clip_with([], (float("nan"), 0))})
    with pytest.raises(DataError, match='the label "dog"'):
        build(present={clip_id: ["dog"] for clip_id in predictions})
    other = ClipPrediction(("x",), np.zeros(1), np.zeros((1, 1)), GRID, events=())
    with pytest.raises(DataError, match="All clips must come from one pipeline"):
        build(predictions={**predictions, "d": other})


def test_importing_the_package_loads_no_scoring_library() -> None:
    code = (
        "import sys, sedsdk.evaluation as e; [getattr(e, name) for name in e.__all__]; "
        "heavy = ('torch', 'sed_eval', 'sklearn', 'scipy', 'pandas'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
