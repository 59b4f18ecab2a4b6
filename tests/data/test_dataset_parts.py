"""What the readers of published data sets share: parts, division, files by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_sets import is_held_out, write_audio

from sedsdk.data.datasets.audio_files import AudioFiles, audio_stem
from sedsdk.data.datasets.layout import base_folders, dataset_folder
from sedsdk.data.datasets.parts import read_parts
from sedsdk.data.datasets.video_segments import video_segment
from sedsdk.data.manifest import Clip, Manifest
from sedsdk.data.problems import DataProblem, counts_in_words
from sedsdk.errors import DataError

GROUPS = [f"video{i:06d}" for i in range(2000)]


def read_groups(part):
    """A data set with one clip per group in "all", and the first three again in "some"."""

    def read(name, piece, wanted):
        groups = GROUPS if name == "all" else GROUPS[:3]
        clips = [
            Clip(group, Path(group), group=group, split=piece) for group in groups if wanted(group)
        ]
        return Manifest(tuple(clips), ("a",), (DataProblem("kind", piece),))

    return read_parts(part, ("all", "some"), {"train": "all/train", "both": "some+all"}, read)


class TestParts:
    def test_the_sides_of_a_part_are_disjoint_and_complete(self):
        train, validation = (read_groups(f"all/{side}") for side in ("train", "validation"))
        held_out = [group for group in GROUPS if is_held_out(group)]
        assert [clip.id for clip in validation] == held_out
        assert {clip.id for clip in train} | set(held_out) == set(GROUPS)
        assert len(train) + len(validation) == len(GROUPS)
        # binomial, n = 2000, p = 0.1: five standard deviations are 67
        assert abs(len(held_out) - 200) < 67

    def test_an_alias_stands_for_a_side(self):
        assert read_groups("train") == read_groups("all/train")
        assert {clip.split for clip in read_groups("train")} == {"all/train"}

    def test_joined_parts_take_a_clip_once_and_say_so(self):
        joined = read_groups("both")
        assert len(joined) == len(GROUPS)
        assert [clip.split for clip in joined][:4] == ["some", "some", "some", "all"]
        assert counts_in_words(joined.problems) == "3 clip in two parts, 2 kind"

    @pytest.mark.parametrize("part", ["al", "all/", "all/test", "", "all+", "all+few"])
    def test_an_unknown_part_names_those_that_exist(self, part):
        with pytest.raises(DataError, match=r"no part .*Choose one of: train, both, all, some"):
            read_groups(part)


class TestManifestProblems:
    def test_they_go_along_and_do_not_count_as_content(self):
        clips = (Clip("1", Path("1.wav"), tags=("a",)), Clip("2", Path("2.wav"), tags=()))
        plain = Manifest(clips, ("a",))
        noted = Manifest(clips, ("a",), (DataProblem("missing audio", "3"),))
        assert noted == plain
        assert noted.digest == plain.digest
        assert noted.filter(lambda clip: clip.id == "1").problems == noted.problems
        others = Manifest((Clip("4", Path("4.wav")),), ("a",), (DataProblem("duplicate row", "5"),))
        assert [str(p) for p in noted.combine(others).problems] == [
            "missing audio: 3",
            "duplicate row: 5",
        ]


class TestAudioFiles:
    def test_names_are_found_with_any_suffix_in_any_subfolder(self, tmp_path):
        path = write_audio(tmp_path / "b" / "c" / "Yx_30.000_40.000.flac")
        (tmp_path / "b" / "Yx_30.000_40.000.txt").write_text("no audio")
        files = AudioFiles([tmp_path])
        assert files.find(["x_30.000_40.000", "Yx_30.000_40.000"]) == path
        assert files.find(["Yx_30.000_40"]) is None

    def test_the_first_folder_counts(self, tmp_path):
        for folder in ("a", "b"):
            write_audio(tmp_path / folder / "1.wav")
        files = AudioFiles([tmp_path / "b", tmp_path / "a"])
        assert files.find(["1"]) == tmp_path / "b" / "1.wav"

    def test_a_link_back_up_ends(self, tmp_path):
        path = write_audio(tmp_path / "a" / "1.wav")
        (tmp_path / "a" / "loop").symlink_to(tmp_path)
        assert AudioFiles([tmp_path]).find(["1"]) == path

    @pytest.mark.parametrize(
        ("name", "stem"),
        [
            ("Yx_30.000_40.000.wav", "Yx_30.000_40.000"),
            ("Yx_30.000_40.000", "Yx_30.000_40.000"),
            ("a.b.FLAC", "a.b"),
        ],
    )
    def test_only_an_audio_suffix_is_cut(self, name, stem):
        assert audio_stem(name) == stem


class TestVideoSegments:
    @pytest.mark.parametrize(
        ("stem", "video", "start", "length"),
        [
            ("Y-BJNMHMZDcU_50.000_60.000", "-BJNMHMZDcU", 50.0, 10.0),
            ("-BJNMHMZDcU_50.000_60.000", "-BJNMHMZDcU", 50.0, 10.0),
            ("YABCDEFGH_J_0.000_7.000", "YABCDEFGH_J", 0.0, 7.0),
            ("Y0_HnD-rW3lI_170.000_180.000", "0_HnD-rW3lI", 170.0, 10.0),
            ("-zqW9xCZd80_260_270", "-zqW9xCZd80", 260.0, 10.0),
        ],
    )
    def test_names_of_clips(self, stem, video, start, length):
        segment = video_segment(stem)
        assert (segment.video, segment.start, segment.length) == (video, start, length)

    @pytest.mark.parametrize("stem", ["12", "Yshort_0.000_10.000", "abcdefghijk_40.000_30.000"])
    def test_other_names(self, stem):
        assert video_segment(stem) is None


class TestLayout:
    def test_places_below_a_folder(self, tmp_path):
        for folder in ("dataset/metadata", "b/dataset", "a"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "file").write_text("")
        assert base_folders(tmp_path, ("", "dataset", "*/dataset", "nothing", "*")) == [
            tmp_path,
            tmp_path / "dataset",
            tmp_path / "b" / "dataset",
            tmp_path / "a",
            tmp_path / "b",
        ]

    def test_a_wrong_folder_is_an_error(self, tmp_path):
        with pytest.raises(DataError, match="is no folder"):
            dataset_folder(tmp_path / "nothing")
