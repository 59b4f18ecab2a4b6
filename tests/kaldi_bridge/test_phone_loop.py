"""The phone loop against trying every labelling, and against the search that has no bigram."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.phone_path import viterbi_phones
from kaldi_bridge.training.judging.decoding import Decoding, frames_of, phone_loop, runs


def value(
    path: tuple[int, ...], scores: np.ndarray, bigram: np.ndarray, weight: float, penalty: float
) -> float:
    """The score of a labelling, change by change; class 0 is around it."""
    total = sum(scores[t, label] for t, label in enumerate(path))
    for before, label in zip((0, *path), (*path, 0), strict=True):
        if before != label:
            total += weight * bigram[before, label] - penalty
    return float(total)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("shortest", [1, 2, 3])
def test_loop_is_the_best_of_all_labellings(seed: int, shortest: int) -> None:
    random = np.random.default_rng(seed)
    n_frames, n_classes = 7, 3
    scores = 2 * random.normal(size=(n_frames, n_classes))
    bigram = np.log(random.dirichlet(np.ones(n_classes), size=n_classes))
    weight, penalty = random.uniform(0, 1.5), random.uniform(-3, 1)
    allowed = [
        path
        for path in product(range(n_classes), repeat=n_frames)
        if min(len(list(run)) for _, run in groupby(path)) >= shortest
    ]
    best = max(allowed, key=lambda path: value(path, scores, bigram, weight, penalty))
    found = phone_loop(
        scores, bigram, language_weight=weight, insertion_penalty=penalty, min_frames=shortest
    )
    assert tuple(found.tolist()) == best


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shortest", [1, 4])
def test_loop_without_bigram_is_the_search_by_penalty(seed: int, shortest: int) -> None:
    random = np.random.default_rng(seed)
    scores = np.repeat(random.normal(size=(20, 8)), 3, axis=0) + random.normal(size=(60, 8))
    scores[:, 0] = -1000.0  # silence nowhere, so that every path pays for its ends alike
    found = phone_loop(scores, language_weight=0.0, insertion_penalty=1.5, min_frames=shortest)
    segments = viterbi_phones(scores, min_duration=shortest, transition_penalty=1.5)
    assert runs(found) == [segment.index for segment in segments]
    assert np.flatnonzero(np.diff(found)).tolist() == [s.end - 1 for s in segments[:-1]]


def test_uniform_bigram_is_one_in_so_many() -> None:
    scores = np.random.default_rng(0).normal(size=(30, 6))
    uniform = np.full((6, 6), np.log(1 / 6))
    assert phone_loop(scores).tolist() == phone_loop(scores, uniform).tolist()


def test_bigram_decides_between_equals() -> None:
    bigram = np.log(np.array([[0.2, 0.4, 0.4], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]))
    scores = np.array([[0.0, 5.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    # 1 is there for sure; 2 after it is likely, and silence after that
    path = phone_loop(scores + np.array([[0, 0, 0], [0, -3, -2.9], [0, -3, -2.9]]), bigram)
    assert path.tolist() == [1, 0, 0]
    path = phone_loop(scores + np.array([[0, 0, 0], [-2, -3, 0], [0, -3, -2.9]]), bigram)
    assert path.tolist() == [1, 2, 0]


def test_short_recordings_are_one_run() -> None:
    assert phone_loop(np.zeros((0, 4))).tolist() == []
    assert phone_loop(np.array([[0.0, 9.0]] * 2), min_frames=5).tolist() == [1, 1]
    assert runs(np.zeros(0, np.int64)) == []
    assert runs(np.array([2, 2, 0, 2, 2])) == [2, 0, 2]


def test_rate_of_frames_changes_nothing() -> None:
    """Each frame heard three times as often, at a third of the hop, gives the same phones."""
    decoding = Decoding()
    random = np.random.default_rng(3)
    slow = random.normal(size=(40, 9)) * 3
    quick = np.repeat(slow, 3, axis=0)
    at_slow = phone_loop(slow * decoding.score_scale(0.03), insertion_penalty=0.7, min_frames=1)
    at_quick = phone_loop(quick * decoding.score_scale(0.01), insertion_penalty=0.7, min_frames=1)
    assert np.repeat(at_slow, 3).tolist() == at_quick.tolist()
    assert (frames_of(0.03, 0.01), frames_of(0.03, 0.03), frames_of(0.01, 0.03)) == (3, 1, 1)


def test_priors_turn_posteriors_into_likelihoods() -> None:
    """Bayes: posteriors of known likelihoods and priors give the likelihoods back, row by row."""
    random = np.random.default_rng(0)
    likelihoods, priors = random.uniform(0.1, 1, size=(5, 4)), random.dirichlet(np.ones(4) * 5)
    joint = likelihoods * priors
    posteriors = joint / joint.sum(axis=1, keepdims=True)
    scores = Decoding().scores(posteriors, priors, 1.0)
    difference = scores - np.log(likelihoods)
    assert difference == pytest.approx(np.broadcast_to(difference[:, :1], (5, 4)), abs=1e-12)
    assert Decoding().scores(posteriors, None, 0.0) == pytest.approx(np.log(posteriors))


def test_a_class_that_training_never_saw_does_not_win() -> None:
    posteriors = np.array([[0.6, 0.4, 1e-9]])
    priors = np.array([0.7, 0.3 - 1e-7, 1e-7])
    assert Decoding().scores(posteriors, priors, 1.0).argmax() == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"posterior_floor": 0.0}, "posterior_floor is 0.0; give 0 < floor < 1"),
        ({"prior_floor": 1.0}, "prior_floor is 1.0"),
        ({"language_weight": -1.0}, "language_weight is -1.0"),
        ({"loop_min_seconds": float("nan")}, "loop_min_seconds is nan"),
        ({"frame_seconds": 0.0}, "frame_seconds is 0"),
    ],
)
def test_senseless_options_are_refused(options: dict, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        Decoding(**options)


def test_what_does_not_fit_the_loop_is_refused() -> None:
    with pytest.raises(ShapeError, match="expected finite numbers"):
        phone_loop(np.full((3, 2), np.nan))
    with pytest.raises(ShapeError, match=r"bigram of shape \[3, 3\] for 2 classes"):
        phone_loop(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(ShapeError, match="smoothed"):
        phone_loop(np.zeros((3, 2)), np.full((2, 2), -np.inf))
    with pytest.raises(ShapeError, match="min_frames is 0"):
        phone_loop(np.zeros((3, 2)), min_frames=0)
    with pytest.raises(ShapeError, match="states no priors"):
        Decoding().scores(np.ones((1, 2)), None, 0.5)
    with pytest.raises(ShapeError, match=r"priors of shape \[3\] for 2 classes"):
        Decoding().scores(np.ones((1, 2)), np.ones(3), 0.5)
