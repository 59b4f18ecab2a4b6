"""AudioSet, on made-up folders of the same form."""

from __future__ import annotations

import json

import pytest
from small_sets import add_lines, kinds, problem_of, read, videos, write_audio, write_lines

from sedsdk.errors import DataError
from sedsdk.types import Event

KEPT = videos(6, held_out=False)
HELD_OUT = videos(1, held_out=True)
COMMENTS = (
    "# Segments csv created Sun Mar  5 10:54:31 2017",
    "# num_ytids=7, num_segs=7, num_unique_labels=3, num_positive_labels=9",
    "# YTID, start_seconds, end_seconds, positive_labels",
)
STRONG_HEADER = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel"
FILES = (
    "{0}.wav",
    "Y{0}.wav",
    "Y{0}_30.000_40.000.flac",
    "{0}_30_40.wav",
    "{0}_30000_40000.wav",
    "{0}_30000.wav",
)
"""The names that downloaders give."""


@pytest.fixture
def folder(tmp_path):
    """Lists in metadata, audio in the folders of the parts."""
    lists = tmp_path / "metadata"
    write_lines(
        lists / "class_labels_indices.csv",
        "index,mid,display_name",
        '1,/m/05zppz,"Male speech, man speaking"',
        '0,/m/09x0r,"Speech"',
        '2,/t/dd00088,"Gush"',
    )
    rows = [f'{video}, 30.000, 40.000, "/m/09x0r,/t/dd00088"' for video in KEPT]
    rows.append(f'{HELD_OUT[0]}, 0.000, 10.000, "/m/05zppz"')
    write_lines(lists / "balanced_train_segments.csv", *COMMENTS, *rows)
    for pattern, video in zip(FILES, KEPT, strict=True):
        write_audio(tmp_path / "audios" / "balanced_train_segments" / pattern.format(video))
    write_audio(tmp_path / "audios" / "balanced_train_segments" / f"Y{HELD_OUT[0]}.wav")
    write_lines(
        tmp_path / "strong" / "audioset_eval_strong.tsv",
        STRONG_HEADER,
        f"{KEPT[0]}_30000\t0.000\t4.5\t/m/09x0r",
        f"{KEPT[5]}_30000\t2.627\t7.237\t/t/dd00138",
        f"{KEPT[0]}_30000\t1\t2\t/t/dd00088",
        f"{KEPT[0]}_30000\t1\t2\t/t/dd00088",
    )
    write_lines(
        tmp_path / "strong" / "mid_to_display_name.tsv",
        "/m/09x0r\tSpeech (strong)",
        "/t/dd00138\tBrief tone",
    )
    return tmp_path


def test_segments_have_the_names_of_the_index_in_its_order(folder):
    manifest = read("audioset", folder, "balanced")
    assert manifest.labels == ("Speech", "Male speech, man speaking", "Gush")
    assert [clip.tags for clip in manifest] == [
        *[("Speech", "Gush")] * 6,
        ("Male speech, man speaking",),
    ]
    assert [clip.group for clip in manifest] == [*KEPT, *HELD_OUT]
    assert manifest.clips[0].id == f"{KEPT[0]}_30.000_40.000"
    assert {clip.events for clip in manifest} == {None}
    assert manifest.problems == ()


def test_every_name_of_a_file_is_found(folder):
    names = [clip.path.name for clip in read("audioset", folder, "train")]
    assert names == [pattern.format(video) for pattern, video in zip(FILES, KEPT, strict=True)]


def test_train_and_validation_divide_the_balanced_part(folder):
    assert [clip.group for clip in read("audioset", folder, "train")] == KEPT
    assert [clip.group for clip in read("audioset", folder, "validation")] == HELD_OUT
    with pytest.raises(DataError, match=r"no list of eval: looked for eval_segments.csv"):
        read("audioset", folder, "test")


def test_rows_without_the_space_after_the_comma_read_the_same(folder):
    path = folder / "metadata" / "balanced_train_segments.csv"
    expected = read("audioset", folder, "balanced")
    lines = [line.replace(", ", ",") for line in path.read_text().splitlines()]
    write_lines(path, *lines, end="\r\n", encoding="utf-8-sig")
    assert read("audioset", folder, "balanced") == expected


def test_strong_labels_have_further_classes(folder):
    manifest = read("audioset", folder, "strong_eval")
    assert manifest.labels == ("Speech", "Male speech, man speaking", "Gush", "Brief tone")
    first, second = manifest
    assert first.events == (Event(0.0, 4.5, "Speech"), Event(1.0, 2.0, "Gush"))
    assert first.tags == ("Speech", "Gush")
    assert second.events == (Event(2.627, 7.237, "Brief tone"),)
    assert (first.id, first.group) == (f"{KEPT[0]}_30000", KEPT[0])
    assert kinds(manifest) == {"duplicate row": 1}


def test_without_names_of_strong_labels_their_clips_are_listed(folder):
    (folder / "strong" / "mid_to_display_name.tsv").unlink()
    manifest = read("audioset", folder, "strong_eval")
    assert [clip.group for clip in manifest] == [KEPT[0]]
    assert '"/t/dd00138"' in problem_of(manifest, "unknown label")


def test_the_ontology_names_the_classes_where_the_index_is_missing(folder):
    (folder / "metadata" / "class_labels_indices.csv").unlink()
    entries = [
        {"id": "/m/0dgw9r", "name": "Human sounds", "restrictions": ["abstract"]},
        {"id": "/m/09x0r", "name": "Speech", "restrictions": []},
        {"id": "/m/05zppz", "name": "Male speech, man speaking", "restrictions": []},
        {"id": "/t/dd00088", "name": "Gush"},
        {"id": "/x", "name": "Not used", "restrictions": ["blacklist"]},
    ]
    path = folder / "ontology.json"
    path.write_text(json.dumps(entries))
    manifest = read("audioset", folder, "balanced")
    assert manifest.labels == ("Speech", "Male speech, man speaking", "Gush")
    assert manifest.clips[0].tags == ("Speech", "Gush")
    path.write_text('{"id": "/m/09x0r"}')
    with pytest.raises(DataError, match=r"ontology\.json is no list of classes"):
        read("audioset", folder, "balanced")
    path.unlink()
    with pytest.raises(DataError, match="no names of classes: looked for class_labels_indices"):
        read("audioset", folder, "balanced")


def test_what_is_wrong_is_listed(folder):
    path = folder / "metadata" / "balanced_train_segments.csv"
    add_lines(
        path,
        f'{KEPT[0]}, 30.000, 40.000, "/m/09x0r"',
        'notloaded00, 0.000, 10.000, "/m/09x0r"',
    )
    write_audio(folder / "audios" / "strange0000.wav")
    add_lines(path, 'strange0000, 0.000, 10.000, "/m/09x0r,/m/none"')
    manifest = read("audioset", folder, "balanced")
    assert len(manifest) == 7
    assert problem_of(manifest, "duplicate row").startswith(f"{path}:11: ")
    assert problem_of(manifest, "missing audio") == f"{path}:12: notloaded00_0.000_10.000"
    assert problem_of(manifest, "unknown label").startswith(f"{path}:13: ")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("abc, 0.000, 10.000", "3 cells"),
        ('abc, 0.000, ten, "/m/09x0r"', 'end "ten" is no number'),
        ('abc, 10.000, 0.000, "/m/09x0r"', "no span of a video"),
        ('abc, 0.000, 10.000, ""', "no span of a video"),
    ],
)
def test_a_malformed_segment_is_an_error_with_its_line(folder, row, message):
    add_lines(folder / "metadata" / "balanced_train_segments.csv", row)
    with pytest.raises(DataError, match=rf"balanced_train_segments.csv:11: {message}"):
        read("audioset", folder, "balanced")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("abc\t0\t1\t/m/09x0r", '"abc" is no VIDEO_MILLISECONDS'),
        (f"{KEPT[0]}_30000\t0\t1", "the label is empty"),
        (f"{KEPT[0]}_30000\tx\t1\t/m/09x0r", 'onset "x" is no number'),
    ],
)
def test_a_malformed_event_is_an_error_with_its_line(folder, row, message):
    add_lines(folder / "strong" / "audioset_eval_strong.tsv", row)
    with pytest.raises(DataError, match=rf"audioset_eval_strong.tsv:6: {message}"):
        read("audioset", folder, "strong_eval")


@pytest.mark.parametrize("row", ["3,/m/x,", "x,/m/x,X", "0,/m/x,X"])
def test_a_malformed_index_is_an_error_with_its_line(folder, row):
    add_lines(folder / "metadata" / "class_labels_indices.csv", row)
    with pytest.raises(DataError, match=r"class_labels_indices.csv:5: expected an index"):
        read("audioset", folder, "balanced")


def test_a_folder_without_audio_is_one_error(folder):
    row = "unheard0000_0\t0\t1\t/m/09x0r"
    write_lines(folder / "audioset_train_strong.tsv", STRONG_HEADER, row)
    with pytest.raises(DataError, match="no clip of strong_train has audio"):
        read("audioset", folder, "strong_train")
