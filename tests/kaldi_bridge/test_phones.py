"""Names, posteriors and the phone path, against closed forms and brute force."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaldi_bridge.errors import KaldiFileError, MissingFile, ShapeError
from kaldi_bridge.nnet3.reading import read_model
from kaldi_bridge.nnet3.transitions import State, Topology, TransitionModel
from kaldi_bridge.phones import (
    FrameClock,
    PhoneMap,
    log_probabilities,
    phone_posteriors,
    read_phone_table,
    viterbi_phones,
)

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"
TABLE = {0: "<eps>", 1: "SIL", 20: "#0"} | {
    2 + i: name
    for i, name in enumerate(
        ["AA0_B", "AA0_E", "AA0_I", "AA0_S", "AA1_B", "AA1_E", "AA1_I", "AA1_S", "K_S"]
    )
}


def transition_model(tuples: list[tuple[int, int, int, int]]) -> TransitionModel:
    """A chain model: one state per phone, given as phone, state, forward pdf, self-loop pdf."""
    phones = tuple(sorted({row[0] for row in tuples}))
    states = (State(0, 1, ((0, 0.5), (1, 0.5))), State(-1, -1, ()))
    entry_of = tuple(0 if number in phones else -1 for number in range(max(phones) + 1))
    topology = Topology(phones, entry_of, (states,), True)
    log_probs = np.zeros(1 + 2 * len(tuples), np.float32)
    return TransitionModel(topology, np.array(tuples, np.int32), True, log_probs)


# SIL has pdfs 0 and 1; all AA share 2 and 3 but for AA1_B, which has 4 with K_S; K_S has 5.
MODEL = transition_model(
    [(1, 0, 0, 1)]
    + [(phone, 0, 2, 3) for phone in (2, 3, 4, 5)]
    + [(6, 0, 4, 3)]
    + [(phone, 0, 2, 3) for phone in (7, 8, 9)]
    + [(10, 0, 4, 5)]
)


class TestMap:
    def test_positions_are_merged_where_all_four_exist(self):
        phones = PhoneMap.of(MODEL, TABLE)
        # K_S stays as it is: no K_B, K_E, K_I
        assert phones.names == ("SIL", "AA0", "AA1", "K_S")

    def test_what_is_shared_is_split_evenly(self):
        weights = PhoneMap.of(MODEL, TABLE).weights
        expected = [
            [1, 0, 0, 0],
            [1, 0, 0, 0],
            [0, 0.5, 0.5, 0],
            [0, 0.5, 0.5, 0],
            [0, 0, 0.5, 0.5],
            [0, 0, 0, 1],
        ]
        np.testing.assert_array_equal(weights, np.array(expected, np.float32))

    def test_stress_may_be_merged_too(self):
        phones = PhoneMap.of(MODEL, TABLE, merge_stress=True)
        assert phones.names == ("SIL", "AA", "K_S")
        np.testing.assert_array_equal(phones.weights[2], [0, 1, 0])

    def test_shared_pdfs_may_name_a_set(self):
        phones = PhoneMap.of(MODEL, TABLE, merge_stress=True, shared="set")
        assert phones.names == ("SIL", "AA", "AA/K_S", "K_S")
        assert set(phones.weights.sum(1)) == {1.0}
        assert phones.weights.max(1).min() == 1

    def test_without_merging_every_phone_is_its_own(self):
        phones = PhoneMap.of(MODEL, TABLE, merge_positions=False)
        assert phones.names == tuple(TABLE[number] for number in range(1, 11))
        np.testing.assert_allclose(phones.weights[2, 1:], [1 / 7] * 4 + [0] + [1 / 7] * 3 + [0])

    def test_without_a_table_phones_are_numbers(self):
        assert PhoneMap.of(MODEL).names == tuple(map(str, range(1, 11)))

    def test_a_pdf_that_no_phone_has_gets_no_weight(self):
        phones = PhoneMap.of(transition_model([(1, 0, 0, 0), (2, 0, 2, 2)]), {1: "A", 2: "B"})
        np.testing.assert_array_equal(phones.weights, [[1, 0], [0, 0], [0, 1]])

    @pytest.mark.skipif(
        not GOLDEN.is_dir(), reason="needs the golden files in ../shared/golden/kaldi"
    )
    def test_golden_models_have_two_pdfs_per_phone(self):
        # MANIFEST: 21 phones, 42 pdfs, a monophone chain topology
        paths = sorted(GOLDEN.glob("models/*/final.mdl"))
        assert paths
        for path in paths:
            transitions = read_model(path).transitions
            assert transitions is not None
            phones = PhoneMap.of(transitions)
            assert phones.weights.shape == (transitions.num_pdfs, len(transitions.phones))
            assert set(phones.weights.sum(1)) == {1.0}
            assert set(phones.weights.sum(0)) == {2.0}


class TestTable:
    def test_reads_names_and_numbers(self, tmp_path):
        path = tmp_path / "phones.txt"
        path.write_text("<eps> 0\nSIL 1\n\nɑː_B 2\n", encoding="utf-8")
        assert read_phone_table(path) == {0: "<eps>", 1: "SIL", 2: "ɑː_B"}
        model = transition_model([(1, 0, 0, 1), (2, 0, 2, 3)])
        assert PhoneMap.of(model, path).names == ("SIL", "ɑː_B")

    @pytest.mark.parametrize(
        ("text", "where"), [("SIL 1\nAA\n", 2), ("SIL one\n", 1), ("A 1\nB 1\n", 2), ("A 1 2", 1)]
    )
    def test_names_the_line_that_is_wrong(self, tmp_path, text, where):
        path = tmp_path / "phones.txt"
        path.write_text(text)
        with pytest.raises(KaldiFileError, match=rf"phones\.txt, line {where}"):
            read_phone_table(path)

    def test_a_missing_one(self, tmp_path):
        with pytest.raises(MissingFile, match=r"nowhere\.txt: no such table"):
            read_phone_table(tmp_path / "nowhere.txt")


class TestPosteriors:
    PHONES = PhoneMap.of(MODEL, TABLE, merge_stress=True)

    def test_log_posteriors_keep_their_probabilities(self):
        pdfs = np.array([[0.1, 0.2, 0.3, 0.1, 0.2, 0.1], [0.5, 0, 0, 0, 0, 0.5]])
        found = phone_posteriors(log_probabilities(pdfs), self.PHONES)
        np.testing.assert_allclose(found, [[0.3, 0.5, 0.2], [0.5, 0.0, 0.5]], atol=1e-6)

    @given(st.floats(-500, 500), st.integers(0, 2**31))
    def test_a_constant_added_to_all_scores_changes_nothing(self, constant, seed):
        scores = np.random.default_rng(seed).normal(size=(4, 6)) * 10
        expected = phone_posteriors(scores, self.PHONES)
        np.testing.assert_allclose(
            phone_posteriors(scores + constant, self.PHONES), expected, atol=1e-6
        )
        np.testing.assert_allclose(expected.sum(1), 1, atol=1e-6)

    def test_a_scale_of_zero_gives_each_pdf_the_same(self):
        found = phone_posteriors(np.arange(6.0)[None], self.PHONES, scale=0)
        np.testing.assert_allclose(found, self.PHONES.weights.mean(0)[None], atol=1e-7)

    def test_no_frames(self):
        assert phone_posteriors(np.zeros((0, 6)), self.PHONES).shape == (0, 3)

    def test_bad_scores(self):
        with pytest.raises(ShapeError, match=r"\[2, 5\]: expected \[T, 6\]"):
            phone_posteriors(np.zeros((2, 5)), self.PHONES)
        with pytest.raises(ShapeError, match="not finite"):
            phone_posteriors(np.full((2, 6), np.nan), self.PHONES)


def brute_force(x: np.ndarray, durations: list[int], penalty: float) -> float:
    """The best score over every cut into segments and every phone in each."""
    n_frames, n_phones = x.shape
    durations = [min(d, n_frames) for d in durations]
    best = -np.inf
    for n_cuts in range(n_frames):
        for cuts in itertools.combinations(range(1, n_frames), n_cuts):
            bounds = [0, *cuts, n_frames]
            spans = list(itertools.pairwise(bounds))
            for phones in itertools.product(range(n_phones), repeat=len(spans)):
                if any(b - a < durations[p] for (a, b), p in zip(spans, phones, strict=True)):
                    continue
                score = sum(x[a:b, p].sum() for (a, b), p in zip(spans, phones, strict=True))
                best = max(best, score - penalty * n_cuts)
    return best


def score_of(segments, x: np.ndarray, penalty: float) -> float:
    total = sum(x[s.start : s.end, s.index].sum() for s in segments)
    return total - penalty * (len(segments) - 1)


class TestPath:
    @settings(max_examples=150)
    @given(
        st.integers(1, 7),
        st.integers(1, 3),
        st.lists(st.integers(1, 4), min_size=3, max_size=3),
        st.sampled_from([0.0, 0.3, 2.0]),
        st.integers(0, 2**31),
        st.booleans(),
    )
    def test_is_the_best_of_all(self, n_frames, n_phones, durations, penalty, seed, rounded):
        x = np.random.default_rng(seed).normal(size=(n_frames, n_phones))
        x = x.round() if rounded else x  # ties
        durations = durations[:n_phones]
        found = viterbi_phones(x, min_duration=durations, transition_penalty=penalty)
        assert score_of(found, x, penalty) == pytest.approx(brute_force(x, durations, penalty))
        assert [s.start for s in found] + [n_frames] == [0] + [s.end for s in found]
        assert all(s.end - s.start >= min(durations[s.index], n_frames) for s in found)
        assert all(a.index != b.index for a, b in itertools.pairwise(found))
        for s in found:
            assert s.score == pytest.approx(x[s.start : s.end, s.index].mean())

    def test_without_constraints_it_is_the_best_phone_of_each_frame(self):
        x = np.random.default_rng(5).normal(size=(500, 40))
        frames = np.concatenate([[s.index] * (s.end - s.start) for s in viterbi_phones(x)])
        np.testing.assert_array_equal(frames, x.argmax(1))

    def test_a_single_stray_frame_does_not_interrupt(self):
        probabilities = np.full((9, 2), [0.9, 0.1])
        probabilities[4] = [0.1, 0.9]
        found = viterbi_phones(np.log(probabilities), ["AA", "K"], min_duration=3)
        assert [(s.phone, s.start, s.end) for s in found] == [("AA", 0, 9)]
        found = viterbi_phones(np.log(probabilities), ["AA", "K"])
        assert [(s.phone, s.start, s.end) for s in found] == [
            ("AA", 0, 4),
            ("K", 4, 5),
            ("AA", 5, 9),
        ]
        penalty = np.log(9) + 1e-6  # twice this is what the stray frame is worth, twice
        found = viterbi_phones(np.log(probabilities), ["AA", "K"], transition_penalty=penalty)
        assert len(found) == 1

    def test_shorter_than_the_minimum_is_one_phone(self):
        x = np.log([[0.6, 0.4], [0.1, 0.9]])
        (segment,) = viterbi_phones(x, min_duration=5)
        assert (segment.index, segment.start, segment.end) == (1, 0, 2)

    def test_no_frames(self):
        assert viterbi_phones(np.zeros((0, 3))) == []

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"min_duration": 0}, "one frame or more"),
            ({"min_duration": [1, 2]}, "one number or 3"),
            ({"transition_penalty": -1.0}, "zero or more"),
            ({"transition_penalty": np.inf}, "zero or more"),
            ({"names": ["a"]}, "1 names for 3 phones"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ShapeError, match=message):
            viterbi_phones(np.zeros((4, 3)), **options)

    def test_bad_arrays(self):
        for wrong in (np.zeros(4), np.zeros((4, 0)), np.full((2, 2), -np.inf)):
            with pytest.raises(ShapeError):
                viterbi_phones(wrong)


class TestClock:
    def test_a_chain_models_frames_are_three_input_frames(self):
        clock = FrameClock(0.01, 3)
        assert clock.hop_seconds == pytest.approx(0.03)
        (segment,) = viterbi_phones(np.zeros((10, 1)))
        assert segment.times(clock) == (0, pytest.approx(0.3))

    @given(st.integers(0, 10**6), st.sampled_from([1, 2, 3, 4]))
    def test_there_and_back(self, frame, factor):
        clock = FrameClock(0.01, factor)
        assert clock.frame(clock.seconds(frame)) == frame
        assert clock.frame(clock.seconds(frame) + 0.4 * clock.hop_seconds) == frame
