"""What is kept of a speaker between recordings."""

from __future__ import annotations

import io

import numpy as np
import pytest
from made_extractor import made_features, make_extractor

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.ivectors import IvectorExtractor, SpeakerState


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extractor")
    make_extractor(folder, feature_dim=6, lda_dim=5, gaussians=9, ivector_dim=4)
    return IvectorExtractor.load(folder)


def test_survives_a_file(extractor):
    features = made_features(77, 6)
    _, state = extractor.extract(features)
    file = io.BytesIO()
    np.savez(file, **state.to_arrays())
    file.seek(0)
    again = SpeakerState.from_arrays(np.load(file))
    for name, value in state.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], value)
    expected, _ = extractor.extract(features, state)
    np.testing.assert_array_equal(extractor.extract(features, again)[0], expected)


def test_an_unheard_speaker_is_nobody_in_particular(extractor):
    features = made_features(30, 6)
    with_state, _ = extractor.extract(features, extractor.initial_state())
    np.testing.assert_array_equal(with_state, extractor.extract(features)[0])


def test_a_state_is_never_changed(extractor):
    _, state = extractor.extract(made_features(50, 6))
    before = {name: value.copy() for name, value in state.to_arrays().items()}
    extractor.extract(made_features(90, 6, seed=1), state)
    for name, value in before.items():
        np.testing.assert_array_equal(state.to_arrays()[name], value)


def test_a_known_speaker_is_recognised_from_the_first_frame(extractor):
    features = made_features(400, 6)
    alone, state = extractor.extract(features)
    known, _ = extractor.extract(features, state)
    assert np.linalg.norm(known[0] - alone[-1]) < 0.3 * np.linalg.norm(alone[0] - alone[-1])


def test_limits_keep_the_prior_whole():
    """Closed form: statistics of nothing but the prior are the prior, however they are scaled."""
    k, offset, max_count, count = 3, 2.0, 5.0, 40.0
    state = SpeakerState.unheard(2, k, offset, max_count)
    weight = state.prior_scale(count)
    assert weight == 8.0
    full = SpeakerState(
        np.array([[6.0, 8.0, 200.0], [5.0, 5.0, 0.0]]),
        weight * state.linear,
        weight * state.quadratic,
        count,
        offset,
        max_count,
    )
    for frames, left in ((100, 10.0), (20, 2.0), (0, 0.0)):
        limited = full.limited(frames, 0.1)
        assert limited.count == pytest.approx(left)
        prior = max(left, max_count) / max_count
        np.testing.assert_allclose(limited.linear, [offset * prior, 0, 0], atol=1e-12)
        np.testing.assert_allclose(limited.quadratic, prior * np.array([1, 0, 1, 0, 0, 1.0]))
        np.testing.assert_allclose(limited.cmvn_sums, full.cmvn_sums * frames / 200)
    assert full.limited(1000, 0.1).to_arrays().keys() == full.to_arrays().keys()
    assert full.limited(1000, 0.1).linear is full.linear


def test_states_of_other_extractors_are_refused(extractor, tmp_path):
    _, state = extractor.extract(made_features(20, 6))
    wider = make_extractor(
        tmp_path / "a", feature_dim=6, lda_dim=5, gaussians=9, ivector_dim=5, context=(3, 3)
    )
    other = IvectorExtractor.load(wider)
    with pytest.raises(ShapeError, match=r"another extractor: linear is \[4\], expected \[5\]"):
        other.extract(made_features(20, 6), state)
    arrays = state.to_arrays() | {"max_count": np.array(100.0)}
    with pytest.raises(ShapeError, match="max_count is 100, expected 0"):
        extractor.extract(made_features(20, 6), SpeakerState.from_arrays(arrays))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"linear": None}, "lacks linear"),
        ({"quadratic": np.zeros(7)}, r"quadratic is \[7\]; expected \[10\]"),
        ({"cmvn_sums": np.zeros(14)}, r"cmvn_sums is \[14\]"),
        ({"count": np.zeros(2)}, "count is"),
        ({"count": np.array(-1.0)}, "negative"),
        ({"linear": np.array([1.0, np.nan, 0, 0])}, "linear holds NaN"),
    ],
)
def test_damaged_states_are_refused(extractor, change, message):
    arrays = extractor.initial_state().to_arrays() | change
    arrays = {name: value for name, value in arrays.items() if value is not None}
    with pytest.raises(ShapeError, match=message):
        SpeakerState.from_arrays(arrays)
