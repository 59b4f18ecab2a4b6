"""What training takes from TUT Rare Sound Events 2017: sources of both parts, mixtures, recipes."""

from __future__ import annotations

import shutil

import pytest
from tiny_tut_rare import (
    DEVELOPMENT,
    HERTZ,
    mixture_name,
    write_development,
    write_finished,
    write_recipes,
)

from sedsdk.data import read_sources
from sedsdk.data.tut_rare import PartMissing
from sedsdk.data.tut_rare_parts import finished_mixtures, official_recipes
from sedsdk.errors import DataError

BOTH = tuple(HERTZ)


@pytest.fixture
def root(tmp_path):
    write_development(tmp_path)
    return tmp_path


def test_the_set_is_recognised_wherever_it_was_unpacked(root):
    found = read_sources(root)
    assert found.splits == ("devtest", "devtrain")
    assert found.labels == BOTH
    for part, events in (("devtrain", 6), ("devtest", 4)):
        split = found.split(part)
        assert (len(split.events), len(split.backgrounds)) == (events, 4)
    assert found.distractors == found.problems == ()
    assert {(event.start, event.end) for event in found.events} == {(0.1, 0.5)}
    for place in ("data", "data/source_data"):
        assert read_sources(root / DEVELOPMENT / place) == found
    assert read_sources(root / DEVELOPMENT) == found


def test_labels_choose_the_events_and_others_are_distractors_only_on_request(root):
    found = read_sources(root, ["gunshot"], with_speech=True)
    assert found.labels == ("gunshot",)
    assert found.distractors == ()
    asked = read_sources(root, ["gunshot"], other_events=True)
    assert asked.events == found.events
    assert [(d.label, d.split) for d in asked.distractors] == [("babycry", "devtrain")] * 3 + [
        ("babycry", "devtest")
    ] * 2
    with pytest.raises(DataError, match=r'no events of "gunshots".* Did you mean "gunshot"'):
        read_sources(root, ["gunshots"])


def test_one_part_alone_is_enough(root):
    setup = root / DEVELOPMENT / "data" / "source_data" / "cv_setup"
    (setup / "events_devtrain.yaml").unlink()
    assert read_sources(root).splits == ("devtest",)


def test_a_damaged_recording_is_left_out_and_named(root):
    source = root / DEVELOPMENT / "data" / "source_data"
    (source / "events" / "babycry" / "1.wav").write_bytes(b"no sound")
    (source / "bgs" / "audio" / "a002_0_30.wav").write_bytes(b"")
    found = read_sources(root)
    assert [e.path.name for e in found.events if e.label == "babycry"] == [
        "0.wav",
        "2.wav",
        "3.wav",
        "4.wav",
    ]
    assert len(found.backgrounds) == 7
    assert len(found.problems) == 2
    assert all(problem.startswith("left out: ") for problem in found.problems)


def test_a_folder_of_our_layout_stays_one(root, tmp_path):
    shutil.copytree(
        root / DEVELOPMENT / "data" / "source_data" / "events", tmp_path / "own" / "events"
    )
    shutil.copytree(
        root / DEVELOPMENT / "data" / "source_data" / "bgs" / "audio",
        tmp_path / "own" / "backgrounds",
    )
    shutil.copytree(root / DEVELOPMENT, tmp_path / "own" / DEVELOPMENT)
    found = read_sources(tmp_path / "own", ["gunshot"])
    assert found.splits == ()
    assert {d.label for d in found.distractors} == {"babycry"}
    assert read_sources(tmp_path / "own", ["gunshot"], other_events=False).distractors == ()


def test_finished_mixtures_of_some_classes(root):
    write_finished(root, "devtest")
    found = finished_mixtures(root, "devtest", ["gunshot"])
    assert found.labels == ("gunshot",)
    assert [clip.id for clip in found] == [mixture_name("devtest", "gunshot", n) for n in range(4)]
    assert [len(clip.events) for clip in found] == [1, 0, 1, 0]
    assert {clip.group for clip in found} == {""}
    write_recipes(root)
    grouped = finished_mixtures(root, "devtest", ["gunshot"])
    assert [clip.group for clip in grouped] == ["b001", "b001", "b001", "b002"]


def test_lists_without_audio_are_not_finished(root):
    folder = write_finished(root, "devtest")
    for path in (folder / "audio").glob("*gunshot*"):
        path.unlink()
    assert len(finished_mixtures(root, "devtest", ["babycry"])) == 4
    with pytest.raises(PartMissing, match=r"none of its audio: mixture_devtest_gunshot_000"):
        finished_mixtures(root, "devtest", ["gunshot"])
    (folder / "audio" / mixture_name("devtest", "babycry", 1)).unlink()
    assert len(finished_mixtures(root, "devtest", ["babycry"])) == 4, "scoring names what is lost"


def test_what_is_not_there_is_told_from_what_is_wrong(root):
    with pytest.raises(PartMissing, match="holds no evaltest mixtures"):
        finished_mixtures(root, "evaltest", BOTH)
    with pytest.raises(PartMissing, match="is no folder"):
        finished_mixtures(root / "nothing", "evaltest", BOTH)
    folder = write_finished(root, "evaltest")
    (folder / "meta" / "event_list_evaltest_babycry.csv").unlink()
    with pytest.raises(PartMissing, match="no event list of evaltest for babycry"):
        finished_mixtures(root, "evaltest", BOTH)
    (folder / "meta" / "event_list_evaltest_gunshot.csv").write_text("a.wav\tone\t2\tgunshot\n")
    with pytest.raises(DataError) as caught:
        finished_mixtures(root, "evaltest", ["gunshot"])
    assert not isinstance(caught.value, PartMissing)


def test_official_recipes_leave_out_what_the_patch_withdrew(root):
    write_recipes(root)
    source = root / DEVELOPMENT / "data" / "source_data"
    recipes, folder = official_recipes(root, "devtest", BOTH)
    assert folder == source
    assert len(recipes) == 8
    (source / "bgs" / "bg_screening.csv").write_text(
        "filename,babycry,glassbreak,gunshot\nb002_30_60.wav,x,,\n"
    )
    recipes, _ = official_recipes(root, "devtest", BOTH)
    names = [recipe["mixture_audio_filename"] for recipe in recipes]
    assert len(names) == 7
    assert mixture_name("devtest", "babycry", 3) not in names
    assert mixture_name("devtest", "gunshot", 3) in names


def test_recipes_that_cannot_be_rendered_are_said(root, tmp_path):
    with pytest.raises(PartMissing, match=r"holds no mixture_recipes_devtest_\*"):
        official_recipes(root, "devtest", BOTH)
    folder = write_recipes(root)
    away = tmp_path / "away"
    shutil.copytree(folder, away)
    with pytest.raises(PartMissing, match="holds no sources of devtest"):
        official_recipes(away, "devtest", BOTH)
    assert len(official_recipes(away, "devtest", BOTH, root)[0]) == 8
    shutil.copytree(folder, folder.with_name("other"))
    with pytest.raises(DataError, match="several sets of devtest recipes"):
        official_recipes(root, "devtest", BOTH)
