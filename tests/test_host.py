"""The plugin host: one bad plugin never takes the others with it, and names lead to classes."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from sedsdk.errors import ConfigError, NameTaken, PluginError, UnknownPart
from sedsdk.hooks import DatasetSpec, PartSpec, RecipeSpec, ReproductionSpec, hookimpl
from sedsdk.host import Host, check_name

GOOD = """
    from sedsdk.hooks import PartSpec, hookimpl

    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_encoders():
        yield PartSpec("{part}", "{module}_parts:Tiny", "two dense layers", "our report")
"""

MakeDistribution = Callable[..., Path]


@pytest.fixture
def make_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeDistribution:
    """Installs a distribution on the spot: metadata, entry points and modules on sys.path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def make(plugin: str, entry_module: str | None, version: str = "1.2.3", **modules: str) -> Path:
        dist = f"dist-{plugin}"
        info = site / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[sedsdk]\n{plugin} = entry_{plugin}\n")
        if entry_module is not None:
            modules[f"entry_{plugin}"] = entry_module
        for name, text in modules.items():
            (site / f"{name}.py").write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        return site

    yield make
    for name in set(sys.modules) - before:
        if name.startswith("entry_"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEDSDK_PLUGINS", raising=False)
    monkeypatch.delenv("SEDSDK_PLUGINS_STRICT", raising=False)


def good(plugin: str, part: str | None = None) -> str:
    return GOOD.format(part=part or plugin, module=f"entry_{plugin}")


def offering(*names: str, kind: str = "encoders", api: object = (1, 1)) -> SimpleNamespace:
    def implementation():
        for name in names:
            yield PartSpec(name, "sedsdk.builtin.crnn:Crnn", f"offers {name}", "test")

    return SimpleNamespace(**{"SEDSDK_API": api, f"sedsdk_{kind}": hookimpl(implementation)})


def encoders(host: Host) -> set[str]:
    return {entry.name for entry in host.parts("encoder")}


# Found and recorded


def test_an_entry_point_is_loaded_with_its_distribution_and_version(make_distribution):
    make_distribution("alpha", good("alpha"))
    host = Host()
    record = host.record("alpha")
    assert (record.status, record.reason, record.api) == ("loaded", "", (1, 1))
    assert record.origin == "dist-alpha 1.2.3"
    assert host.find("encoder", "alpha").plugin == "alpha"


def test_builtin_parts_come_through_the_same_hooks_and_are_listed_by_kind_and_name():
    host = Host(discover=False)
    assert host.record("builtin").status == "loaded"
    listed = [(entry.kind, entry.name) for entry in host.parts()]
    kinds = ("frontend", "conditioner", "encoder", "head", "postprocessor")
    assert listed == sorted(listed, key=lambda pair: (kinds.index(pair[0]), pair[1]))
    assert ("encoder", "crnn") in listed
    assert "tut-rare-2017" in host.datasets()


BROKEN = {
    "raises at import": (
        "raise RuntimeError('no\\n  licence')",
        "importing entry_bad: RuntimeError: no licence",
    ),
    "exits at import": ("import sys; sys.exit('needs a GPU')", "SystemExit: needs a GPU"),
    "imports what is missing": ("import not_there_at_all", "No module named 'not_there_at_all'"),
    "is no Python": ("def (", "SyntaxError"),
    "raises in a hook": (
        """
        from sedsdk.hooks import hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl
        def sedsdk_heads():
            raise KeyError("model.bin")
        """,
        "KeyError: 'model.bin'",
    ),
    "raises after its first spec": (
        """
        from sedsdk.hooks import PartSpec, hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl
        def sedsdk_encoders():
            yield PartSpec("half", "a:B", "one", "test")
            raise OSError("disk")
        """,
        "OSError: disk",
    ),
    "names an unknown hook": (
        """
        from sedsdk.hooks import hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl
        def sedsdk_encoder():
            return ()
        """,
        'unknown hook sedsdk_encoder. Did you mean "sedsdk_encoders"?',
    ),
    "lacks the marker": (
        """
        SEDSDK_API = (1, 1)
        def sedsdk_encoders():
            return ()
        """,
        "sedsdk_encoders is not marked: put @hookimpl",
    ),
    "has defaults": (
        """
        from sedsdk.hooks import hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl
        def sedsdk_events_detected(recording, events=()):
            pass
        """,
        "sedsdk_events_detected: argument events has a default. Remove it.",
    ),
    "has defaults under another name": (
        """
        from sedsdk.hooks import hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl(specname="sedsdk_events_detected")
        def observe(recording=None):
            pass
        """,
        "observe: argument recording has a default. Remove it.",
    ),
    "takes an argument that the hook has not": (
        """
        from sedsdk.hooks import hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl
        def sedsdk_encoders(host):
            return ()
        """,
        "host",
    ),
    "wraps": (
        """
        from sedsdk.hooks import hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl(wrapper=True)
        def sedsdk_encoders():
            return (yield)
        """,
        "wrapper",
    ),
    "is made for a later API": ("SEDSDK_API = (2, 3)", "API 2 to 3, this is API 1. Update sedsdk."),
    "is made for an earlier API": (
        "SEDSDK_API = (0, 0)",
        "API 0 to 0, this is API 1. Update the plugin.",
    ),
    "states no API": ("", "states no API range. Add SEDSDK_API = (1, 1) to its entry module."),
    "states a number as its API": ("SEDSDK_API = 1", "states no API range"),
    "gives another type": (
        """
        from sedsdk.hooks import hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl
        def sedsdk_encoders():
            return ["tiny"]
        """,
        "sedsdk_encoders gave str, expected PartSpec.",
    ),
    "gives no iterable": (
        """
        from sedsdk.hooks import hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl
        def sedsdk_encoders():
            return 7
        """,
        "sedsdk_encoders gave int, expected an iterable of PartSpec.",
    ),
    "claims one name twice": (
        """
        from sedsdk.hooks import PartSpec, hookimpl
        SEDSDK_API = (1, 1)
        @hookimpl
        def sedsdk_encoders():
            yield PartSpec("twin", "a:B", "one", "test")
            yield PartSpec("twin", "a:C", "two", "test")
        """,
        'offers encoder "twin" twice: a:B and a:C. Give one of them another name.',
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_recorded_and_the_rest_go_on(make_distribution, fault):
    source, reason = BROKEN[fault]
    make_distribution("alpha", good("alpha"))
    make_distribution("bad", source)
    make_distribution("zeta", good("zeta"))
    host = Host()
    record = host.record("bad")
    assert record.status == "failed"
    assert record.origin == "dist-bad 1.2.3"
    assert reason in record.reason
    assert "\n" not in record.reason
    assert {"alpha", "zeta", "crnn"} <= encoders(host)
    assert not {"half", "twin"} & encoders(host)
    with pytest.raises(UnknownPart):
        host.find("encoder", "bad/twin")


@pytest.mark.parametrize("fault", BROKEN)
def test_strict_raises_and_names_plugin_origin_and_reason(make_distribution, monkeypatch, fault):
    source, reason = BROKEN[fault]
    make_distribution("bad", source)
    monkeypatch.setenv("SEDSDK_PLUGINS_STRICT", "1")
    with pytest.raises(PluginError) as caught:
        Host()
    assert "plugin bad (dist-bad 1.2.3)" in str(caught.value)
    assert reason in str(caught.value)


def test_the_entry_module_of_a_removed_package_is_recorded(make_distribution):
    make_distribution("gone", None)
    assert "No module named 'entry_gone'" in Host().record("gone").reason


def test_a_failed_plugin_observes_nothing(make_distribution):
    seen = []

    def observe(recording):
        seen.append(recording)

    plugin = SimpleNamespace(
        SEDSDK_API=(1, 1),
        sedsdk_events_detected=hookimpl(observe),
        sedsdk_encoders=hookimpl(lambda: [3]),
    )
    host = Host([("bad", plugin)], discover=False)
    host.notify("sedsdk_events_detected", recording="a.wav", events=[])
    assert host.record("bad").status == "failed"
    assert seen == []


def test_an_optional_hook_of_a_later_release_is_no_fault():
    def later():
        return ()

    plugin = SimpleNamespace(SEDSDK_API=(1, 2), sedsdk_vocoders=hookimpl(later, optionalhook=True))
    assert Host([("new", plugin)], discover=False).record("new").status == "loaded"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (PartSpec("Tiny", "a:B", "one", "test"), "lower case"),
        (PartSpec("a/b", "a:B", "one", "test"), "lower case"),
        (PartSpec("tiny\n", "a:B", "one", "test"), "one line"),
        (PartSpec("tiny", "a.B", "one", "test"), "package.module:Name"),
        (PartSpec("tiny", "a:B; import os", "one", "test"), "package.module:Name"),
        (PartSpec("tiny", "a:B", "", "test"), "summary"),
        (PartSpec("tiny", "a:B", 3, "test"), "summary = 3"),
    ],
)
def test_a_malformed_spec_fails_its_plugin(spec, reason):
    plugin = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_encoders=hookimpl(lambda: [spec]))
    record = Host([("bad", plugin)], discover=False).record("bad")
    assert record.status == "failed"
    assert reason in record.reason


# Blocking


def test_the_allow_list_blocks_before_import(make_distribution, monkeypatch):
    site = make_distribution(
        "noisy", "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n" + "x = 1"
    )
    make_distribution("alpha", good("alpha"))
    make_distribution("beta", good("beta"))
    monkeypatch.setenv("SEDSDK_PLUGINS", " alpha, beta,")
    host = Host()
    assert not (site / "entry_noisy.ran").exists()
    assert "entry_noisy" not in sys.modules
    assert host.record("noisy").status == "blocked"
    assert host.record("noisy").origin == "dist-noisy 1.2.3"
    assert {"alpha", "beta"} <= encoders(host)
    monkeypatch.delenv("SEDSDK_PLUGINS")
    Host()
    assert (site / "entry_noisy.ran").exists()


def test_an_empty_allow_list_blocks_all_and_an_argument_goes_before_the_variable(
    make_distribution, monkeypatch
):
    make_distribution("alpha", good("alpha"))
    monkeypatch.setenv("SEDSDK_PLUGINS", "")
    assert Host().record("alpha").status == "blocked"
    assert Host(allow=["alpha"]).record("alpha").status == "loaded"


def test_a_name_on_the_allow_list_that_is_not_installed_is_listed(make_distribution, monkeypatch):
    make_distribution("alpha", good("alpha"))
    monkeypatch.setenv("SEDSDK_PLUGINS", "alpho")
    record = Host().record("alpho")
    assert record.status == "failed"
    assert 'not installed. Did you mean "alpha"?' in record.reason


def test_a_blocked_plugin_is_named_where_its_part_is_missed(make_distribution, monkeypatch):
    make_distribution("alpha", good("alpha"))
    monkeypatch.setenv("SEDSDK_PLUGINS", "")
    with pytest.raises(UnknownPart, match=r"plugin alpha \(dist-alpha 1.2.3\) is blocked"):
        Host().find("encoder", "alpha")


def test_discovery_off_sees_no_entry_points(make_distribution):
    make_distribution("alpha", good("alpha"))
    assert [record.name for record in Host(discover=False).plugins] == ["builtin"]


# Taken names


def test_a_taken_name_names_both_and_each_stays_reachable(make_distribution):
    make_distribution("alpha", good("alpha", "shared"), entry_alpha_parts=part_module("First"))
    make_distribution("beta", good("beta", "shared"), entry_beta_parts=part_module("Second"))
    host = Host()
    record = host.record("beta")
    assert record.status == "failed"
    for text in ("alpha (dist-alpha 1.2.3)", "beta (dist-beta 1.2.3)", "write beta/shared"):
        assert text in record.reason
    assert host.load("encoder", "shared").__doc__ == "First"
    assert host.load("encoder", "alpha/shared").__doc__ == "First"
    assert host.load("encoder", "beta/shared").__doc__ == "Second"


def test_strict_raises_name_taken(make_distribution):
    make_distribution("alpha", good("alpha", "crnn"))
    with pytest.raises(NameTaken, match=r"builtin \(sedsdk .*\) and by alpha \(dist-alpha 1.2.3\)"):
        Host(strict=True)


def test_one_name_for_parts_of_two_kinds_is_no_clash():
    host = Host([("a", offering("same")), ("b", offering("same", kind="heads"))], discover=False)
    assert host.find("encoder", "same").plugin == "a"
    assert host.find("head", "same").plugin == "b"


def test_a_plugin_name_is_taken_once(make_distribution):
    make_distribution("alpha", good("alpha"))
    host = Host([("alpha", offering("first")), ("alpha", offering("second"))])
    assert host.record("alpha").status == "loaded"
    refused = [record for record in host.plugins if record.name == "alpha"][1:]
    assert [record.origin for record in refused] == ["handed to the host", "dist-alpha 1.2.3"]
    assert all('"alpha" is taken by handed to the host' in record.reason for record in refused)
    with pytest.raises(NameTaken):
        Host([("builtin", offering("first"))], discover=False, strict=True)


def test_recipes_and_data_sets_can_be_taken_too():
    def plugin(target: str) -> SimpleNamespace:
        return SimpleNamespace(
            SEDSDK_API=(1, 1),
            sedsdk_datasets=hookimpl(lambda: [DatasetSpec("set", f"json:{target}", "one", "test")]),
        )

    host = Host([("a", plugin("loads")), ("b", plugin("dumps"))], discover=False)
    assert 'data set "set" is provided by a' in host.record("b").reason
    assert host.load_dataset("set") is host.load_dataset("a/set") is json_function("loads")
    assert host.load_dataset("b/set") is json_function("dumps")
    assert [host.provider("data set", name) for name in ("set", "b/set")] == ["a", "b"]


def json_function(name: str) -> object:
    return getattr(importlib.import_module("json"), name)


def test_a_plugin_name_that_could_not_be_written_in_a_config_is_refused():
    record = Host([("My Plugin", offering("tiny"))], discover=False).record("My Plugin")
    assert record.status == "failed"


# Names to classes


def part_module(doc: str) -> str:
    return f"""
        from sedsdk.stages import Encoder

        class Tiny(Encoder):
            "{doc}"
    """


def test_an_unknown_part_says_what_was_meant():
    host = Host(discover=False)
    with pytest.raises(UnknownPart, match=r'no encoder "crn"\. Did you mean "crnn"\?'):
        host.find("encoder", "crn")
    with pytest.raises(UnknownPart, match='Did you mean "builtin/crnn"'):
        host.find("encoder", "biultin/crnn")
    with pytest.raises(UnknownPart, match='"log_mel" is a frontend'):
        host.find("encoder", "log_mel")
    with pytest.raises(UnknownPart, match='no data set "tut-rare"'):
        host.load_dataset("tut-rare")


@pytest.mark.parametrize("name", ["os:system", "../x", "a/b/c", "", "Crnn", "crnn\n", "a b", "/a"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ConfigError, match="is no part name"):
        check_name(name)
    with pytest.raises(UnknownPart):
        Host(discover=False).find("encoder", name)


def test_a_dotted_path_reaches_no_class():
    with pytest.raises(UnknownPart):
        Host(discover=False).load("encoder", "sedsdk.builtin.crnn.crnn")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (None, "No module named 'entry_alpha_parts'"),
        ("import missing_library", "Install missing_library"),
        ("raise OSError('libcuda')", "OSError: libcuda"),
        ("Other = 1", "Tiny"),
        ("class Tiny: pass", "is no Encoder. Derive the class from sedsdk.stages.Encoder"),
        ("from sedsdk.stages import Head\nclass Tiny(Head): pass", "is no Encoder"),
        ("Tiny = 3", "is no Encoder"),
    ],
)
def test_a_part_that_cannot_be_loaded_is_one_clear_error(make_distribution, module, reason):
    modules = {} if module is None else {"entry_alpha_parts": module}
    make_distribution("alpha", good("alpha"), **modules)
    host = Host()
    with pytest.raises(PluginError, match="encoder alpha/alpha") as caught:
        host.load("encoder", "alpha")
    assert reason in str(caught.value)


def test_a_recipe_is_read_from_its_package(make_distribution):
    site = make_distribution("alpha", RECIPES, entry_alpha_data="")
    (site / "recipe_package").mkdir()
    (site / "recipe_package" / "__init__.py").touch()
    (site / "recipe_package" / "demo.yaml").write_text("steps: 3\n")
    importlib.invalidate_caches()
    host = Host()
    assert host.recipe_text("alpha/demo") == host.recipe_text("alpha/longer") == "steps: 3\n"
    assert host.recipe_changes("alpha/demo") == ()
    assert host.recipe_changes("alpha/longer") == ("steps=9",)
    mine = [name for name in host.recipes() if name.startswith("alpha/")]
    assert mine == ["alpha/absent", "alpha/demo", "alpha/longer"]
    with pytest.raises(PluginError, match=r"does not hold recipe_package:absent\.yaml"):
        host.recipe_text("alpha/absent")
    with pytest.raises(UnknownPart, match='Did you mean "alpha/demo"'):
        host.recipe_text("alpha/dmeo")


RECIPES = """
    from sedsdk.hooks import RecipeSpec, hookimpl

    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_recipes():
        yield RecipeSpec("alpha/demo", "recipe_package:demo.yaml", "demo", "test")
        yield RecipeSpec("alpha/absent", "recipe_package:absent.yaml", "demo", "test")
        target = "recipe_package:demo.yaml"
        yield RecipeSpec("alpha/longer", target, "demo", "test", changes=("steps=9",))
"""


@pytest.mark.parametrize("changes", ["steps=9", ["steps=9"], ("steps",), (3,)])
def test_the_changes_of_a_recipe_are_texts(changes):
    spec = RecipeSpec("a/b", "package:recipe.yaml", "one", "test", changes)
    plugin = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_recipes=hookimpl(lambda: [spec]))
    record = Host([("bad", plugin)], discover=False).record("bad")
    assert "is no tuple of texts" in record.reason


def test_a_recipe_target_names_a_yaml_file():
    spec = RecipeSpec("a/b", "package:code.py", "one", "test")
    plugin = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_recipes=hookimpl(lambda: [spec]))
    record = Host([("bad", plugin)], discover=False).record("bad")
    assert "package:path/file.yaml" in record.reason


def test_a_reproduction_is_read_from_its_package(make_distribution):
    site = make_distribution("alpha", REPRODUCTIONS)
    (site / "plan_package").mkdir()
    (site / "plan_package" / "__init__.py").touch()
    (site / "plan_package" / "plan.yaml").write_text("title: again\n")
    importlib.invalidate_caches()
    host = Host()
    assert {"absent", "again"} <= set(host.reproductions())
    assert host.reproductions()["again"].summary == "all tables"
    assert host.reproduction_text("again") == "title: again\n"
    assert host.reproduction_text("alpha/again") == "title: again\n"
    assert host.provider("reproduction", "again") == "alpha"
    with pytest.raises(PluginError, match=r"alpha does not hold plan_package:absent\.yaml"):
        host.reproduction_text("absent")
    with pytest.raises(UnknownPart, match=r'no reproduction "agian"\. Did you mean "again"'):
        host.reproduction_text("agian")


REPRODUCTIONS = """
    from sedsdk.hooks import ReproductionSpec, hookimpl

    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_reproductions():
        yield ReproductionSpec("again", "plan_package:plan.yaml", "all tables", "a paper")
        yield ReproductionSpec("absent", "plan_package:absent.yaml", "all tables", "a paper")
"""


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ReproductionSpec("again", "package:Plan", "one", "test"), "package:path/file.yaml"),
        (ReproductionSpec("a/b", "package:plan.yaml", "one", "test"), "lower case"),
    ],
)
def test_a_malformed_reproduction_fails_its_plugin(spec, reason):
    plugin = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_reproductions=hookimpl(lambda: [spec]))
    assert reason in Host([("bad", plugin)], discover=False).record("bad").reason


# Observers


def observer(seen: list[str], name: str, fault: Exception | None = None) -> SimpleNamespace:
    def observe(recording):
        seen.append(f"{name}:{recording}")
        if fault:
            raise fault

    return SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_events_detected=hookimpl(observe))


def test_a_failing_observer_is_logged_and_the_others_still_see(caplog):
    seen: list[str] = []
    plugins = [
        ("a", observer(seen, "a")),
        ("bad", observer(seen, "bad", ValueError("full"))),
        ("z", observer(seen, "z")),
    ]
    with caplog.at_level(logging.WARNING, "sedsdk.host"):
        Host(plugins, discover=False).notify("sedsdk_events_detected", recording="x", events=[])
    assert sorted(seen) == ["a:x", "bad:x", "z:x"]
    assert "plugin bad (handed to the host) failed in sedsdk_events_detected" in caplog.text
    with pytest.raises(PluginError, match="ValueError: full"):
        Host(plugins, discover=False, strict=True).notify(
            "sedsdk_events_detected", recording="x", events=[]
        )


def test_a_notification_needs_every_argument():
    with pytest.raises(TypeError, match="events"):
        Host(discover=False).notify("sedsdk_events_detected", recording="x")


# Cost


def test_listing_everything_imports_nothing_heavy():
    code = (
        "import sys, sedsdk; sedsdk.default_host().parts(); sedsdk.default_host().recipes();"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'typer', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
