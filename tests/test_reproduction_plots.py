"""Pictures of reproductions: marks are where the numbers are, and axes say what they are."""

from __future__ import annotations

import pytest

from sedsdk.errors import DataError

pytest.importorskip("matplotlib", reason='needs the extra "plots": pip install "sedsdk[plots]"')

from sedsdk.plots.reproduction import plot_rows, plot_sweep
from sedsdk.plots.run_curves import RunCurve, plot_run_curves
from sedsdk.training.reproduction.measures import MEASURES
from sedsdk.training.reproduction.table import Estimate, RowResult, TableResult

ERROR_RATE, F1 = MEASURES["rare_events"].scores
COLUMNS = ("babycry", "gunshot", "average")


def row(name: str, rate: float, value: float | None = None, printed=None, tests=("test",)):
    cell = {
        "error_rate": Estimate(rate, rate - 0.1, rate + 0.2, (rate,)),
        "f1": Estimate(0.5, 0.4, 0.6, (0.5,)),
    }
    measured = {test: dict.fromkeys(COLUMNS, cell) for test in tests}
    return RowResult(
        name, value, (1,), 1.0, (0,), (0,), (), (), measured, {}, printed or {}
    )  # fmt: skip


def table(*rows: RowResult, kind: str = "rows", tests=("test",)) -> TableResult:
    title = "What it brings"
    return TableResult(
        "results", title, "", kind, "α", "rare_events", None, tests, COLUMNS, {}, {}, rows
    )


def points(axes) -> dict[tuple[float, float], bool]:
    """(x, y) of every single mark → whether it is hollow."""
    return {
        (round(float(line.get_xdata()[0]), 6), round(float(line.get_ydata()[0]), 6)): (
            line.get_markerfacecolor() == "white"
        )
        for line in axes.lines
        if len(line.get_xdata()) == 1
    }


def test_rows_have_their_value_interval_and_printed_mark():
    printed = {"development": {"babycry": (0.06, 96.7), "average": (None, 95.0)}}
    figure = plot_rows(table(row("CRNN", 0.5), row("MTFA", 0.3, printed=printed)), ERROR_RATE)
    babycry, gunshot, average = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(COLUMNS)
    assert points(babycry) == {(0.5, 0.0): False, (0.3, 1.0): False, (0.06, 1.0): True}
    assert points(gunshot) == points(average) == {(0.5, 0.0): False, (0.3, 1.0): False}
    spans = [tuple(line.get_xdata()) for line in average.lines if len(line.get_xdata()) == 2]
    assert spans == [pytest.approx((0.4, 0.7)), pytest.approx((0.2, 0.5))]
    assert [label.get_text() for label in babycry.get_yticklabels()] == ["CRNN", "MTFA"]
    assert babycry.yaxis_inverted()
    assert babycry.get_xlabel() == "error rate (errors per event)"


def test_per_cent_is_drawn_in_per_cent():
    axes = plot_rows(table(row("CRNN", 0.5)), F1).axes[0]
    assert list(points(axes)) == [(50.0, 0.0)]


def test_further_tests_stand_beside_the_main_one_with_their_own_printed_value():
    printed = {"evaluation": {"babycry": (0.1, None)}}
    tests = ("test", "evaluation")
    figure = plot_rows(
        table(row("MTFA", 0.3, printed=printed, tests=tests), tests=tests), ERROR_RATE
    )
    marks = points(figure.axes[0])
    assert sorted(marks.values()) == [False, False, True]
    heights = {
        hollow: {y for (_, y), found in marks.items() if found == hollow}
        for hollow in (True, False)
    }
    assert heights[True] < heights[False]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["measured, line: 95 % interval", "measured, evaluation", "paper, evaluation"]


@pytest.mark.parametrize(
    ("values", "scale"), [((0.1, 1, 10), "log"), ((1, 2, 4), "linear"), ((0, 1, 100), "linear")]
)
def test_a_sweep_runs_over_its_values(values, scale):
    rows = [row(f"{value:g}", 0.2 + 0.1 * index, value) for index, value in enumerate(values)]
    figure = plot_sweep(table(*reversed(rows), kind="sweep"), ERROR_RATE)
    (axes,) = figure.axes
    assert axes.get_xscale() == scale
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("α", "error rate (errors per event)")
    average = next(line for line in axes.lines if str(line.get_label()).startswith("average"))
    assert list(average.get_xdata()) == list(values)
    assert list(average.get_ydata()) == pytest.approx([0.2, 0.3, 0.4])


def test_runs_have_the_colour_of_their_row_and_the_panel_of_their_model(tmp_path):
    def curve(name: str, row_name: str, model: str) -> RunCurve:
        path = tmp_path / f"{name}.csv"
        path.write_text("epoch,event_f1\n1,0.1\n2,\n3,0.3\n", encoding="utf-8")
        return RunCurve(row_name, model, path, "event_f1")

    curves = [curve("a", "CRNN", "babycry"), curve("b", "MTFA", "babycry"),
              curve("c", "MTFA", "babycry"), curve("d", "MTFA", "gunshot")]  # fmt: skip
    figure = plot_run_curves(curves, tmp_path / "curves.png", "Curves")
    first, second = figure.axes
    colours = [line.get_color() for line in first.lines]
    assert colours[1] == colours[2] == second.lines[0].get_color() != colours[0]
    assert list(first.lines[0].get_xdata()) == [1, 3]
    assert first.get_ylabel() == "validation event f1 (ratio)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CRNN", "MTFA"]
    assert (tmp_path / "curves.png").is_file()
    with pytest.raises(DataError, match='no column "clip"'):
        plot_run_curves([RunCurve("a", "all", tmp_path / "a.csv", "clip")])
    with pytest.raises(DataError, match="no run has ended an epoch"):
        plot_run_curves([])


def test_nothing_to_draw_is_said():
    empty = table(row("CRNN", 0.5), tests=())
    with pytest.raises(DataError, match="no finished run"):
        plot_rows(empty, ERROR_RATE)
    with pytest.raises(DataError, match="is no sweep"):
        plot_sweep(table(row("CRNN", 0.5)), ERROR_RATE)
