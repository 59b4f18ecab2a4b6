"""What is said in real speech: the tables, label files and names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from made_speech import DIGITS, make_speech_folder

from kaldi_bridge.errors import KaldiFileError
from kaldi_bridge.training.judging.references import (
    MissingSpeech,
    read_references,
    read_speech,
    read_text_grid,
)
from kaldi_bridge.training.speech import TimedPhone

REAL = Path(__file__).resolve().parents[2] / "../shared/real/speech"
needs_real_speech = pytest.mark.skipif(
    not REAL.is_dir(), reason="needs the folder of real speech, ../shared/real/speech"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_speech_folder(tmp_path)
    return tmp_path


def test_digits_come_from_names_and_parts_from_the_table(folder: Path) -> None:
    found = read_references(folder).digits
    assert [(each.path.stem, each.part) for each in found] == DIGITS
    assert [(each.digit, each.speaker) for each in found[:2]] == [(0, "ann"), (9, "ann")]
    assert all(each.path.is_file() for each in found)


def test_phones_are_folded_and_silence_and_closures_left_out(folder: Path) -> None:
    arctic, praatio, samples = read_references(folder).sentences
    assert arctic.phones == ("HH", "AH")
    assert praatio.phones == ("IH", "P", "T", "AO")
    assert samples.phones == ("DH", "AH", "T", "UW")


def test_times_without_a_single_phone_are_left_out(folder: Path) -> None:
    arctic, praatio, samples = read_references(folder).sentences
    assert arctic.timed == (
        TimedPhone("SIL", 0.0, 0.1),
        TimedPhone("HH", 0.1, 0.16),
        TimedPhone("AH", 0.16, 0.4),
    )
    assert praatio.timed == (
        TimedPhone("SIL", 0.02, 0.1),
        TimedPhone("IH", 0.1, 0.2),
        TimedPhone("AO", 0.3, 0.5),
    )
    assert samples.timed == ()


def test_text_grid_tiers_are_kept_apart(folder: Path) -> None:
    grid = folder / "praatio/p_phones.TextGrid"
    assert read_text_grid(grid, "word") == [(0.0, 0.5, 'he "ripped" it')]
    with pytest.raises(KaldiFileError, match=r'tier "syllable" \(tiers: word, phone\)'):
        read_text_grid(grid, "syllable")


def test_recordings_are_read_as_one_channel(folder: Path) -> None:
    samples, rate = read_speech(folder / "fsdd/9_ann_2.flac")
    assert (samples.shape, samples.dtype, rate) == ((4000,), "float32", 8000)
    assert samples == pytest.approx(0.002, abs=1e-6)


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MissingSpeech, match=r"no transcripts\.csv here"):
        read_references(tmp_path / "nowhere")


def _table(folder: Path, *rows: str) -> Path:
    text = "\n".join(("file,split,text,notes", *rows))
    (folder / "transcripts.csv").write_text(text, encoding="utf-8")
    return folder


def test_damaged_tables_say_where(folder: Path) -> None:
    with pytest.raises(KaldiFileError, match=r'line 2: "one\.flac" is not DIGIT_SPEAKER'):
        read_references(_table(folder, "speech/fsdd/one.flac,train,,"))
    with pytest.raises(KaldiFileError, match="line 2: the notes hold no phones"):
        read_references(_table(folder, "speech/speechbrain_samples/s.flac,train,THE,"))
    with pytest.raises(KaldiFileError, match='line 2: unknown phone "blip"'):
        read_references(_table(folder, "speech/speechbrain_samples/s.flac,train,,phones: dh blip"))
    with pytest.raises(KaldiFileError, match="nothing to judge by"):
        read_references(_table(folder, "speech/librispeech/x.flac,train,,"))
    (folder / "transcripts.csv").write_text("file,text\n", encoding="utf-8")
    with pytest.raises(KaldiFileError, match="no column notes, split"):
        read_references(folder)


def test_damaged_labels_say_where(folder: Path) -> None:
    labels = folder / "arctic/a.phones.csv"
    labels.write_text("start_s\tend_s\tphone\n0.0\t0.1\tpau\n0.1\tx\thh\n", encoding="utf-8")
    with pytest.raises(KaldiFileError, match=r"a\.phones\.csv, line 3: expected start, end"):
        read_references(folder)
    labels.unlink()
    with pytest.raises(MissingSpeech, match=r"a\.phones\.csv: no such label file"):
        read_references(folder)


def test_recordings_that_cannot_be_read_are_named(folder: Path) -> None:
    with pytest.raises(MissingSpeech, match=r"x\.flac: no such recording"):
        read_speech(folder / "librispeech/x.flac")
    (folder / "bad.flac").write_bytes(b"no sound")
    with pytest.raises(KaldiFileError, match="cannot be read as audio"):
        read_speech(folder / "bad.flac")


@needs_real_speech
def test_real_speech_is_read_whole() -> None:
    """Counts from the folder's own README and from its label files, by hand."""
    found = read_references(REAL)
    assert Counter(each.part for each in found.digits) == {"train": 300, "dev": 120}
    assert set(Counter(each.digit for each in found.digits).values()) == {42}
    assert set(Counter(each.speaker for each in found.digits).values()) == {70}
    lengths = {each.path.stem: len(each.phones) for each in found.sentences}
    assert lengths["arctic_slt_a0009"] == 38  # 40 rows, two of them silence
    assert lengths["bobby"] == 14  # 15 intervals, two of them empty, PT is two phones
    assert lengths["spk1_snt4"] == 22  # 28 labels, six of them closures
    timed = {each.path.stem: each.timed for each in found.sentences}
    assert timed["arctic_slt_a0009"][-2] == TimedPhone("L", 2.775, 2.925)
    assert all(each.path.is_file() for each in (*found.digits, *found.sentences))
