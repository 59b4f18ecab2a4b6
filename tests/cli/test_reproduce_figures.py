"""`sedsdk reproduce NAME --figure FIGURE`: any plugin's figure, and what specs may say of one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sedsdk.cli.recordings import RECORDINGS_VARIABLE
from sedsdk.errors import PluginError, UnknownPart
from sedsdk.hooks import ReproductionSpec, hookimpl
from sedsdk.host import Host

MODULE = """
from sedsdk import DataError, FigureRequest, FigureResult

seen = []

def spectra(request: FigureRequest) -> FigureResult:
    seen.append(request)
    request.out.mkdir(parents=True)
    picture = request.out / "spectra.svg"
    picture.write_text("<svg/>")
    failed = ("a.wav is empty",) if request.settings.get("fail") else ()
    return FigureResult((picture,), failed)

def nothing(request):
    return None
"""
FIGURES = {
    "spectra": "figure_package:spectra",
    "nothing": "figure_package:nothing",
    "gone": "figure_package:gone",
}


def plugin(**figures: object) -> SimpleNamespace:
    spec = ReproductionSpec("again", "figure_package:plan.yaml", "two tables", "a paper", **figures)
    bare = ReproductionSpec("plain", "figure_package:plan.yaml", "one table", "a paper")
    return SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_reproductions=hookimpl(lambda: [spec, bare]))


@pytest.fixture
def offered(tmp_path, monkeypatch, use_plugins):
    """A plugin with figures; returns the module that draws them."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "figure_package.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "figure_package", raising=False)
    monkeypatch.setattr("sedsdk.cli.recordings.RECORDINGS_BESIDE", Path("nowhere"))
    monkeypatch.delenv(RECORDINGS_VARIABLE, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    use_plugins(("papers", plugin(figures=FIGURES)))
    return lambda: sys.modules["figure_package"]


class TestDrawing:
    def test_the_function_is_told_what_the_caller_wants(self, run, offered, tmp_path):
        (tmp_path / "model").mkdir()
        (tmp_path / "list.csv").touch()
        options = ["--data", tmp_path / "list.csv", "--model", tmp_path / "model",
                   "--set", "bands = 4", "--set", "a=b=c", "--out", "here"]  # fmt: skip
        result = run("reproduce", "again", "--figure", "spectra", *options)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == "here/spectra.svg\n"
        (request,) = offered().seen
        assert (request.out, request.data) == (Path("here"), tmp_path / "list.csv")
        assert (request.recordings, request.model) == (None, tmp_path / "model")
        assert request.settings == {"bands": "4", "a": "b=c"}

    def test_recordings_are_named_or_found_and_the_folder_has_the_figures_name(
        self, run, offered, tmp_path, monkeypatch
    ):
        (tmp_path / "real" / "events").mkdir(parents=True)
        assert run("reproduce", "papers/again", "--figure", "spectra").exit_code == 0
        monkeypatch.setenv(RECORDINGS_VARIABLE, str(tmp_path / "real"))
        result = run("reproduce", "again", "--figure", "spectra")
        assert result.stdout == "reproduction/again-spectra/spectra.svg\n"
        alone, found = offered().seen
        assert (alone.recordings, alone.data, alone.model) == (None, None, None)
        assert alone.out == Path("reproduction/papers-again-spectra")
        assert found.recordings == tmp_path / "real"

    def test_inputs_that_fail_are_named_and_the_code_is_3(self, run, offered):
        result = run("reproduce", "again", "--figure", "spectra", "--set", "fail=1")
        assert result.exit_code == 3
        assert "error: a.wav is empty" in result.stderr
        assert "spectra.svg" in result.stdout

    def test_the_list_names_figures(self, run, offered):
        assert "spectra, nothing, gone" in run("reproduce").stdout


class TestRefusing:
    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["again", "--figure", "spectar"], 1, 'no figure "spectar". Did you mean "spectra"'),
            (["again", "--figure", "x"], 1, "It has: spectra, nothing, gone."),
            (["plain", "--figure", "x"], 1, "It has no figures."),
            (["agian", "--figure", "x"], 1, 'no reproduction "agian". Did you mean "again"'),
            (["plan.yaml", "--figure", "x"], 1, "a plan in a file has no figures"),
            (["again", "--figure", "gone"], 1, "cannot import figure_package:gone"),
            (["again", "--figure", "nothing"], 1, "gave NoneType, expected FigureResult"),
            (["again", "--figure", "spectra", "--data", "nowhere"], 1, "nowhere: no such file"),
            (["again", "--figure", "spectra", "--model", "nowhere"], 1, "nowhere: no such file"),
            (["again", "--figure", "spectra", "--recordings", "."], 1, "holds no recordings"),
            (["again", "--figure", "spectra", "--set", "a"], 2, "write it as FIELD=VALUE"),
            (["again", "--figure", "spectra", "--seeds", "1", "--plan"], 2, "--seeds, --plan"),
            (["again", "--figure", "spectra", "--data", ".", "--recordings", "."], 2, "not both"),
            (["again", "--model", "."], 2, "--model goes with --figure"),
            (["again", "--set", "a=b"], 2, "--set goes with --figure"),
            (["--figure", "spectra"], 2, "name the reproduction"),
        ],
    )
    def test_one_clear_error_and_nothing_is_written(self, run, offered, arguments, code, words):
        result = run("reproduce", *arguments)
        assert result.exit_code == code, result.output
        assert words in result.stderr
        assert list(Path.cwd().iterdir()) == []


class TestSpecs:
    @pytest.mark.parametrize(
        ("figures", "words"),
        [
            (["spectra"], "is no mapping of names to targets"),
            ({"My Spectra": "package:draw"}, "lower case letters"),
            ({"spectra": "package.draw"}, "package.module:function"),
            ({"spectra": 3}, "package.module:function"),
        ],
    )
    def test_malformed_figures_fail_their_plugin(self, figures, words):
        record = Host([("bad", plugin(figures=figures))], discover=False).record("bad")
        assert record.status == "failed"
        assert words in record.reason

    def test_the_host_finds_the_function(self, offered):
        host = Host([("papers", plugin(figures=FIGURES))], discover=False, strict=True)
        assert host.load_figure("again", "spectra") is offered().spectra
        assert host.load_figure("papers/again", "spectra") is offered().spectra
        with pytest.raises(PluginError, match=r"figure gone of again: cannot import"):
            host.load_figure("again", "gone")
        with pytest.raises(UnknownPart, match="It has no figures"):
            host.load_figure("plain", "spectra")

    def test_a_spec_without_figures_is_as_it_was(self):
        spec = ReproductionSpec("a", "package:plan.yaml", "one", "ours")
        assert spec.figures == {}
        assert hash(spec) == hash(ReproductionSpec("a", "package:plan.yaml", "one", "ours"))
