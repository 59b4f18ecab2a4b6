"""What a judgement says: counts, shares with intervals, and a table to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.training.inventory import CLASS_OF, CLASSES, NOISE, PHONES, SILENCE, merged
from kaldi_bridge.training.judging.decoding import Decoding
from kaldi_bridge.training.judging.measures import Edits, Share, bootstrap_rate, counted

ALL = "all"
NO_ANSWER = 10
"""Column, in a confusion matrix of digits, of recordings too short for any digit."""

_SCORED = np.array([CLASS_OF[SILENCE if c == NOISE else merged(c)] for c in CLASSES])
_IS_PHONE = np.array([name in PHONES for name in CLASSES])


@dataclass(frozen=True)
class DigitAnswer:
    """What was heard in a recording of a digit.

    Attributes:
        part: "train" or "dev".
        speaker: who says it.
        digit: what is said.
        answer: what was heard; None if the recording is too short for any digit.
    """

    part: str
    speaker: str
    digit: int
    answer: int | None


@dataclass(frozen=True)
class SentenceErrors:
    """Phone errors of a sentence.

    Attributes:
        name: of the recording.
        source: folder that it comes from.
        part: "train" or "dev".
        edits: against the reference, with merged classes.
        heard: phones that were heard, not merged.
    """

    name: str
    source: str
    part: str
    edits: Edits
    heard: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Judgement:
    """How a classifier does on real speech.

    Attributes:
        name: of the classifier.
        decoding: options that were used.
        bigram: "uniform" or "counted".
        digits: an answer per recording.
        sentences: errors per recording.
        frames: part → confusion of classes, int64 [41, 41], rows are what is there; not merged.
    """

    name: str
    decoding: Decoding
    bigram: str
    digits: tuple[DigitAnswer, ...]
    sentences: tuple[SentenceErrors, ...]
    frames: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that there is anything of, "train" before "dev"."""
        found = {each.part for each in self.digits} | {each.part for each in self.sentences}
        return tuple(sorted(found, key=lambda part: (part != "train", part)))

    def digit_share(
        self, part: str = ALL, *, speaker: str | None = None, digit: int | None = None
    ) -> Share:
        """Returns how many digits were heard right, of a part, a speaker, a digit."""
        chosen = [
            each
            for each in self.digits
            if part in (ALL, each.part)
            and speaker in (None, each.speaker)
            and digit in (None, each.digit)
        ]
        return Share(sum(each.answer == each.digit for each in chosen), len(chosen))

    def digit_confusion(self, part: str = ALL) -> NDArray[np.int64]:
        """Returns counts int64 [10, 11]: said (rows), heard (columns), the last: no answer."""
        chosen = [each for each in self.digits if part in (ALL, each.part)]
        said = np.array([each.digit for each in chosen], np.int64)
        heard = np.array(
            [NO_ANSWER if each.answer is None else each.answer for each in chosen], np.int64
        )
        return counted(said, heard, NO_ANSWER + 1)[:NO_ANSWER]

    def phone_errors(self, part: str = ALL, source: str | None = None) -> Edits:
        """Returns the phone errors of a part, or of a source, all files together."""
        return reduce(Edits.__add__, self._edits(part, source), Edits())

    def phone_error_interval(
        self, part: str = ALL, source: str | None = None
    ) -> tuple[float, float] | None:
        """Returns the 95 % interval of the phone error rate over resampled files."""
        return bootstrap_rate(self._edits(part, source))

    def frame_confusion(self, part: str = ALL) -> NDArray[np.int64]:
        """Returns counts int64 [41, 41] of classes, as they are (rows) and as heard (columns)."""
        size = len(CLASSES)
        total = np.zeros((size, size), np.int64)
        for name, counts in self.frames.items():
            total += counts if part in (ALL, name) else 0
        return total

    def frame_share(self, part: str = ALL, *, silence: bool = False) -> Share:
        """Returns how many frames are right, by merged classes.

        Args:
            part: "train", "dev" or "all".
            silence: whether frames of silence count, too; noise is then as good as silence.
                Otherwise only frames in which there is a phone.
        """
        confusion = self.frame_confusion(part)
        rows = np.ones(len(CLASSES), bool) if silence else _IS_PHONE
        right = (_SCORED[:, None] == _SCORED[None, :]) & rows[:, None]
        return Share(int(confusion[right].sum()), int(confusion[rows].sum()))

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, for JSON."""
        parts = (ALL, *self.parts)
        speakers = sorted({each.speaker for each in self.digits})
        return {
            "name": self.name,
            "decoding": {**asdict(self.decoding), "bigram": self.bigram},
            "digits": {
                part: {
                    **self.digit_share(part).as_dict(),
                    "speakers": {
                        name: self.digit_share(part, speaker=name).as_dict() for name in speakers
                    },
                    "digits": [self.digit_share(part, digit=d).as_dict() for d in range(10)],
                    "confusion": self.digit_confusion(part).tolist(),
                }
                for part in parts
            },
            "phones": {
                part: {
                    **self.phone_errors(part).as_dict(),
                    "interval_95": self.phone_error_interval(part),
                    "files": [
                        {
                            "name": each.name,
                            "source": each.source,
                            **each.edits.as_dict(),
                            "heard": list(each.heard),
                        }
                        for each in self.sentences
                        if part in (ALL, each.part)
                    ],
                }
                for part in parts
            },
            "frames": {
                part: {
                    "phones": self._frames(part, silence=False),
                    "with_silence": self._frames(part, silence=True),
                    "confusion": self.frame_confusion(part).tolist(),
                }
                for part in parts
            },
        }

    def _frames(self, part: str, *, silence: bool) -> dict[str, Any]:
        """A share without an interval: neighbouring frames are far from independent."""
        share = self.frame_share(part, silence=silence).as_dict()
        del share["interval_95"]
        return share

    def _edits(self, part: str, source: str | None) -> Sequence[Edits]:
        return [
            each.edits
            for each in self.sentences
            if part in (ALL, each.part) and source in (None, each.source)
        ]

    def __str__(self) -> str:
        from kaldi_bridge.training.judging.judgement_text import judgement_text

        return judgement_text(self)
