"""The M&mnet benchmark: its rows, its counts against closed forms, and one tiny run of all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("sedsdk_mmnet", reason="plugin mmnet: pip install plugins/mmnet")

import mmnet as benchmark
from interleaved import Setting, Timing

from sedsdk import Host

ONE_THREAD = Setting("1 thread", threads=1)


@pytest.fixture
def short_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves clips one second instead of ten."""
    monkeypatch.setattr(benchmark, "FRAMES", 96)


def test_the_rows_are_those_of_table_1_and_the_multi_scale_net() -> None:
    printed = [row.printed for row in benchmark.ROWS.values() if row.classes == 17]
    assert printed == [1.54, 3.70, 3.70, 3.70, 3.70, 3.72, 4.14, 6.84, 4.16, 4.16, None]
    assert benchmark.ROWS["mmnet-ms-audioset"].printed == 8.0


def test_the_macro_net_is_counted_as_on_paper() -> None:
    """896 frames at 128 and 256 channels, 224 and 56 at 384; one vector per clip, 56 segments."""
    found = benchmark.measured("resnet-mean").figures
    stem = 3 * 128 * 128
    first = 3 * 128 * 256 + 3 * 256 * 256 + 128 * 256
    second = 3 * 256 * 384 + 3 * 384 * 384 + 256 * 384
    third = 2 * 3 * 384 * 384 + 384 * 384
    classifier = 384 * 1024 + 1024 * 1024 + 1024 * 17
    count = 896 * (stem + first) + 224 * second + 56 * third + 57 * classifier
    assert found["multiply_accumulates_per_second"] == count / 10
    assert found["parameters"] == 3_712_529
    assert found["deviation"] == pytest.approx(3.712529 / 3.70 - 1)


@pytest.mark.usefixtures("short_clips")
@pytest.mark.parametrize("name", ["convnet-mean", "mmnet-ms"])
def test_a_timed_step_moves_every_weight_and_a_timed_clip_none(name: str) -> None:
    row = benchmark.measured(name)
    before = {key: value.clone() for key, value in row.net.named_parameters()}
    benchmark.measure_inference([row], [ONE_THREAD], 1, print)
    assert all(torch.equal(before[key], p) for key, p in row.net.named_parameters())
    benchmark.measure_training([row], [ONE_THREAD], 1, 2, print)
    assert [key for key, p in row.net.named_parameters() if torch.equal(before[key], p)] == []
    assert all(bool(p.isfinite().all()) for p in row.net.parameters())
    assert row.times["inference"]["1 thread"].audio_seconds == 10
    assert row.times["training"]["1 thread"].audio_seconds == 20


@pytest.mark.usefixtures("short_clips")
def test_a_tiny_run_prints_a_table_and_writes_every_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, path = ["convnet-mean", "mmnet"], tmp_path / "figures.json"
    options = ["--clips", "2", "--steps", "1", "--batch", "2", "--threads", "1"]
    assert benchmark.main([*options, "--json", str(path), "--only", *names]) == 0
    written = json.loads(path.read_text(encoding="utf-8"))
    assert list(written["rows"]) == names
    for row in written["rows"].values():
        found = {what: len(seconds["1 thread"]) for what, seconds in row["seconds"].items()}
        assert found == {"inference": 2, "training": 1}
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("| mmnet |"))
    assert line.startswith("| mmnet | 17 | 4,174,498 | 4.16 M | +0.3% |")
    best = min(written["rows"]["mmnet"]["seconds"]["inference"]["1 thread"]) / 10
    assert float(line.split("|")[7].split()[0]) == pytest.approx(best, abs=5.1e-6)


def test_a_table_gives_audio_per_second_of_training() -> None:
    row = benchmark.Measured("wlat", None, benchmark.measured("wlat").figures)
    row.times["training"] = {"1 thread": Timing([4.0, 2.0, 5.0], 80.0)}
    assert "| 40.0 (20.0) |" in benchmark.table([row], [ONE_THREAD])


def test_a_missing_plugin_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "default_host", lambda: Host(discover=False))
    assert benchmark.main(["--only", "wlat"]) == 1
    assert "pip install plugins/mmnet" in capsys.readouterr().out


def test_a_wrong_option_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--threads", "1;2"])
    assert "whole numbers as in 1,2" in capsys.readouterr().err
