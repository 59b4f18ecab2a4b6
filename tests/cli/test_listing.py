"""`sedsdk plugins` and `sedsdk parts`."""

from __future__ import annotations

import json

import pytest

from sedsdk.builtin.crnn import Crnn
from sedsdk.cli.parts import option_rows, type_in_words
from sedsdk.hooks import PartSpec, RecipeSpec, hookimpl


class Offering:
    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_encoders(self):
        yield PartSpec(
            "tiny", "sedsdk.builtin.crnn:Crnn", "two [bold]dense[/] layers", "our report"
        )

    @hookimpl
    def sedsdk_recipes(self):
        yield RecipeSpec("tiny/demo", "offering:demo.yaml", "two minutes", "ours")


class ManyRecipes:
    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_recipes(self):
        for index in range(13):
            yield RecipeSpec(f"many/r{index:02d}", "many:recipe.yaml", "one", "test")


class FromTheFuture:
    SEDSDK_API = (7, 9)


class TestPlugins:
    def test_what_is_built_in_is_listed_as_any_plugin(self, run):
        (builtin,) = [
            p for p in json.loads(run("plugins", "--json").stdout) if p["name"] == "builtin"
        ]
        assert builtin["status"] == "loaded"
        assert builtin["distribution"] == "sedsdk"
        assert builtin["api"] == [1, 1]
        assert "crnn" in builtin["offers"]["encoder"]

    def test_of_very_many_names_the_table_shows_a_few(self, run, use_plugins):
        use_plugins(("many", ManyRecipes()))
        shown = " ".join(run("plugins").stdout.split())
        assert "recipe many/r00, many/r01, many/r02 and 10 more (sedsdk parts recipe)" in shown
        (listed,) = (p for p in json.loads(run("plugins", "--json").stdout) if p["name"] == "many")
        assert len(listed["offers"]["recipe"]) == 13

    def test_a_plugin_that_cannot_be_used_says_why(self, run, use_plugins):
        use_plugins(("offering", Offering()), ("future", FromTheFuture()))
        by_name = {plugin["name"]: plugin for plugin in json.loads(run("plugins", "--json").stdout)}
        assert by_name["offering"]["offers"] == {"encoder": ["tiny"], "recipe": ["tiny/demo"]}
        assert by_name["future"]["status"] == "failed"
        assert by_name["future"]["offers"] == {}
        assert by_name["future"]["reason"]
        table = run("plugins").stdout
        assert "tiny/demo" in table
        assert "failed" in table


class TestParts:
    def test_all_kinds_are_listed(self, run):
        offers = json.loads(run("parts", "--json").stdout)
        assert {(offer["kind"], offer["name"]) for offer in offers} >= {
            ("frontend", "log_mel"),
            ("encoder", "crnn"),
            ("postprocessor", "to_events"),
            ("dataset", "tut-rare-2017"),
        }

    def test_one_kind(self, run):
        offers = json.loads(run("parts", "head", "--json").stdout)
        assert {offer["kind"] for offer in offers} == {"head"}
        assert (
            run("parts", "list", "head", "--json").stdout == run("parts", "head", "--json").stdout
        )

    def test_an_unknown_kind_is_a_usage_error(self, run):
        result = run("parts", "encoders")
        assert result.exit_code == 2
        assert 'Did you mean "encoder"?' in result.stderr

    def test_texts_of_plugins_are_no_markup(self, run, use_plugins):
        use_plugins(("offering", Offering()))
        assert "two [bold]dense[/] layers" in run("parts", "encoder").stdout

    def test_show_gives_every_option_with_default_and_description(self, run):
        result = run("parts", "show", "crnn")
        assert result.exit_code == 0
        for name, field in Crnn.Config.model_fields.items():
            assert name in result.stdout
            assert str(field.description)[:25] in result.stdout
        assert "builtin (sedsdk " in result.stdout

    def test_show_json_is_the_schema(self, run):
        shown = json.loads(run("parts", "show", "crnn", "--json").stdout)
        assert shown == json.loads(json.dumps(Crnn.Config.model_json_schema()))

    def test_a_qualified_name_is_found(self, run):
        assert run("parts", "show", "builtin/crnn").stdout == run("parts", "show", "crnn").stdout

    def test_a_name_of_another_kind_is_not_found(self, run):
        result = run("parts", "show", "crnn", "--kind", "head")
        assert result.exit_code == 1
        assert 'no head "crnn"' in result.stderr


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, "integer ≥ 1"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number > 0, ≤ 1"),
        ({"enum": ["max", "average"], "type": "string"}, "max | average"),
        ({"const": "recordings"}, '"recordings"'),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number or null"),
        ({"type": "array", "items": {"type": "integer"}}, "[integer, …]"),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "number"}]},
            "[integer, number]",
        ),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "name: number"),
        ({"$ref": "#/$defs/Mode"}, "a | b"),
        ({}, "any"),
    ],
)
def test_types_are_said_in_words(schema, words):
    assert type_in_words(schema, {"Mode": {"enum": ["a", "b"], "type": "string"}}) == words


def test_required_options_and_defaults_are_told_apart():
    schema = {
        "properties": {
            "size": {"type": "integer", "description": "how many"},
            "mode": {"type": "string", "default": "fast"},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
        "required": ["size"],
    }
    assert option_rows(schema) == [
        ["size", "integer", "required", "how many"],
        ["mode", "string", "fast", ""],
        ["limit", "integer or null", "null", ""],
    ]
