"""Plans: what they refuse, which runs they need, and what those are trained on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import made_runs
import pytest

from sedsdk.errors import ConfigError, DataError, TrainingError
from sedsdk.training.recipe import load_recipe
from sedsdk.training.reproduction.data import DataChoice, choose_data
from sedsdk.training.reproduction.plan import Scale, load_plan
from sedsdk.training.reproduction.reproduce import Reproduction
from sedsdk.training.reproduction.runs import check_folders, distinct_runs, planned_rows

CORPUS = DataChoice("corpus")


def table(*rows: dict, **changes: object) -> list[dict]:
    return [{"name": "results", "caption": "x", "rows": list(rows) or [{"name": "a"}], **changes}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tables": table({"name": "a"}, {"name": "a"})}, 'two rows are named "a"'),
        ({"tables": [*table(), *table()]}, 'two tables are named "results"'),
        ({"tables": table(name="my results")}, "lower case"),
        ({"tables": table(kind="sweep")}, "needs the name of its parameter"),
        ({"tables": table(kind="sweep", parameter="α")}, 'row "a" has no value'),
        (
            {"tables": table({"name": "a", "seeds_at": {"smal": [1]}})},
            'row "a" of table "results" names the scale "smal". Did you mean "small"?',
        ),
        (
            {"tables": table({"name": "a", "printed": {"development": {"x": [1, 2, 3]}}})},
            "prints 3 values for x; rare_events has 2",
        ),
        ({"measure": "auc"}, "must be one of rare_events"),
        ({"tables": table({"name": "a", "chnages": []})}, "unknown field"),
    ],
)
def test_what_does_not_fit_is_named(change, reason):
    with pytest.raises(ConfigError) as caught:
        made_runs.plan(**change)
    assert reason in str(caught.value)


def test_a_seed_is_there_once():
    with pytest.raises(ValueError, match="a seed is there twice"):
        Scale(caption="x", recipes={"all": "a"}, seeds=(1, 1))


def test_a_plan_is_read_from_a_file(tmp_path, host):
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps(made_runs.plan().model_dump(mode="json")), encoding="utf-8")
    assert load_plan(path, host) == made_runs.plan()
    path.write_text("title: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_plan(path, host)
    with pytest.raises(ConfigError, match="cannot read it"):
        load_plan(tmp_path / "none.yaml", host)


def test_the_plan_in_the_docs_is_one(host, tmp_path):
    page = Path(__file__).resolve().parents[2] / "docs" / "reproduce.md"
    (text,) = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    plan = load_plan(path, host)
    assert list(plan.scales) == ["small", "paper"]
    assert plan.tables[0].rows[1].printed["development"]["average"] == (0.07, 96.1)
    assert [row.value for row in plan.tables[1].rows] == [1, 2]


def test_rows_of_equal_recipes_share_their_runs(host):
    first, wide, low, high = planned_rows(made_runs.plan(), "small", CORPUS, host=host)
    assert first.runs == low.runs
    assert wide.runs == high.runs
    runs = distinct_runs([first, wide, low, high])
    assert [run.name for run in runs] == [
        "crnn-all-s0",
        "wide-all-s0",
        "crnn-all-s1",
        "wide-all-s1",
    ]
    assert distinct_runs([high]) == [runs[1], runs[3]]


def test_a_run_is_the_recipe_with_all_changes_in_their_order(host):
    scale = made_runs.plan().scales["small"]
    row = {
        "name": "a",
        "changes": ["training.batch_size=5", "training.learning_rate=0.5"],
        "changes_at": {"small": ["training.learning_rate=0.25"], "paper": ["training.epochs=99"]},
    }
    changes = {
        "changes": ("training.epochs=3", "training.batch_size=4"),
        "changes_on": {"corpus": ("data.corpus_size=tiny",), "dataset": ("data.corpus_size=x",)},
        "seed_changes": ("training.seed={seed}", "data.test.mixtures.seed={seed}"),
    }
    plan = made_runs.plan(
        scales={"small": scale.model_copy(update=changes), "paper": scale}, tables=table(row)
    )
    (planned,) = planned_rows(plan, "small", CORPUS, [7], host)
    recipe = planned.runs[7]["all"].recipe
    training = recipe.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (3, 5, 0.25)
    assert (training.seed, recipe.data.test.mixtures.seed) == (7, 7)
    assert recipe.data.corpus_size == "tiny"


def test_a_row_may_have_recipes_seeds_and_scales_of_its_own(host):
    rows = [
        {"name": "paper only", "scales": ["paper"]},
        {
            "name": "two models",
            "recipes_at": {"small": {"one": "demo/corpus", "two": "demo/recordings"}},
            "seeds_at": {"small": [5]},
        },
    ]
    scale = made_runs.plan().scales["small"]
    plan = made_runs.plan(scales={"small": scale, "paper": scale}, tables=table(*rows))
    (row,) = planned_rows(plan, "small", CORPUS, host=host)
    assert {seed: list(models) for seed, models in row.runs.items()} == {5: ["one", "two"]}
    assert [run.name for run in row.all_runs] == ["two-models-one-s5", "two-models-two-s5"]
    assert len(planned_rows(plan, "paper", CORPUS, host=host)) == 2


def test_names_that_clash_are_told_apart_and_do_not_depend_on_the_rows_asked_for(host, tmp_path):
    rows = [{"name": "α = 1"}, {"name": "β = 1", "changes": ["training.batch_size=5"]}]
    plan = made_runs.plan(tables=table(*rows))
    names = [run.name for run in distinct_runs(planned_rows(plan, "small", CORPUS, [0], host))]
    assert names[0] == "results-1-all-s0"
    assert names[1].startswith("results-1-all-s0-")
    asked = Reproduction.decide(
        plan, "small", CORPUS, tmp_path, seeds=[0], rows=["β = 1"], host=host
    )
    assert [run.name for run in asked.runs] == names[1:]


def test_rows_of_one_name_in_two_tables_are_told_apart_by_the_table(host):
    first, second = (
        table({"name": "plain", "changes": [f"training.batch_size={size}"]})[0] for size in (5, 6)
    )
    plan = made_runs.plan(tables=[first, {**second, "name": "more"}])
    names = [run.name for run in distinct_runs(planned_rows(plan, "small", CORPUS, [0], host))]
    assert names == ["plain-all-s0", "more-plain-all-s0"]


@pytest.mark.parametrize("name", ["real", "a b: c", 'quo"te', "{x}", "# no", "é"])
def test_the_data_folder_comes_through_whatever_its_name(tmp_path, host, name):
    scale = made_runs.plan().scales["small"]
    on = {"recordings": ("data.folder={data}", 'data.strong_lists=["{data}/a.csv", b.csv]')}
    plan = made_runs.plan(scales={"small": scale.model_copy(update={"changes_on": on})})
    folder = tmp_path / name
    row = planned_rows(plan, "small", DataChoice("recordings", folder), host=host)[0]
    data = row.runs[0]["all"].recipe.data
    assert data.folder == folder.as_posix()
    assert data.strong_lists == (f"{folder.as_posix()}/a.csv", "b.csv")


def test_a_mistake_in_a_row_is_told_with_its_name(host):
    plan = made_runs.plan(tables=table({"name": "a", "changes": ["training.epochs=none"]}))
    with pytest.raises(ConfigError, match=r'row "a" of table "results": recipe demo/corpus'):
        planned_rows(plan, "small", CORPUS, host=host)
    plan = made_runs.plan(tables=table({"name": "a", "changes": ["data.test=null"]}))
    with pytest.raises(ConfigError, match="has no test part"):
        planned_rows(plan, "small", CORPUS, host=host)
    with pytest.raises(ConfigError, match='no scale "papr"'):
        planned_rows(plan, "papr", CORPUS, host=host)


def test_runs_of_another_recipe_are_refused_before_anything_starts(host, tmp_path):
    runs = distinct_runs(planned_rows(made_runs.plan(), "small", CORPUS, host=host))
    folder = runs[1].folder(tmp_path)
    folder.mkdir(parents=True)
    kept = folder / "recipe.json"
    kept.write_text(json.dumps(runs[1].recipe.model_dump(mode="json")), encoding="utf-8")
    check_folders(runs, tmp_path)
    other = load_recipe("demo/corpus", host, ["training.epochs=4"])
    kept.write_text(json.dumps(other.model_dump(mode="json")), encoding="utf-8")
    with pytest.raises(TrainingError, match="wide-all-s0 holds a run of another recipe"):
        Reproduction.decide(made_runs.plan(), "small", CORPUS, tmp_path, host=host)


class TestData:
    def scale(self, *kinds: str) -> Scale:
        return Scale(
            caption="x", recipes={"all": "a"}, seeds=(0,), changes_on=dict.fromkeys(kinds, ())
        )

    def test_a_data_set_goes_before_recordings_and_these_before_made_sounds(self, tmp_path):
        every = self.scale("dataset", "recordings", "corpus")
        assert choose_data(every, tmp_path, tmp_path).kind == "dataset"
        assert choose_data(every, None, tmp_path).kind == "recordings"
        assert choose_data(every, None, None) == CORPUS
        assert choose_data(self.scale("corpus"), None, tmp_path) == CORPUS
        assert choose_data(self.scale(), None, None) == CORPUS

    def test_what_the_scale_is_not_made_for_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="no such folder"):
            choose_data(self.scale("dataset"), tmp_path / "none", None)
        with pytest.raises(ConfigError, match=r"reads no data set\. It can be run on: corpus"):
            choose_data(self.scale("corpus"), tmp_path, None)
        with pytest.raises(ConfigError, match="not made for a folder of recordings"):
            choose_data(self.scale("corpus"), None, tmp_path, recordings_are_asked=True)
        with pytest.raises(ConfigError, match="needs data"):
            choose_data(self.scale("dataset"), None, None)

    @pytest.mark.parametrize("change", ["data.folder={data}", "data={kind: dataset, name: "
                                        "tut-rare-2017, folder: '{data}'}"])  # fmt: skip
    def test_a_folder_of_another_form_is_one_clear_error(self, tmp_path, host, change):
        (tmp_path / "pictures").mkdir()
        scale = made_runs.plan().scales["small"]
        plan = made_runs.plan(
            scales={"small": scale.model_copy(update={"changes_on": {"dataset": (change,)}})}
        )
        data = choose_data(plan.scale("small"), tmp_path / "pictures", None)
        with pytest.raises(DataError, match="pictures"):
            Reproduction.decide(plan, "small", data, tmp_path / "out", host=host)
        assert not (tmp_path / "out").exists()


def test_asked_rows_and_tables_must_exist(host, tmp_path):
    def decide(**asked):
        return Reproduction.decide(made_runs.plan(), "small", CORPUS, tmp_path, host=host, **asked)

    with pytest.raises(
        ConfigError, match=r'no table "result" at this scale\. Did you mean "results"'
    ):
        decide(tables=["result"])
    with pytest.raises(ConfigError, match='no row "wied"'):
        decide(rows=["wied"])
    with pytest.raises(ConfigError, match="no row of units is named wide"):
        decide(tables=["units"], rows=["wide"])
    assert [run.name for run in decide(tables=["results"], rows=["wide"], seeds=[1]).runs] == [
        "wide-all-s1"
    ]
