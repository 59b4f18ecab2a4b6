"""`sedsdk detect`: formats, folders, thresholds, bad recordings."""

from __future__ import annotations

import csv
import io
import json

import pytest

from sedsdk.cli.recordings import audio_files
from sedsdk.cli.thresholds import read_thresholds
from sedsdk.errors import ConfigError, DataError

pytest.importorskip("torch", reason="needs torch")


def test_json_lines_hold_what_the_library_finds(run, saved_detector, good_recordings):
    from sedsdk.runtime.detector import load

    result = run("detect", saved_detector, good_recordings, "--json")
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["recording"] for line in lines] == [
        str(good_recordings / "a.wav"),
        str(good_recordings / "b.flac"),
    ]
    detector = load(saved_detector)
    for line in lines:
        assert line["events"] == [event.as_dict() for event in detector(line["recording"])]
        assert line["events"]


def test_csv_has_a_row_per_event(run, saved_detector, good_recordings):
    result = run("detect", saved_detector, good_recordings / "a.wav", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["label"] for row in rows} == {"alarm", "bell"}
    assert all(0 <= float(row["onset"]) < float(row["offset"]) <= 1.0 for row in rows)
    assert all(row["recording"] == str(good_recordings / "a.wav") for row in rows)


def test_people_read_counts_and_times(run, saved_detector, good_recordings):
    lines = run("detect", saved_detector, good_recordings / "a.wav").stdout.splitlines()
    assert lines[0] == f"{good_recordings / 'a.wav'}: 2 events"
    assert "0.00 – 1.00 s" in lines[1]


def test_a_tagger_gives_labels_and_no_events(run, saved_tagger, good_recordings):
    from sedsdk.runtime.detector import load

    audio = good_recordings / "a.wav"
    probabilities = load(saved_tagger).tags(audio)
    (line,) = run("detect", saved_tagger, audio, "--json").stdout.splitlines()
    assert json.loads(line) == {
        "recording": str(audio),
        "tags": [{"label": label, "score": probabilities[label]} for label in ("alarm", "bell")],
    }
    rows = list(csv.DictReader(io.StringIO(run("detect", saved_tagger, audio, "--csv").stdout)))
    assert [(row["onset"], row["offset"], row["label"]) for row in rows] == [
        ("", "", "alarm"),
        ("", "", "bell"),
    ]
    assert float(rows[1]["score"]) == pytest.approx(probabilities["bell"], abs=1e-4)
    lines = run("detect", saved_tagger, audio).stdout.splitlines()
    assert lines[0] == f"{audio}: 2 tags"
    assert lines[1].split() == ["tag", "alarm", f"{probabilities['alarm']:.2f}"]


def test_events_and_tags_stand_side_by_side(run, saved_both, good_recordings):
    audio = good_recordings / "a.wav"
    (line,) = run("detect", saved_both, audio, "--json").stdout.splitlines()
    values = json.loads(line)
    assert list(values) == ["recording", "events", "tags"]
    assert {event["label"] for event in values["events"]} == {"alarm", "bell"}
    lines = run("detect", saved_both, audio).stdout.splitlines()
    assert lines[0] == f"{audio}: 2 events, 2 tags"
    assert len(lines) == 5


def test_a_threshold_is_the_taggers_own_or_that_of_events(
    run, saved_tagger, saved_both, good_recordings
):
    audio = good_recordings / "a.wav"
    changed = ["--json", "--threshold", "alarm=1"]
    tagged = json.loads(run("detect", saved_tagger, audio, *changed).stdout)
    assert [tag["label"] for tag in tagged["tags"]] == ["bell"]
    both = json.loads(run("detect", saved_both, audio, *changed).stdout)
    assert {event["label"] for event in both["events"]} == {"bell"}
    assert [tag["label"] for tag in both["tags"]] == ["alarm", "bell"]


def test_a_bad_recording_is_reported_and_the_rest_is_done(run, saved_detector, recordings):
    result = run("detect", saved_detector, recordings, recordings / "none.wav", "--json")
    assert result.exit_code == 3
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["events" in line for line in lines] == [True, True, False]
    assert lines[2]["recording"].endswith("broken.wav")
    assert "broken.wav" in result.stderr
    assert "none.wav: no such file" in result.stderr
    assert "2 of 4 inputs failed" in result.stderr
    assert "Traceback" not in result.stderr


def test_nothing_to_listen_to_is_an_error(run, saved_detector, tmp_path):
    result = run("detect", saved_detector, tmp_path)
    assert result.exit_code == 1
    assert "no audio file in this folder" in result.stderr


def test_a_folder_that_is_no_detector_is_an_error(run, recordings):
    result = run("detect", recordings, recordings)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_another_threshold_silences_one_class(run, saved_detector, good_recordings):
    result = run(
        "detect", saved_detector, good_recordings / "a.wav", "--json", "--threshold", "alarm=1"
    )
    assert {event["label"] for event in json.loads(result.stdout)["events"]} == {"bell"}


def test_two_formats_at_once_are_a_usage_error(run, saved_detector, recordings):
    assert run("detect", saved_detector, recordings, "--json", "--csv").exit_code == 2


def test_folders_are_searched_in_order_and_files_taken_as_they_are(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.wav", "a.FLAC", "deep/c.ogg", ".hidden.wav", "d.txt"):
        (tmp_path / name).touch()
    files, problems = audio_files([tmp_path / "d.txt", tmp_path, tmp_path / "x"])
    assert [path.relative_to(tmp_path).as_posix() for path in files] == [
        "d.txt",
        "a.FLAC",
        "b.wav",
        "deep/c.ogg",
    ]
    assert problems == [f"{tmp_path / 'x'}: no such file or folder"]


def test_no_file_at_all_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        audio_files([tmp_path / "x"])


class TestThresholds:
    labels = ("alarm", "bell", "a=b")

    def test_one_for_all_and_one_for_a_class(self):
        assert read_thresholds(["0.2", "bell=0.7"], self.labels) == {
            "alarm": 0.2,
            "bell": 0.7,
            "a=b": 0.2,
        }
        assert read_thresholds(["a=b=1"], self.labels) == {"a=b": 1.0}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("bel=0.5", 'Did you mean "bell"'),
            ("bell=2", "from 0 to 1"),
            ("bell=high", "from 0 to 1"),
            ("bell=nan", "from 0 to 1"),
            ("", "from 0 to 1"),
        ],
    )
    def test_others_are_refused(self, text, message):
        with pytest.raises(ConfigError, match=message):
            read_thresholds([text], self.labels)
