"""Pictures of a training: what they show, read back from their axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kaldi_bridge.errors import KaldiFileError, ShapeError
from kaldi_bridge.training.inventory import CLASSES
from kaldi_bridge.training.judging.pictures import GROUPS, confusion_picture, learning_curve

pytest.importorskip("matplotlib", reason="pictures need matplotlib: sedsdk[plots]")


def test_groups_hold_each_class_once() -> None:
    members = [name for _, group in GROUPS for name in group]
    assert sorted(members) == sorted(CLASSES)


def test_phones_are_sorted_and_rows_are_shares(tmp_path: Path) -> None:
    counts = np.zeros((41, 41), int)
    counts[CLASSES.index("P"), CLASSES.index("P")] = 3
    counts[CLASSES.index("P"), CLASSES.index("SIL")] = 1
    figure = confusion_picture(counts, CLASSES, tmp_path / "phones.png", title="Frames")
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == [name for _, group in GROUPS for name in group]
    assert rows == [label.get_text() for label in axes.get_xticklabels()]
    shown = axes.images[0].get_array()
    assert shown[rows.index("P"), rows.index("P")] == 75
    assert shown[rows.index("P"), rows.index("SIL")] == 25
    assert shown.count() == 41  # all other rows never occur, and are blank
    assert {text.get_text() for text in axes.texts} == {group for group, _ in GROUPS}
    assert figure.axes[1].get_ylabel() == "share of what was said (%)"
    assert (tmp_path / "phones.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["phones.png"]


def test_digits_stay_in_order_with_their_counts(tmp_path: Path) -> None:
    counts = np.diag(np.arange(1, 11))
    counts = np.column_stack((counts, [0] * 9 + [7]))
    names = [str(digit) for digit in range(10)]
    figure = confusion_picture(counts, names, tmp_path / "digits.svg")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [*names, "–"]
    written = {(text.get_position(), text.get_text()) for text in axes.texts}
    assert written == {((k, k), str(k + 1)) for k in range(10)} | {((10, 9), "7")}
    assert axes.images[0].get_array()[9, 10] == pytest.approx(100 * 7 / 17)


def test_curves_circle_the_best_epoch(tmp_path: Path) -> None:
    rows = [
        {"epoch": 1.0, "train_loss": 3.0, "digits": 0.5, "phone_error_rate": 0.7, "seconds": 9.0},
        {"epoch": 2.0, "train_loss": 2.0, "digits": 0.8, "phone_error_rate": 0.5, "seconds": 9.0},
        {"epoch": 3.0, "train_loss": np.nan, "digits": 0.6, "phone_error_rate": 0.6},
    ]
    figure = learning_curve(rows, tmp_path / "curve.pdf", title="Curve")
    losses, scores = figure.axes
    assert (losses.get_ylabel(), scores.get_ylabel()) == ("loss", "score")
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["train loss (best 2)"]
    assert [text.get_text() for text in scores.get_legend().get_texts()] == [
        "digits (best 0.8)",
        "phone error rate (best 0.5)",
    ]
    circles = [line.get_xydata().tolist() for line in scores.lines if line.get_marker() == "o"]
    assert circles == [[[2.0, 0.8]], [[2.0, 0.5]]]
    assert losses.lines[0].get_xydata().tolist() == [[1.0, 3.0], [2.0, 2.0]]


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"counts of shape \[2, 2\] for 3 names"):
        confusion_picture(np.eye(2), ["a", "b", "c"], tmp_path / "a.png")
    with pytest.raises(ShapeError, match=r"must end in \.png, \.svg, \.pdf"):
        confusion_picture(np.eye(2), ["a", "b"], tmp_path / "a.bmp")
    with pytest.raises(ShapeError, match='a column "epoch"'):
        learning_curve([], tmp_path / "a.png")
    with pytest.raises(ShapeError, match="no curve to draw: only epoch, seconds"):
        learning_curve([{"epoch": 1.0, "seconds": 2.0}], tmp_path / "a.png")
    with pytest.raises(KaldiFileError, match="cannot be written"):
        confusion_picture(np.eye(2), ["a", "b"], tmp_path / "nowhere" / "a.png")
    assert list(tmp_path.iterdir()) == []
