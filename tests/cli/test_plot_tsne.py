"""`sedsdk plot tsne`, and how detectors are named."""

from __future__ import annotations

import pytest

from sedsdk.cli.models import bundle_of, model_names

pytest.importorskip("matplotlib", reason='needs the extra "plots": pip install "sedsdk[plots]"')
pytest.importorskip("sklearn", reason='needs the extra "train": pip install "sedsdk[train]"')


@pytest.fixture
def manifest(good_recordings):
    path = good_recordings / "clips.csv"
    path.write_text(
        "filename,onset,offset,event_label,split\na.wav,0.2,0.5,bell,dev\n"
        "b.flac,0.5,1.5,alarm,test\n",
        encoding="utf-8",
    )
    return path


def test_two_models_are_drawn_and_scored(run, saved_detector, manifest, tmp_path):
    """One of them lies in a run's folder, as training leaves it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "detector").symlink_to(saved_detector)
    path = tmp_path / "pictures" / "t.png"
    result = run(
        "plot", "tsne", saved_detector, tmp_path / "run", "--clips", manifest, "--frames", 30,
        "--perplexity", 5, "--out", path,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert path.read_bytes().startswith(b"\x89PNG")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["model", "frames", "silhouette", "in", "the", "map", "by", "class"]
    assert lines[-1] == str(path)
    assert [line.split()[0] for line in lines[2:4]] == ["tiny", "run"]
    for line in lines[2:4]:
        assert [line.count(name) for name in ("alarm", "background", "bell")] == [1, 1, 1]
        assert line.split()[1] == "30"


def test_the_name_is_the_manifests_and_a_split_can_be_chosen(
    run, saved_detector, manifest, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = run(
        "plot", "tsne", saved_detector, "--clips", manifest, "--split", "dev", "--frames", 40,
        "--perplexity", 5,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "clips.tsne.png").stat().st_size > 1000
    assert "bell" in result.stdout
    assert "alarm" not in result.stdout
    assert run("plot", "tsne", saved_detector, "--clips", manifest, "--split", "x").exit_code == 1


def test_clips_that_cannot_be_read_are_named(run, saved_detector, recordings, tmp_path):
    path = recordings / "clips.csv"
    path.write_text(
        "filename,onset,offset,event_label\nbroken.wav,0,1,bell\nb.flac,0.5,1.5,alarm\n",
        encoding="utf-8",
    )
    result = run(
        "plot", "tsne", saved_detector, "--clips", path, "--frames", 80, "--perplexity", 5,
        "--out", tmp_path / "t.png",
    )  # fmt: skip
    path.unlink()
    assert result.exit_code == 3
    assert "broken.wav is no audio" in result.stderr
    assert (tmp_path / "t.png").exists()


def test_too_high_a_perplexity_is_an_error(run, saved_detector, manifest):
    result = run("plot", "tsne", saved_detector, "--clips", manifest, "--frames", 20)
    assert result.exit_code == 1
    assert "perplexity of 30" in result.stderr


class TestNames:
    @pytest.mark.parametrize(
        ("folders", "names"),
        [
            (["runs/edc/detector", "runs/plain/detector"], ["edc", "plain"]),
            (["a/edc/detector", "b/edc/detector", "c/x"], ["a/edc", "b/edc", "x"]),
            (["models/edc", "models/edc"], ["edc (1)", "edc (2)"]),
            (["one"], ["one"]),
        ],
    )
    def test_they_are_as_short_as_can_be(self, tmp_path, folders, names):
        assert model_names([tmp_path / folder for folder in folders]) == names

    def test_a_run_holds_its_detector(self, tmp_path):
        (tmp_path / "detector").mkdir()
        assert bundle_of(tmp_path) == tmp_path / "detector"
        assert bundle_of(tmp_path / "detector") == tmp_path / "detector"
