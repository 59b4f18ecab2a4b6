"""Recordings of any length through a pipeline, block by block, in constant memory.

    recording  ───────────────────────────────────────────────▶ time
    block k    [ context ┆        kept        ┆ context ]
    block k+1                       [ context ┆        kept        ┆ context ]

Every block begins at a time that is a whole number of frames of every stream, of every scale of the
encoder, and of samples at every rate, so its frames are frames of the whole recording. With a
context that covers what the network sees around a frame, the joined frames equal those of the
whole recording; a recurrent network comes close. Parts that look at a whole clip (its minimum and
maximum, attention over all frames) look at a block with its context instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from sedsdk.audio import Waveform
from sedsdk.errors import ConfigError
from sedsdk.pipeline import Pipeline
from sedsdk.stages import Frontend
from sedsdk.types import MAIN_STREAM, ClipPrediction, FrameGrid, clip_predictions

BLOCK_SECONDS = 20.0
"""Kept part of a block, about; with its context a block is a clip of 30 s."""
CONTEXT_SECONDS = 5.0
"""What a block sees on each side of its kept part, at least."""
WHOLE_BLOCKS = 2
"""Recordings up to this many blocks go through the pipeline at once."""

_LARGEST_DENOMINATOR = 1000
_LONGEST_CLIP_SEARCHED = 1 << 30


@dataclass(frozen=True)
class BlockPlan:
    """How a long recording is cut; all in seconds, exact.

    Attributes:
        step: kept part of a block.
        context: what it sees on each side, beyond the kept part.
    """

    step: Fraction
    context: Fraction


class Track:
    """A recording at one sample rate, read forwards; holds only what may still be asked for.

    Args:
        pieces: the samples in order, float32 [N] each.
        sample_rate: hertz.
    """

    def __init__(self, pieces: Iterator[Waveform], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._pieces = pieces
        self._held = np.zeros(0, np.float32)
        self._first = 0
        self._ended = False

    @property
    def seconds(self) -> float:
        """What has been read so far, in seconds; the recording's length once it has ended."""
        return (self._first + len(self._held)) / self.sample_rate

    def ends_by(self, seconds: Fraction) -> bool:
        """True if the recording has no samples at or after `seconds`."""
        self._fill(self._index(seconds) + 1)
        return self._first + len(self._held) <= self._index(seconds)

    def read(self, start: Fraction, stop: Fraction | None) -> Waveform:
        """Returns the samples from `start` until `stop`, or the end; lets go of earlier ones."""
        last = None if stop is None else self._index(stop)
        self._fill(last)
        skipped = min(self._index(start) - self._first, len(self._held))
        self._held = self._held[skipped:].copy()
        self._first += skipped
        return self._held if last is None else self._held[: max(0, last - self._first)]

    def _index(self, seconds: Fraction) -> int:
        return round(seconds * self.sample_rate)

    def _fill(self, last: int | None) -> None:
        waiting, have = [self._held], self._first + len(self._held)
        while not self._ended and (last is None or have < last):
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
            else:
                waiting.append(piece)
                have += len(piece)
        if len(waiting) > 1:
            self._held = np.concatenate(waiting)


def plan_blocks(pipeline: Pipeline, block_seconds: float, context_seconds: float) -> BlockPlan:
    """Returns the shortest blocks and contexts on common frame borders that are as long as asked.

    Streams whose hops have no common multiple within a block are aligned to the main stream alone.

    Args:
        pipeline: whose frames are to be kept.
        block_seconds: kept part of a block, above 0.
        context_seconds: on each side, at least 0.

    Raises:
        ConfigError: a length is out of range.
    """
    if not (math.isfinite(block_seconds) and block_seconds > 0):
        raise ConfigError(f"block_seconds is {block_seconds}. Give seconds, above 0.")
    if not (math.isfinite(context_seconds) and context_seconds >= 0):
        raise ConfigError(f"context_seconds is {context_seconds}. Give seconds, at least 0.")
    main, others = _borders(pipeline)
    unit = _common_multiple([*main, *others])
    if unit > block_seconds:
        unit = _common_multiple(main)
    step = max(1, math.ceil(Fraction(block_seconds) / unit)) * unit
    return BlockPlan(step, math.ceil(Fraction(context_seconds) / unit) * unit)


def predict_recording(
    pipeline: Pipeline, tracks: Mapping[int, Track], plan: BlockPlan, shortest_seconds: float
) -> tuple[ClipPrediction, float]:
    """Runs a recording through frontends, encoder and head; nothing is post-processed.

    Args:
        pipeline: in evaluation mode.
        tracks: the recording at every rate that the pipeline asks for.
        plan: how it is cut, if it is longer than `WHOLE_BLOCKS` blocks.
        shortest_seconds: less than this is padded with zeros; the frames of the padding are left
            out of the result.

    Returns:
        The prediction, with the frames of the whole recording, float32 [T, C], and for each
        class the largest clip probability of its blocks; and the recording's length in seconds.
    """
    lead = tracks[_main_rate(pipeline)]
    clips, frames = [], []
    whole = plan.step * WHOLE_BLOCKS
    start, is_last = Fraction(0), False
    while not is_last:
        if start == 0 and lead.ends_by(whole):
            begin, stop, is_last = start, None, True
        else:
            begin = max(Fraction(0), start - plan.context)
            end = start + plan.step + plan.context
            is_last = lead.ends_by(end)
            stop = None if is_last else end
        audio = {rate: track.read(begin, stop) for rate, track in tracks.items()}
        block = _predict_block(pipeline, audio, shortest_seconds)
        first = _frames_in(start - begin, block.grid)
        last = None if is_last else first + _frames_in(plan.step, block.grid)
        frames.append(block.frames[first:last])
        clips.append(block.clip)
        start += plan.step
    clip = np.maximum.reduce(clips)
    prediction = ClipPrediction(pipeline.labels, clip, np.concatenate(frames), block.grid)
    return prediction, lead.seconds


def shortest_clip(pipeline: Pipeline) -> float:
    """Returns the length of the shortest clip that fills a frame behind the encoder, in seconds.

    That is one hop of the encoder's frames, or more if a frontend needs more for its first frames.
    """
    seconds = pipeline.encoder.spec.frames.grid.hop_seconds
    for name, frontend in _frontends(pipeline).items():
        wanted = pipeline.encoder.time_reduction if name == MAIN_STREAM else 1
        low, high = 0, 1
        while frontend.frame_count(high) < wanted and high < _LONGEST_CLIP_SEARCHED:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if frontend.frame_count(middle) < wanted:
                low = middle
            else:
                high = middle
        seconds = max(seconds, high / frontend.sample_rate)
    return seconds


def _predict_block(
    pipeline: Pipeline, audio: Mapping[int, Waveform], shortest_seconds: float
) -> ClipPrediction:
    main = _main_rate(pipeline)
    seconds = len(audio[main]) / main
    batch = {}
    for rate, samples in audio.items():
        padding = max(0, math.ceil(shortest_seconds * rate) - len(samples))
        waveform = torch.tensor(np.pad(samples, (0, padding)), device=pipeline.device)
        length = torch.tensor([len(waveform)], device=pipeline.device)
        batch[rate] = (waveform.unsqueeze(0), length)
    with torch.inference_mode():
        prediction = pipeline(pipeline.features(batch))
    block = clip_predictions(prediction, pipeline.labels)[0]
    if seconds >= shortest_seconds:
        return block
    inside = max(1, sum(block.grid.start(frame) < seconds for frame in range(len(block.frames))))
    return ClipPrediction(block.labels, block.clip, block.frames[:inside], block.grid)


def _main_rate(pipeline: Pipeline) -> int:
    return _frontends(pipeline)[MAIN_STREAM].sample_rate


def _frontends(pipeline: Pipeline) -> dict[str, Frontend]:
    return dict(pipeline.frontends.items())  # type: ignore[arg-type]


def _frames_in(seconds: Fraction, grid: FrameGrid) -> int:
    return round(float(seconds) / grid.hop_seconds)


def _borders(pipeline: Pipeline) -> tuple[list[Fraction], list[Fraction]]:
    """Returns the exact spans, in seconds, that blocks must be multiples of: main, all others."""
    rates = {name: frontend.sample_rate for name, frontend in _frontends(pipeline).items()}
    hops = {
        name: _rational(spec.grid.hop_seconds * rates[name]) / rates[name]
        for name, spec in pipeline.streams.items()
    }
    main_hop, encoded = hops.pop(MAIN_STREAM), pipeline.encoder.spec
    scales = [
        _rational(spec.grid.hop_seconds / float(main_hop)) * main_hop
        for spec in (encoded.frames, *encoded.scales)
    ]
    main = [main_hop, scales[0], Fraction(1, rates[MAIN_STREAM])]
    others = [*hops.values(), *scales[1:], *(Fraction(1, rate) for rate in rates.values())]
    return main, others


def _rational(value: float) -> Fraction:
    return Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)


def _common_multiple(values: list[Fraction]) -> Fraction:
    """Returns the least positive number that is a whole multiple of every value."""
    return Fraction(
        math.lcm(*(value.numerator for value in values)),
        math.gcd(*(value.denominator for value in values)),
    )
