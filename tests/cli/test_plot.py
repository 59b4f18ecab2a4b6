"""`sedsdk plot`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sedsdk.cli.plot import attention_maps, read_threshold_fit, reference_events
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


def test_attention_of_encoder_and_head_is_caught_and_the_hooks_are_gone(saved_detector):
    from dataclasses import replace

    import torch

    from sedsdk.runtime.bundle import load_bundle

    pipeline = load_bundle(saved_detector).eval()

    def with_map(module, inputs, encoded):
        batch, frames, _ = encoded.frames.values.shape
        ramp = torch.arange(frames).float().expand(batch, -1)
        return replace(encoded, attention={"time": ramp})

    pipeline.encoder.register_forward_hook(with_map)
    maps, grids = attention_maps(pipeline, np.zeros(8000, dtype="float32"), 8000)
    assert list(maps) == ["time"]
    np.testing.assert_array_equal(maps["time"], np.arange(len(maps["time"])))
    assert grids["time"] == pipeline.encoder.spec.frames.grid
    assert len(pipeline.encoder._forward_hooks) == 1
    assert len(pipeline.head._forward_hooks) == 0
