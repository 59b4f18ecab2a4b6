from __future__ import annotations

from types import SimpleNamespace

import pytest

import sedsdk.builtin
from sedsdk.data.manifest import Manifest
from sedsdk.errors import ConfigError, UnknownPart
from sedsdk.hooks import DatasetSpec, RecipeSpec, hookimpl
from sedsdk.host import Host
from sedsdk.training.recipe import SCORES, load_recipe

MINIMAL = {
    "pipeline": {
        "labels": ["alarm"],
        "frontends": {"main": "log_mel"},
        "encoder": "crnn",
        "head": "frame_bce",
        "postprocessors": ["threshold", "to_events"],
    },
    "data": {"kind": "manifests", "train": "train.csv", "validation": "valid.csv"},
}


def test_reads_a_recipe_by_name(host):
    recipe = load_recipe("demo/corpus", host)
    assert recipe.pipeline.labels == ("babycry", "glassbreak", "gunshot")
    assert recipe.data.kind == "recordings"


def test_reads_a_file_as_written(write_recipe, host):
    recipe = load_recipe(write_recipe(MINIMAL), host)
    assert recipe.data.train == "train.csv"
    assert recipe.training.epochs == 20


def test_a_recipe_may_change_the_file_that_it_shares(host):
    plugin = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_recipes=hookimpl(_two_recipes))
    host = Host([("builtin", sedsdk.builtin), ("alpha", plugin)], discover=False)
    plain, longer = load_recipe("alpha/plain", host), load_recipe("alpha/longer", host)
    assert longer.training.epochs == 7
    assert plain.training.epochs != 7
    assert longer.pipeline == plain.pipeline
    assert load_recipe("alpha/longer", host, ["training.epochs=2"]).training.epochs == 2


def _two_recipes():
    target = "sedsdk.builtin:recipes/demo/corpus.yaml"
    yield RecipeSpec("alpha/plain", target, "one", "test")
    yield RecipeSpec("alpha/longer", target, "two", "test", changes=("training.epochs=7",))


def test_labels_may_be_those_of_the_data_set(write_recipe, tmp_path):
    plugin = SimpleNamespace(SEDSDK_API=(1, 1), sedsdk_datasets=hookimpl(_one_dataset))
    host = Host([("builtin", sedsdk.builtin), ("alpha", plugin)], discover=False)
    data = {"kind": "dataset", "name": "creatures", "folder": str(tmp_path)}
    values = {"pipeline": {**MINIMAL["pipeline"], "labels": "dataset"}, "data": data}
    assert load_recipe(write_recipe(values), host).pipeline.labels == ("owl", "bat", "cat")
    manifests = {**values, "data": MINIMAL["data"]}
    with pytest.raises(ConfigError, match="of the kind dataset; list the labels"):
        load_recipe(write_recipe(manifests), host)
    with pytest.raises(ConfigError, match="data: folder"):
        load_recipe(write_recipe({**values, "data": {**data, "folder": 3}}), host)


def _one_dataset():
    yield DatasetSpec("creatures", "test_recipe:read_creatures", "one", "test")


def read_creatures(folder, part):
    assert part == "train"
    return Manifest((), ("owl", "bat", "cat"))


def test_near_miss_of_a_name_is_suggested(host):
    with pytest.raises(UnknownPart, match=r'Did you mean "(builtin/)?demo/corpus"'):
        load_recipe("demo/corpsu", host)


def test_missing_file_is_named(host, tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml.*No such file"):
        load_recipe(tmp_path / "nowhere.yaml", host)


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("training.epochs=3", lambda r: r.training.epochs == 3),
        ("training.learning_rate=1.0e-2", lambda r: r.training.learning_rate == 0.01),
        ("pipeline.encoder.rnn_units=7", lambda r: r.pipeline.encoder.options == {"rnn_units": 7}),
        ("pipeline.head.pooling=max", lambda r: r.pipeline.head.options["pooling"] == "max"),
        (
            "pipeline.postprocessors.0.value=0.3",
            lambda r: r.pipeline.postprocessors[0].options == {"value": 0.3},
        ),
        (
            "pipeline.postprocessors.1=median",
            lambda r: r.pipeline.postprocessors[1].part == "median",
        ),
        ("pipeline.labels=[a, b]", lambda r: r.pipeline.labels == ("a", "b")),
        ("training.cache=false", lambda r: r.training.cache is False),
    ],
)
def test_overrides_reach_into_sections_lists_and_parts(write_recipe, host, override, read):
    assert read(load_recipe(write_recipe(MINIMAL), host, [override]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=0", r"training\.epochs = 0"),
        ("training.epoch=3", r'unknown field "training\.epoch"'),
        ("training.score=loss", r"score must be one of valid_loss"),
        ("training.optimiser=lion", r"training\.optimiser = 'lion'"),
        ("data.kind=cloud", r"data = .*cloud|data\..*kind"),
        ("training", r"section\.field=value"),
        ("training..epochs=3", r"section\.field=value"),
        ("pipeline.postprocessors.9.value=1", r"the recipe has no"),
        ("pipeline.postprocessors.9=median", r"the recipe has no"),
        ("training.epochs=[1", r"not valid YAML"),
    ],
)
def test_a_wrong_override_names_field_and_value(write_recipe, host, override, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe(write_recipe(MINIMAL), host, [override])


def test_overlap_stays_below_the_chunk(write_recipe, host):
    changes = ["training.chunk_seconds=1", "training.chunk_overlap_seconds=1"]
    with pytest.raises(ConfigError, match="must be below chunk_seconds"):
        load_recipe(write_recipe(MINIMAL), host, changes)


def test_a_python_tag_runs_nothing(host, tmp_path):
    path = tmp_path / "evil.yaml"
    victim = tmp_path / "made"
    path.write_text(f"!!python/object/apply:os.mkdir ['{victim}']\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_recipe(path, host)
    assert not victim.exists()


@pytest.mark.parametrize("text", ["- a\n- b\n", "words\n", ""])
def test_a_file_without_sections_is_refused(host, tmp_path, text):
    path = tmp_path / "list.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a mapping"):
        load_recipe(path, host)


def test_an_override_of_a_file_without_sections_is_refused(host, tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("", encoding="utf-8")
    with pytest.raises(ConfigError):
        load_recipe(path, host, ["training.epochs=1"])


def test_every_score_says_which_way_is_better():
    assert set(SCORES.values()) <= {"min", "max"}
