"""When each phone of espeak's is heard.

Measured on sentences full of s and sh: the noise above 3.5 kHz begins 2.5 ms before the event of
the fricative and ends 1 ms behind the next event, so the events have no offset. But they are not
always where a phonetician would cut, and three kinds of boundary are moved:

- The silence of a stop's closure (40 to 50 ms at the own rate) lies before the event, which is the
  release. Here it belongs to the stop, as it does in flite and in the speech corpora.
- The l of "tell" is heard within the vowel, whose F2 is half-way to that of l when 36 % of it are
  left (about 20 words; medians of 0.29 to 0.39 in four accents at three rates); its event comes
  when it is over. Before a vowel, l and r begin 15 % ahead.
- The Scottish r of "hard" has an event and no sound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.training.inventory import SILENCE
from kaldi_bridge.training.speech import TimedPhone
from kaldi_bridge.training.synthesis.espeak_library import PhonemeEvent
from kaldi_bridge.training.synthesis.espeak_phones import (
    OBSTRUENTS,
    VOWELS,
    Parts,
    before_r,
    parts_of,
)

_SILENCE: Parts = ((SILENCE, 1.0),)

_LIQUID_AT_THE_END = 0.36
_LIQUID_BEFORE_A_VOWEL = 0.15

_BLOCK_SECONDS = 0.005
_CLOSED = 0.1
"""Of the sound before it: ratio of root mean squares below which a stop counts as closed."""

_SHORTEST_SECONDS = 0.01


def timed_phones(
    events: list[PhonemeEvent], samples: NDArray[np.float32], sample_rate: int, accent: str
) -> tuple[TimedPhone, ...]:
    """Turns espeak's events into phones that fill the sound exactly.

    Args:
        events: the beginnings of the phonemes, in order.
        samples: the sound [N], in which closures are looked for.
        sample_rate: hertz.
        accent: "en-us", ...

    Raises:
        UnknownMnemonic: a phoneme of which is not known what phone it is.
    """
    parts = [_SILENCE, *(parts_of(event.mnemonic, accent) for event in events)]
    starts = [0, *(event.sample for event in events), len(samples)]
    _mend_r(parts, starts, samples)
    _advance_liquids(parts, starts)
    _advance_stops(parts, starts, samples, sample_rate)
    spans: list[tuple[str, float, float]] = []
    for phones, start, end in zip(parts, starts, starts[1:], strict=False):
        edge = float(start)
        for phone, share in phones:
            following = edge + share * (end - start)
            spans.append((phone, edge, following))
            edge = following
    return _merged(spans, sample_rate)


def _mend_r(parts: list[Parts], starts: list[int], samples: NDArray[np.float32]) -> None:
    """Makes an R without a sound the closure that follows or a pause, in place.

    A heard R swallows the schwa that a vowel glides to before it.
    """
    for number in range(len(parts) - 1, 0, -1):
        if parts[number][0][0] != "R":
            continue
        if np.any(samples[starts[number] : starts[number + 1]]):
            parts[number - 1] = before_r(parts[number - 1])
        else:
            following = parts[number + 1] if number + 1 < len(parts) else _SILENCE
            parts[number] = following if following[0][0] in OBSTRUENTS else _SILENCE


def _advance_liquids(parts: list[Parts], starts: list[int]) -> None:
    """Lets L and R begin within the vowel before them, in place."""
    for number in range(len(parts) - 1, 0, -1):
        phone = parts[number][0][0]
        if phone not in ("L", "R") or parts[number - 1][-1][0] not in VOWELS:
            continue
        before_vowel = number + 1 < len(parts) and parts[number + 1][0][0] in VOWELS
        share = _LIQUID_BEFORE_A_VOWEL if before_vowel or phone == "R" else _LIQUID_AT_THE_END
        starts[number] -= round(share * (starts[number] - starts[number - 1]))


def _advance_stops(
    parts: list[Parts], starts: list[int], samples: NDArray[np.float32], sample_rate: int
) -> None:
    """Gives the silence before an obstruent to it, in place."""
    for number in range(1, len(parts)):
        before, here = parts[number - 1][-1][0], parts[number][0][0]
        if here in OBSTRUENTS and before not in (SILENCE, here):
            starts[number] = _closure_start(
                samples, starts[number - 1], starts[number], sample_rate
            )


def _closure_start(samples: NDArray[np.float32], start: int, end: int, sample_rate: int) -> int:
    """Returns where the silence begins that ends at `end` and lies behind `start`."""
    block = round(_BLOCK_SECONDS * sample_rate)
    sound = samples[start : start + max((end - start) // 2, 1)]
    limit = _CLOSED**2 * float(np.mean(np.square(sound)))
    earliest = start + round(_SHORTEST_SECONDS * sample_rate)
    closed = end
    while closed - block >= earliest:
        if float(np.mean(np.square(samples[closed - block : closed]))) > limit:
            break
        closed -= block
    return closed


def _merged(spans: list[tuple[str, float, float]], sample_rate: int) -> tuple[TimedPhone, ...]:
    """Joins neighbours of one name and leaves out what has no length."""
    joined: list[TimedPhone] = []
    for phone, first, last in spans:
        start, end = first / sample_rate, last / sample_rate
        if end <= start:
            continue
        if joined and joined[-1].phone == phone:
            joined[-1] = TimedPhone(phone, joined[-1].start, end)
        else:
            joined.append(TimedPhone(phone, start, end))
    return tuple(joined)
