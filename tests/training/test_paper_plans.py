"""The plans of the installed paper plugins, resolved for every kind of data they can be run on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedsdk.data.corpus import SPLITS
from sedsdk.data.datasets import chime_home, dcase2017_task4, domestic_lists
from sedsdk.host import Host
from sedsdk.pipeline import Pipeline
from sedsdk.training.recipe import load_recipe
from sedsdk.training.reproduction.data import DataChoice
from sedsdk.training.reproduction.plan import load_plan
from sedsdk.training.reproduction.runs import Run, distinct_runs, planned_rows
from sedsdk.training.run import train

PLANS = ("mtfa", "multires-rnn", "edc", "mmnet", "gradual")
RARE_EVENTS = {"mtfa": 4 * 3, "multires-rnn": (4 + 4 + 1) * 3, "gradual": 5 * 3}
"""Rows (with the sweep's four further values, and Table 2) times one model per event."""
PRINTS_NO_THRESHOLDS = ("gradual",)
TAGGING = {
    ("edc", "paper"): 2 * (6 + 8 + 6),
    ("edc", "paper-chime"): 2 * (6 + 8 + 6),
    ("mmnet", "paper"): 11 + 2 * 4,
}
"""Rows of the methods' tables and those of the others that are not among them; EDC in two modes."""


@pytest.fixture(scope="module")
def host() -> Host:
    return Host(allow=(*PLANS, "kaldi"))


def runs(name: str, scale: str, data: DataChoice, host: Host) -> list[Run]:
    return distinct_runs(planned_rows(load_plan(name, host), scale, data, None, host))


@pytest.mark.parametrize("name", PLANS)
def test_made_sounds_are_split_as_the_corpus_is(name: str, host: Host) -> None:
    for run in runs(name, "small", DataChoice("corpus"), host):
        data = run.recipe.data
        assert data.folder == "builtin"
        assert data.split in SPLITS
        assert data.test.split in SPLITS
        assert data.test.split != data.split


@pytest.mark.parametrize(("name", "scale"), TAGGING)
def test_a_tagging_paper_reads_its_data_set_by_the_reader(
    name: str, scale: str, host: Host, tmp_path: Path
) -> None:
    found = runs(name, scale, DataChoice("dataset", tmp_path), host)
    assert len(found) == TAGGING[name, scale]
    for run in found:
        data = run.recipe.data
        assert data.folder == str(tmp_path)
        assert host.load_dataset(data.name)
        assert "tag_threshold" in [ref.part for ref in run.recipe.pipeline.postprocessors]
        Pipeline(run.recipe.pipeline, host)


@pytest.mark.parametrize(
    ("recipe", "labels"),
    [
        ("edc/dcase", domestic_lists.LABELS),
        ("edc/chime", tuple(chime_home.LETTERS.values())),
        ("mmnet/dcase17", dcase2017_task4.LABELS),
    ],
)
def test_a_recipe_has_the_labels_of_its_data_set(
    recipe: str, labels: tuple[str, ...], host: Host
) -> None:
    assert load_recipe(recipe, host).pipeline.labels == labels


def test_audioset_says_itself_which_classes_there_are(host: Host, tmp_path: Path) -> None:
    index = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/t/dd00088,"Gush"\n'
    rows = "".join(f'video{i:06d}, 0.000, 10.000, "/m/09x0r"\n' for i in range(30))
    (tmp_path / "class_labels_indices.csv").write_text(index)
    (tmp_path / "balanced_train_segments.csv").write_text("# a\n# b\n# c\n" + rows)
    for i in range(30):
        soundfile.write(tmp_path / f"Yvideo{i:06d}.wav", np.zeros(8000), 8000)
    found = runs("mmnet", "audioset", DataChoice("dataset", tmp_path), host)
    assert len(found) == TAGGING["mmnet", "paper"]
    assert {run.recipe.pipeline.labels for run in found} == {("Speech", "Gush")}


@pytest.mark.parametrize("name", RARE_EVENTS)
def test_the_papers_data_set_is_read_where_it_is(name: str, host: Host, tmp_path: Path) -> None:
    found = runs(name, "paper", DataChoice("dataset", tmp_path), host)
    assert len(found) == RARE_EVENTS[name]
    for run in found:
        assert run.recipe.data.folder == str(tmp_path)
        assert run.recipe.data.split == "devtrain"
        assert run.recipe.data.test.part == "devtest"
        assert len(run.recipe.pipeline.labels) == 1
        assert run.recipe.training.fit_thresholds is (name in PRINTS_NO_THRESHOLDS)


@pytest.mark.parametrize("name", PLANS)
def test_every_row_builds(name: str, host: Host) -> None:
    for run in runs(name, "small", DataChoice("recordings", Path("recordings")), host):
        if run.seed == 0:
            Pipeline(run.recipe.pipeline, host)


@pytest.mark.parametrize("name", PLANS)
def test_a_run_on_made_sounds_goes_through(name: str, host: Host, tmp_path: Path) -> None:
    """The last row of Table 1, cut to seconds."""
    recipe = runs(name, "small", DataChoice("corpus"), host)[-1].recipe
    few = {"mixtures_per_class": 2, "duration_seconds": 5.0}

    def cut(held_out):
        mixtures = held_out.mixtures.model_copy(update=few)
        fewer_groups = {"folds": 2, "fold": 0}
        return held_out.model_copy(update={"mixtures": mixtures, **fewer_groups})

    once = recipe.data.training_mixtures
    data = recipe.data.model_copy(
        update={
            "corpus_size": "tiny",
            "training_mixtures": None if once is None else once.model_copy(update=few),
            "validation": cut(recipe.data.validation),
            "test": cut(recipe.data.test),
        }
    )
    training = recipe.training.model_copy(update={"epochs": 1, "steps_per_epoch": 2})
    short = recipe.model_copy(update={"data": data, "training": training})
    result = train(short, tmp_path, host=host, device="cpu", progress=False)
    assert result.report is not None
    assert result.report["n_clips"] == 6
