"""Cuts, silences and noises in a labelled signal at 16 kHz: samples and phones move together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kaldi_bridge.training.inventory import NOISE, SILENCE
from kaldi_bridge.training.speech import TimedPhone
from kaldi_bridge.training.varying.filters import SAMPLE_RATE, Signal

NO_SPEECH = (SILENCE, NOISE)
MOST_OF_A_PHONE = 0.4
"""Share of the outermost phones that a cut into speech may take."""


@dataclass(frozen=True)
class Labelled:
    """A signal whose every sample belongs to one phone.

    Attributes:
        samples: [N] float32 at 16 kHz.
        names: phones, P of them.
        ends: where each ends, in samples; rising, the last one is N.
    """

    samples: Signal
    names: tuple[str, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, samples: Signal, phones: Sequence[TimedPhone], scale: float = 1.0) -> Labelled:
        """Makes one of phones whose times are multiplied by `scale`; the last one ends with N."""
        n = len(samples)
        ends = [min(round(phone.end * scale * SAMPLE_RATE), n) for phone in phones]
        ends[-1] = n
        return cls(samples, tuple(phone.phone for phone in phones), tuple(ends))._without_empty()

    @property
    def phones(self) -> tuple[TimedPhone, ...]:
        """Phones in seconds, contiguous from 0."""
        edges = [end / SAMPLE_RATE for end in (0, *self.ends)]
        return tuple(map(TimedPhone, self.names, edges[:-1], edges[1:]))

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each phone begins, in samples."""
        return (0, *self.ends[:-1])

    def spoken_samples(self) -> Signal:
        """The samples of all phones but silence and noise, one after another."""
        spoken = np.array([name not in NO_SPEECH for name in self.names])
        lengths = np.diff(self.ends, prepend=0)
        return np.asarray(self.samples[np.repeat(spoken, lengths)])

    def with_margins(self, before: float | None, behind: float | None) -> Labelled:
        """Leaves so many seconds before the first and behind the last word.

        What is too long is cut; what is too short gets digital silence. A negative number cuts
        into the word, at most 0.4 of its outermost phone; None leaves things as they are.
        Where nothing is said, nothing changes.
        """
        spoken = [i for i, name in enumerate(self.names) if name not in NO_SPEECH]
        if not spoken:
            return self
        start, end = 0, len(self.samples)
        if before is not None:
            onset, first_end = self.starts[spoken[0]], self.ends[spoken[0]]
            latest = onset + int(MOST_OF_A_PHONE * (first_end - onset))
            start = min(onset - round(before * SAMPLE_RATE), latest)
        if behind is not None:
            last_start, offset = self.starts[spoken[-1]], self.ends[spoken[-1]]
            earliest = offset - int(MOST_OF_A_PHONE * (offset - last_start))
            end = max(offset + round(behind * SAMPLE_RATE), earliest)
        longer = self.with_silence(0, max(-start, 0))
        start, end = max(start, 0), end + max(-start, 0)
        longer = longer.with_silence(len(longer.samples), max(end - len(longer.samples), 0))
        return longer._cut(start, end)

    def with_silence(self, at: int, length: int) -> Labelled:
        """Inserts digital silence before sample `at`; a phone that it splits must be silence."""
        if not length:
            return self
        zeros = np.zeros(length, np.float32)
        samples = np.concatenate([self.samples[:at], zeros, self.samples[at:]])
        before = sum(end <= at for end in self.ends)
        names = (*self.names[:before], SILENCE, *self.names[before:])
        ends = (*self.ends[:before], at + length, *(end + length for end in self.ends[before:]))
        if before < len(self.names) and self.starts[before] < at:
            names = (*names[:before], self.names[before], *names[before:])
            ends = (*ends[:before], at, *ends[before:])
        return Labelled(samples, names, ends)._joined()

    def pauses(self) -> list[int]:
        """Places where nothing is said: the beginning, each pause's middle, the end."""
        inside = [
            (start + end) // 2
            for name, start, end in zip(self.names, self.starts, self.ends, strict=True)
            if name == SILENCE
        ]
        return [0, *inside, len(self.samples)]

    def with_noises(self, stretches: Sequence[tuple[float, float]]) -> Labelled:
        """Calls silence noise from when to when, in seconds; speech stays speech."""
        is_noise = np.zeros(len(self.samples), bool)
        for start, end in stretches:
            is_noise[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = True
        names: list[str] = []
        ends: list[int] = []
        for name, start, end in zip(self.names, self.starts, self.ends, strict=True):
            inside = np.flatnonzero(np.diff(is_noise[start:end])) + start + 1
            edges = [*inside.tolist(), end] if name == SILENCE else [end]
            for piece, edge in zip([start, *edges], edges, strict=False):
                names.append(NOISE if name == SILENCE and is_noise[piece] else name)
                ends.append(edge)
        return Labelled(self.samples, tuple(names), tuple(ends))._joined()

    def _cut(self, start: int, end: int) -> Labelled:
        ends = tuple(min(max(each, start), end) - start for each in self.ends)
        return Labelled(self.samples[start:end], self.names, ends)._without_empty()

    def _without_empty(self) -> Labelled:
        return self._kept([i for i, start in enumerate(self.starts) if self.ends[i] > start])

    def _joined(self) -> Labelled:
        """Neighbours of the same class of silence or noise become one."""
        following = (*self.names[1:], "")
        return self._kept(
            [
                i
                for i, (name, after) in enumerate(zip(self.names, following, strict=True))
                if name != after or name not in NO_SPEECH
            ]
        )

    def _kept(self, kept: Sequence[int]) -> Labelled:
        names, ends = tuple(self.names[i] for i in kept), tuple(self.ends[i] for i in kept)
        return replace(self, names=names, ends=ends)
