"""Recordings read in blocks: the same rows, bit for bit, and the state in between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_extractor import made_features, make_extractor

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.ivectors import IvectorExtractor, IvectorStream

FEATURES = made_features(900, 8)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extractor")
    make_extractor(folder, feature_dim=8, lda_dim=7, gaussians=40, ivector_dim=19, context=(3, 4))
    (folder / "online_cmvn.conf").write_text("--norm-vars=true\n--cmn-window=120\n")
    return IvectorExtractor.load(folder)


@pytest.fixture(scope="module")
def known(extractor):
    return extractor.extract(FEATURES[:200])[1]


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 90) | st.integers(600, 800), max_size=12),
    n_frames=st.integers(1, 900),
    speaker=st.booleans(),
)
def test_blocks_of_any_size_give_the_same_bits(extractor, known, sizes, n_frames, speaker):
    features, state = FEATURES[:n_frames], known if speaker else None
    expected, expected_state = extractor.extract(features, state)
    stream, found = IvectorStream(extractor, state), []
    for block in np.split(features, np.minimum(np.cumsum(sizes, dtype=int), n_frames)):
        found.append(stream.push(block))
    found.append(stream.finish())
    np.testing.assert_array_equal(np.concatenate(found), expected)
    for name, value in stream.state.to_arrays().items():
        np.testing.assert_array_equal(value, expected_state.to_arrays()[name])


def test_a_row_comes_as_soon_as_its_frames_and_their_context_are_there(extractor):
    stream, seen = IvectorStream(extractor), []
    for frame in range(60):
        seen += [frame] * len(stream.push(FEATURES[frame : frame + 1]))
    assert seen == [4, 14, 24, 34, 44, 54]  # row k: frame 10 k and 4 more
    assert len(stream.finish()) == 0


def test_rows_never_depend_on_what_comes_later(extractor):
    expected, _ = extractor.extract(FEATURES[:300])
    changed = FEATURES[:300].copy()
    changed[205:] += 5
    found, _ = extractor.extract(changed)
    np.testing.assert_array_equal(found[:21], expected[:21])  # row 20: frames up to 200 + 4
    assert not np.array_equal(found[21], expected[21])


def test_a_row_for_every_period_begun(extractor):
    for n_frames in (1, 10, 11, 20, 21):
        ivectors, _ = extractor.extract(FEATURES[:n_frames])
        assert ivectors.shape == (-(-n_frames // 10), 19)
        repeated = extractor.repeat(ivectors, n_frames)
        np.testing.assert_array_equal(repeated, np.repeat(ivectors, 10, axis=0)[:n_frames])


def test_asking_for_the_state_on_the_way_changes_nothing(extractor):
    expected, _ = extractor.extract(FEATURES[:95])
    stream, found = IvectorStream(extractor), []
    for frame in range(95):
        found.append(stream.push(FEATURES[frame : frame + 1]))
        assert stream.state.cmvn_sums[0, -1] == frame + 1
    np.testing.assert_array_equal(np.concatenate([*found, stream.finish()]), expected)


def test_a_stream_keeps_no_more_than_it_needs(extractor):
    stream = IvectorStream(extractor)
    held = []
    for _ in range(40):
        stream.push(FEATURES)
        arrays = [value for value in vars(stream).values() if isinstance(value, np.ndarray)]
        arrays += [v for v in vars(stream._cmvn).values() if isinstance(v, np.ndarray)]
        held.append(sum((v if v.base is None else v.base).nbytes for v in arrays))
    assert held[-1] <= 1.1 * held[1]


def test_a_stream_without_frames_has_no_rows_and_learns_nothing(extractor, known):
    stream = IvectorStream(extractor, known)
    assert stream.push(FEATURES[:0]).shape == (0, 19)
    assert stream.finish().shape == (0, 19)
    for name, value in stream.state.to_arrays().items():
        np.testing.assert_array_equal(value, known.to_arrays()[name])


def test_features_may_be_of_any_real_type_and_layout(extractor):
    expected, _ = extractor.extract(FEATURES[:40])
    for same in (
        FEATURES[:40].astype(np.float64),
        np.asfortranarray(FEATURES[:40]),
        FEATURES[:40].tolist(),
    ):
        np.testing.assert_array_equal(extractor.extract(same)[0], expected)


def test_what_is_given_is_not_changed_and_not_kept(extractor):
    block = FEATURES[:7].copy()
    stream = IvectorStream(extractor)
    first = stream.push(block)
    np.testing.assert_array_equal(block, FEATURES[:7])
    block[:] = 99
    rest = [stream.push(FEATURES[7:80]), stream.finish()]
    expected, _ = extractor.extract(FEATURES[:80])
    np.testing.assert_array_equal(np.concatenate([first, *rest]), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_bad_numbers_are_refused_by_their_frame(extractor, value):
    features = FEATURES[:50].astype(np.float64)
    features[31, 2] = value
    stream = IvectorStream(extractor)
    stream.push(features[:13])
    with pytest.raises(ShapeError, match="frame 31 hold NaN or infinity"):
        stream.push(features[13:])


@pytest.mark.parametrize("shape", [(10, 7), (10, 9), (8,), (1, 10, 8), ()])
def test_features_of_another_shape_are_refused(extractor, shape):
    with pytest.raises(ShapeError, match=r"needs \[frames, 8\]"):
        extractor.extract(np.zeros(shape, np.float32))


def test_no_frames_and_frames_after_the_end_are_refused(extractor):
    with pytest.raises(ShapeError, match="0 frames"):
        extractor.extract(np.zeros((0, 8)))
    stream = IvectorStream(extractor)
    stream.finish()
    with pytest.raises(ShapeError, match="finished"):
        stream.push(FEATURES[:5])


def test_repeat_refuses_rows_of_another_recording(extractor):
    with pytest.raises(ShapeError, match=r"expected \[3, 19\]"):
        extractor.repeat(np.zeros((4, 19)), 25)
