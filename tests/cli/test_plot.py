"""`sedsdk plot`."""

from __future__ import annotations

import json

import pytest

from sedsdk.cli.plot import read_threshold_fit, reference_events
from sedsdk.errors import DataError
from sedsdk.types import Event

pytest.importorskip("matplotlib", reason='needs the extra "plots": pip install "sedsdk[plots]"')


def test_a_detection_is_drawn_with_its_reference(run, saved_detector, good_recordings, tmp_path):
    reference = tmp_path / "reference.csv"
    reference.write_text(
        "filename,onset,offset,event_label\na.wav,0.2,0.5,bell\n", encoding="utf-8"
    )
    path = tmp_path / "pictures" / "a.png"
    result = run(
        "plot", "detection", saved_detector, good_recordings / "a.wav",
        "--reference", reference, "--out", path,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{path}\n"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_bad_recording_is_an_error(run, saved_detector, recordings, tmp_path):
    result = run("plot", "detection", saved_detector, recordings / "broken.wav")
    assert result.exit_code == 1
    assert "broken.wav" in result.stderr


def test_a_detector_without_attention_says_so(run, saved_detector, good_recordings):
    result = run("plot", "attention", saved_detector, good_recordings / "a.wav")
    assert result.exit_code == 1
    assert "attention" in result.stderr


def test_curves_are_drawn_beside_their_table(run, tmp_path):
    (tmp_path / "curves.csv").write_text("epoch,train_loss,valid_loss\n1,2,3\n", encoding="utf-8")
    assert run("plot", "curves", tmp_path).stdout == f"{tmp_path / 'curves.png'}\n"
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_threshold_fit_is_drawn(run, tmp_path):
    trials = [
        {"label": "bell", "setting": {"threshold.value": value}, "f1": value}
        for value in (0.1, 0.5)
    ]
    fit = {"trials": trials, "chosen": {"bell": trials[1]}}
    (tmp_path / "thresholds.json").write_text(json.dumps(fit), encoding="utf-8")
    assert run("plot", "thresholds", tmp_path).exit_code == 0
    assert (tmp_path / "thresholds.png").stat().st_size > 1000
    name, table, chosen = read_threshold_fit(tmp_path / "thresholds.json", None)
    assert (name, table, chosen) == (
        "threshold.value",
        {"bell": [(0.1, 0.1), (0.5, 0.5)]},
        {"bell": 0.5},
    )
    with pytest.raises(DataError, match="was not searched"):
        read_threshold_fit(tmp_path / "thresholds.json", "median.seconds")


TAG_FIT = {
    "objective": "f1",
    "n_clips": 9,
    "thresholds": {"bell": 0.4, "alarm": 0.5},
    "f1": {"bell": 0.8},
    "unfitted": ["alarm"],
    "score_table": {"bell": [[0.2, 0.5], [0.4, 0.8]]},
}


def test_a_threshold_fit_of_tags_is_drawn(run, tmp_path):
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"tags": TAG_FIT}), encoding="utf-8")
    name, table, chosen = read_threshold_fit(path, None)
    assert (name, chosen) == ("tag_threshold.threshold", {"bell": 0.4})
    assert table == {"bell": [[0.2, 0.5], [0.4, 0.8]]}
    assert run("plot", "thresholds", tmp_path).exit_code == 0
    assert (tmp_path / "thresholds.png").stat().st_size > 1000


def test_events_come_first_where_both_were_fitted(tmp_path):
    path = tmp_path / "thresholds.json"
    trial = {"label": "bell", "setting": {"threshold.value": 0.1}, "f1": 0.3}
    fit = {"trials": [trial], "chosen": {"bell": trial}, "tags": TAG_FIT}
    path.write_text(json.dumps(fit), encoding="utf-8")
    assert read_threshold_fit(path, None)[0] == "threshold.value"
    assert read_threshold_fit(path, "tag_threshold.threshold")[2] == {"bell": 0.4}
    with pytest.raises(DataError, match=r"Searched: threshold\.value, tag_threshold\.threshold"):
        read_threshold_fit(path, "median.seconds")


def test_other_files_are_no_threshold_fit(tmp_path):
    (tmp_path / "thresholds.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="no threshold fit"):
        read_threshold_fit(tmp_path / "thresholds.json", None)
    with pytest.raises(DataError, match="a run that fits thresholds writes it"):
        read_threshold_fit(tmp_path / "other.json", None)


class TestReference:
    def write(self, folder, text):
        path = folder / "reference.csv"
        path.write_text(text, encoding="utf-8")
        return path

    def test_times_of_a_clip_inside_a_file_count_from_the_files_start(self, tmp_path):
        manifest = self.write(
            tmp_path,
            "filename,start,end,onset,offset,event_label\nx.wav,10,20,1,2,bell\ny.wav,0,9,3,4,bell\n",
        )
        assert reference_events(manifest, tmp_path / "x.wav") == [Event(11.0, 12.0, "bell")]

    def test_a_recording_that_moved_is_found_by_its_name(self, tmp_path):
        manifest = self.write(tmp_path, "filename,onset,offset,event_label\nx.wav,1,2,bell\n")
        assert reference_events(manifest, tmp_path / "elsewhere" / "x.wav") == [
            Event(1.0, 2.0, "bell")
        ]

    def test_a_recording_that_is_not_listed_is_refused(self, tmp_path):
        manifest = self.write(tmp_path, "filename,onset,offset,event_label\nx.wav,1,2,bell\n")
        with pytest.raises(DataError, match="does not list"):
            reference_events(manifest, tmp_path / "y.wav")

    def test_tags_alone_are_no_reference(self, tmp_path):
        manifest = self.write(tmp_path, "filename,tags\nx.wav,bell\n")
        with pytest.raises(DataError, match="no times"):
            reference_events(manifest, tmp_path / "x.wav")


class TestAttention:
    @pytest.fixture
    def detector(self, tmp_path, monkeypatch):
        """A detector whose encoder gives a map at each of four scales."""
        import map_parts

        import sedsdk
        from sedsdk.runtime.bundle import save_bundle

        host = sedsdk.Host(plugins=[("maps", map_parts)], discover=False)
        monkeypatch.setattr("sedsdk.runtime.bundle.default_host", lambda: host)

        def save(**options):
            pipeline = sedsdk.compose(
                labels=["alarm", "bell"],
                frontend=sedsdk.part("log_mel", sample_rate=8000, n_mels=16, n_fft=512),
                encoder=sedsdk.part("levels", **options),
                head="frame_bce",
                postprocessors=[sedsdk.part("threshold", value=0.3), "to_events"],
                host=host,
                seed=0,
            )
            return save_bundle(pipeline, tmp_path / "detector")

        return save

    @pytest.fixture
    def drawn(self, monkeypatch):
        """Keeps the figures that the command makes."""
        from sedsdk import plots

        figures = []
        draw = plots.plot_attention

        def keep(*arguments, **options):
            figures.append(draw(*arguments, **options))
            return figures[-1]

        monkeypatch.setattr(plots, "plot_attention", keep)
        return figures

    def titles(self, figure):
        return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]

    def test_four_masks_are_drawn_between_input_and_output(
        self, run, detector, drawn, good_recordings, tmp_path
    ):
        reference = tmp_path / "reference.csv"
        reference.write_text(
            "filename,onset,offset,event_label\nb.flac,0.5,0.75,bell\n", encoding="utf-8"
        )
        path = tmp_path / "pictures" / "b.png"
        result = run(
            "plot", "attention", detector(), good_recordings / "b.flac",
            "--reference", reference, "--threshold", "bell=0.7", "--out", path,
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"{path}\n"
        assert path.read_bytes().startswith(b"\x89PNG")
        (figure,) = drawn
        wanted = ["mask 1", "mask 1/2", "mask 1/4", "mask 1/8", "output: alarm", "output: bell"]
        assert self.titles(figure) == wanted
        panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
        for name in wanted[:4]:
            assert panels[name].get_ylabel() == "kHz (mel)"
            (box,) = panels[name].patches
            assert (box.get_x(), box.get_width()) == (0.5, 0.25)
        levels = {name: panels[name].lines[1].get_ydata()[0] for name in wanted[4:]}
        assert levels == {"output: alarm": 0.3, "output: bell": 0.7}

    def test_a_part_of_the_recording_is_drawn(self, run, detector, drawn, good_recordings):
        result = run(
            "plot", "attention", detector(), good_recordings / "b.flac", "--from", "0.5",
            "--to", "1.25", "--out", good_recordings / "b.svg",
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert {axes.get_xlim() for axes in drawn[0].axes if axes.get_title(loc="left")} == {
            (0.5, 1.25)
        }

    def test_the_name_is_the_recordings_if_none_is_given(
        self, run, detector, good_recordings, monkeypatch
    ):
        folder = detector()
        monkeypatch.chdir(good_recordings)
        assert run("plot", "attention", folder, "a.wav").stdout == "a.attention.png\n"
        assert (good_recordings / "a.attention.png").stat().st_size > 1000

    @pytest.mark.parametrize("span", [("--from", "3"), ("--from", "1", "--to", "0.5")])
    def test_a_span_outside_the_recording_is_an_error(self, run, detector, good_recordings, span):
        result = run("plot", "attention", detector(), good_recordings / "b.flac", *span)
        assert result.exit_code == 1
        assert "the file lasts 2.000 s" in result.stderr

    def test_of_many_maps_the_first_eight_are_drawn(self, run, detector, drawn, good_recordings):
        folder = detector(scales=tuple(range(1, 11)))
        result = run("plot", "attention", folder, good_recordings / "a.wav",
                     "--out", good_recordings / "a.png")  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert "drawing 8 of 10 maps, without mask 1/9, mask 1/10" in result.stderr
        assert self.titles(drawn[0])[7:9] == ["mask 1/8", "output: alarm"]
