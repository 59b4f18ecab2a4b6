"""DCASE 2017 Task 4, on made-up folders of the same form."""

from __future__ import annotations

import pytest
from small_sets import (
    add_lines,
    kinds,
    problem_of,
    read,
    videos,
    write_audio,
    write_lines,
)

from sedsdk.data import check_files
from sedsdk.errors import DataError
from sedsdk.types import Event

NAME = "dcase2017-task4"
TRAINING = "groundtruth_weak_label_training_set.csv"
TESTING = "groundtruth_strong_label_testing_set.csv"
AUDIO = {
    "training": "training_set_training_set_audio_formatted_and_segmented_downloads",
    "testing": "testing_set_testing_set_audio_formatted_and_segmented_downloads",
}
KEPT = videos(3, held_out=False)
HELD_OUT = videos(2, held_out=True)
TESTED = videos(4, held_out=True, prefix="-test_")


def segment(video):
    return f"{video}_30.000_40.000.wav"


@pytest.fixture
def folder(tmp_path):
    """Lists in groundtruth_release, audio in the folders that the task's script makes."""
    lists = tmp_path / "groundtruth_release"
    rows = [f"{segment(video)}\t30.000\t40.000\tTrain" for video in (*KEPT, *HELD_OUT)]
    rows.append(f"{segment(KEPT[0])}\t30.000\t40.000\tAir horn, truck horn")
    write_lines(lists / TRAINING, *rows)
    write_lines(
        lists / TESTING,
        f"{segment(TESTED[0])}\t0.917\t2.029\tTrain horn",
        f"{segment(TESTED[0])}\t0\t0\tTrain",
        f"{segment(TESTED[1])}\t0\t0\tBicycle",
        f"{segment(TESTED[2])}\t9.865\t10.115\tScreaming",
        f"{segment(TESTED[0])}\t5\t10.000\tTrain horn",
    )
    for video in (*KEPT, *HELD_OUT):
        write_audio(tmp_path / AUDIO["training"] / f"Y{segment(video)}")
    for video in TESTED[:3]:
        write_audio(tmp_path / AUDIO["testing"] / f"Y{segment(video)}", 10)
    return tmp_path


def test_training_is_weak(folder):
    manifest = read(NAME, folder, "training")
    assert [clip.id for clip in manifest] == [segment(video) for video in (*KEPT, *HELD_OUT)]
    assert manifest[segment(KEPT[0])].tags == ("Train", "Air horn, truck horn")
    assert {clip.events for clip in manifest} == {None}
    assert [clip.group for clip in manifest] == [*KEPT, *HELD_OUT]
    assert manifest.problems == ()
    assert check_files(manifest) == (manifest, [])


def test_the_labels_are_those_of_the_task_in_its_order(folder):
    labels = read(NAME, folder, "testing").labels
    assert len(labels) == 17
    assert labels[:2] == ("Train horn", "Air horn, truck horn")
    assert labels[-1] == "Train"


def test_train_and_validation_divide_the_videos(folder):
    assert [clip.group for clip in read(NAME, folder, "train")] == KEPT
    assert [clip.group for clip in read(NAME, folder, "validation")] == HELD_OUT


def test_testing_is_strong(folder):
    manifest = read(NAME, folder, "test")
    first, second, third = manifest
    assert first.events == (Event(0.917, 2.029, "Train horn"), Event(5.0, 10.0, "Train horn"))
    assert first.tags == ("Train horn", "Train")
    # the annotator did not find the only label: known to be there, unknown when
    assert (second.tags, second.events) == (("Bicycle",), None)
    assert third.events == (Event(9.865, 10.0, "Screaming"),)
    assert kinds(manifest) == {"label without times": 2, "event past the end": 1}
    assert check_files(manifest) == (manifest, [])


def test_the_evaluation_list_is_found_beside_the_others(folder):
    name = "groundtruth_strong_label_evaluation_set.csv"
    with pytest.raises(DataError, match=f"no list of evaluation: looked for {name}"):
        read(NAME, folder, "evaluation")
    write_lines(folder / "groundtruth_release" / name, f"{segment(TESTED[0])}\t0\t1\tBus")
    assert len(read(NAME, folder, "evaluation")) == 1


@pytest.mark.parametrize("place", [".", "metadata", "task4/groundtruth_release", "task4/metadata"])
def test_lists_are_found_where_users_put_them(folder, place):
    expected = read(NAME, folder, "training")
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "groundtruth_release" / TRAINING).rename(folder / place / TRAINING)
    assert read(NAME, folder, "training") == expected


def test_flac_without_the_letter_is_found(folder):
    name = f"Y{segment(KEPT[0])}"
    audio = folder / AUDIO["training"] / name
    audio.unlink()
    write_audio(folder / "audio" / segment(KEPT[0]).replace(".wav", ".flac"))
    assert read(NAME, folder, "training").problems == ()


def test_missing_audio_costs_its_clip_and_is_listed(folder):
    (folder / AUDIO["training"] / f"Y{segment(KEPT[1])}").unlink()
    manifest = read(NAME, folder, "training")
    assert len(manifest) == 4
    text = problem_of(manifest, "missing audio")
    assert text == f"{folder / 'groundtruth_release' / TRAINING}:2: {segment(KEPT[1])}"
    assert read(NAME, folder, "validation").problems == ()


def test_a_label_that_is_not_of_the_set_costs_the_clip(folder):
    add_lines(
        folder / "groundtruth_release" / TRAINING, f"{segment(KEPT[2])}\t30.000\t40.000\tTrian"
    )
    manifest = read(NAME, folder, "training")
    assert segment(KEPT[2]) not in {clip.id for clip in manifest}
    text = problem_of(manifest, "unknown label")
    assert ":7: " in text
    assert 'has "Trian". Did you mean "Train"?' in text


def test_rows_that_are_there_twice_count_once(folder):
    lists = folder / "groundtruth_release"
    add_lines(lists / TRAINING, f"{segment(KEPT[2])}\t30.000\t40.000\tTrain")
    add_lines(lists / TESTING, f"{segment(TESTED[0])}\t0.917\t2.029\tTrain horn")
    assert kinds(read(NAME, folder, "training")) == {"duplicate row": 1}
    tested = read(NAME, folder, "testing")
    assert kinds(tested)["duplicate row"] == 1
    assert len(tested.clips[0].events) == 2


@pytest.mark.parametrize("times", ["5\t4", "-1\t2", "12\t13"])
def test_times_out_of_order_cost_the_clip(folder, times):
    add_lines(folder / "groundtruth_release" / TESTING, f"{segment(TESTED[2])}\t{times}\tScreaming")
    manifest = read(NAME, folder, "testing")
    assert [clip.group for clip in manifest] == TESTED[:2]
    assert ":6: " in problem_of(manifest, "wrong times")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{segment(KEPT[0])}\t30.000\t40.000", "3 cells"),
        (f"{segment(KEPT[0])}", "expected VIDEO_START_END.wav"),
        ("train.wav\t30.000\t40.000\tTrain", "expected VIDEO_START_END.wav"),
        (f"{segment(KEPT[0])}\t30.000\t40.000\tTrain\tBus", "5 cells"),
    ],
)
def test_a_malformed_row_is_an_error_with_its_line(folder, row, message):
    add_lines(folder / "groundtruth_release" / TRAINING, row)
    for part in ("training", "validation"):
        with pytest.raises(DataError, match=rf"{TRAINING}:7: {message}"):
            read(NAME, folder, part)


def test_a_time_that_is_no_number_is_an_error_with_its_line(folder):
    add_lines(folder / "groundtruth_release" / TESTING, f"{segment(TESTED[0])}\tone\t2\tTrain")
    with pytest.raises(DataError, match=rf'{TESTING}:6: onset "one" is no number'):
        read(NAME, folder, "testing")


@pytest.mark.parametrize(("end", "encoding"), [("\r\n", "utf-8"), ("\n", "utf-8-sig")])
def test_lists_saved_by_windows_read_the_same(folder, end, encoding):
    path = folder / "groundtruth_release" / TRAINING
    expected = read(NAME, folder, "training")
    write_lines(path, *path.read_text().splitlines(), end=end, encoding=encoding)
    assert read(NAME, folder, "training") == expected


def test_a_part_without_audio_is_one_error(folder):
    for path in (folder / AUDIO["training"]).iterdir():
        path.unlink()
    with pytest.raises(
        DataError,
        match=rf"no clip of training has audio: .*lists 5.*looked for Y{segment(KEPT[0])[:-4]}",
    ):
        read(NAME, folder, "training")
    assert len(read(NAME, folder, "testing")) == 3


def test_the_wrong_folder_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=rf"holds no list of training: looked for {TRAINING}"):
        read(NAME, tmp_path, "train")
    with pytest.raises(DataError, match="is no folder"):
        read(NAME, tmp_path / "nothing", "train")
