"""Judges a phone classifier on real speech: spoken digits, sentences, frames.

Nothing is trained or fitted on any of these recordings here. One speaker is no stranger, though:
flite's voice slt was made of recordings of the arctic speaker, perhaps of the very sentence.

What can be chosen, `Decoding`, a person chooses on the train part; both parts are reported apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.training.inventory import CLASS_OF, CLASSES, NOISE, SILENCE, merged
from kaldi_bridge.training.judging.alignment import alignment_scores
from kaldi_bridge.training.judging.classifiers import Classifier
from kaldi_bridge.training.judging.decoding import Decoding, frames_of, phone_loop, runs
from kaldi_bridge.training.judging.judgement import DigitAnswer, Judgement, SentenceErrors
from kaldi_bridge.training.judging.measures import counted, edits
from kaldi_bridge.training.judging.references import (
    Digit,
    References,
    Sentence,
    read_references,
    read_speech,
)
from kaldi_bridge.training.speech import TimedPhone

PARTS = ("train", "dev")
DIGITS: tuple[tuple[str, ...], ...] = (
    ("Z IH R OW", "Z IY R OW"),
    ("W AH N",),
    ("T UW",),
    ("TH R IY",),
    ("F AO R", "F AO"),
    ("F AY V",),
    ("S IH K S",),
    ("S EH V AH N", "S EH V IH N"),
    ("EY T",),
    ("N AY N",),
)
"""Pronunciations of zero to nine: the CMU dictionary's, four without its r, seven with IH."""

_CANDIDATES = [
    (digit, [CLASS_OF[phone] for phone in pronunciation.split()])
    for digit, pronunciations in enumerate(DIGITS)
    for pronunciation in pronunciations
]
_AROUND = (CLASS_OF[SILENCE], CLASS_OF[NOISE])


@dataclass(frozen=True, eq=False)
class Heard:
    """A recording as a classifier hears it.

    Attributes:
        reference: what was said.
        posteriors: [T, 41].
        hop: seconds from frame to frame.
        first_centre: centre of frame 0, in seconds.
    """

    reference: Digit | Sentence
    posteriors: NDArray[np.float32]
    hop: float
    first_centre: float


def judge(
    classifier: Classifier,
    folder: Path | str,
    decoding: Decoding | None = None,
    *,
    log_bigram: NDArray[Any] | None = None,
    parts: Sequence[str] = PARTS,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> Judgement:
    """Judges a classifier on the recordings of a folder; see `references` for its layout.

    Args:
        classifier: anything with `posteriors`.
        folder: of real speech.
        decoding: options; None for the defaults.
        log_bigram: of phones, log probabilities [41, 41]; None for a uniform one.
        parts: that are listened to; ("train",) alone while options are being chosen.
        report: told the recordings heard and all recordings.

    Raises:
        MissingSpeech: the folder is not there, or a recording.
        KaldiFileError: a recording or label file that cannot be read.
        ShapeError: posteriors of another shape, or options that do not fit.
    """
    heard = listen(classifier, read_references(folder), parts=parts, report=report)
    return judge_heard(classifier, heard, decoding, log_bigram=log_bigram)


def listen(
    classifier: Classifier,
    references: References,
    *,
    parts: Sequence[str] = PARTS,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> list[Heard]:
    """Runs a classifier over all recordings, once, so that several decodings can be compared.

    Raises:
        MissingSpeech, KaldiFileError: a recording that is not there or not audio.
        ShapeError: posteriors of another shape, or no recordings of these parts.
    """
    listed: list[Digit | Sentence] = [*references.digits, *references.sentences]
    chosen = [each for each in listed if each.part in parts]
    if not chosen:
        raise ShapeError(f"no recordings of {', '.join(parts)}: parts are {', '.join(PARTS)}.")
    heard = []
    for number, reference in enumerate(chosen, start=1):
        samples, rate = read_speech(reference.path)
        posteriors, hop, first_centre = classifier.posteriors(samples, rate)
        if posteriors.ndim != 2 or posteriors.shape[1] != len(CLASSES):
            raise ShapeError(
                f"{classifier.name}: posteriors of shape {list(posteriors.shape)}; expected "
                f"[T, {len(CLASSES)}]."
            )
        heard.append(Heard(reference, posteriors, hop, first_centre))
        report(number, len(chosen))
    return heard


def judge_heard(
    classifier: Classifier,
    heard: Sequence[Heard],
    decoding: Decoding | None = None,
    *,
    log_bigram: NDArray[Any] | None = None,
) -> Judgement:
    """Judges what a classifier has heard; see `judge`."""
    decoding = decoding or Decoding()
    priors = classifier.priors
    answers, sentences = [], []
    frames: dict[str, NDArray[np.int64]] = {}
    for each in heard:
        if isinstance(each.reference, Digit):
            answers.append(_answer(each, each.reference, decoding, priors))
            continue
        sentences.append(_errors(each, each.reference, decoding, priors, log_bigram))
        if each.reference.timed:
            confusion = frame_confusion(each, each.reference.timed, decoding.frame_seconds)
            before = frames.get(each.reference.part, np.zeros_like(confusion))
            frames[each.reference.part] = before + confusion
    return Judgement(
        classifier.name,
        decoding,
        "uniform" if log_bigram is None else "counted",
        tuple(answers),
        tuple(sentences),
        frames,
    )


def recognise_digit(
    heard: Heard, decoding: Decoding, priors: NDArray[Any] | None = None
) -> int | None:
    """Returns the digit whose pronunciation aligns best; None if no frame sequence can hold one."""
    scores = decoding.scores(heard.posteriors, priors, decoding.digit_prior_scale)
    fits = alignment_scores(
        scores,
        [phones for _, phones in _CANDIDATES],
        around=_AROUND,
        min_frames=frames_of(decoding.digit_min_seconds, heard.hop),
    )
    best = int(fits.argmax())
    return _CANDIDATES[best][0] if np.isfinite(fits[best]) else None


def recognise_phones(
    heard: Heard,
    decoding: Decoding,
    priors: NDArray[Any] | None = None,
    log_bigram: NDArray[Any] | None = None,
) -> list[str]:
    """Returns the phones of the best path through the phone loop, silence and noise left out.

    Scores are of frames of `decoding.UNIT_SECONDS`, whatever the frames of the classifier, so that
    weights and penalties mean the same for all.
    """
    scores = decoding.scores(heard.posteriors, priors, decoding.loop_prior_scale)
    path = phone_loop(
        scores * decoding.score_scale(heard.hop),
        log_bigram,
        language_weight=decoding.language_weight,
        insertion_penalty=decoding.insertion_penalty,
        min_frames=frames_of(decoding.loop_min_seconds, heard.hop),
        outside=CLASS_OF[SILENCE],
    )
    return [CLASSES[number] for number in runs(path) if number not in _AROUND]


def frame_confusion(
    heard: Heard, timed: Sequence[TimedPhone], frame_seconds: float | None
) -> NDArray[np.int64]:
    """Counts most likely classes (columns) by the class that is there (rows): int64 [41, 41].

    Args:
        heard: posteriors of the recording.
        timed: phones in order; what lies between them is not counted.
        frame_seconds: from one compared moment to the next, each with the classifier's nearest
            frame; None: the centres of the classifier's own frames.
    """
    n_frames = len(heard.posteriors)
    if not n_frames or not timed:
        return np.zeros((len(CLASSES),) * 2, np.int64)
    if frame_seconds is None:
        moments = heard.first_centre + heard.hop * np.arange(n_frames)
    else:
        moments = frame_seconds * (np.arange(int(timed[-1].end / frame_seconds + 0.5)) + 0.5)
    starts, ends = (np.array([getattr(p, edge) for p in timed]) for edge in ("start", "end"))
    place = np.searchsorted(starts, moments, side="right") - 1
    inside = (place >= 0) & (moments < ends[place])
    truth = np.array([CLASS_OF[phone.phone] for phone in timed])[place[inside]]
    nearest = np.rint((moments[inside] - heard.first_centre) / heard.hop).astype(np.int64)
    said = heard.posteriors[np.clip(nearest, 0, n_frames - 1)].argmax(axis=1)
    return counted(truth, said, len(CLASSES))


def _answer(
    heard: Heard, digit: Digit, decoding: Decoding, priors: NDArray[Any] | None
) -> DigitAnswer:
    said = recognise_digit(heard, decoding, priors)
    return DigitAnswer(digit.part, digit.speaker, digit.digit, said)


def _errors(
    heard: Heard,
    sentence: Sentence,
    decoding: Decoding,
    priors: NDArray[Any] | None,
    log_bigram: NDArray[Any] | None,
) -> SentenceErrors:
    said = recognise_phones(heard, decoding, priors, log_bigram)
    wanted, got = ([merged(phone) for phone in phones] for phones in (sentence.phones, said))
    return SentenceErrors(
        sentence.path.stem, sentence.source, sentence.part, edits(wanted, got), tuple(said)
    )
