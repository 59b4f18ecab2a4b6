"""Every hook explains itself with an example that runs, and the page of hooks lists it."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pluggy
import pytest

from sedsdk import hooks
from sedsdk.hooks import API_VERSION, PART_HOOKS, PART_KINDS, hook_specifications
from sedsdk.host import Host

HOOKS = hook_specifications()
DOCS = Path(__file__).resolve().parents[1] / "docs"


def example_of(name: str) -> str:
    """Returns the code of a hook's `>>>` example."""
    lines = inspect.getdoc(HOOKS[name]).split("Example:")[1].splitlines()
    return "\n".join(line.strip()[4:] for line in lines if line.strip()[:3] in (">>>", "..."))


@pytest.mark.parametrize("name", HOOKS)
def test_the_example_of_a_hook_is_a_plugin_that_loads(name):
    space = {"__name__": "example", **vars(hooks)}
    exec(example_of(name), space)
    plugin = SimpleNamespace(SEDSDK_API=(API_VERSION, API_VERSION), **{name: space[name]})
    host = Host([("example", plugin)], discover=False, strict=True)
    assert host.record("example").status == "loaded"


@pytest.mark.parametrize("kind", PART_KINDS)
def test_the_example_of_a_part_hook_offers_a_part_of_its_kind(kind):
    name = PART_HOOKS[kind]
    space = dict(vars(hooks))
    exec(example_of(name), space)
    plugin = SimpleNamespace(SEDSDK_API=(API_VERSION, API_VERSION), **{name: space[name]})
    host = Host([("example", plugin)], discover=False)
    assert [e.kind for e in host.parts() if e.plugin == "example"] == [kind]


def test_observer_examples_run_when_notified(capsys):
    calls = {
        "sedsdk_epoch_ended": {"epoch": 3, "scores": {"valid_loss": 0.5}, "folder": "runs/a"},
        "sedsdk_events_detected": {"recording": "a.wav", "events": [object()]},
    }
    for name, arguments in calls.items():
        space = dict(vars(hooks))
        exec(example_of(name), space)
        plugin = SimpleNamespace(SEDSDK_API=(API_VERSION, API_VERSION), **{name: space[name]})
        Host([("example", plugin)], discover=False, strict=True).notify(name, **arguments)
    assert capsys.readouterr().out == "3 0.5\na.wav 1\n"


def test_the_command_example_adds_a_command(capsys):
    typer = pytest.importorskip("typer", reason="install typer to run this")
    space = dict(vars(hooks))
    exec(example_of("sedsdk_commands"), space)
    plugin = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_commands=space["sedsdk_commands"])
    app = typer.Typer()
    Host([("example", plugin)], discover=False).hook.sedsdk_commands(app=app)
    assert [command.name for command in app.registered_commands] == ["hello"]


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_in_the_docs_with_its_signature_and_its_example(name):
    page = (DOCS / "hooks.md").read_text(encoding="utf-8")
    signature = f"{name}{inspect.signature(HOOKS[name])}".replace("'", "")
    assert f"### `{signature}`" in page
    section = page.split(f"### `{signature}`")[1].split("\n### ")[0]
    assert example_of(name) in section


def test_every_python_block_of_the_pages_is_valid_python():
    for page in DOCS.glob("*.md"):
        if page.name in ("hooks.md", "plugins.md"):
            for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S):
                compile(textwrap.dedent(block), page.name, "exec")


def test_no_specification_has_defaults_and_the_interface_needs_pluggy_alone():
    for function in HOOKS.values():
        parameters = inspect.signature(function).parameters.values()
        assert all(parameter.default is inspect.Parameter.empty for parameter in parameters)
    manager = pluggy.PluginManager(hooks.PROJECT_NAME)
    manager.add_hookspecs(hooks)
    assert {name for name in dir(manager.hook) if not name.startswith("_")} >= set(HOOKS)
    assert set(PART_HOOKS.values()) <= set(HOOKS)
