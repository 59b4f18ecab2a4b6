"""`sedsdk evaluate`."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("sed_eval", reason='needs the extra "train": pip install "sedsdk[train]"')


@pytest.fixture
def manifest(good_recordings):
    """Two clips; the detector of these tests finds both classes in the whole of each."""
    path = good_recordings / "reference.csv"
    path.write_text(
        "filename,onset,offset,event_label\na.wav,0.1,0.5,bell\nb.flac,,,\n", encoding="utf-8"
    )
    return path


def test_the_report_counts_hits_and_insertions(run, saved_detector, manifest):
    result = run("evaluate", saved_detector, manifest, "--json")
    assert result.exit_code == 0, result.stderr
    classes = json.loads(result.stdout)["event_based_onset"]["classes"]
    assert (classes["bell"]["n_ref"], classes["bell"]["n_sys"], classes["bell"]["hits"]) == (
        1,
        2,
        1,
    )
    assert classes["bell"]["error_rate"] == pytest.approx(1.0)  # one insertion, one reference
    assert classes["bell"]["f1"] == pytest.approx(2 / 3)
    assert (classes["alarm"]["n_ref"], classes["alarm"]["n_sys"]) == (0, 2)


def test_people_read_a_table_and_get_files(run, saved_detector, manifest, tmp_path):
    result = run("evaluate", saved_detector, manifest, "--out", tmp_path / "scores")
    assert "66.7 %" in result.stdout
    assert "average" in result.stdout
    report = json.loads((tmp_path / "scores" / "report.json").read_text(encoding="utf-8"))
    assert report["n_clips"] == 2
    assert (tmp_path / "scores" / "report.md").is_file()


def test_another_threshold_changes_the_scores(run, saved_detector, manifest):
    result = run("evaluate", saved_detector, manifest, "--json", "--threshold", "1")
    assert json.loads(result.stdout)["event_based_onset"]["overall"]["n_sys"] == 0


def test_a_missing_clip_is_named_and_the_rest_scored(run, saved_detector, manifest):
    with manifest.open("a", encoding="utf-8") as file:
        file.write("missing.wav,0.1,0.2,bell\n")
    result = run("evaluate", saved_detector, manifest, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["n_clips"] == 2
    assert "missing.wav" in result.stderr
    assert "1 clips left out" in result.stderr


def test_labels_that_the_detector_does_not_know_are_noted(run, saved_detector, manifest):
    with manifest.open("a", encoding="utf-8") as file:
        file.write("a.wav,0.1,0.2,dog\n")
    result = run("evaluate", saved_detector, manifest, "--json")
    assert any("dog" in note for note in json.loads(result.stdout)["notes"])


@pytest.fixture
def tags(good_recordings):
    path = good_recordings / "tags.csv"
    path.write_text("filename,event_labels\na.wav,bell\nb.flac,alarm;bell\n", encoding="utf-8")
    return path


def test_tags_alone_give_a_report_on_tags(run, saved_detector, tags, tmp_path):
    result = run("evaluate", saved_detector, tags, "--out", tmp_path / "scores")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Scores on tags: 2 clips, 0.1 min; tags by clip probability")
    assert lines[1].split()[:2] == ["class", "AUC"]
    bell = next(line for line in lines if line.startswith("bell"))
    assert "–" in bell  # every clip holds it, so it has no AUC
    report = json.loads((tmp_path / "scores" / "report.json").read_text(encoding="utf-8"))
    assert report["format"] == "sedsdk-tag-report/1"
    assert report["tags"]["classes"]["bell"]["n_positive"] == 2
    assert report["tags"]["classes"]["bell"]["threshold"] == 0.5
    assert (tmp_path / "scores" / "tag_scores.npz").is_file()


def test_a_tagger_is_scored_on_tags_even_where_times_are_known(run, saved_tagger, manifest):
    result = run("evaluate", saved_tagger, manifest, "--json", "--threshold", "alarm=1")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["tags"]["classes"]["bell"]["n_positive"] == 1
    found = {label: score["n_found"] for label, score in report["tags"]["classes"].items()}
    assert found == {"alarm": 0, "bell": 2}


def test_a_detector_that_also_tags_prints_both_tables(run, saved_both, manifest):
    result = run("evaluate", saved_both, manifest)
    assert "events by onset within 0.5 s" in result.stdout
    assert "tags by clip probability" in result.stdout


def test_clips_without_labels_cannot_be_scored(run, saved_detector, good_recordings):
    path = good_recordings / "unknown.jsonl"
    path.write_text('{"labels": ["bell"]}\n{"filename": "a.wav"}\n', encoding="utf-8")
    result = run("evaluate", saved_detector, path)
    assert result.exit_code == 1
    assert "no clip that can be read has labels" in result.stderr
