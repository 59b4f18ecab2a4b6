"""The measure of taggers: tables against scikit-learn, and everything that reads a measure."""

from __future__ import annotations

import itertools
import json
from functools import cache

import made_runs
import numpy as np
import pytest
import sklearn.metrics

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation import ClipTags, TagReport
from sedsdk.training.reproduction.data import DataChoice
from sedsdk.training.reproduction.markdown import class_headings, table_cells, table_markdown
from sedsdk.training.reproduction.measures import MEASURES
from sedsdk.training.reproduction.reproduce import Reproduction

MEASURE = MEASURES["tagging"]
LABELS = ("Air horn, truck horn", "Car")
TRUTH = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 0], [0, 1], [1, 1]], bool)
THRESHOLDS = np.array([0.5, 0.4])
SCORES = ("auc", "average_precision", "f1")
PRINTED = {"development": {"average": [95.2, None, 63.4], "Car": [91.0]}}


def tags(seed: int, better: float = 0.0, columns=(0, 1), truth=TRUTH) -> ClipTags:
    """Two clips in each of four groups; ties among the probabilities."""
    rng = np.random.default_rng(seed)
    values = np.round((0.3 + better) * truth + (0.7 - better) * rng.random(truth.shape), 1)
    ids = tuple(f"clip{row}" for row in range(len(truth)))
    chosen = list(columns)
    return ClipTags(
        ids,
        {clip: f"place {row // 2}" for row, clip in enumerate(ids)},
        tuple(LABELS[column] for column in chosen),
        values[:, chosen].astype(np.float32),
        truth[:, chosen],
        np.ones_like(truth[:, chosen]),
        THRESHOLDS[chosen],
    )


RUNS = {("CRNN", 0): tags(0), ("wide", 0): tags(1, 0.2), ("CRNN", 1): tags(2),
        ("wide", 1): tags(3, 0.2)}  # fmt: skip


def finish(run, out, clips: ClipTags, test: str = "") -> None:
    """Leaves what a finished run of a tagger does."""
    folder = run.folder(out)
    TagReport.build(clips, resamples=10).write(folder / "scores" / test)
    done = {"recipe": run.digest, "seconds": 60.0, "parameters": 1000}
    (folder / "result.json").write_text(json.dumps(done), encoding="utf-8")


def decide(out, host, **changes) -> Reproduction:
    values = made_runs.plan().model_dump(mode="json")
    values["measure"] = "tagging"
    values["tables"][0]["rows"][1]["printed"] = PRINTED
    for table in values["tables"]:
        for row in table["rows"]:
            row.pop("scales")
    plan = made_runs.plan(**{**values, **changes})
    return Reproduction.decide(plan, "small", DataChoice("corpus"), out, host=host)


@pytest.fixture
def finished(tmp_path, host) -> Reproduction:
    reproduction = decide(tmp_path, host)
    for run, clips in zip(reproduction.runs, RUNS.values(), strict=True):
        finish(run, tmp_path, clips)
    return reproduction


def plain(clips: ClipTags, rows=None) -> dict[str, list[float]]:
    """scikit-learn's scores of some rows, which may repeat; NaN where not defined."""
    rows = list(range(len(TRUTH))) if rows is None else rows
    truth, values = clips.truth[rows], clips.probabilities[rows]
    found = values > clips.thresholds.astype(np.float32)
    scores: dict[str, list[float]] = {name: [] for name in SCORES}
    for column in range(truth.shape[1]):
        held, value = truth[:, column], values[:, column]
        mixed = held.any() and not held.all()
        scores["auc"].append(sklearn.metrics.roc_auc_score(held, value) if mixed else np.nan)
        scores["average_precision"].append(
            sklearn.metrics.average_precision_score(held, value) if held.any() else np.nan
        )
        scores["f1"].append(
            sklearn.metrics.f1_score(held, found[:, column]) if held.any() else np.nan
        )
    return scores


def test_values_are_means_over_seeds_of_scikit_learns_scores(finished):
    results = finished.tables()[0]
    assert results.columns == (*LABELS, "average")
    assert results.tested == {"test": "8 clips"}
    assert results.resampled == {"test": "4 recording groups"}
    for row in results.rows:
        for name in SCORES:
            by_seed = [plain(RUNS[row.name, seed])[name] for seed in (0, 1)]
            for column, label in enumerate(LABELS):
                estimate = row.measured["test"][label][name]
                assert estimate.by_seed == pytest.approx([one[column] for one in by_seed])
            average = row.measured["test"]["average"][name]
            assert average.by_seed == pytest.approx(np.mean(by_seed, axis=1))
            assert average.value == pytest.approx(np.mean(by_seed))
    crnn, wide = results.rows
    assert wide.difference["test"].value == pytest.approx(
        wide.measured["test"]["average"]["auc"].value
        - crnn.measured["test"]["average"]["auc"].value
    )
    assert wide.difference["test"].value > 0


def test_intervals_are_those_of_every_possible_resample(finished):
    """Four groups and two seeds: all 256 · 16 resamples are listed with their odds."""
    crnn, wide = finished.tables()[0].rows

    @cache
    def means(groups) -> dict[tuple[str, int], float]:
        rows = [row for group in groups for row in (2 * group, 2 * group + 1)]
        found = {}
        for key, clips in RUNS.items():
            defined = [value for value in plain(clips, rows)["auc"] if not np.isnan(value)]
            found[key] = np.mean(defined) if defined else np.nan
        return found

    pairs = list(itertools.product((0, 1), repeat=2))
    found: dict[str, list[float]] = {"CRNN": [], "wide - CRNN": []}
    for groups in itertools.product(range(4), repeat=4):
        each = means(tuple(sorted(groups)))
        if np.isnan(list(each.values())).any():
            continue  # no class has an AUC: the interval is of the others
        for first in pairs:
            one = np.mean([each["CRNN", seed] for seed in first])
            found["CRNN"].append(one)
            for second in pairs:
                found["wide - CRNN"].append(np.mean([each["wide", seed] for seed in second]) - one)
    average = crnn.measured["test"]["average"]["auc"]
    for estimate, values in (
        (average, found["CRNN"]),
        (wide.difference["test"], found["wide - CRNN"]),
    ):
        expected = np.quantile(values, [0.025, 0.975])
        assert [estimate.low, estimate.high] == pytest.approx(expected, abs=0.03)


def test_the_reader_sees_per_cent_and_a_gain_with_its_sign(finished):
    results = finished.tables()[0]
    columns, rows = table_cells(results, MEASURE)
    heading = "AUC % | mAP % | F1 %"
    assert columns == [
        *("row", "parameters", "minutes", "seeds"),
        *(f"{column} {heading}" for column in (*LABELS, "average")),
        "AUC % difference to CRNN",
        "paper, development, Car",
        "paper, development, average",
    ]
    wide = results.rows[1].measured["test"]["average"]
    assert rows[1][6].startswith(f"{100 * wide['auc'].value:.1f} [")
    assert rows[1][6].endswith(
        f"| {100 * wide['average_precision'].value:.1f} | {100 * wide['f1'].value:.1f}"
    )
    assert rows[1][7].startswith("+")
    assert rows[1][8:] == ["91.0", "95.2 | – | 63.4"]
    assert class_headings(results, MEASURE) == {
        *(f"{label} {heading}" for label in LABELS),
        "paper, development, Car",
    }
    assert "larger is better" in results.caption
    text = table_markdown(results, MEASURE)
    assert "Test: 8 clips, resampled as 4 recording groups." in text
    assert "nan" not in text.lower()


def test_a_class_without_a_score_is_left_out_and_its_cell_says_so(tmp_path, host):
    truth = TRUTH.copy()
    truth[:, 1] = True  # every clip holds it: no AUC, but precision and F1
    reproduction = decide(tmp_path, host)
    finish(reproduction.runs[0], tmp_path, tags(0, truth=truth))
    results = reproduction.tables()[0]
    cell = results.rows[0].measured["test"]["Car"]
    assert set(cell) == {"average_precision", "f1"}
    columns, rows = table_cells(results, MEASURE)
    assert rows[0][columns.index("Car AUC % | mAP % | F1 %")].startswith("– | 100.0 | ")
    first = results.rows[0].measured["test"]
    assert first["average"]["auc"].value == first[LABELS[0]]["auc"].value
    json.dumps(results.as_dict(), allow_nan=False)


def test_no_class_with_a_score_is_an_error(tmp_path, host):
    reproduction = decide(tmp_path, host)
    finish(reproduction.runs[0], tmp_path, tags(0, truth=np.zeros_like(TRUTH)))
    with pytest.raises(DataError, match=r"no class of Air horn.* has an AUC"):
        reproduction.tables()


def test_one_row_of_a_model_per_class_equals_one_of_a_single_model(tmp_path):
    whole = tmp_path / "all"
    TagReport.build(tags(0), resamples=5).write(whole)
    halves = [tmp_path / "0", tmp_path / "1"]
    for column, folder in enumerate(halves):
        TagReport.build(tags(0, columns=(column,)), resamples=5).write(folder)
    measured = MEASURE.measured({"one": [[whole]], "each": [halves]})
    for column, cell in measured.rows["one"].items():
        for name, sampled in cell.items():
            other = measured.rows["each"][column][name]
            np.testing.assert_array_equal(sampled.by_training, other.by_training)
            np.testing.assert_array_equal(sampled.draws, other.draws)


def test_headlines_and_further_tests(finished, tmp_path):
    run = finished.runs[0]
    scores = run.folder(tmp_path) / "scores"
    auc = np.mean(plain(RUNS["CRNN", 0])["auc"])
    assert MEASURE.headline(scores) == f"AUC {100 * auc:.1f}"
    for run in finished.runs[::2]:
        finish(run, tmp_path, tags(9), test="evaluation")
    assert finished.tables()[0].tests == ("test", "evaluation")
    with pytest.raises(DataError, match=r"scores tags and no events.*measure to tagging"):
        MEASURES["rare_events"].headline(scores)


def test_reports_of_earlier_versions_are_named(finished, tmp_path):
    (finished.runs[0].folder(tmp_path) / "scores" / "tag_scores.npz").unlink()
    with pytest.raises(DataError, match="score the detector again"):
        finished.tables()


def test_a_plan_prints_no_more_than_three_values(tmp_path, host):
    values = made_runs.plan().model_dump(mode="json")["tables"]
    values[0]["rows"][1]["printed"] = {"development": {"average": [1, 2, 3, 4]}}
    with pytest.raises(ConfigError, match="prints 4 values for average; tagging has 3"):
        decide(tmp_path, host, tables=values)


def test_pictures_do_not_begin_at_zero(finished, tmp_path):
    pytest.importorskip("matplotlib", reason='needs "sedsdk[plots]"')
    from sedsdk.plots.reproduction import plot_rows, plot_sweep

    results, units = finished.tables()
    axes = plot_rows(results, MEASURE.scores[0], tmp_path / "rows.png").axes
    assert [each.get_title(loc="left") for each in axes] == [*LABELS, "average"]
    assert axes[0].get_xlabel() == "area under the ROC curve (%)"
    lows = [100 * cell["auc"].low for row in results.rows for cell in row.measured["test"].values()]
    assert 0 < axes[0].get_xlim()[0] <= min(lows)
    marks = [line.get_xdata()[0] for line in axes[2].lines if line.get_markerfacecolor() == "white"]
    assert marks == [95.2]  # in per cent, as it is printed
    (axes,) = plot_sweep(units, MEASURE.scores[0], tmp_path / "sweep.png").axes
    assert axes.get_ylim()[0] > 0
    assert axes.get_ylabel() == "area under the ROC curve (%)"
