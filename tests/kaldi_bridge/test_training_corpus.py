"""The corpus: shards from options alone, examples cut from clips, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_corpus import learnable_corpus, spoken_tones

from kaldi_bridge.features import compute_features
from kaldi_bridge.training import corpus as making
from kaldi_bridge.training.claims import ClaimedFolder
from kaldi_bridge.training.corpus import CorpusOptions, make_corpus, make_shard, shard_clips
from kaldi_bridge.training.examples import Pieces, log_priors, some_clips
from kaldi_bridge.training.inventory import CLASSES
from kaldi_bridge.training.shards import (
    HEARD,
    UNHEARD,
    CorpusError,
    load_corpus,
    part_of,
    shard_path,
)
from kaldi_bridge.training.speech import frame_labels
from kaldi_bridge.training.synthesis.voices import VOICES

SMALL = CorpusOptions(hours=0.004, shard_minutes=0.1, validation_minutes=0.1)


@pytest.fixture(autouse=True)
def _no_synthesiser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "speak", spoken_tones)


def test_shards_hold_what_the_clips_of_their_number_give(tmp_path: Path) -> None:
    make_shard(SMALL, 3, tmp_path)
    with np.load(shard_path(tmp_path, 3)) as shard:
        lengths, features, labels = shard["lengths"], shard["features"], shard["labels"]
    assert lengths.sum() == len(features) == len(labels) >= 0.1 * 6000
    start = 0
    for length, (samples, phones) in zip(lengths, shard_clips(SMALL, 3), strict=False):
        rows = compute_features(samples, SMALL.feature_options())
        assert len(rows) == length == 1 + (len(samples) - 400) // 160
        assert np.array_equal(features[start : start + length], rows.astype(np.float16))
        assert np.array_equal(labels[start : start + length], frame_labels(phones, length))
        start += length


def test_a_shard_is_the_same_whenever_it_is_made_and_differs_from_others(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_shard(SMALL, 0, tmp_path / name)
    make_shard(SMALL, 1, tmp_path)
    one, again = (shard_path(tmp_path / name, 0).read_bytes() for name in ("a", "b"))
    assert one == again
    assert one != shard_path(tmp_path, 1).read_bytes()


def test_unheard_voices_speak_in_their_part_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[str] = []

    def listening(text: str, voice: object, settings: object) -> object:
        heard.append(str(voice))
        return spoken_tones(text, voice, settings)

    monkeypatch.setattr(making, "speak", listening)
    for number, only in ((0, False), (HEARD, False), (UNHEARD, True)):
        heard.clear()
        clips = shard_clips(replace(SMALL, noise=0.0), number)
        for _ in range(60):
            next(clips)
        assert (set(heard) <= set(SMALL.unheard)) is only
        assert bool(set(heard) & set(SMALL.unheard)) is only
    assert set(SMALL.unheard) <= {str(voice) for voice in VOICES}


def test_shards_that_are_there_are_kept_and_others_made(tmp_path: Path) -> None:
    for number in SMALL.shards():
        make_shard(SMALL, number, tmp_path)
    missing = SMALL.shards()[1]
    before = shard_path(tmp_path, SMALL.shards()[0]).stat().st_mtime_ns
    shard_path(tmp_path, missing).unlink()
    make_shard(SMALL, missing, tmp_path)
    told: list[tuple[int, int]] = []
    make_corpus(SMALL, tmp_path, report=lambda done, of: told.append((done, of)))
    assert told == [(len(SMALL.shards()), len(SMALL.shards()))]
    assert shard_path(tmp_path, SMALL.shards()[0]).stat().st_mtime_ns == before


def test_numbers_of_shards_say_what_they_are_for() -> None:
    options = CorpusOptions(hours=1.0, shard_minutes=10.0, validation_minutes=20.0)
    parts = [part_of(number) for number in options.shards()]
    assert parts == ["train"] * 6 + ["heard"] * 2 + ["unheard"] * 2


def test_a_folder_of_another_corpus_is_refused_and_more_hours_are_not(tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text("{}")
    with pytest.raises(ClaimedFolder, match="other options"):
        make_corpus(SMALL, tmp_path)
    (tmp_path / "options.json").unlink()
    for number in replace(SMALL, hours=0.01).shards():
        make_shard(SMALL, number, tmp_path)
    make_corpus(SMALL, tmp_path)
    make_corpus(replace(SMALL, hours=0.01), tmp_path)
    assert json.loads((tmp_path / "options.json").read_text())["hours"] is None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off", None])
def test_a_damaged_or_missing_shard_is_named(tmp_path: Path, damage: bytes | None) -> None:
    for number in SMALL.shards():
        make_shard(SMALL, number, tmp_path)
    path = shard_path(tmp_path, 0)
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(CorpusError, match="shard-0000000"):
        load_corpus(SMALL.shards(), tmp_path)


def test_unknown_unheard_voices_are_refused() -> None:
    with pytest.raises(CorpusError, match="no voice flite/nobody"):
        next(shard_clips(replace(SMALL, unheard=("flite/nobody",)), 0))


def test_loaded_clips_are_those_of_the_shards(tmp_path: Path) -> None:
    for number in SMALL.shards():
        make_shard(SMALL, number, tmp_path)
    corpus = load_corpus(SMALL.shards(), tmp_path)
    with np.load(shard_path(tmp_path, 0)) as shard:
        first = int(shard["lengths"][0])
        rows = shard["features"][:first].astype(np.float32)
    features, labels = next(corpus.clips())
    assert np.array_equal(features, rows)
    assert len(labels) == first
    assert sum(len(labels) for _, labels in corpus.clips()) == len(corpus.labels)
    assert corpus.hours == pytest.approx(len(corpus.labels) / 100 / 3600)


# Pieces


def test_pieces_are_cut_with_repeated_edges_and_labelled_every_third_frame() -> None:
    corpus = learnable_corpus(6)
    pieces = Pieces(corpus, (7, 4), 30, 16, seed=5)
    clips = list(corpus.clips())
    for number in range(20):
        batch = pieces.batch(number)
        assert batch.features.shape == (16, 7 + 30 + 4, 40)
        for rows, labels in zip(batch.features.numpy(), batch.labels.numpy(), strict=True):
            assert any(_is_cut_from(rows, labels, batch.phase, clip) for clip in clips)


def _is_cut_from(
    rows: np.ndarray, labels: np.ndarray, phase: int, clip: tuple[np.ndarray, np.ndarray]
) -> bool:
    features, classes = clip
    length = len(features)
    padded = np.concatenate([features[:1].repeat(7, 0), features, features[-1:].repeat(40, 0)])
    for first in range(max(length - 30, 0) + 1):
        if np.array_equal(padded[first : first + 41], rows) or (
            length < 30 and np.array_equal(padded[:41], rows)
        ):
            wanted = [
                int(classes[t]) if t < length else Pieces.IGNORED
                for t in range(first + phase, first + 30, 3)
            ]
            return wanted == labels.tolist()
    return False


def test_pieces_are_the_same_for_the_same_number_and_reach_every_clip() -> None:
    corpus = learnable_corpus(10)
    one, other = Pieces(corpus, (2, 2), 12, 8, 1), Pieces(corpus, (2, 2), 12, 8, 1)
    assert one.batch(3).features.equal(other.batch(3).features)
    assert not one.batch(3).features.equal(one.batch(4).features)
    assert {one.batch(number).phase for number in range(30)} == {0, 1, 2}


def test_priors_and_clips_for_statistics() -> None:
    corpus = learnable_corpus(12)
    shares = np.exp(log_priors(corpus, len(CLASSES)))
    assert shares.sum() == pytest.approx(1)
    counts = np.bincount(corpus.labels, minlength=41)
    assert shares.argmax() == counts.argmax()
    chosen = list(some_clips(corpus, 4))
    every = [features for features, _ in corpus.clips()]
    assert len(chosen) == 4
    assert np.array_equal(chosen[0][0].numpy(), every[0])
    assert np.array_equal(chosen[-1][0].numpy(), every[-1])
