"""From outputs of a network to runs of phones: closed forms, and what a model must have."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_hearing import HOP, PHONES, RATE, tone, transition_model, write_hearing
from sedsdk_gradual.phone_runs import PhoneHearing, PhoneRun, Phones

from kaldi_bridge import AcousticModel
from kaldi_bridge.phones import PhoneMap
from sedsdk import DataError

MARKS = ("_B", "_E", "_I", "_S")
NAMES = ["SIL", *(f"{stem}{mark}" for stem in ("SIL", "AA0", "AA1", "K") for mark in MARKS)]
TABLE = dict(enumerate(NAMES, start=1))
PDFS = {
    **dict.fromkeys(("SIL", *(f"SIL{mark}" for mark in MARKS)), 0),
    "AA1_B": 1, "AA1_E": 1, "AA1_I": 2, "AA1_S": 3,
    **dict.fromkeys((f"K{mark}" for mark in MARKS), 4),
    **dict.fromkeys((f"AA0{mark}" for mark in MARKS), 5),
}  # fmt: skip
"""All of SIL, K and AA0 share a pdf; of AA1, beginning and end do."""


def phones(**options: bool) -> Phones:
    transitions = transition_model([(n, 0, PDFS[x], PDFS[x]) for n, x in TABLE.items()])
    return Phones.of(PhoneMap.of(transitions, TABLE, merge_positions=False), NAMES, **options)


def frames(*pdfs: int) -> np.ndarray:
    """Scores that leave no doubt about the pdf of each frame."""
    return 20.0 * np.eye(6)[list(pdfs)]


class TestForms:
    def test_forms_that_share_all_their_pdfs_are_one_and_named_as_shortly_as_possible(self):
        found = phones()
        assert found.whole.names == ("SIL", "AA", "K")
        assert found.forms.names == ("SIL", "AA0", "AA1 B/E", "AA1 I", "AA1 S", "K")
        assert found.forms_of == ((0,), (1, 2, 3, 4), (5,))
        np.testing.assert_array_equal(found.forms.weights.sum(1), np.ones(6))

    def test_each_pdf_is_heard_as_its_form(self):
        runs = phones().runs(frames(0, 1, 2, 3, 4, 5))
        # the run of AA over the pdfs 1, 2 and 3 has one form, and the three are equally likely
        assert runs == [PhoneRun("SIL", 1), PhoneRun("AA1 B/E", 3), PhoneRun("K", 1),
                        PhoneRun("AA0", 1)]  # fmt: skip

    def test_the_form_of_a_run_is_the_one_most_likely_over_it(self):
        assert phones().runs(frames(1, 3, 3, 3)) == [PhoneRun("AA1 S", 4)]

    def test_no_phone_loses_because_it_has_many_forms(self):
        scores = np.log([[0.4, 0.15, 0.15, 0.15, 0.14, 0.01]])
        assert phones().runs(scores) == [PhoneRun("AA1 B/E", 1)]
        assert phones(forms=False).runs(scores) == [PhoneRun("AA", 1)]

    def test_stresses_that_share_everything_are_the_phone(self):
        names = ["AA0", "AA1", "B"]
        model = transition_model([(1, 0, 0, 0), (2, 0, 0, 0), (3, 0, 1, 1)])
        each = PhoneMap.of(model, dict(enumerate(names, 1)))
        assert Phones.of(each, names).forms.names == ("AA", "B")

    def test_a_mark_counts_only_where_all_four_exist(self):
        names = ["AA1_B", "B_S"]
        each = PhoneMap.of(transition_model([(1, 0, 0, 0), (2, 0, 1, 1)]), {1: "AA1_B", 2: "B_S"})
        assert Phones.of(each, names).forms.names == ("AA1_B", "B_S")


class TestRuns:
    PLAIN = Phones.of(
        PhoneMap.of(
            transition_model([(n, 0, n - 1, n - 1) for n in (1, 2, 3)]), {1: "A", 2: "B", 3: "C"}
        ),
        ["A", "B", "C"],
    )

    @settings(max_examples=50)
    @given(st.integers(0, 2**32 - 1), st.integers(0, 30))
    def test_without_a_minimum_they_are_the_runs_of_the_largest_output(self, seed, n):
        scores = np.random.default_rng(seed).normal(size=(n, 3))
        expected = [
            PhoneRun("ABC"[column], len(list(same))) for column, same in groupby(scores.argmax(1))
        ]
        assert self.PLAIN.runs(scores) == expected

    def test_with_a_minimum_none_is_shorter_and_the_frames_add_up(self):
        scores = np.random.default_rng(0).normal(size=(50, 3))
        runs = self.PLAIN.runs(scores, 4)
        assert min(run.frames for run in runs) >= 4
        assert sum(run.frames for run in runs) == 50
        assert len(runs) < len(self.PLAIN.runs(scores))


class TestHearing:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory) -> Path:
        return write_hearing(tmp_path_factory.mktemp("models") / "tones")

    def test_tones_are_the_phones_of_their_bands(self, folder):
        hearing = PhoneHearing(AcousticModel.load(folder))
        assert (hearing.sample_rate, hearing.hop_seconds) == (RATE, pytest.approx(HOP))
        for phone in PHONES:
            assert hearing.runs(tone(phone, 0.6)) == [PhoneRun(phone, 20)]

    def test_a_minimum_is_rounded_up_to_whole_frames(self, folder):
        hearing = PhoneHearing(AcousticModel.load(folder))
        sound = np.concatenate([tone("N", 0.6), tone("S", 0.12), tone("N", 0.6)])
        assert min(run.frames for run in hearing.runs(sound, 4 * HOP)) == 4
        assert min(run.frames for run in hearing.runs(sound, 4 * HOP + 0.001)) >= 5
        assert hearing.runs(sound, 10 * HOP) == [PhoneRun("N", 44)]

    def test_no_frame_no_run(self, folder):
        assert PhoneHearing(AcousticModel.load(folder)).runs(np.zeros(40, np.float32)) == []

    def test_a_given_table_names_the_phones(self, folder):
        hearing = PhoneHearing(AcousticModel.load(folder), {1: "a", 2: "b", 3: "c", 4: "d"})
        assert hearing.runs(tone("N", 0.3)) == [PhoneRun("c", 10)]

    def test_what_is_missing_is_said(self, folder, tmp_path):
        with pytest.raises(DataError, match=r"final\.raw has no transition model"):
            PhoneHearing(AcousticModel.load(folder / "final.raw"))
        with pytest.raises(DataError, match=r"the table of phones lacks number 3"):
            PhoneHearing(AcousticModel.load(folder), {1: "a", 2: "b"})
        bare = write_hearing(tmp_path / "bare")
        (bare / "phones.txt").unlink()
        with pytest.raises(DataError, match=r'bare/phones\.txt\n(.|\n)*phones="…/phones\.txt"'):
            PhoneHearing(AcousticModel.load(bare))
        (bare / "conf" / "fbank.conf").unlink()
        with pytest.raises(DataError, match="no feature conf found"):
            PhoneHearing(AcousticModel.load(bare), {1: "a", 2: "b", 3: "c", 4: "d"})
