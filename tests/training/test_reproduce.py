"""Reproductions carried out: trained, resumed, failing, interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import made_runs
import pytest
import yaml
from tone_recipes import PIPELINE

from sedsdk.errors import TrainingError, UnknownPart
from sedsdk.hooks import RecipeSpec, ReproductionSpec, hookimpl
from sedsdk.host import Host
from sedsdk.training.recipe import load_recipe
from sedsdk.training.reproduction import Here, Processes, Reproduction, choose_data, load_plan
from sedsdk.training.reproduction.launch import launch, time_left
from sedsdk.training.reproduction.runners import jobs_and_threads
from sedsdk.training.reproduction.runs import Run, distinct_runs, read_result

MIXTURES = {"mixtures_per_class": 2, "duration_seconds": 3, "subtype": "PCM_16"}
RECIPE = {
    "pipeline": {**PIPELINE, "labels": ["babycry", "gunshot"]},
    "data": {
        "kind": "recordings",
        "folder": "builtin",
        "corpus_size": "tiny",
        "mixing": {"clip_seconds": 2},
        "validation": {"split": "validation", "mixtures": {**MIXTURES, "subset": "valid"}},
        "test": {"split": "test", "mixtures": {**MIXTURES, "subset": "test"}},
    },
    "training": {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2},
}
PLAN = {
    "title": "Tiny",
    "source": "nobody",
    "scales": {
        "small": {
            "caption": "tiny",
            "recipes": {"all": "tiny/tones"},
            "seeds": [0, 1],
            "changes_on": {"corpus": ["data.corpus_size=tiny"]},
        }
    },
    "tables": [
        {
            "name": "results",
            "caption": "Units",
            "rows": [
                {"name": "four", "baseline": True},
                {"name": "two", "changes": ["pipeline.encoder.rnn_units=2"]},
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def tiny_host(tmp_path_factory) -> Host:
    """A host with a plugin that ships a recipe and a plan, and is not installed."""
    site = tmp_path_factory.mktemp("site")
    package = site / "tiny_reproduction"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tones.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    (package / "plan.yaml").write_text(yaml.safe_dump(PLAN), encoding="utf-8")
    plugin = SimpleNamespace(
        SEDSDK_API=(1, 1),
        sedsdk_recipes=hookimpl(
            lambda: [RecipeSpec("tiny/tones", "tiny_reproduction:tones.yaml", "tones", "nobody")]
        ),
        sedsdk_reproductions=hookimpl(
            lambda: [ReproductionSpec("tiny", "tiny_reproduction:plan.yaml", "two rows", "nobody")]
        ),
    )
    sys.path.insert(0, str(site))
    yield Host([("tiny", plugin)], discover=False, strict=True)
    sys.path.remove(str(site))


def decide(host: Host, out: Path, **asked) -> Reproduction:
    plan = load_plan("tiny", host)
    data = choose_data(plan.scale("small"), None, None)
    return Reproduction.decide(plan, "small", data, out, host=host, **asked)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """Mixtures and features, which the tests of this file make once."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def carried_out(tiny_host, shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduction")
    reproduction = decide(tiny_host, out)
    said: list[str] = []
    failed = reproduction.carry_out(Here(shared, "cpu", tiny_host), say=said.append)
    return reproduction, failed, said


class TestCarriedOut:
    def test_every_run_is_trained_and_told_of(self, carried_out):
        reproduction, failed, said = carried_out
        assert failed == {}
        assert said[0] == "4 runs, 0 of them finished already"
        names = [run.name for run in reproduction.runs]
        assert names == ["four-all-s0", "two-all-s0", "four-all-s1", "two-all-s1"]
        for place, name in enumerate(names, start=1):
            assert f"[{place}/4] {name} starts" in said
            (end,) = [line for line in said if f"{name} done in" in line]
            assert end.startswith(f"[{place}/4]")
            assert "ER " in end
            assert ("left" in end) == (place < 4)

    def test_the_table_holds_what_the_reports_do(self, carried_out):
        reproduction, _, _ = carried_out
        (table,) = reproduction.tables()
        for row, planned in zip(table.rows, reproduction.rows, strict=True):
            rates = {}
            for run in planned.all_runs:
                report = run.folder(reproduction.out) / "scores" / "report.json"
                onset = json.loads(report.read_text(encoding="utf-8"))["event_based_onset"]
                for label, score in onset["classes"].items():
                    rates.setdefault(label, []).append(score["error_rate"])
                rates.setdefault("average", []).append(onset["average"]["error_rate"])
            for column, values in rates.items():
                estimate = row.measured["test"][column]["error_rate"]
                assert estimate.by_seed == pytest.approx(values)
                assert estimate.low <= estimate.value <= estimate.high
            done = json.loads(
                (planned.all_runs[0].folder(reproduction.out) / "result.json").read_text()
            )
            assert row.parameters == (done["parameters"],)
            assert row.minutes > 0

    def test_runs_share_what_is_made(self, carried_out, shared):
        reproduction, _, _ = carried_out
        assert any(shared.rglob("*.wav"))
        for run in reproduction.runs:
            assert not any(run.folder(reproduction.out).rglob("*.wav"))

    def test_files_are_written(self, carried_out):
        reproduction, _, _ = carried_out
        names = {path.name for path in reproduction.out.iterdir()}
        assert names == {"README.md", "results.md", "results.json", "runs"}

    def test_the_same_command_finds_everything_done(self, carried_out, tiny_host):
        reproduction, _, _ = carried_out
        again = decide(tiny_host, reproduction.out)
        said: list[str] = []

        def never(run, folder):
            raise AssertionError(run)

        assert again.carry_out(SimpleNamespace(__call__=never), say=said.append) == {}
        assert said == ["4 runs, 4 of them finished already"]
        assert again.tables() == reproduction.tables()

    def test_it_is_drawn(self, carried_out, tmp_path):
        pytest.importorskip("matplotlib", reason='needs "sedsdk[plots]"')
        from sedsdk.plots.reproduction import plot_rows
        from sedsdk.training.reproduction.measures import MEASURES

        (table,) = carried_out[0].tables()
        figure = plot_rows(table, MEASURES["rare_events"].scores[0], tmp_path / "a.png")
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles == ["babycry", "gunshot", "average"]
        assert (tmp_path / "a.png").is_file()


def test_an_unknown_reproduction_says_what_was_meant(tiny_host):
    with pytest.raises(UnknownPart, match=r'no reproduction "tinny"\. Did you mean "tiny"\?'):
        load_plan("tinny", tiny_host)


def test_a_run_that_fails_is_told_and_the_others_go_on(tiny_host, shared, tmp_path, monkeypatch):
    from sedsdk.training import run as run_module

    original = run_module.train

    def train(recipe, folder, **options):
        if recipe.pipeline.encoder.options["rnn_units"] == 2:
            raise TrainingError("the loss is not finite")
        return original(recipe, folder, **options)

    monkeypatch.setattr(run_module, "train", train)
    reproduction = decide(tiny_host, tmp_path, seeds=[0])
    said: list[str] = []
    runner = Here(shared, "cpu", tiny_host)
    assert reproduction.carry_out(runner, say=said.append) == {
        "two-all-s0": "the loss is not finite"
    }
    assert "the loss is not finite" in "\n".join(said)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "0 of 1, 1 failed" in text
    assert "Failed: two-all-s0, see runs/two-all-s0/train.log." in text
    log = tmp_path / "runs" / "two-all-s0" / "train.log"
    assert "the loss is not finite" in log.read_text(encoding="utf-8")

    monkeypatch.undo()
    again = decide(tiny_host, tmp_path, seeds=[0])
    assert again.carry_out(runner, say=said.append) == {}
    assert "2 runs, 1 of them finished already" in said
    assert "failed" not in (tmp_path / "results.md").read_text(encoding="utf-8").lower()


def test_an_interrupted_run_goes_on_at_its_checkpoint(tiny_host, shared, tmp_path, monkeypatch):
    from sedsdk.training.brain import DetectorBrain

    original = DetectorBrain.fit_batch
    steps = []

    def interrupted(self, batch):
        if len(steps) == 2:
            steps.append("interrupted")
            raise KeyboardInterrupt
        steps.append((self._epoch, self.step))
        return original(self, batch)

    monkeypatch.setattr(DetectorBrain, "fit_batch", interrupted)
    runner = Here(shared, "cpu", tiny_host)
    asked = {"seeds": [0], "rows": ["two"]}
    with pytest.raises(KeyboardInterrupt):
        decide(tiny_host, tmp_path, **asked).carry_out(runner, say=lambda line: None)
    decide(tiny_host, tmp_path, **asked).carry_out(runner, say=lambda line: None)
    assert steps == [(1, 1), (1, 2), "interrupted", (2, 1), (2, 2)]


class TestProcesses:
    """Children that are no trainings: what matters is how they are started and stopped."""

    @pytest.fixture
    def run(self, host) -> Run:
        recipe = load_recipe("demo/corpus", host)
        return Run("a-all-s0", "demo/corpus", ("training.epochs=3", "training.seed=0"), recipe, 0)

    def test_the_command_is_that_of_a_user(self, run, tmp_path):
        runner = Processes(tmp_path / "shared", "cpu", command=["sedsdk"])
        assert runner.arguments(run, tmp_path / "runs" / "a") == [
            *["sedsdk", "train", "demo/corpus", "--out", str(tmp_path / "runs" / "a")],
            *["--shared", str(tmp_path / "shared"), "--device", "cpu"],
            *["--set", "training.epochs=3", "--set", "training.seed=0"],
        ]

    def test_the_real_command_reports_its_own_mistake(self, run, tmp_path):
        runner = Processes(tmp_path / "shared", "cpu")
        wrong = Run(run.name, "demo/corpsu", run.changes, run.recipe, 0)
        with pytest.raises(TrainingError, match=r'no recipe "demo/corpsu"\. Did you mean'):
            runner(wrong, tmp_path / "run")

    def test_a_failure_shows_the_end_of_this_log_only(self, run, tmp_path):
        (tmp_path / "train.log").write_text("of an earlier try\n", encoding="utf-8")
        script = "print(*range(30), sep='\\n'); raise SystemExit(7)"
        runner = Processes(tmp_path, command=[sys.executable, "-c", script])
        with pytest.raises(TrainingError) as caught:
            runner(run, tmp_path)
        assert str(caught.value).splitlines() == [str(line) for line in range(22, 30)]
        silent = Processes(tmp_path, command=[sys.executable, "-c", "raise SystemExit(7)"])
        with pytest.raises(TrainingError, match="ended with code 7"):
            silent(run, tmp_path)

    def test_threads_are_set_unless_the_user_has(self, run, tmp_path, monkeypatch):
        script = "import os, sys; sys.exit(os.environ['OMP_NUM_THREADS'])"
        runner = Processes(tmp_path, threads=3, command=[sys.executable, "-c", script])
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        with pytest.raises(TrainingError, match=r"^3$"):
            runner(run, tmp_path)
        monkeypatch.setenv("OMP_NUM_THREADS", "5")
        with pytest.raises(TrainingError, match=r"^5$"):
            runner(run, tmp_path)

    def test_runs_go_on_side_by_side_and_a_failing_one_stops_none(self, host, tmp_path):
        """Each child waits for the other's file, so none would end if they ran in turn."""
        runs = distinct_runs(_two_rows(host))
        script = """
import sys, pathlib
name = sys.argv[sys.argv.index("--out") + 1]
mine = pathlib.Path(name); other = mine.parent / sys.argv[1 if "crnn" in name else 2]
(mine / "here").touch()
while not (other / "here").exists():
    pass
sys.exit("no" if "crnn" in name else 0)
"""
        names = [run.name for run in runs]
        runner = Processes(tmp_path, command=[sys.executable, "-c", script, names[1], names[0]])
        for run in runs[1:]:
            made_runs.finish(run, tmp_path, {"x": [(1, 1, 1)]})
            (run.folder(tmp_path) / "result.json").rename(run.folder(tmp_path) / "later.json")
        said: list[str] = []

        def finish_second(run: Run, folder: Path) -> None:
            runner(run, folder)
            (folder / "later.json").rename(folder / "result.json")

        failed = launch(
            runs,
            tmp_path,
            _Calls(finish_second),
            jobs=2,
            say=said.append,
            headline=lambda folder: "ER 0.00",
        )
        assert failed == {names[0]: "no"}
        assert read_result(runs[1], tmp_path) is not None

    @pytest.mark.skipif(os.name != "posix", reason="needs signals and named pipes")
    @pytest.mark.parametrize(
        ("how", "in_background"),
        [(signal.SIGINT, False), (signal.SIGKILL, False), (signal.SIGKILL, True)],
    )
    def test_children_end_with_their_parent(self, tmp_path, how, in_background):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(tmp_path), str(pipe)],
            stderr=subprocess.PIPE,
            preexec_fn=_ignore_interrupts if in_background else _hear_interrupts,
        )
        with pipe.open("rb") as alive:  # opens when the child does, and ends with it
            assert alive.read(5) == b"alive"
            parent.send_signal(how)
            assert alive.read() == b" interrupted"
        _, told = parent.communicate()
        assert (b"KeyboardInterrupt" in told) == (how == signal.SIGINT)


def _ignore_interrupts() -> None:
    """Does to a process what a shell without job control does to one in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _hear_interrupts() -> None:
    """Undoes that, should the tests themselves run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class _Calls:
    def __init__(self, act) -> None:
        self._act = act

    def __call__(self, run: Run, folder: Path) -> None:
        self._act(run, folder)

    def stop(self) -> None:
        raise AssertionError("nothing stops these runs")


def _two_rows(host):
    from sedsdk.training.reproduction.data import DataChoice
    from sedsdk.training.reproduction.runs import planned_rows

    rows = planned_rows(made_runs.plan(), "small", DataChoice("corpus"), [0], host)
    return rows[:2]


CHILD = """
import sys, threading
from sedsdk.cli.child import end_with_standard_input
with open(sys.argv[1], "wb", buffering=0) as pipe:
    end_with_standard_input()
    try:
        pipe.write(b"alive")
        threading.Event().wait(600)
    except KeyboardInterrupt:
        pipe.write(b" interrupted")
        raise
"""
PARENT = f"""
import sys
from pathlib import Path
from sedsdk.host import Host
from sedsdk.training.recipe import load_recipe
from sedsdk.training.reproduction.launch import launch
from sedsdk.training.reproduction.runners import Processes
from sedsdk.training.reproduction.runs import Run

out, pipe = Path(sys.argv[1]), sys.argv[2]
run = Run("a", "demo/corpus", (), load_recipe("demo/corpus", Host(discover=False)), 0)
runner = Processes(out, command=[sys.executable, "-c", {CHILD!r}, pipe])
launch([run], out, runner, say=str, headline=str)
"""


def test_jobs_and_threads_share_the_cores():
    assert jobs_and_threads(None, "cpu", cores=1) == (1, 1)
    assert jobs_and_threads(None, "cpu", cores=2) == (2, 1)
    assert jobs_and_threads(None, "cpu", cores=16) == (2, 8)
    assert jobs_and_threads(4, "cpu", cores=16) == (4, 4)
    assert jobs_and_threads(8, "cpu", cores=2) == (8, 1)
    assert jobs_and_threads(None, "cuda:0") == (1, None)
    assert jobs_and_threads(3, "cuda") == (3, None)


def test_what_is_left_is_estimated_from_what_went_before():
    assert time_left([600.0], [], 0, 2) == ""
    assert time_left([600.0, 1200.0], [], 2, 1) == "; about 30 min left"
    assert time_left([600.0], [300.0, 900.0], 3, 2) == "; about 18 min left"
    assert time_left([600.0], [300.0], 0, 2) == "; about 5 min left"
    assert time_left([10.0], [], 2, 1) == "; under a minute left"
