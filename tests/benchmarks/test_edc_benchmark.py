"""The EDC benchmark: a tiny run of all of it, and when it fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sedsdk_edc", reason="plugin edc: pip install plugins/edc")

import edc as benchmark

TINY = ["--threads", "1", "--clips", "8", "--frames", "60", "--bands", "5", "--rounds", "1"]


def test_a_tiny_run_prints_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main([*TINY, "--long-frames", "0"]) == 0
    printed = capsys.readouterr().out
    rows = re.findall(r"^\| (.+?) \| ([\d.]+) \(([\d.]+)\) \| \d+ \|$", printed, re.MULTILINE)
    assert [name for name, _, _ in rows] == ["sedsdk_edc", "frame by frame", "T × T matrices"]
    assert all(float(best) <= float(median) for _, best, median in rows)


def test_the_ratio_is_that_of_the_best_round() -> None:
    taken = {"sedsdk_edc": [0.1, 0.015, 0.05], "frame by frame": [1.0]}
    assert benchmark.print_comparison(taken) == pytest.approx(0.150 / 0.015)


def test_ways_that_differ_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "all_pairs", lambda x, alpha: x.double())
    with pytest.raises(AssertionError):
        benchmark.compare(benchmark.made_clips(2, 30, 4), 1, 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux: reads VmHWM")
def test_too_much_memory_fails(capsys: pytest.CaptureFixture[str]) -> None:
    options = [*TINY, "--long-frames", "2000", "--limit-megabytes"]
    assert benchmark.main([*options, "1"]) == 1
    line = capsys.readouterr().out.splitlines()[-1]
    found = re.fullmatch(
        r"2000 × 5: [\d.]+ s, peak memory (\d+) MB, of which the libraries take (\d+) MB", line
    )
    assert found is not None
    assert int(found[1]) >= int(found[2]) > 50
