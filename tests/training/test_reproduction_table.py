"""Tables: the numbers against ones worked out by hand, and what the reader sees of them."""

from __future__ import annotations

import itertools
import json

import made_runs
import numpy as np
import pytest

from sedsdk.training.reproduction.data import DataChoice
from sedsdk.training.reproduction.markdown import table_cells, table_markdown
from sedsdk.training.reproduction.measures import MEASURES
from sedsdk.training.reproduction.reproduce import Reproduction
from sedsdk.training.reproduction.runs import read_result

MEASURE = MEASURES["rare_events"]
FOUND, MISSED, EXTRA, WRONG = (1, 1, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0)
SILENT = (0, 0, 0)

# Per class 4 clips in 2 groups. ER = (to find + found − 2 · right) / to find.
CRNN_0 = {"babycry": [FOUND, MISSED, FOUND, WRONG], "gunshot": [MISSED, MISSED, FOUND, SILENT]}
CRNN_1 = {"babycry": [FOUND, FOUND, FOUND, MISSED], "gunshot": [MISSED, FOUND, FOUND, EXTRA]}
WIDE_0 = {"babycry": [FOUND, FOUND, FOUND, FOUND], "gunshot": [FOUND, FOUND, FOUND, EXTRA]}
WIDE_1 = {"babycry": [FOUND, FOUND, FOUND, MISSED], "gunshot": [FOUND, MISSED, FOUND, SILENT]}


def decide(out, host, plan=None, **asked) -> Reproduction:
    return Reproduction.decide(
        plan or made_runs.plan(), "small", DataChoice("corpus"), out, host=host, **asked
    )


@pytest.fixture
def finished(tmp_path, host) -> Reproduction:
    reproduction = decide(tmp_path, host)
    for run, counts in zip(reproduction.runs, (CRNN_0, WIDE_0, CRNN_1, WIDE_1), strict=True):
        seconds = 60.0 if run.name.endswith("s0") else 120.0
        parameters = 45_678 if run.name.startswith("crnn") else 1_234_567
        made_runs.finish(run, tmp_path, counts, seconds=seconds, parameters=parameters)
    return reproduction


def test_values_are_means_over_seeds_of_scores_over_all_clips(finished):
    results, _ = finished.tables()
    crnn, wide = results.rows
    babycry, gunshot, average = (crnn.measured["test"][name] for name in results.columns)
    # babycry: (4 + 3 − 4) / 4 and (4 + 3 − 6) / 4; gunshot: (3 + 1 − 2) / 3 and (3 + 3 − 4) / 3
    assert babycry["error_rate"].by_seed == pytest.approx((0.75, 0.25))
    assert gunshot["error_rate"].by_seed == pytest.approx((2 / 3, 2 / 3))
    assert average["error_rate"].by_seed == pytest.approx(((0.75 + 2 / 3) / 2, (0.25 + 2 / 3) / 2))
    assert average["error_rate"].value == pytest.approx((0.5 + 2 / 3) / 2)
    # F1 = 2 · right / (to find + found)
    assert babycry["f1"].by_seed == pytest.approx((4 / 7, 6 / 7))
    assert gunshot["f1"].by_seed == pytest.approx((2 / 4, 4 / 6))
    assert average["f1"].value == pytest.approx((4 / 7 + 6 / 7 + 1 / 2 + 2 / 3) / 4)
    # wide: 0 and 1/4; (3 + 4 − 6) / 3 and (3 + 2 − 4) / 3
    assert wide.difference["test"].value == pytest.approx((0.125 + 1 / 3) / 2 - (0.5 + 2 / 3) / 2)
    assert crnn.difference == {}
    assert (crnn.minutes, crnn.parameters, crnn.seeds) == (1.5, (45_678,), (0, 1))


def test_intervals_are_those_of_every_possible_resample(finished):
    """Two groups and two seeds give so few resamples that all can be listed with their odds."""
    crnn, wide = finished.tables()[0].rows

    def rate(seeds, groups) -> float:
        means = []
        for counts in seeds:
            rates = []
            for clips in counts.values():
                drawn = [clip for group in groups for clip in clips[2 * group : 2 * group + 2]]
                n_ref, n_sys, hits = np.sum(drawn, axis=0)
                rates.append((n_ref + n_sys - 2 * hits) / max(1, n_ref))
            means.append(np.mean(rates))
        return float(np.mean(means))

    def quantiles(values) -> list[float]:
        return list(np.quantile(values, [0.025, 0.975], method="inverted_cdf"))

    pairs = list(itertools.product((0, 1), repeat=2))
    rows = {"crnn": (CRNN_0, CRNN_1), "wide": (WIDE_0, WIDE_1)}

    def draws(row, groups) -> list[float]:
        return [rate([rows[row][seed] for seed in seeds], groups) for seeds in pairs]

    every = [value for groups in pairs for value in draws("crnn", groups)]
    average = crnn.measured["test"]["average"]["error_rate"]
    assert [average.low, average.high] == pytest.approx(quantiles(every), abs=1e-9)
    both = [
        second - first
        for groups in pairs
        for first in draws("crnn", groups)
        for second in draws("wide", groups)
    ]
    difference = wide.difference["test"]
    assert [difference.low, difference.high] == pytest.approx(quantiles(both), abs=1e-9)


def test_the_reader_sees_units_intervals_and_printed_values(finished):
    results, units = finished.tables()
    columns, rows = table_cells(results, MEASURE)
    assert columns == [
        "row",
        "parameters",
        "minutes",
        "seeds",
        "babycry ER | F1 %",
        "gunshot ER | F1 %",
        "average ER | F1 %",
        "ER difference to CRNN",
        "paper, development, babycry",
        "paper, development, average",
    ]
    assert rows[0][:5] == ["CRNN", "45.7 k", "1.5", "2", "0.50 | 71.4"]
    assert rows[0][6].startswith("0.58 [0.")
    assert rows[0][6].endswith("] | 64.9")
    assert rows[0][7:] == ["baseline", "–", "–"]
    assert rows[1][1] == "1.23 M"
    assert rows[1][7].startswith("−0.35 [−")
    assert rows[1][8:] == ["0.10 | 95.0", "0.20 | –"]
    columns, rows = table_cells(units, MEASURE)
    assert columns[:2] == ["row", "recurrent units"]
    assert [row[1] for row in rows] == ["32", "64"]
    text = table_markdown(results, MEASURE)
    assert "0.50 \\| 71.4" in text
    assert "Test: 8 clips, resampled as 2 recording groups." in text
    table = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_the_caption_says_what_was_measured_on_what(finished):
    caption = finished.tables()[0].caption
    for words in (
        "Scale small, on the built-in corpus of made sounds: few mixtures.",
        "One model detects all classes.",
        # of demo/corpus with training.epochs=3
        "at most 180 batches of 48 mixtures of 5 s",
        "tested on 40 mixtures of 30 s per class",
        "Mean over seeds 0, 1.",
        "95 % percentile intervals of 2000 resamples of the test's recordings",
        "of its own data: compare orders, not values",
    ):
        assert words in caption


def test_files_hold_the_same_numbers(finished, tmp_path):
    tables = finished.tables()
    page = finished.write(tables)
    values = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    measured = values["rows"][0]["measured"]["test"]["babycry"]["error_rate"]
    assert measured["value"] == pytest.approx(0.5)
    assert measured["by_seed"] == pytest.approx([0.75, 0.25])
    assert values["resampled"] == {"test": "2 recording groups"}
    assert values["tested"] == {"test": "8 clips"}
    assert str(tmp_path) not in json.dumps(values)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Rare events again\n")
    assert (tmp_path / "results.md").read_text(encoding="utf-8").rstrip() in text
    assert "How wide" in text
    assert "![" not in text
    (tmp_path / "results.png").touch()
    assert "](results.png)" in finished.write(tables).read_text(encoding="utf-8")


def test_what_is_not_finished_is_marked_and_the_rest_shown(tmp_path, host):
    reproduction = decide(tmp_path, host)
    assert reproduction.tables() == []
    crnn_0, wide_0, crnn_1, wide_1 = reproduction.runs
    made_runs.finish(crnn_0, tmp_path, CRNN_0)
    results, _ = reproduction.tables({crnn_1.name: "no space", wide_0.name: "", wide_1.name: ""})
    columns, rows = table_cells(results, MEASURE)
    seeds = columns.index("seeds")
    assert [row[seeds] for row in rows] == ["1 of 2, 1 failed", "0 of 2, 2 failed"]
    assert rows[1][columns.index("average ER | F1 %")] == "–"
    assert results.rows[0].measured["test"]["babycry"]["error_rate"].value == 0.75
    text = table_markdown(results, MEASURE)
    assert "Failed: crnn-all-s1, see runs/crnn-all-s1/train.log." in text


def test_a_run_of_another_recipe_is_not_taken_for_finished(tmp_path, host):
    run = decide(tmp_path, host).runs[0]
    made_runs.finish(run, tmp_path, CRNN_0)
    assert read_result(run, tmp_path).seconds == 60.0
    path = run.folder(tmp_path) / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "recipe": "x"}), encoding="utf-8")
    assert read_result(run, tmp_path) is None


def test_a_run_that_was_not_scored_is_not_finished(tmp_path, host):
    run = decide(tmp_path, host).runs[0]
    made_runs.finish(run, tmp_path, CRNN_0)
    (run.folder(tmp_path) / "scores" / "report.json").unlink()
    assert read_result(run, tmp_path) is None


def test_the_minutes_of_a_cross_fitted_run_hold_its_folds(tmp_path, host):
    run = decide(tmp_path, host).runs[0]
    made_runs.finish(run, tmp_path, CRNN_0, seconds=10.0)
    for fold in ("0", "1"):
        folder = run.folder(tmp_path) / "folds" / fold
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"recipe": "x", "seconds": 5.0}))
    assert read_result(run, tmp_path).seconds == 20.0


def test_further_tests_are_columns_of_their_own_where_a_row_has_them(finished, tmp_path):
    crnn_0, wide_0, crnn_1, _ = finished.runs
    for run in (crnn_0, crnn_1, wide_0):
        made_runs.finish(run, tmp_path, WIDE_0, test="evaluation")
    results = finished.tables()[0]
    assert results.tests == ("test", "evaluation")
    crnn, wide = results.rows
    assert crnn.measured["evaluation"]["gunshot"]["error_rate"].value == pytest.approx(1 / 3)
    assert list(wide.measured) == ["test"]  # one of its two seeds lacks it
    columns, rows = table_cells(results, MEASURE)
    place = columns.index("evaluation, gunshot ER | F1 %")
    assert rows[0][place] == "0.33 | 85.7"
    assert rows[1][place] == "–"


def test_a_model_for_each_class_makes_one_row(tmp_path, host):
    recipes = {}
    for label in ("babycry", "gunshot"):
        recipe = tmp_path / f"{label}.yaml"
        text = host.recipe_text("demo/corpus")
        recipe.write_text(text.replace("[babycry, glassbreak, gunshot]", f"[{label}]"))
        recipes[label] = str(recipe)
    scale = made_runs.plan().scales["small"].model_copy(update={"recipes": recipes})
    rows = [
        {"name": "both", "recipes_at": {"small": {"all": "demo/corpus"}}},
        {"name": "each"},
    ]
    plan = made_runs.plan(
        scales={"small": scale}, tables=[{"name": "results", "caption": "x", "rows": rows}]
    )
    every = decide(tmp_path, host, plan, seeds=[0])
    both, babycry, gunshot = every.runs
    made_runs.finish(both, tmp_path, CRNN_0)
    made_runs.finish(babycry, tmp_path, {"babycry": CRNN_0["babycry"]}, seconds=30, parameters=7)
    results = every.tables()[0]
    assert results.rows[1].measured == {}  # only one of two models is finished
    made_runs.finish(gunshot, tmp_path, {"gunshot": CRNN_0["gunshot"]}, seconds=90, parameters=7)
    results = every.tables()[0]
    one, two = (row.measured["test"] for row in results.rows)
    for column in ("babycry", "gunshot", "average"):
        for score in ("error_rate", "f1"):
            assert two[column][score] == one[column][score]
    assert results.rows[1].minutes == 2.0
    assert table_cells(results, MEASURE)[1][1][1] == "2 × 7"
    assert "or of one for each" in results.caption
