"""Training as the papers of DCASE 2017 Task 2 did it, on the data set in miniature."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from tiny_tut_rare import (
    DEVELOPMENT,
    RATE,
    mixture_name,
    write_development,
    write_finished,
    write_recipes,
)

from sedsdk.config import read_model
from sedsdk.errors import ConfigError, DataError
from sedsdk.pipeline import Pipeline
from sedsdk.training.batches import ClipBatches, MixtureBatches, Share
from sedsdk.training.prepare import prepare
from sedsdk.training.recipe import Recipe
from sedsdk.training.run import train

MIXTURES = {"mixtures_per_class": 4, "duration_seconds": 2, "sample_rate": RATE, "level": 1.0}
PAPER = {**MIXTURES, "mixtures_per_class": 6, "event_presence_probability": 0.99}


@pytest.fixture
def root(tmp_path):
    write_development(tmp_path)
    return tmp_path


@pytest.fixture
def values(root):
    return {
        "pipeline": {
            "labels": ["gunshot"],
            "frontends": {"main": {"part": "log_mel", "sample_rate": RATE, "n_mels": 8}},
            "encoder": {"part": "crnn", "channels": [4], "frequency_pooling": [4], "rnn_units": 4},
            "head": "frame_bce",
            "postprocessors": ["hysteresis", "to_events"],
        },
        "data": {
            "kind": "recordings",
            "folder": str(root),
            "split": "devtrain",
            "training_mixtures": PAPER,
            "validation": {"part": "devtest", "mixtures": MIXTURES},
        },
        "training": {
            "epochs": 1,
            "batch_size": 4,
            "chunk_seconds": 0.64,
            "chunk_overlap_seconds": 0.32,
        },
    }


@pytest.fixture
def prepared(values, host, tmp_path):
    """Prepares the recipe with changes to its data; `said` holds what was told."""

    def make(said, **data):
        recipe = _recipe({**values, "data": {**values["data"], **data}})
        pipeline = Pipeline(recipe.pipeline, host, seed=0)
        return prepare(recipe, pipeline, tmp_path / "run", Share(4), "cpu", said.append, 1)

    return make


def _recipe(values):
    return read_model(Recipe, values, "recipe")


class TestThePapersWay:
    @pytest.fixture
    def result(self, root, values, host, tmp_path):
        write_finished(root, "devtest")
        values["data"]["validation"] = {"part": "devtest"}
        values["data"]["test"] = {"part": "devtest"}
        values["data"]["further_tests"] = {"evaluation": {"part": "evaltest"}}

        def run(said, name="run"):
            return train(_recipe(values), tmp_path / name, host=host, device="cpu", say=said.append)

        return run

    def test_it_runs_from_end_to_end_and_scores_both_sets(self, root, result, tmp_path):
        write_finished(root, "evaltest", count=6)
        done = result(said := [])
        assert done.report["labels"] == ["gunshot"]
        assert done.report["n_clips"] == 4
        assert done.further_reports["evaluation"]["n_clips"] == 6
        for folder, clips in (("scores", 4), ("scores/evaluation", 6)):
            report = json.loads((done.folder / folder / "report.json").read_text())
            assert report["n_clips"] == clips
        assert any("scored on 6 finished mixtures" in n for n in report["notes"])
        assert not any("validation clips" in n for n in report["notes"])
        assert any("4 of these 4 clips are validation clips" in n for n in done.report["notes"])
        card = (done.bundle / "README.md").read_text()
        assert "Test scores on evaluation" in card
        assert not (done.folder / "data" / "test").exists(), "read where they are"
        assert said.count("scoring 6 clips of evaluation") == 1
        again = result(said)
        assert again == done
        assert "finished" in said[-1]

    def test_an_evaluation_set_that_is_not_there_is_noted(self, result):
        done = result(said := [])
        assert done.further_reports == {}
        assert sum("further test evaluation is left out" in line for line in said) == 1
        assert any("evaluation was not scored" in note for note in done.report["notes"])
        assert "evaluation was not scored" in (done.bundle / "README.md").read_text()


class TestTrainingMixtures:
    def test_they_are_made_once_of_the_training_part_and_cut_into_chunks(self, prepared, tmp_path):
        made = prepared([])
        folder = tmp_path / "run" / "data" / "training"
        audio = sorted((folder / "audio").iterdir())
        assert len(audio) == 6
        recipes = [
            json.loads(line)
            for line in (folder / "meta" / "mixture_recipes_devtrain.jsonl").read_text().split("\n")
            if line
        ]
        heard = {event["path"].split("/")[-1] for recipe in recipes for event in recipe["events"]}
        assert heard <= {"0.wav", "1.wav", "2.wav"}
        assert sum(bool(recipe["events"]) for recipe in recipes) == 6  # 0.99 · 6, rounded
        # 2 s in pieces of 0.64 s every 0.32 s: starts 0, 0.32 … 1.28 and the last at 1.36.
        assert isinstance(made.batches, ClipBatches)
        chunks = [
            (clip.id, offset)
            for step in range(len(made.batches))
            for clip, offset in zip(
                made.batches[step].clips, made.batches[step].offsets, strict=True
            )
        ]
        assert len(chunks) == len(set(chunks)) == 36
        assert {round(offset, 2) for _, offset in chunks} == {0, 0.32, 0.64, 0.96, 1.28, 1.36}
        times = [path.stat().st_mtime_ns for path in audio]
        prepared([])
        assert [path.stat().st_mtime_ns for path in audio] == times

    def test_a_chunk_reads_its_frames_from_the_mapped_file(self, prepared):
        batch = prepared([]).batches[0]
        for stored in batch.stored:
            values = stored["main"]
            assert isinstance(values, np.memmap)
            assert len(values) == 32  # 0.64 s at a hop of 20 ms

    def test_without_them_mixtures_are_made_on_the_fly(self, prepared):
        made = prepared(said := [], training_mixtures=None, mixing={"clip_seconds": 1})
        assert isinstance(made.batches, MixtureBatches)
        assert any("train on 3 events, 4 backgrounds and 0 other sounds" in line for line in said)
        made = prepared(
            said := [], training_mixtures=None, mixing={"clip_seconds": 1}, other_events=True
        )
        assert any("and 3 other sounds" in line for line in said)


class TestTheThreeWaysOfAPart:
    def test_finished_mixtures_are_read_where_they_are(self, root, prepared, tmp_path):
        folder = write_finished(root, "devtest")
        write_recipes(root)
        made = prepared(said := [])
        assert {clip.path.parent for clip in made.validation} == {folder / "audio"}
        assert f"validation: 4 finished mixtures of devtest in {root}" in said
        assert not (tmp_path / "run" / "data" / "validation").exists()

    def test_official_recipes_are_rendered(self, root, prepared, tmp_path):
        write_recipes(root)
        made = prepared(said := [])
        assert "validation: 4 mixtures by the official recipes" in said
        audio = tmp_path / "run" / "data" / "validation" / "audio"
        assert [clip.path for clip in made.validation] == [
            audio / mixture_name("devtest", "gunshot", n) for n in range(4)
        ]
        assert [clip.group for clip in made.validation] == ["b001", "b001", "b001", "b002"]
        samples, rate = soundfile.read(made.validation.clips[0].path)
        assert (rate, len(samples)) == (44100, 88200)
        event, before = samples[22050 : 22050 + 17640], samples[:22050]
        # Event 6 dB above the background: 1 + 10^0.6 of its power, within what resampling does.
        ratio = np.mean(event**2) / np.mean(before**2)
        assert ratio == pytest.approx(1 + 10**0.6, rel=0.1)

    def test_otherwise_they_are_drawn_from_the_parts_own_sources(self, prepared, tmp_path):
        made = prepared(said := [])
        assert "validation: 4 mixtures by our generator" in said
        assert len(made.validation) == 4
        lines = tmp_path / "run/data/validation/meta/mixture_recipes_devtest.jsonl"
        recipes = [json.loads(line) for line in lines.read_text().splitlines()]
        assert {e["path"].split("/")[-1] for r in recipes for e in r["events"]} <= {
            "3.wav",
            "4.wav",
        }
        assert {r["background"]["path"].split("/")[-1][:4] for r in recipes} <= {"b001", "b002"}

    def test_a_test_like_the_validation_is_made_once(self, prepared, tmp_path):
        like = {"part": "devtest", "mixtures": MIXTURES}
        other = {"part": "devtest", "mixtures": {**MIXTURES, "seed": 7}}
        made = prepared([], test=like, further_tests={"again": like, "other": other})
        assert made.test == made.validation == made.further_tests["again"]
        assert made.further_tests["other"].digest != made.test.digest
        assert {path.name for path in (tmp_path / "run" / "data").iterdir()} == {
            "made.json",
            "training",
            "validation",
            "further_tests.other",
        }

    def test_drawing_needs_to_be_told_how(self, prepared):
        with pytest.raises(
            DataError, match=r"data\.validation: .*no devtest mixtures.*data\.validation\.mixtures"
        ):
            prepared([], validation={"part": "devtest"})

    def test_a_part_may_lie_elsewhere(self, root, prepared, tmp_path):
        write_finished(tmp_path / "elsewhere", "evaltest")
        inside = {"part": "evaltest"}
        made = prepared(
            [],
            folder=str(root / DEVELOPMENT),
            further_tests={
                "here": inside,
                "there": {**inside, "folder": str(tmp_path / "elsewhere")},
            },
        )
        assert list(made.further_tests) == ["there"]
        assert list(made.skipped) == ["here"]
        assert "4 finished mixtures of evaltest" in made.origins["there"]

    def test_a_test_that_is_not_there_is_an_error(self, prepared):
        with pytest.raises(DataError, match=r"data\.test: .*holds no evaltest mixtures"):
            prepared([], test={"part": "evaltest"})

    def test_a_further_test_of_no_split_is_left_out_and_a_broken_list_is_not(self, root, prepared):
        further = {"other": {"split": "devtset", "mixtures": MIXTURES}}
        assert 'split "devtset"' in prepared([], further_tests=further).skipped["other"]
        folder = write_finished(root, "evaltest")
        (folder / "meta" / "event_list_evaltest_gunshot.csv").write_text("a.wav\t3\t2\tgunshot\n")
        with pytest.raises(DataError, match="offset 2 s before onset 3 s"):
            prepared([], further_tests={"evaluation": {"part": "evaltest"}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixing": {"clip_seconds": 5}}, "mixing makes mixtures on the fly.*leave one out"),
        ({"validation": {"split": "devtest"}}, "mixtures is missing"),
        ({"validation": {"part": "devtest", "split": "devtest"}}, "split and part"),
        ({"validation": {"part": "devtrain"}}, 'training hears "devtrain"'),
        ({"validation": {"part": "devtest", "cross_fit": True}}, "leave split and part out"),
        ({"validation": {"part": "development"}}, "'devtrain', 'devtest' or 'evaltest'"),
        ({"validation": {"mixtures": {}, "folder": "x"}}, "name the part"),
        ({"test": {"mixtures": {}}}, "test: name the split or the part"),
        ({"further_tests": {"x": {"mixtures": {}}}}, "x: name the split or the part"),
        ({"further_tests": {"../x": {"part": "evaltest"}}}, "names a folder of scores"),
        ({"further_tests": {"test": {"part": "evaltest"}}}, "neither test nor validation"),
        ({"folder": "builtin", "split": "train"}, "built-in corpus has no parts"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_is_written(values, change, message):
    values["data"].update(change)
    with pytest.raises(ConfigError, match=message):
        _recipe(values)


def test_a_recipe_survives_the_way_through_its_file(values):
    recipe = _recipe(values)
    assert _recipe(json.loads(recipe.model_dump_json())) == recipe
