from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sedsdk.audio import write_audio
from sedsdk.data.event_cuts import cut_strong_events, gate_weak_events, loud_spans
from sedsdk.errors import DataError

RATE = 16000
FRAME = 0.02


def recording(*bursts: tuple[float, float], seconds: float = 5.0, rate: int = RATE) -> np.ndarray:
    """Quiet noise with noise 40 dB above it from onset to offset."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 1e-3, round(seconds * rate))
    for onset, offset in bursts:
        first, last = round(onset * rate), round(offset * rate)
        samples[first:last] += rng.normal(0, 0.1, last - first)
    return np.clip(samples, -1, 1).astype(np.float32)


def assert_spans(found: list[tuple[float, float]], wanted: list[tuple[float, float]]) -> None:
    assert len(found) == len(wanted), found
    for (start, end), (onset, offset) in zip(found, wanted, strict=True):
        assert onset - 3 * FRAME <= start <= onset + FRAME
        assert offset - FRAME <= end <= offset + 3 * FRAME


class TestLoudSpans:
    @given(st.floats(0.3, 1.5), st.floats(0.3, 1.0), st.floats(0.6, 1.2), st.floats(0.3, 1.0))
    @settings(max_examples=25, deadline=None)
    def test_bursts_are_found(self, lead: float, one: float, gap: float, two: float) -> None:
        second = lead + one + gap
        bursts = [(lead, lead + one), (second, second + two)]
        assert_spans(loud_spans(recording(*bursts), RATE), bursts)

    def test_short_gaps_close_and_short_bursts_go(self) -> None:
        samples = recording((1.0, 1.4), (1.6, 2.0), (3.0, 3.1))
        assert_spans(loud_spans(samples, RATE), [(1.0, 2.0)])

    def test_what_is_far_below_the_loudest_goes(self) -> None:
        samples = recording((1.0, 2.0), (3.0, 4.0))
        samples[3 * RATE : 4 * RATE] *= 10 ** (-35 / 20)
        assert_spans(loud_spans(samples, RATE), [(1.0, 2.0)])

    def test_times_stay_right_where_a_frame_is_no_whole_number_of_samples(self) -> None:
        rate = 11025  # 220.5 samples per frame
        bursts = [(1.0, 1.5), (58.0, 59.0)]
        assert_spans(loud_spans(recording(*bursts, seconds=60, rate=rate), rate), bursts)

    def test_spans_stay_inside_the_recording(self) -> None:
        found = loud_spans(recording((0.0, 0.5), (4.5, 5.0)), RATE)
        assert_spans(found, [(0.0, 0.5), (4.5, 5.0)])
        assert found[0][0] == 0
        assert found[-1][1] <= 5

    @pytest.mark.parametrize(
        "samples",
        [
            np.zeros(RATE, np.float32),
            np.zeros(100, np.float32),
            np.zeros(0, np.float32),
            recording(seconds=2),
        ],
        ids=["silence", "three frames short", "nothing", "steady"],
    )
    def test_nothing_stands_out(self, samples: np.ndarray) -> None:
        assert loud_spans(samples, RATE) == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_audio(tmp_path / "clips" / "a.wav", recording((1, 2), seconds=3), RATE)
    write_audio(tmp_path / "clips" / "b.wav", recording((0.5, 1.0), (2, 2.5), seconds=3), RATE)
    (tmp_path / "origin.csv").write_text(
        "file,group,split\nclips/a.wav,anna,train\n", encoding="utf-8"
    )
    return tmp_path


class TestStrongLists:
    def test_every_labelled_span_becomes_a_source(self, root: Path) -> None:
        (root / "strong.tsv").write_text(
            "filename\tonset\toffset\tevent_label\n"
            "clips/a.wav\t1.0\t2.0\tdog\n"
            "clips/a.wav\t0.25\t0.5\tcat\n"
            "clips/b.wav\t0.5\t1.0\tdog\n"
            "clips/b.wav\t2.0\t2.5\tsiren\n",
            encoding="utf-8",
        )
        found = cut_strong_events(root, "strong.tsv", ["dog", "siren"])
        assert {(s.path.name, s.label, s.start, s.end, s.group, s.split) for s in found} == {
            ("a.wav", "dog", 1.0, 2.0, "anna", "train"),
            ("b.wav", "dog", 0.5, 1.0, "clips/b.wav", ""),
            ("b.wav", "siren", 2.0, 2.5, "clips/b.wav", ""),
        }
        assert all(s.path.is_file() for s in found)

    def test_a_missing_list_is_an_error(self, root: Path) -> None:
        with pytest.raises(DataError):
            cut_strong_events(root, "none.tsv", ["dog"])


class TestWeakFolders:
    def test_loud_spans_become_sources(self, root: Path) -> None:
        found = gate_weak_events(root, "clips", "dog")
        assert [(s.path.name, s.label, s.group, s.split) for s in found] == [
            ("a.wav", "dog", "anna", "train"),
            ("b.wav", "dog", "clips/b.wav", ""),
            ("b.wav", "dog", "clips/b.wav", ""),
        ]
        spans = [(s.start, s.end) for s in found]
        assert_spans(spans, [(1, 2), (0.5, 1.0), (2, 2.5)])  # type: ignore[arg-type]

    def test_a_broken_recording_is_named_and_the_others_go_on(
        self, root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (root / "clips" / "a0.wav").write_bytes(b"broken")
        (root / "clips" / "notes.txt").write_text("no audio", encoding="utf-8")
        assert len(gate_weak_events(root, "clips", "dog")) == 3
        assert "a0.wav" in caplog.text
        assert "notes.txt" not in caplog.text

    def test_a_missing_folder_is_an_error(self, root: Path) -> None:
        with pytest.raises(DataError, match="no folder of recordings"):
            gate_weak_events(root, "nowhere", "dog")
