"""CHiME-Home, on made-up folders of the same form."""

from __future__ import annotations

import pytest
import soundfile
from small_sets import RATE, add_lines, is_held_out, kinds, problem_of, read, write_audio
from small_sets import write_lines as write

from sedsdk.errors import DataError

REFINED = "development_chunks_refined.csv"
FOLDS = "development_chunks_refined_crossval_dcase2016.csv"
SEGMENTS = [f"CR_lounge_200110_1601.s{300 * number}" for number in range(60)]
KEPT = [segment for segment in SEGMENTS if not is_held_out(segment)][:2]
HELD_OUT = next(segment for segment in SEGMENTS if is_held_out(segment))
VOTES = {
    f"{KEPT[0]}_chunk0": "cm",
    f"{KEPT[0]}_chunk1": "S",
    f"{KEPT[1]}_chunk7": "fvU",
    f"{HELD_OUT}_chunk2": "pbo",
}
NAMES = list(VOTES)


def write_chunk(folder, name, vote):
    rows = {
        "segmentname": name.split("_chunk")[0],
        "chunknumber": name.split("_chunk")[1],
        "annotation_a1": "cm",
        "annotation_a2": "c",
        "annotation_a3": "",
        "session_a1": "1",
        "majorityvote": vote,
        "chunkname": name,
    }
    write(folder / f"{name}.csv", *(f"{key},{value}" for key, value in rows.items()))


@pytest.fixture
def folder(tmp_path):
    base = tmp_path / "chime_home"
    for name, vote in VOTES.items():
        write_chunk(base / "chunks", name, vote)
        for version in ("16kHz", "48kHz"):
            write_audio(base / "chunks" / f"{name}.{version}.wav", 4)
    write(base / REFINED, *(f"{index},{name}" for index, name in enumerate(NAMES)))
    write(base / FOLDS, *(f"{index},{name},{index % 5}" for index, name in enumerate(NAMES)))
    write(base / "evaluation_chunks_refined.csv", f"0,{NAMES[0]}")
    raw = [*NAMES, f"{KEPT[0]}_chunk9", f"{HELD_OUT}_chunk9"]
    write(base / "development_chunks_raw.csv", *(f"{i},{name}" for i, name in enumerate(raw)))
    return base


def test_letters_become_labels_in_the_order_of_the_data_set(folder):
    manifest = read("chime-home", folder, "development")
    assert manifest.labels == (
        "child speech",
        "adult male speech",
        "adult female speech",
        "video game or TV",
        "percussive sound",
        "broadband noise",
        "other",
    )
    assert [clip.tags for clip in manifest] == [
        ("child speech", "adult male speech"),
        (),
        ("adult female speech", "video game or TV"),
        ("percussive sound", "broadband noise", "other"),
    ]
    assert {clip.events for clip in manifest} == {None}
    assert [clip.group for clip in manifest] == [KEPT[0], KEPT[0], KEPT[1], HELD_OUT]


def test_both_versions(folder):
    small = read("chime-home", folder, "development")
    large = read("chime-home-48khz", folder, "development")
    assert all(clip.path.name.endswith(".16kHz.wav") for clip in small)
    assert all(clip.path.name.endswith(".48kHz.wav") for clip in large)
    assert soundfile.info(small.clips[0].path).frames == 4 * RATE


def test_a_version_that_is_not_there_is_not_replaced_by_the_other(folder):
    for path in (folder / "chunks").glob("*.48kHz.wav"):
        path.unlink()
    with pytest.raises(DataError, match=r"no clip of development has audio.*chunk0\.48kHz with"):
        read("chime-home-48khz", folder, "development")


def test_train_and_validation_divide_the_segments(folder):
    assert {clip.group for clip in read("chime-home", folder, "train")} == set(KEPT)
    assert {clip.group for clip in read("chime-home", folder, "validation")} == {HELD_OUT}
    assert [clip.id for clip in read("chime-home", folder, "test")] == NAMES[:1]


def test_chunks_that_the_refined_list_leaves_out_are_listed_on_their_side(folder):
    for part, count in (("development", 2), ("train", 1), ("validation", 1), ("test", 0)):
        manifest = read("chime-home", folder, part)
        assert kinds(manifest) == ({"annotators disagree": count} if count else {})
    raw = folder / "development_chunks_raw.csv"
    text = problem_of(read("chime-home", folder, "validation"), "annotators disagree")
    assert text == f"{raw}:6: {HELD_OUT}_chunk9 is not in {REFINED}"


def test_folds_of_dcase_2016(folder):
    assert [clip.id for clip in read("chime-home", folder, "fold2")] == [NAMES[1]]
    joined = read("chime-home", folder.parent, "fold1+fold3+fold4")
    assert [clip.id for clip in joined] == [NAMES[0], NAMES[2], NAMES[3]]
    with pytest.raises(DataError, match="lists no clip of fold5"):
        read("chime-home", folder, "fold5")


def test_the_raw_list_has_the_majority_of_every_chunk(folder):
    manifest = read("chime-home", folder, "development_raw")
    assert len(manifest) == 4
    assert kinds(manifest) == {"missing annotation": 2, "missing audio": 2}


def test_what_is_missing_or_unknown_costs_its_chunk(folder):
    chunks = folder / "chunks"
    (chunks / f"{NAMES[0]}.16kHz.wav").unlink()
    (chunks / f"{NAMES[1]}.csv").unlink()
    write_chunk(chunks, NAMES[2], "cx")
    add_lines(folder / REFINED, f"4,{NAMES[3]}")
    manifest = read("chime-home", folder, "development")
    assert [clip.id for clip in manifest] == [NAMES[3]]
    assert problem_of(manifest, "missing audio") == f"{folder / REFINED}:1: {NAMES[0]}"
    assert f"{NAMES[1]}.csv is not there" in problem_of(manifest, "missing annotation")
    assert f'{NAMES[2]} has "x"' in problem_of(manifest, "unknown label")
    assert problem_of(manifest, "duplicate row").startswith(f"{folder / REFINED}:5: {NAMES[3]}")


@pytest.mark.parametrize("row", ["4", "4,", "4,a,b", ",name"])
def test_a_malformed_row_is_an_error_with_its_line(folder, row):
    add_lines(folder / REFINED, row)
    with pytest.raises(DataError, match=rf"{REFINED}:5: expected index, chunk"):
        read("chime-home", folder, "train")


def test_an_annotation_without_a_vote_is_an_error(folder):
    write(folder / "chunks" / f"{NAMES[0]}.csv", "annotation_a1,c")
    with pytest.raises(DataError, match=rf"{NAMES[0]}\.csv has no row majorityvote"):
        read("chime-home", folder, "development")


@pytest.mark.parametrize(("end", "encoding"), [("\r\n", "utf-8"), ("\n", "utf-8-sig")])
def test_lists_saved_by_windows_read_the_same(folder, end, encoding):
    expected = read("chime-home", folder, "development")
    for path in (folder / REFINED, folder / "chunks" / f"{NAMES[0]}.csv"):
        write(path, *path.read_text().splitlines(), end=end, encoding=encoding)
    assert read("chime-home", folder, "development") == expected


def test_the_wrong_folder_says_what_was_looked_for(folder):
    with pytest.raises(DataError, match="no list of evaluation: looked for evaluation_chunks"):
        read("chime-home", folder / "chunks", "test")
