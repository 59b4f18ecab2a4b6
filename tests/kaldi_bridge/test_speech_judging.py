"""Judging, by classifiers that hear exactly what a script says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_speech import Scripted, make_speech_folder
from test_speech_references import REAL, needs_real_speech

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.training.inventory import CLASS_OF, CLASSES
from kaldi_bridge.training.judging.bigrams import phone_bigrams
from kaldi_bridge.training.judging.classifiers import Posteriors
from kaldi_bridge.training.judging.decoding import Decoding
from kaldi_bridge.training.judging.judgement import NO_ANSWER, Judgement
from kaldi_bridge.training.judging.judging import DIGITS, judge, judge_heard, listen
from kaldi_bridge.training.judging.measures import Edits
from kaldi_bridge.training.judging.references import read_references

RIGHT = {
    "fsdd/0_ann_1": "SIL 0.1 Z 0.1 IY 0.1 R 0.1 OW 0.1",
    "fsdd/9_ann_2": "N 0.15 AY 0.15 N 0.1 SPN 0.1",
    "fsdd/5_bob_1": "SIL 0.1 F 0.1 AY 0.2 V 0.1",
    "fsdd/5_bob_2": "SIL 0.2 F 0.1 AY 0.1 V 0.1",
    "fsdd/9_ann_7": "SIL 0.1 N 0.1 AY 0.1 N 0.2",
    "arctic/a": "SIL 0.1 HH 0.06 AH 0.24 SIL 0.1",
    "praatio/p": "SIL 0.1 IH 0.1 P 0.05 T 0.05 AO 0.2",
    "speechbrain_samples/s": "DH 0.1 AH 0.1 T 0.1 SIL 0.1 UW 0.1",
}


def judged(folder: Path, hop: float = 0.01, **changes: str) -> Judgement:
    names = make_speech_folder(folder)
    script = {**RIGHT, **{name.replace("__", "/"): said for name, said in changes.items()}}
    return judge(Scripted(names, script.__getitem__, hop), folder)


@pytest.mark.parametrize("hop", [0.01, 0.03])
def test_who_hears_everything_makes_no_error(tmp_path: Path, hop: float) -> None:
    judgement = judged(tmp_path, hop)
    assert judgement.digit_share("train").correct == judgement.digit_share("train").total == 3
    assert judgement.digit_share("dev").correct == judgement.digit_share("dev").total == 2
    assert judgement.phone_errors() == Edits(reference=10)
    if hop == 0.01:
        # 6 + 24 frames of arctic; 10 + 20 of praatio, where the cluster is not counted
        assert judgement.frame_share("train").correct == 60
        assert judgement.frame_share("train").total == 60
        # and 10 + 8 of silence: praatio's labels begin at 20 ms
        assert judgement.frame_share(silence=True).total == 78
        assert judgement.frame_share(silence=True).correct == 78


def test_digits_taken_for_others_are_counted_apart(tmp_path: Path) -> None:
    judgement = judged(tmp_path, fsdd__9_ann_7="SIL 0.1 W 0.1 AH 0.1 N 0.2")
    assert judgement.digit_share("train").value == 1.0
    assert judgement.digit_share("dev").value == 0.5
    ann = judgement.digit_share(speaker="ann")
    assert (ann.correct, ann.total) == (2, 3)
    assert ann.as_dict()["interval_95"] == pytest.approx([0.2077, 0.9385], abs=1e-4)
    assert judgement.digit_share("dev", digit=9).correct == 0
    confusion = judgement.digit_confusion("dev")
    assert (confusion[9, 1], confusion[5, 5], confusion.sum()) == (1, 1, 2)


def test_phone_errors_are_counted_with_merged_classes(tmp_path: Path) -> None:
    judgement = judged(
        tmp_path,
        arctic__a="SIL 0.1 HH 0.06 IH 0.24 SIL 0.1",  # AH heard as IH
        praatio__p="SIL 0.1 IH 0.1 P 0.05 T 0.05 AA 0.2",  # AO is scored as AA
        speechbrain_samples__s="DH 0.1 AH 0.2 SIL 0.1 UW 0.05 S 0.05",  # no T, an S too many
    )
    per_file = {each.source: each.edits for each in judgement.sentences}
    assert per_file["arctic"] == Edits(2, 1, 0, 0)
    assert per_file["praatio"] == Edits(4, 0, 0, 0)
    # DH AH T UW against DH AH UW S: two substitutions do it, as well as a deletion and an insertion
    assert per_file["speechbrain_samples"] == Edits(4, 2, 0, 0)
    assert judgement.phone_errors().rate == pytest.approx(0.3)
    assert judgement.phone_errors(source="arctic").rate == 0.5
    low, high = judgement.phone_error_interval() or (0, 0)
    assert low == 0.0
    assert high == pytest.approx(0.5)
    assert judgement.frame_share().correct == 60 - 24
    confusion = judgement.frame_confusion()
    assert confusion[CLASS_OF["AH"], CLASS_OF["IH"]] == 24
    assert confusion[CLASS_OF["AO"], CLASS_OF["AA"]] == 20
    assert confusion.sum() == 78


def test_noise_is_as_good_as_silence_between_phones(tmp_path: Path) -> None:
    judgement = judged(tmp_path, arctic__a="SPN 0.1 HH 0.06 AH 0.24 SPN 0.1")
    assert judgement.frame_share(silence=True).value == 1.0
    assert judgement.phone_errors() == Edits(reference=10)


def test_own_frames_are_compared_where_they_are_asked_for(tmp_path: Path) -> None:
    names = make_speech_folder(tmp_path)
    classifier = Scripted(names, RIGHT.__getitem__, hop=0.03)
    heard = listen(classifier, read_references(tmp_path))
    judgement = judge_heard(classifier, heard, Decoding(frame_seconds=None))
    # centres 15, 45, ... 465 ms: arctic 13 up to 400 ms, praatio 16 less three of the cluster
    # and one before its first label
    assert judgement.frame_share(silence=True).total == 13 + 12
    assert judgement.frame_share(silence=True).correct == 25


def test_recordings_too_short_for_a_digit_are_no_answer(tmp_path: Path) -> None:
    names = make_speech_folder(tmp_path, seconds=0.01)
    judgement = judge(Scripted(names, RIGHT.__getitem__), tmp_path)
    assert judgement.digit_confusion()[:, NO_ANSWER].sum() == 5
    assert judgement.digit_share().value == 0.0
    assert {each.answer for each in judgement.digits} == {None}


def test_parts_can_be_left_unheard(tmp_path: Path) -> None:
    names = make_speech_folder(tmp_path)
    classifier = Scripted(names, RIGHT.__getitem__)
    judgement = judge(classifier, tmp_path, parts=("train",))
    assert judgement.parts == ("train",)
    assert judgement.digit_share("dev").total == 0
    told: list[tuple[int, int]] = []
    listen(classifier, read_references(tmp_path), report=lambda n, of: told.append((n, of)))
    assert told == [(number, 8) for number in range(1, 9)]
    with pytest.raises(ShapeError, match="no recordings of test"):
        judge(classifier, tmp_path, parts=("test",))


def test_judgements_are_plain_values_and_a_table(tmp_path: Path) -> None:
    names = make_speech_folder(tmp_path)
    bigram = phone_bigrams([["N", "AY", "N"]])
    judgement = judge(Scripted(names, RIGHT.__getitem__), tmp_path, log_bigram=bigram)
    plain = json.loads(json.dumps(judgement.as_dict(), allow_nan=False))
    assert plain["digits"]["dev"]["correct"] == 2
    assert plain["digits"]["all"]["speakers"]["bob"]["total"] == 2
    assert plain["phones"]["train"]["rate"] == 0.0
    assert [each["name"] for each in plain["phones"]["all"]["files"]] == ["a", "p", "s"]
    assert plain["frames"]["all"]["phones"] == {"correct": 60, "total": 60, "share": 1.0}
    assert plain["decoding"]["bigram"] == "counted"
    lines = str(judgement).splitlines()
    assert any(line.split()[:2] == ["all", "100.0"] for line in lines)
    assert any(line.startswith("arctic/a (train)") for line in lines)
    assert "Nothing is fitted on these." in str(judgement)


def test_posteriors_of_another_shape_are_refused(tmp_path: Path) -> None:
    class Wrong:
        name = "wrong"
        priors = None

        def posteriors(self, samples: np.ndarray, sample_rate: int) -> Posteriors:
            return np.ones((3, 40), np.float32), 0.01, 0.0

    make_speech_folder(tmp_path)
    with pytest.raises(ShapeError, match=r"wrong: posteriors of shape \[3, 40\]; expected \[T, 41"):
        judge(Wrong(), tmp_path)


def test_digits_have_pronunciations_of_known_phones() -> None:
    assert len(DIGITS) == 10
    phones = {phone for variants in DIGITS for each in variants for phone in each.split()}
    assert phones <= set(CLASSES[2:])
    spelled = [pronunciation for variants in DIGITS for pronunciation in variants]
    assert len(set(spelled)) == len(spelled)


@needs_real_speech
def test_real_speech_is_judged_by_who_only_hears_fours() -> None:
    """420 real recordings: one digit in ten is a four, and no phone is ever heard right but F."""

    class OnlyFours:
        name = "four"
        priors = None

        def posteriors(self, samples: np.ndarray, sample_rate: int) -> Posteriors:
            rows = np.full((int(100 * len(samples) / sample_rate), 41), 0.5 / 38, np.float32)
            for phone in ("F", "AO", "R"):
                rows[:, CLASS_OF[phone]] = 0.5 / 3
            return rows, 0.01, 0.005

    judgement = judge(OnlyFours(), REAL)
    assert (judgement.digit_share("train").correct, judgement.digit_share("train").total) == (
        30,
        300,
    )
    assert (judgement.digit_share("dev").correct, judgement.digit_share("dev").total) == (12, 120)
    assert judgement.digit_confusion()[:, 4].tolist() == [42] * 10
    # silence is as unlikely as any other phone, so the loop stays in one of the three for good
    assert {len(each.heard) for each in judgement.sentences} == {1}
    assert judgement.phone_errors().reference == 163
