"""The command line as a whole: finding commands, exit codes, errors, plugins' commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from sedsdk.cli.application import COMMANDS
from sedsdk.hooks import hookimpl


def test_help_lists_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f" {name} " in result.stdout
    assert "3 some inputs" in " ".join(result.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_version(run):
    from importlib.metadata import version

    assert run("--version").stdout == f"sedsdk {version('sedsdk')}\n"


def test_an_unknown_command_is_a_usage_error_that_names_the_nearest(run):
    result = run("detct")
    assert result.exit_code == 2
    assert "'detect'" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_option_is_a_usage_error(run):
    assert run("plugins", "--jsn").exit_code == 2


def test_a_mistake_is_one_message_without_traceback(run):
    result = run("parts", "show", "crn")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith('error: no part "crn". Did you mean "crnn"?')
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--debug", "parts", "show", "x"), ("parts", "show", "x", "--debug")]
)
def test_debug_shows_the_traceback_wherever_it_stands(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "UnknownPart" in result.stderr


def test_an_error_of_the_operating_system_is_told_in_words(run, tmp_path):
    (tmp_path / "curves.csv").write_text("epoch,train_loss\n1,2\n", encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = run("plot", "curves", tmp_path, "--out", tmp_path / "file" / "x.png")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


def test_interruption_ends_with_130(run, monkeypatch):
    import sedsdk.cli.offers

    def interrupt(host):
        raise KeyboardInterrupt

    monkeypatch.setattr(sedsdk.cli.offers, "offers_of", interrupt)
    result = run("plugins")
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr


def test_a_fault_of_the_program_keeps_its_traceback(run, monkeypatch):
    import sedsdk.cli.offers

    monkeypatch.setattr(sedsdk.cli.offers, "offers_of", lambda host: 1 / 0)
    assert isinstance(run("plugins").exception, ZeroDivisionError)


class Greeter:
    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_commands(self, app):
        @app.command("hello")
        def hello(name: str) -> None:
            """Greet someone."""
            print(f"hello {name}")


class Thief:
    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_commands(self, app):
        app.command("plugins")(lambda: print("mine"))


class Broken:
    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_commands(self, app):
        raise RuntimeError("no commands today")


class Painter:
    """Adds two pictures to `plot`, one under a name of ours, and a group of its own."""

    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_commands(self, app):
        import typer

        pictures = typer.Typer()

        @pictures.command("wave")
        def wave(audio: str) -> None:
            """Draw the samples."""
            print(f"wave of {audio}")

        pictures.command("curves")(lambda: print("mine"))
        app.add_typer(pictures, name="plot")
        brushes = typer.Typer(help="Choose a brush.")
        brushes.command("thin")(lambda: print("thin"))
        app.add_typer(brushes, name="brush")


class SecondPainter:
    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_commands(self, app):
        import typer

        pictures = typer.Typer()
        pictures.command("wave")(lambda: print("another wave"))
        pictures.command("line")(lambda: print("a line"))
        app.add_typer(pictures, name="plot")


class TestPluginCommands:
    def test_a_plugins_command_runs_and_is_listed(self, run, use_plugins):
        use_plugins(("greeter", Greeter()))
        assert run("hello", "world").stdout == "hello world\n"
        assert "Greet someone." in run("--help").stdout

    def test_a_failing_hook_is_reported_and_the_others_go_on(self, run, use_plugins):
        use_plugins(("broken", Broken()), ("greeter", Greeter()))
        result = run("hello", "world")
        assert result.stdout == "hello world\n"
        assert "plugin broken failed in sedsdk_commands" in result.stderr
        assert "no commands today" in result.stderr

    def test_a_built_in_command_cannot_be_taken(self, run, use_plugins):
        use_plugins(("thief", Thief()))
        result = run("--help")
        assert 'plugin thief: the command "plugins" is taken' in result.stderr
        assert "mine" not in run("plugins").stdout

    def test_a_plugins_group_joins_the_pictures(self, run, use_plugins):
        use_plugins(("painter", Painter()))
        result = run("plot", "wave", "a.wav")
        assert (result.stdout, result.exit_code) == ("wave of a.wav\n", 0)
        listed = run("plot", "--help").stdout
        assert "Draw the samples." in listed
        assert listed.index(" thresholds ") < listed.index(" wave ")
        assert "Usage:" in run("plot", "wave", "-h").stdout

    def test_a_picture_of_ours_cannot_be_taken(self, run, use_plugins, tmp_path):
        use_plugins(("painter", Painter()))
        (tmp_path / "curves.csv").write_text("epoch,train_loss\n1,2\n", encoding="utf-8")
        assert run("plot", "curves", tmp_path).stdout == f"{tmp_path / 'curves.png'}\n"
        assert 'plugin painter: the command "plot curves" is taken.' in run("--help").stderr

    def test_of_two_plugins_the_first_has_the_name(self, run, use_plugins):
        use_plugins(("painter", Painter()), ("second", SecondPainter()))
        assert (
            'plugin second: the command "plot wave" is taken.' in run("plot", "wave", "-h").stderr
        )
        assert run("plot", "wave", "a.wav").stdout == "wave of a.wav\n"
        assert run("plot", "line").stdout == "a line\n"

    def test_a_group_of_another_name_stays_a_group_of_its_own(self, run, use_plugins):
        use_plugins(("painter", Painter()))
        assert run("brush", "thin").stdout == "thin\n"
        assert "Choose a brush." in run("--help").stdout

    def test_an_unknown_picture_is_compared_with_those_of_plugins(self, run, use_plugins):
        use_plugins(("painter", Painter()))
        result = run("plot", "wav")
        assert result.exit_code == 2
        assert "'wave'" in result.stderr

    def test_a_built_in_picture_asks_no_plugin(self, run, use_plugins):
        use_plugins(("broken", Broken()))
        assert run("plot", "curves", "--help").stderr == ""
        assert "plugin broken failed" in run("plot", "--help").stderr

    def test_a_built_in_command_asks_no_plugin(self, run, use_plugins):
        use_plugins(("broken", Broken()))
        assert run("parts", "encoder").stderr == ""


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from sedsdk.cli import main; main()", *arguments]


ENVIRONMENT = {**os.environ, "SEDSDK_PLUGINS": ""}


class TestProcess:
    @pytest.mark.parametrize("arguments", [["--help"], ["plot", "--help"], ["plugins", "--json"]])
    def test_listing_imports_neither_torch_nor_scientific_libraries(self, arguments):
        code = (
            f"import sys; sys.argv = ['sedsdk', *{arguments!r}]\n"
            "from sedsdk.cli import main\n"
            "try: main()\n"
            "except SystemExit as end: assert not end.code\n"
            "heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'speechbrain', 'yaml'}\n"
            "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True
        )
        assert done.stderr == "[]\n"
        if "--json" in arguments:
            assert json.loads(done.stdout)[0]["name"] == "builtin"

    @pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
    def test_a_reader_that_goes_away_causes_no_traceback(self):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            command_line("parts", "--json"),
            env=ENVIRONMENT,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writing)
        assert done.stderr == ""
        assert done.returncode == 141

    def test_the_exit_code_reaches_the_shell(self):
        done = subprocess.run(
            command_line("parts", "show", "nothing"),
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
