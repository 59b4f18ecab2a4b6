"""ESC-50 and ESC-10, on made-up folders of the same form."""

from __future__ import annotations

import pytest
from small_sets import add_lines, kinds, problem_of, read, write_audio, write_lines

from sedsdk.errors import DataError

HEADER = "filename,fold,target,category,esc10,src_file,take"
ROWS = (
    "1-100032-A-0.wav,1,0,dog,True,100032,A",
    "1-17367-A-10.wav,1,10,rain,True,17367,A",
    "2-106015-B-9.wav,2,1,rooster,True,106015,B",
    "2-100210-A-36.wav,2,36,vacuum_cleaner,False,100210,A",
    "2-100210-B-36.wav,2,36,vacuum_cleaner,False,100210,B",
    "3-17150-A-12.wav,3,12,crackling_fire,True,17150,A",
    "4-18810-A-49.wav,4,49,hand_saw,False,18810,A",
    "5-9032-A-0.wav,5,0,dog,True,9032,A",
)


@pytest.fixture
def folder(tmp_path):
    base = tmp_path / "ESC-50-master"
    write_lines(base / "meta" / "esc50.csv", HEADER, *ROWS)
    for row in ROWS:
        write_audio(base / "audio" / row.split(",")[0])
    return base


def test_default_parts_are_folds(folder):
    train, validation, test = (
        read("esc50", folder, part) for part in ("train", "validation", "test")
    )
    assert [clip.id for clip in train] == [row.split(",")[0] for row in ROWS[:6]]
    assert [clip.tags for clip in validation] == [("hand_saw",)]
    assert [clip.tags for clip in test] == [("dog",)]
    assert {clip.events for clip in (*train, *test)} == {None}
    assert [clip.group for clip in train] == [row.split(",")[5] for row in ROWS[:6]]
    assert train.problems == ()


def test_any_fold_may_be_the_test(folder):
    assert [clip.split for clip in read("esc50", folder.parent, "fold2+fold5")] == [
        "fold2",
        "fold2",
        "fold2",
        "fold5",
    ]


def test_labels_are_ordered_by_target(folder):
    labels = read("esc50", folder, "train").labels
    assert len(labels) == len(set(labels)) == 50
    for row in ROWS:
        cells = row.split(",")
        assert labels[int(cells[2])] == cells[3]
    # targets of the published list
    assert [labels[i] for i in (1, 13, 24, 33, 47)] == [
        "rooster",
        "crickets",
        "coughing",
        "door_wood_creaks",
        "airplane",
    ]


def test_esc10_is_the_subset(folder):
    train = read("esc10", folder, "train")
    assert [clip.tags for clip in train] == [
        ("dog",),
        ("rain",),
        ("rooster",),
        ("crackling_fire",),
    ]
    assert train.labels == (
        "dog",
        "rooster",
        "rain",
        "sea_waves",
        "crackling_fire",
        "crying_baby",
        "sneezing",
        "clock_tick",
        "helicopter",
        "chainsaw",
    )
    assert train.problems == ()


def test_what_is_wrong_costs_its_clip_and_is_listed(folder):
    path = folder / "meta" / "esc50.csv"
    (folder / "audio" / "1-100032-A-0.wav").unlink()
    add_lines(
        path,
        ROWS[5],
        "3-1-A-0.wav,3,0,dogs,False,1,A",
        "3-2-A-0.wav,3,1,dog,True,2,A",
    )
    for name in ("3-1-A-0.wav", "3-2-A-0.wav"):
        write_audio(folder / "audio" / name)
    manifest = read("esc50", folder, "train")
    assert len(manifest) == 5
    assert problem_of(manifest, "missing audio") == f"{path}:2: 1-100032-A-0.wav"
    assert problem_of(manifest, "duplicate row").startswith(f"{path}:10: ")
    assert kinds(manifest)["unknown label"] == 2
    texts = [problem.text for problem in manifest.problems if problem.kind == "unknown label"]
    assert 'Did you mean "dog"' in texts[0]
    assert "is dog, and its target is 1" in texts[1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3-1-A-0.wav,3,0,dog", "esc10 is empty"),
        ("3-1-A-0.wav,6,0,dog,True,1,A", 'fold "6" is not 1 to 5'),
        (",3,0,dog,True,1,A", "filename is empty"),
        ("3-1-A-0.wav,3,0,dog,True,1,A,x", "8 cells under 7 columns"),
    ],
)
def test_a_malformed_row_is_an_error_with_its_line(folder, row, message):
    add_lines(folder / "meta" / "esc50.csv", row)
    with pytest.raises(DataError, match=rf"esc50.csv:10: {message}"):
        read("esc50", folder, "train")


@pytest.mark.parametrize(("end", "encoding"), [("\r\n", "utf-8"), ("\n", "utf-8-sig")])
def test_a_list_saved_by_windows_reads_the_same(folder, end, encoding):
    expected = read("esc50", folder, "train")
    write_lines(folder / "meta" / "esc50.csv", HEADER, *ROWS, end=end, encoding=encoding)
    assert read("esc50", folder, "train") == expected


def test_what_is_missing_is_said(folder, tmp_path):
    (folder / "audio").rename(folder / "sounds")
    with pytest.raises(DataError, match=r"no clip of fold1 has audio: .*nor is a folder for them"):
        read("esc50", folder, "train")
    with pytest.raises(DataError, match=r"holds no list of clips: looked for meta/esc50.csv"):
        read("esc50", folder / "sounds", "train")
