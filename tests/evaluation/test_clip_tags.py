"""Clip probabilities beside what clips hold: scored, joined, written and read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation import ClipTags, beside_tags, read_clip_tags
from sedsdk.types import ClipPrediction, FrameGrid

LABELS = ("Air horn, truck horn", "Bär")


def prediction(*probabilities: float, labels=LABELS) -> ClipPrediction:
    clip = np.array(probabilities, dtype=np.float32)
    return ClipPrediction(labels, clip, np.tile(clip, (10, 1)), FrameGrid(0.1, 0.05))


PREDICTIONS = {
    "a": prediction(0.9, 0.2),
    "b": prediction(0.3, 0.8),
    "ç": prediction(0.4, 0.1),
    "d": prediction(0.1, 0.7),
    "e": prediction(0.5, 0.5),
}
PRESENT = {"a": ["Bär", LABELS[0]], "b": ["Bär"], "ç": [LABELS[0]], "d": ()}


def test_clips_without_labels_are_left_out_and_counted():
    tags = ClipTags.of(PREDICTIONS, PRESENT, thresholds={"Bär": 0.3, LABELS[0]: 0.35})
    assert tags.n_unknown == 1
    scores = tags.scores()
    truth = [[1, 1], [0, 1], [1, 0], [0, 0]]
    values = np.stack([PREDICTIONS[clip].clip for clip in PRESENT])
    assert scores.n_clips == 4
    assert scores.auc == pytest.approx(sklearn.metrics.roc_auc_score(truth, values))
    assert scores.mean_average_precision == pytest.approx(
        sklearn.metrics.average_precision_score(truth, values, average="macro")
    )
    assert scores.f1 == pytest.approx(
        sklearn.metrics.f1_score(truth, values > np.float32([0.35, 0.3]), average="macro")
    )
    assert [tags.known_clips().clip_ids, tags.unit] == [("a", "b", "ç", "d"), "clip"]


@pytest.mark.parametrize("groups", [None, dict(zip("abçde", "xxyyy", strict=True))])
def test_a_file_gives_back_what_was_written(tmp_path: Path, groups):
    tags = ClipTags.of(PREDICTIONS, PRESENT, groups=groups, thresholds=[0.25, 1 / 3])
    (tmp_path / "tag_scores.npz").write_bytes(tags.to_bytes())
    read = read_clip_tags(tmp_path / "tag_scores.npz")
    assert (read.clip_ids, read.labels, read.groups) == (tags.clip_ids, LABELS, groups)
    assert read.units == tags.units
    for name in ("probabilities", "truth", "known", "thresholds"):
        mine, theirs = getattr(tags, name), getattr(read, name)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    assert read.unit == ("clip" if groups is None else "recording group")


def test_files_of_other_kinds_are_refused(tmp_path: Path):
    path = tmp_path / "tag_scores.npz"
    with pytest.raises(DataError, match="score the detector again"):
        read_clip_tags(path)
    whole = ClipTags.of(PREDICTIONS, PRESENT).to_bytes()
    np.savez(tmp_path / "other.npz", format="sedsdk-tag-scores/0")
    np.savez(tmp_path / "pickle.npz", format=np.array([{}], dtype=object))
    wrong = [b"", b"no zip", whole[: len(whole) // 2], json.dumps({}).encode()]
    wrong += [(tmp_path / name).read_bytes() for name in ("other.npz", "pickle.npz")]
    for content in wrong:
        path.write_bytes(content)
        with pytest.raises(DataError, match="does not hold scores of tags"):
            read_clip_tags(path)


def test_models_of_one_class_each_make_one_detector():
    first = ClipTags.of(
        {"a": prediction(0.9, labels=("x",)), "b": prediction(0.2, labels=("x",))},
        {"a": ["x"], "b": []},
        groups={"a": "g", "b": "h"},
        thresholds=0.4,
    )
    second = ClipTags.of(
        {"b": prediction(0.7, labels=("y",)), "c": prediction(0.6, labels=("y",))},
        {"b": ["y"]},
        groups={"b": "h", "c": "k"},
        thresholds=0.6,
    )
    joined = beside_tags([first, second])
    assert (joined.clip_ids, joined.labels) == (("a", "b", "c"), ("x", "y"))
    assert joined.known.tolist() == [[True, False], [True, True], [False, False]]
    assert joined.truth.tolist() == [[True, False], [False, True], [False, False]]
    np.testing.assert_array_equal(joined.probabilities[1], np.float32([0.2, 0.7]))
    assert joined.thresholds.tolist() == [0.4, 0.6]
    assert joined.units == ("g", "h", "k")
    assert beside_tags([first]) is first
    with pytest.raises(DataError, match='the class "x" is scored by two models'):
        beside_tags([first, first])


def test_mistakes_are_named():
    with pytest.raises(DataError, match="no clips"):
        ClipTags.of({}, {})
    with pytest.raises(DataError, match='does not name the clip "b"'):
        ClipTags.of(PREDICTIONS, PRESENT, groups={"a": "x"})
    with pytest.raises(ConfigError, match="one per class"):
        ClipTags.of(PREDICTIONS, PRESENT, thresholds=[0.5])
    with pytest.raises(DataError, match="sigmoid"):
        ClipTags.of({"a": prediction(float("nan"), 0.1)}, PRESENT).scores()
