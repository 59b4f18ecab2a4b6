"""DCASE 2018 Task 4 and DESED, on made-up folders of the same form."""

from __future__ import annotations

import shutil

import pytest
from small_sets import add_lines, kinds, problem_of, read, videos, write_audio, write_lines

from sedsdk.errors import DataError
from sedsdk.types import Event

KEPT = videos(2, held_out=False)
HELD_OUT = videos(1, held_out=True)
TESTED = videos(3, held_out=False, prefix="-test_")
STRONG_HEADER = "filename\tonset\toffset\tevent_label"
LABELS = (
    "Alarm_bell_ringing Blender Cat Dishes Dog Electric_shaver_toothbrush Frying Running_water "
    "Speech Vacuum_cleaner"
)


def clip(video):
    return f"Y{video}_30.000_40.000.wav"


def write_weak(base, suffix, separator):
    rows = [f"{clip(KEPT[0])}\tSpeech{separator}Dog", f"{clip(KEPT[1])}\tCat"]
    rows.append(f"{clip(HELD_OUT[0])}\tDog")
    write_lines(base / f"metadata/train/weak{suffix}", "filename\tevent_labels", *rows)
    for video in (*KEPT, *HELD_OUT):
        write_audio(base / "audio/train/weak" / clip(video))


def write_strong(base, path, folder):
    """Three clips: two events, none, one past the end of its audio's ten seconds."""
    write_lines(
        base / path,
        STRONG_HEADER,
        f"{clip(TESTED[0])}\t0.163\t0.665\tCat",
        f"{clip(TESTED[0])}\t1.5\t10.0\tSpeech",
        f"{clip(TESTED[1])}\t\t\t",
        f"{clip(TESTED[2])}\t9.865\t10.115\tDog",
    )
    for video in TESTED:
        write_audio(base / folder / clip(video))


def check_strong(manifest):
    assert [one.events for one in manifest] == [
        (Event(0.163, 0.665, "Cat"), Event(1.5, 10.0, "Speech")),
        (),
        (Event(9.865, 10.0, "Dog"),),
    ]
    assert [one.tags for one in manifest] == [("Cat", "Speech"), (), ("Dog",)]
    assert [one.group for one in manifest] == TESTED
    assert kinds(manifest) == {"event past the end": 1}


@pytest.fixture
def dcase2018(tmp_path):
    """As the 2018 baseline's repository is after its download script."""
    base = tmp_path / "task4" / "dataset"
    write_weak(base, ".csv", ";")
    write_strong(base, "metadata/test/test.csv", "audio/test")
    write_strong(base, "metadata/eval/eval.csv", "audio/eval")
    for part in ("unlabel_in_domain", "unlabel_out_of_domain"):
        write_lines(base / f"metadata/train/{part}.csv", "filename", clip(KEPT[0]))
        write_audio(base / "audio/train" / part / clip(KEPT[0]))
    return base


@pytest.fixture
def desed(tmp_path):
    """As the challenge of 2021 lays it out, with the synthetic part of 2020 beside."""
    base = tmp_path / "dataset"
    write_weak(base, ".tsv", ",")
    write_strong(base, "metadata/validation/validation.tsv", "audio/validation/validation")
    write_strong(base, "metadata/eval/public.tsv", "audio/eval/public")
    for part, folder in (
        ("train/synthetic20", "train/synthetic20"),
        ("train/synthetic21_train", "train/synthetic21_train"),
        ("validation/synthetic21_validation", "validation/synthetic21_validation"),
    ):
        write_lines(
            base / "metadata" / part / "soundscapes.tsv", STRONG_HEADER, "0.wav\t1\t2\tDishes"
        )
        write_audio(base / "audio" / folder / "soundscapes" / "0.wav")
    return base


class TestDcase2018:
    def test_weak(self, dcase2018):
        manifest = read("dcase2018-task4", dcase2018, "weak")
        assert manifest.labels == tuple(LABELS.split())
        assert [one.tags for one in manifest] == [("Speech", "Dog"), ("Cat",), ("Dog",)]
        assert {one.events for one in manifest} == {None}

    def test_train_and_validation_divide_weak(self, dcase2018):
        train, validation = (
            read("dcase2018-task4", dcase2018, part) for part in ("train", "validation")
        )
        assert [one.group for one in train] == KEPT
        assert [one.group for one in validation] == HELD_OUT

    @pytest.mark.parametrize("part", ["test", "testing", "evaluation"])
    def test_strong(self, dcase2018, part):
        check_strong(read("dcase2018-task4", dcase2018, part))

    @pytest.mark.parametrize("part", ["unlabel_in_domain", "unlabel_out_of_domain"])
    def test_unlabelled(self, dcase2018, part):
        (one,) = read("dcase2018-task4", dcase2018, part)
        assert (one.tags, one.events) == (None, None)
        assert f"train/{part}/" in one.path.as_posix()

    def test_the_folders_around_are_accepted(self, dcase2018):
        expected = read("dcase2018-task4", dcase2018, "weak")
        for folder in (dcase2018.parent, dcase2018.parent.parent):
            assert read("dcase2018-task4", folder, "weak") == expected

    def test_an_evaluation_list_without_labels_is_an_error(self, dcase2018):
        write_lines(dcase2018 / "metadata/eval/eval.csv", "filename", clip(TESTED[0]))
        with pytest.raises(DataError, match=r'eval.csv:1: no column "onset"'):
            read("dcase2018-task4", dcase2018, "evaluation")

    @pytest.mark.parametrize(
        ("row", "message"),
        [(clip(KEPT[0]), "no event_labels beside"), (f"{clip(KEPT[0])}\tDog\tx", "3 cells under")],
    )
    def test_a_malformed_weak_row_is_an_error(self, dcase2018, row, message):
        add_lines(dcase2018 / "metadata/train/weak.csv", row)
        with pytest.raises(DataError, match=rf"weak.csv:5: {message}"):
            read("dcase2018-task4", dcase2018, "train")

    @pytest.mark.parametrize("row", ["\t1\t2\tDog", f"{clip(TESTED[0])}\t1\t2", "x.wav\t1\t\tDog"])
    def test_a_malformed_strong_row_is_an_error(self, dcase2018, row):
        add_lines(dcase2018 / "metadata/test/test.csv", row)
        with pytest.raises(DataError, match=r"test.csv:6: .*(empty|no number)"):
            read("dcase2018-task4", dcase2018, "test")

    def test_what_is_wrong_is_listed(self, dcase2018):
        path = dcase2018 / "metadata/train/weak.csv"
        add_lines(path, f"{clip(KEPT[1])}\tCat", f"{clip(TESTED[0])}\tDog")
        write_audio(dcase2018 / "audio/train/weak" / clip(TESTED[1]))
        add_lines(path, f"{clip(TESTED[1])}\tCat;Dogs")
        manifest = read("dcase2018-task4", dcase2018, "weak")
        assert len(manifest) == 3
        assert problem_of(manifest, "duplicate row").endswith(f"is already at {path}:3")
        assert problem_of(manifest, "missing audio") == f"{path}:6: {clip(TESTED[0])}"
        assert 'Did you mean "Dog"' in problem_of(manifest, "unknown label")

    @pytest.mark.parametrize(("end", "encoding"), [("\r\n", "utf-8"), ("\n", "utf-8-sig")])
    def test_lists_saved_by_windows_read_the_same(self, dcase2018, end, encoding):
        expected = read("dcase2018-task4", dcase2018, "test")
        path = dcase2018 / "metadata/test/test.csv"
        write_lines(path, *path.read_text().splitlines(), end=end, encoding=encoding)
        assert read("dcase2018-task4", dcase2018, "test") == expected

    def test_what_is_missing_is_said(self, dcase2018, tmp_path):
        shutil.rmtree(dcase2018 / "audio" / "test")
        with pytest.raises(DataError, match=r"no clip of testing has audio.*Download the audio"):
            read("dcase2018-task4", dcase2018, "test")
        with pytest.raises(DataError, match=r"no list of weak: looked for metadata/train/weak.tsv"):
            read("dcase2018-task4", tmp_path / "task4" / "dataset" / "audio", "weak")


class TestDesed:
    def test_the_parts_of_a_recipe(self, desed):
        train, validation, test = (
            read("desed", desed, part) for part in ("train", "validation", "test")
        )
        assert [one.tags for one in train] == [("Speech", "Dog"), ("Cat",), ("Dog",)]
        for manifest in (validation, test):
            check_strong(manifest)
        assert train.labels == validation.labels == test.labels == tuple(LABELS.split())

    def test_weak_and_synthetic_joined(self, desed):
        joined = read("desed", desed, "weak+synthetic20_train+synthetic21_train")
        assert [one.id for one in joined][-2:] == [
            "synthetic20_train/0.wav",
            "synthetic21_train/0.wav",
        ]
        assert [one.events for one in joined][:3] == [None] * 3
        assert joined.clips[-1].events == (Event(1.0, 2.0, "Dishes"),)
        assert joined.clips[-1].path != joined.clips[-2].path

    def test_archives_side_by_side(self, desed, tmp_path):
        expected = read("desed", desed, "synthetic21_validation")
        wanted = "validation/synthetic21_validation"
        apart = tmp_path / "apart"
        for kind, spelt in (("metadata", "synhtetic21_validation"), ("audio", wanted[11:])):
            place = apart / "dcase21_synth" / kind / "validation" / spelt
            shutil.copytree(desed / kind / wanted, place)
        shutil.copytree(desed / "metadata" / "eval", apart / "dataset" / "metadata" / "eval")
        shutil.copytree(desed / "audio" / "eval", apart / "dataset" / "audio" / "eval")
        found = read("desed", apart, "synthetic21_validation")
        assert [(one.id, one.events) for one in found] == [(one.id, one.events) for one in expected]
        check_strong(read("desed", apart, "eval_public"))

    def test_resampled_audio_is_second_choice(self, desed):
        folder = desed / "audio" / "train"
        shutil.copytree(folder / "weak", folder / "weak_16k")
        assert all("weak/" in one.path.as_posix() for one in read("desed", desed, "weak"))
        shutil.rmtree(folder / "weak")
        assert all("weak_16k/" in one.path.as_posix() for one in read("desed", desed, "weak"))

    def test_the_recorded_validation_of_2019(self, desed):
        (desed / "metadata/validation/validation.tsv").rename(
            desed / "metadata/validation/eval_dcase2018.csv"
        )
        (desed / "audio/validation/validation").rename(desed / "audio/validation/wav")
        check_strong(read("desed", desed, "eval_dcase2018"))

    def test_an_unknown_part_is_an_error(self, desed):
        with pytest.raises(DataError, match=r'no part "synthetic21_trian"\. Did you mean "synth'):
            read("desed", desed, "weak+synthetic21_trian")
