"""The linear classifier: its windows, its optimum, its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kaldi_bridge.errors import KaldiFileError, MissingFile, ShapeError
from kaldi_bridge.features import FeatureOptions
from kaldi_bridge.training.linear import (
    LinearClassifier,
    LinearOptions,
    OfLinear,
    train_linear,
)
from kaldi_bridge.training.windows import Frames, centred, minibatches

OPTIONS = FeatureOptions(kind="mfcc", num_mel_bins=40, num_ceps=40, use_energy=False)


def made_frames(lengths: tuple[int, ...], columns: int = 4, seed: int = 0) -> Frames:
    random = np.random.default_rng(seed)
    return Frames.of(
        (
            random.normal(size=(length, columns)).astype(np.float16),
            random.integers(0, 41, size=length).astype(np.uint8),
        )
        for length in lengths
    )


def trained(**options: object) -> LinearClassifier:
    small = {"context": 2, "batch_size": 32, "epochs": 1, **options}
    return train_linear(made_frames((50, 30, 1)), OPTIONS, LinearOptions(**small))


def test_windows_repeat_the_edges_of_their_utterance() -> None:
    features = np.arange(6.0)[:, None]
    frames = Frames(features, np.zeros(6, np.uint8), np.array([4, 6]))
    found = frames.windows(np.array([0, 3, 4, 2]), 2)
    assert found[:, :, 0].tolist() == [
        [0, 0, 0, 1, 2],
        [1, 2, 3, 3, 3],
        [4, 4, 4, 5, 5],
        [0, 1, 2, 3, 3],
    ]


def test_minibatches_hold_every_frame_once() -> None:
    labels = (np.arange(41 * 2) % 41).astype(np.uint8)
    features = np.stack((labels, np.arange(82)), axis=1).astype(np.float32)
    frames = Frames(features, labels, np.array([40, 82]))
    seen = []
    for inputs, numbers in minibatches(frames, 3, 10, np.random.default_rng(0)):
        assert inputs.shape[1:] == (7, 2)
        assert inputs[:, 3, 0].tolist() == numbers.tolist()
        seen += inputs[:, 3, 1].tolist()
    assert sorted(seen) == list(range(82))
    assert seen != sorted(seen)


def test_running_means_are_taken_off() -> None:
    rows = np.random.default_rng(0).normal(size=(7, 3)) + 50
    wanted = np.array(
        [rows[t] - rows[np.clip(np.arange(t - 2, t + 3), 0, 6)].mean(axis=0) for t in range(7)]
    )
    assert centred(rows, 5) == pytest.approx(wanted, abs=1e-5)
    assert centred(rows + 9, 5) == pytest.approx(wanted, abs=1e-5)
    joined = Frames(np.vstack((rows, rows + 9)), np.zeros(14, int), np.array([7, 14])).centred(5)
    assert joined.features == pytest.approx(np.vstack((wanted, wanted)), abs=1e-5)
    with pytest.raises(ShapeError, match="give an odd number"):
        centred(rows, 4)


def test_training_finds_the_closed_form() -> None:
    """Two normal classes of one covariance: log odds are linear in x with known coefficients."""
    random = np.random.default_rng(0)
    means = np.array([[1.0, 0.0, -1.0], [-0.5, 0.5, 0.0]])
    covariance = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 0.5]])
    labels = random.choice(2, size=60_000, p=[0.7, 0.3])
    noise = random.multivariate_normal(np.zeros(3), covariance, size=len(labels))
    frames = Frames(means[labels] + noise, labels, np.array([len(labels)]))
    options = LinearOptions(context=0, epochs=6, batch_size=500, learning_rate=0.05)
    linear = train_linear(frames, OPTIONS, options)
    raw = linear.weight[:, 0] / linear.deviation
    slope = np.linalg.solve(covariance, means[0] - means[1])
    assert raw[0] - raw[1] == pytest.approx(slope, abs=0.06)
    middle = slope @ (means[0] + means[1]) / 2
    offset = (linear.bias - raw @ linear.mean)[:2]
    assert offset[0] - offset[1] == pytest.approx(np.log(0.7 / 0.3) - middle, abs=0.06)
    assert linear.priors[:2] == pytest.approx([0.7, 0.3], abs=0.01)


@pytest.mark.parametrize("mean_window", [None, 5])
def test_log_posteriors_are_a_softmax_of_windows(mean_window: int | None) -> None:
    linear = trained(mean_window=mean_window)
    features = np.random.default_rng(5).normal(size=(9, 4)).astype(np.float32)
    rows = centred(features, 5) if mean_window else features
    standard = (rows - linear.mean) / linear.deviation
    for t, found in enumerate(linear.log_posteriors(features)):
        window = standard[np.clip(np.arange(t - 2, t + 3), 0, 8)]
        logits = np.einsum("ckf,kf->c", linear.weight, window) + linear.bias
        assert found == pytest.approx(logits - np.log(np.exp(logits).sum()), abs=1e-5)
    assert linear.log_posteriors(features[:0]).shape == (0, 41)


def test_a_seed_decides_everything() -> None:
    assert np.array_equal(trained(seed=3).weight, trained(seed=3).weight)
    assert not np.array_equal(trained(seed=3).weight, trained(seed=4).weight)


def test_training_tells_its_steps() -> None:
    told: list[tuple[int, int]] = []
    frames = made_frames((50,))
    options = LinearOptions(context=1, epochs=3, batch_size=25, most_steps=5)
    train_linear(frames, OPTIONS, options, report=lambda done, of: told.append((done, of)))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("mean_window", [None, 3])
def test_saved_classifiers_come_back(tmp_path: Path, mean_window: int | None) -> None:
    linear = trained(mean_window=mean_window)
    linear.save(tmp_path / "linear.npz")
    loaded = LinearClassifier.load(tmp_path / "linear.npz")
    features = np.random.default_rng(5).normal(size=(9, 4))
    assert np.array_equal(loaded.log_posteriors(features), linear.log_posteriors(features))
    assert (loaded.options, loaded.mean_window) == (OPTIONS.without_dither(), mean_window)
    assert np.array_equal(loaded.priors, linear.priors)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "linear.npz"
    with pytest.raises(MissingFile, match="no such file"):
        LinearClassifier.load(path)
    trained().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(KaldiFileError, match=r"linear\.npz"):
        LinearClassifier.load(path)
    path.write_bytes(whole)
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "bias": np.zeros(3)})
    with pytest.raises(KaldiFileError, match="do not fit together"):
        LinearClassifier.load(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(KaldiFileError, match=r"is not an \.npz file"):
        LinearClassifier.load(path)
    np.savez(path, **{**arrays, "options": np.array('{"colour": 1}')})
    with pytest.raises(KaldiFileError, match="feature options"):
        LinearClassifier.load(path)


def test_a_linear_classifier_is_judged_at_any_rate() -> None:
    frames = made_frames((60,), columns=40)
    linear = train_linear(frames, OPTIONS, LinearOptions(context=1, epochs=1))
    samples = np.random.default_rng(0).normal(size=8000).astype(np.float32) * 0.1
    every, hop, centre = OfLinear(linear).posteriors(samples, 16000)
    third, slow_hop, same_centre = OfLinear(linear, subsampling=3).posteriors(samples, 16000)
    assert np.array_equal(third, every[::3])
    assert (slow_hop, same_centre) == (pytest.approx(3 * hop), centre)
    assert every.sum(axis=1) == pytest.approx(np.ones(48), abs=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="no utterances"):
        Frames.of([])
    with pytest.raises(ShapeError, match=r"expected \[N, F\] and \[N\]"):
        Frames(np.zeros((3, 2)), np.zeros(4, int), np.array([3]))
    with pytest.raises(ShapeError, match="labels 0 to 40"):
        Frames(np.zeros((3, 2)), np.array([0, 41, 0]), np.array([3]))
    with pytest.raises(ShapeError, match="must rise to the number of frames"):
        Frames(np.zeros((3, 2)), np.zeros(3, int), np.array([2]))
    with pytest.raises(ShapeError, match="context must be 0 or more"):
        LinearOptions(epochs=0)
    with pytest.raises(ShapeError, match="learning_rate must be above 0"):
        LinearOptions(learning_rate=0.0)
    with pytest.raises(ShapeError, match=r"features \[3, 5\]: expected \[T, 4\]"):
        trained().log_posteriors(np.zeros((3, 5)))
