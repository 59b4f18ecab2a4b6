"""Folders of recordings to mix, and honest splits by group."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import sedsdk.data
from sedsdk.data import Source, SourceSet, read_sources
from sedsdk.errors import DataError

REAL = Path(__file__).resolve().parents[2] / "../shared/real"


@pytest.fixture
def folder(tmp_path):
    for name in (
        "events/babycry/a.wav",
        "events/babycry/b.wav",
        "events/dogbark/c.wav",
        "events_other/cat/d.wav",
        "backgrounds/rain.wav",
        "speech/anna/e.wav",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(80), 8000)
    (tmp_path / "backgrounds" / "notes.txt").write_text("no audio")
    return tmp_path


def test_roles_and_labels_come_from_the_folders(folder):
    found = read_sources(folder)
    assert [(s.path.name, s.label) for s in found.events] == [
        ("a.wav", "babycry"),
        ("b.wav", "babycry"),
        ("c.wav", "dogbark"),
    ]
    assert [s.label for s in found.distractors] == ["cat"]
    assert [s.path.name for s in found.backgrounds] == ["rain.wav"]
    assert found.labels == ("babycry", "dogbark")
    assert found.splits == found.problems == ()
    assert len(found.groups()) == 5


def test_other_classes_and_speech_become_distractors_on_request(folder):
    found = read_sources(folder, labels=["babycry"], with_speech=True)
    assert found.labels == ("babycry",)
    assert [s.label for s in found.distractors] == ["dogbark", "cat", "speech"]


def test_a_class_of_the_other_events_may_be_a_target(folder):
    found = read_sources(folder, labels=["babycry", "cat"])
    assert [(s.path.name, s.label) for s in found.events] == [
        ("a.wav", "babycry"),
        ("b.wav", "babycry"),
        ("d.wav", "cat"),
    ]
    assert [s.label for s in found.distractors] == ["dogbark"]
    with pytest.raises(DataError, match=r'no events of "catt".*Did you mean "cat"\?.*babycry'):
        read_sources(folder, labels=["catt"])


def test_origin_gives_split_group_and_scene(folder):
    (folder / "origin.csv").write_text(
        "file,split,label,group,licence\n"
        'events/babycry/a.wav,train,babycry,anna,"CC0, really"\n'
        "events/babycry/b.wav,dev,crying,ben,CC0\n"
        "events/dogbark/c.wav,train,dogbark,anna,CC0\n"
        "backgrounds/rain.wav,train,light_rain,,CC0\n"
        "backgrounds/gone.wav,train,rain,,CC0\n"
        "events_other/cat/d.wav,train,cat,kim,CC0\n"
        "speech/anna/e.wav,dev,speech,anna,CC0\n"
    )
    found = read_sources(folder)
    assert [(s.split, s.group) for s in found.events] == [
        ("train", "anna"),
        ("dev", "ben"),
        ("train", "anna"),
    ]
    background = found.backgrounds[0]
    assert (background.label, background.group) == ("light_rain", "backgrounds/rain.wav")
    assert found.splits == ("dev", "train")
    assert [s.path.name for s in found.split("train").sources] == [
        "a.wav",
        "c.wav",
        "rain.wav",
        "d.wav",
    ]
    assert len(found.problems) == 2
    assert "origin.csv:6: backgrounds/gone.wav does not exist" in found.problems[0]
    assert 'origin.csv:3: label "crying" in folder "babycry"' in found.problems[1]
    with pytest.raises(DataError, match=r'no source is in split "trian". Did you mean "train"'):
        found.split("trian")


def test_what_cannot_be_used_is_listed_and_never_lost_silently(folder):
    (folder / "events" / "babycry" / "b.wav").write_bytes(b"")
    (folder / "origin.csv").write_text("file,split\nevents/babycry/a.wav,train\n")
    found = read_sources(folder)
    assert [s.path.name for s in found.events] == ["a.wav", "c.wav"]
    assert any("b.wav is empty" in problem for problem in found.problems)
    unlisted = [p for p in found.problems if "in no split" in p]
    assert len(unlisted) == 3
    assert [s.split for s in found.events] == ["train", ""]


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ("path,split\na,train\n", r'origin\.csv:1: no column "file"'),
        ("file\na\na\n", r"origin\.csv:3: a was listed at .*origin\.csv:2"),
        ("file,split\n,train\n", r"origin\.csv:2: the file name is empty"),
    ],
)
def test_a_malformed_origin_is_refused(folder, origin, message):
    (folder / "origin.csv").write_text(origin)
    with pytest.raises(DataError, match=message):
        read_sources(folder)


def test_a_folder_without_what_is_needed_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match=r"events is no folder. Lay recordings out as"):
        read_sources(tmp_path / "nothing")
    with pytest.raises(DataError, match=r'no events of "babycri".* Did you mean "babycry"'):
        read_sources(folder, labels=["babycri"])
    (folder / "backgrounds" / "rain.wav").write_text("text")
    with pytest.raises(
        DataError, match=r"backgrounds holds no readable recording. 1 problems; .*rain"
    ):
        read_sources(folder)


@st.composite
def source_sets(draw):
    def sources(role, labels, least):
        count = draw(st.integers(least, 12))
        return tuple(
            Source(
                Path(f"{role}{i}.wav"), labels[i % len(labels)], group=draw(st.sampled_from(groups))
            )
            for i in range(count)
        )

    groups = ["", *(f"g{i}" for i in range(draw(st.integers(2, 8))))]
    return SourceSet(
        sources("e", ("x", "y"), 0), sources("b", ("rain",), 0), sources("d", ("cat",), 0)
    )


@given(source_sets(), st.data())
def test_partition_loses_nothing_and_shares_no_group(found, data):
    names = found.groups()
    chosen = data.draw(st.sets(st.sampled_from(names))) if names else set()
    inside, outside = found.partition(chosen)
    assert set(inside.groups()) == chosen
    assert set(outside.groups()) == set(names) - chosen
    assert sorted(map(str, inside.sources + outside.sources)) == sorted(map(str, found.sources))
    assert found.without_groups(chosen) == outside


@given(source_sets(), st.integers(2, 4), st.integers(0, 3))
def test_folds_hold_every_group_out_once_and_share_every_label(found, n_folds, seed):
    try:
        folds = found.folds(n_folds, seed)
    except DataError:
        assert any(
            len({s.group_name for s in found.events if s.label == label}) < n_folds
            for label in found.labels
        )
        return
    assert folds == found.folds(n_folds, seed)
    held = [source for _, out in folds for source in out.sources]
    assert sorted(map(str, held)) == sorted(map(str, found.sources))
    for training, out in folds:
        assert not set(training.groups()) & set(out.groups())
        assert len(training.sources) + len(out.sources) == len(found.sources)


def test_folds_spread_labels_whose_groups_are_many():
    events = tuple(Source(Path(f"{i}.wav"), "xy"[i % 2], group=f"g{i}") for i in range(12))
    for _, out in SourceSet(events).folds(3):
        assert sorted(s.label for s in out.events) == ["x", "x", "y", "y"]
    with pytest.raises(DataError, match='3 folds need 3 groups of every event label; "z" has 1'):
        SourceSet((*events, Source(Path("z.wav"), "z"))).folds(3)
    with pytest.raises(DataError, match="at least 2"):
        SourceSet(events).folds(1)


def test_an_unknown_group_is_refused():
    with pytest.raises(DataError, match=r'no source is in group "ana". Did you mean "anna"'):
        SourceSet((Source(Path("a.wav"), "x", group="anna"),)).partition(["ana"])


@pytest.mark.skipif(
    not REAL.is_dir(), reason="needs the recordings in shared/real beside the checkout"
)
def test_the_real_recordings_are_read_whole():
    found = read_sources(REAL, labels=("babycry", "glassbreak", "gunshot"))
    assert found.problems == ()
    counts = {
        (split, label): sum(s.label == label for s in found.split(split).events)
        for split in ("train", "dev")
        for label in found.labels
    }
    assert counts == {
        ("train", "babycry"): 30,
        ("dev", "babycry"): 11,
        ("train", "glassbreak"): 13,
        ("dev", "glassbreak"): 5,
        ("train", "gunshot"): 43,
        ("dev", "gunshot"): 11,
    }
    assert [len(found.split(name).backgrounds) for name in ("train", "dev")] == [92, 35]
    assert not set(found.split("train").groups()) & set(found.split("dev").groups())


def test_every_public_name_of_the_package_loads():
    for name in sedsdk.data.PUBLIC_NAMES:
        assert getattr(sedsdk.data, name).__name__ == name
        assert name in dir(sedsdk.data)
    assert set(sedsdk.data.__all__) == set(sedsdk.data.PUBLIC_NAMES)
    with pytest.raises(AttributeError, match="no attribute 'Manifesto'"):
        _ = sedsdk.data.Manifesto


def test_the_package_and_the_readers_load_without_torch():
    code = (
        "import sys, sedsdk.data; assert 'soundfile' not in sys.modules;"
        "sedsdk.data.Manifest, sedsdk.data.read_tut_rare, sedsdk.data.read_sources;"
        "assert 'torch' not in sys.modules and 'yaml' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
