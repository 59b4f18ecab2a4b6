"""Bigrams against counts made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kaldi_bridge.errors import KaldiFileError, MissingFile, ShapeError
from kaldi_bridge.training.inventory import CLASS_OF, CLASSES
from kaldi_bridge.training.judging.bigrams import load_bigrams, phone_bigrams, save_bigrams

SIL, AA, B = CLASS_OF["SIL"], CLASS_OF["AA"], CLASS_OF["B"]


def test_bigrams_by_hand() -> None:
    # with silence around them: SIL AA B SIL, SIL AA SIL
    shares = np.exp(phone_bigrams([["AA", "B"], ["AA"]], add=0.5))
    assert shares[SIL, AA] == pytest.approx(2.5 / (2 + 20))
    assert shares[AA, B] == pytest.approx(1.5 / (2 + 20))
    assert shares[AA, SIL] == pytest.approx(1.5 / (2 + 20))
    assert shares[B, SIL] == pytest.approx(1.5 / (1 + 20))
    assert shares[B, AA] == pytest.approx(0.5 / (1 + 20))
    assert shares[CLASS_OF["ZH"], AA] == pytest.approx(1 / 40)


def test_rows_are_probabilities() -> None:
    random = np.random.default_rng(0)
    shares = np.exp(phone_bigrams([random.integers(0, 41, size=300) for _ in range(5)]))
    assert np.diag(shares) == pytest.approx(np.full(41, 1 / 41))
    np.fill_diagonal(shares, 0)
    assert shares.sum(axis=1) == pytest.approx(np.ones(41))


def test_frames_and_phones_count_alike() -> None:
    frames = np.array([SIL, SIL, AA, AA, AA, B, SIL], np.uint8)
    assert np.array_equal(phone_bigrams([frames]), phone_bigrams([["AA", "B"]]))
    assert np.array_equal(phone_bigrams([["AA", "AA", "B"]]), phone_bigrams([["AA", "B"]]))
    assert np.array_equal(phone_bigrams([[]]), phone_bigrams([]))


def test_saved_bigrams_come_back(tmp_path: Path) -> None:
    bigrams = phone_bigrams([["AA", "B"]])
    save_bigrams(bigrams, tmp_path / "bigrams.npz")
    assert np.array_equal(load_bigrams(tmp_path / "bigrams.npz"), bigrams)
    assert [path.name for path in tmp_path.iterdir()] == ["bigrams.npz"]


def test_what_is_no_bigram_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="add is 0"):
        phone_bigrams([["AA"]], add=0)
    with pytest.raises(ShapeError, match='"aa" is not one of the 41 classes'):
        phone_bigrams([["aa"]])
    with pytest.raises(ShapeError, match="class numbers must be 0 to 40"):
        phone_bigrams([np.array([41])])
    path = tmp_path / "bigrams.npz"
    with pytest.raises(MissingFile, match="no such file"):
        load_bigrams(path)
    path.write_bytes(b"not an archive")
    with pytest.raises(KaldiFileError, match=r"bigrams\.npz"):
        load_bigrams(path)
    np.savez(path, log_bigrams=np.zeros((41, 41)), classes=np.array(CLASSES[::-1]))
    with pytest.raises(KaldiFileError, match="other classes"):
        load_bigrams(path)
    with pytest.raises(KaldiFileError, match="cannot be written"):
        save_bigrams(np.zeros((41, 41)), tmp_path / "nowhere" / "bigrams.npz")
