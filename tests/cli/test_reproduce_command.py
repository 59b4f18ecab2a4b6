"""`sedsdk reproduce`: what it lists, plans, runs, draws and refuses; runs cost nothing here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import made_runs
import pytest

from sedsdk.cli.recordings import RECORDINGS_VARIABLE
from sedsdk.errors import TrainingError
from sedsdk.hooks import ReproductionSpec, hookimpl

COUNTS = {"babycry": [(1, 1, 1), (1, 0, 0)], "gunshot": [(1, 1, 1), (0, 1, 0)]}


@pytest.fixture(autouse=True)
def _no_recordings(monkeypatch):
    monkeypatch.setattr("sedsdk.cli.recordings.RECORDINGS_BESIDE", Path("nowhere"))
    monkeypatch.delenv(RECORDINGS_VARIABLE, raising=False)


@pytest.fixture
def offered(tmp_path, monkeypatch, use_plugins):
    """A plugin that offers the made plan as "again"."""
    site = tmp_path / "site"
    (site / "again_package").mkdir(parents=True)
    (site / "again_package" / "__init__.py").touch()
    scale = (
        made_runs.plan()
        .scales["small"]
        .model_copy(
            update={
                "changes_on": {
                    "corpus": ("data.corpus_size=tiny",),
                    "dataset": ("data.folder={data}",),
                }
            }
        )
    )
    plan = made_runs.plan(scales={"small": scale, "paper": scale}).model_dump(mode="json")
    (site / "again_package" / "plan.yaml").write_text(json.dumps(plan), encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "again_package", raising=False)
    spec = ReproductionSpec("again", "again_package:plan.yaml", "two tables", "a paper")
    plugin = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_reproductions=hookimpl(lambda: [spec]))
    use_plugins(("papers", plugin))
    return plan


@pytest.fixture
def trained(monkeypatch, offered):
    """Lets runs finish at once; returns their names."""
    from sedsdk.training.reproduction import runners

    names = []

    def act(self, run, folder):
        names.append(run.name)
        if "wide" in run.name and "fail" in str(folder):
            raise TrainingError("out of memory")
        made_runs.finish(run, folder.parents[1], COUNTS)

    monkeypatch.setattr(runners.Processes, "__call__", act)
    return names


class TestListing:
    def test_without_a_name_it_lists_what_there_is(self, run, offered):
        result = run("reproduce")
        assert result.exit_code == 0, result.stderr
        for text in ("again", "two tables", "a paper"):
            assert text in result.stdout

    def test_plugins_and_parts_list_it_too(self, run, offered):
        plugins = {p["name"]: p for p in json.loads(run("plugins", "--json").stdout)}
        assert plugins["papers"]["offers"] == {"reproduction": ["again"]}
        parts = json.loads(run("parts", "reproduction", "--json").stdout)
        assert [(part["name"], part["plugin"]) for part in parts] == [("again", "papers")]

    def test_nothing_to_list_is_said(self, run, use_plugins):
        use_plugins()
        assert "No installed plugin" in run("reproduce").stdout

    def test_the_plan_shows_runs_their_rows_and_their_state(self, run, trained, tmp_path):
        run("reproduce", "again", "--out", tmp_path / "out", "--seeds", "0", "--rows", "CRNN")
        result = run("reproduce", "again", "--out", tmp_path / "out", "--plan")
        assert result.exit_code == 0, result.stderr
        lines = result.stdout.splitlines()
        (first,) = [line for line in lines if line.startswith("crnn-all-s0")]
        assert "results: CRNN; units: 32" in first
        assert first.rstrip().endswith("finished")
        assert f"4 runs into {tmp_path / 'out'}" in result.stdout.replace("\n", "")
        assert trained == ["crnn-all-s0"]


class TestRunning:
    def test_it_leaves_tables_and_pictures(self, run, trained, tmp_path):
        pytest.importorskip("matplotlib", reason='needs "sedsdk[plots]"')
        out = tmp_path / "out"
        result = run("reproduce", "again", "--out", out, "--jobs", "1", "--device", "cpu")
        assert result.exit_code == 0, result.stderr
        assert trained == ["crnn-all-s0", "wide-all-s0", "crnn-all-s1", "wide-all-s1"]
        assert {path.name for path in out.iterdir()} == {
            "README.md",
            "runs",
            *(f"results{end}" for end in (".md", ".json", ".png", "-curves.png")),
            *(f"units{end}" for end in (".md", ".json", ".png", "-curves.png")),
        }
        page = (out / "README.md").read_text(encoding="utf-8")
        assert "](units-curves.png)" in page
        assert "`sedsdk reproduce again --scale small`" in page
        assert "made sounds" in result.stderr
        assert "average ER | F1 %" in result.stdout
        assert "babycry ER" not in result.stdout

    def test_a_failing_run_is_exit_code_3(self, run, trained, tmp_path):
        out = tmp_path / "fail"
        result = run("reproduce", "again", "--out", out, "--seeds", "0", "--device", "cpu")
        assert result.exit_code == 3
        assert "out of memory" in result.stderr
        assert "1 of 2 runs failed: wide-all-s0" in result.stderr
        assert "1 failed" in (out / "results.md").read_text(encoding="utf-8")

    def test_tables_rows_and_seeds_choose_runs(self, run, trained, tmp_path):
        options = ["--tables", "units", "--rows", "64", "--seeds", "3, 4", "--device", "cpu"]
        result = run("reproduce", "again", "--out", tmp_path / "out", *options)
        assert result.exit_code == 0, result.stderr
        assert sorted(trained) == ["wide-all-s3", "wide-all-s4"]


class TestRefusing:
    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["agian"], 1, 'no reproduction "agian". Did you mean "again"?'),
            (["again", "--scale", "smal"], 1, 'no scale "smal". Did you mean "small"?'),
            (["again", "--data", "nowhere"], 1, "nowhere: no such folder"),
            (["again", "--data", "."], 1, "events"),
            (["again", "--rows", "wied"], 1, 'Did you mean "wide"?'),
            (["again", "--seeds", "a"], 2, "write whole numbers"),
            (["again", "--data", ".", "--recordings", "."], 2, "not both"),
            (["again", "--recordings", "."], 1, "holds no recordings"),
        ],
    )
    def test_one_clear_error_before_anything_starts(
        self, run, trained, tmp_path, monkeypatch, arguments, code, words
    ):
        work = tmp_path / "work"
        work.mkdir()
        monkeypatch.chdir(work)
        result = run("reproduce", *arguments)
        assert result.exit_code == code
        assert words in result.stderr
        assert trained == []
        assert list(work.iterdir()) == []
