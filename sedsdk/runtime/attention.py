"""What the encoder and the head of a detector look at, over a recording of any length."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sedsdk.audio import audio_info
from sedsdk.errors import DataError
from sedsdk.types import ClipPrediction, FrameGrid

if TYPE_CHECKING:
    from sedsdk.runtime.blocks import BlockPlan
    from sedsdk.runtime.detector import Detector

HEAD_PREFIX = "head "
"""Before the names of a head's maps, so that they never hide an encoder's."""
BORDER = 1e-6
"""Share of a frame below which it does not count as part of a span."""


@dataclass(frozen=True)
class AttentionMap:
    """An attention map of one recording, in numpy.

    Attributes:
        values: float [T, F], without padding; F = 1 for a curve over time.
        grid: where its frames lie in time.
        features: names of the F features, where they have some, as a head's classes do.
    """

    values: npt.NDArray[np.floating]
    grid: FrameGrid
    features: tuple[str, ...] = ()

    def between(self, start: float, end: float) -> AttentionMap:
        """Returns the frames of which a part lies between two times, in seconds."""
        first = max(0, math.ceil(self.grid.position(start) - 0.5 + BORDER))
        stop = max(first, math.floor(self.grid.position(end) + 0.5 - BORDER) + 1)
        begin = self.grid.first_seconds + first * self.grid.hop_seconds
        grid = FrameGrid(self.grid.hop_seconds, begin)
        return replace(self, values=self.values[first:stop], grid=grid)


def predict_with_attention(
    detector: Detector,
    audio: Any,
    sample_rate: float | None = None,
    on_block: Callable[[int, int], None] | None = None,
) -> tuple[ClipPrediction, dict[str, AttentionMap]]:
    """Predicts a recording as `Detector.predict`, and keeps the attention maps on the way.

    A recording that is heard block by block has its maps joined as its frames are. Where a block
    is no whole number of a map's frames, they are moved by up to half a frame.

    Args:
        detector: not used by another thread meanwhile.
        audio: as for `Detector.predict`.
        sample_rate: as for `Detector.predict`.
        on_block: called with the number of blocks done and of all blocks, after each.

    Returns:
        The prediction; and the encoder's maps by name, then the head's (extras [B, T'] or
        [B, T', F] with "attention" in their names) as "head ...". Empty if there are none.

    Raises:
        AudioError: as `Detector.predict`.
        DataError: the recording is heard in blocks, and a map weighs the frames of a whole clip.
    """
    plan = detector._plan
    count = block_count(seconds_of(audio, sample_rate), plan)
    blocks: list[dict[str, AttentionMap]] = []

    def keep_encoded(module: Any, inputs: Any, encoded: Any) -> None:
        maps = encoded.attention.items()
        blocks.append(
            {name: first_clip(map_.values, map_.lengths, map_.grid) for name, map_ in maps}
        )

    def keep_prediction(module: Any, inputs: Any, prediction: Any) -> None:
        for name, weights in prediction.extras.items():
            if "attention" in name and weights.ndim in (2, 3):
                kept = first_clip(weights, prediction.lengths, prediction.grid)
                if kept.values.shape[1] == len(detector.labels):
                    kept = replace(kept, features=detector.labels)
                blocks[-1][HEAD_PREFIX + name] = kept
        if on_block is not None:
            on_block(len(blocks), count)

    pipeline = detector.pipeline
    hooks = [
        pipeline.encoder.register_forward_hook(keep_encoded),
        pipeline.head.register_forward_hook(keep_prediction),
    ]
    try:
        prediction = detector.predict(audio, sample_rate)
    finally:
        for hook in hooks:
            hook.remove()
    names = [name for name in blocks[0] if all(name in block for block in blocks)]
    return prediction, {
        name: joined_blocks(name, [block[name] for block in blocks], plan) for name in names
    }


def seconds_of(audio: Any, sample_rate: float | None) -> float:
    """Returns the length of a file or of samples, in seconds."""
    if isinstance(audio, str | os.PathLike):
        return audio_info(audio).duration
    return len(audio) / (sample_rate or math.inf)


def block_count(seconds: float, plan: BlockPlan) -> int:
    """Returns how many passes `predict_recording` makes."""
    from sedsdk.runtime.blocks import WHOLE_BLOCKS

    if seconds <= WHOLE_BLOCKS * plan.step:
        return 1
    return max(1, math.ceil((seconds - plan.context) / plan.step))


def first_clip(values: Any, lengths: Any, grid: FrameGrid) -> AttentionMap:
    """Returns the first clip of a batch [B, T] or [B, T, F], without its padding."""
    kept = values[0, : int(lengths[0])].detach().float().cpu().numpy()
    return AttentionMap(kept if kept.ndim == 2 else kept[:, np.newaxis], grid)


def joined_blocks(name: str, pieces: Sequence[AttentionMap], plan: BlockPlan) -> AttentionMap:
    """Joins the maps of blocks: block k is kept from k steps on, and begins a context before."""
    if len(pieces) == 1:
        return pieces[0]
    if len({piece.values.shape[1] for piece in pieces}) > 1:
        raise DataError(
            f'attention map "{name}" weighs the frames of a clip against each other, but a '
            f"recording of over {float(2 * plan.step):g} s is heard in blocks. Cut it, or load the "
            "detector with longer ones (block_seconds)."
        )
    hop = pieces[0].grid.hop_seconds
    kept = []
    for index, piece in enumerate(pieces):
        start = float(index * plan.step)
        begin = max(0.0, float(index * plan.step - plan.context))
        first = round(start / hop) - round(begin / hop)
        frames = round((start + float(plan.step)) / hop) - round(start / hop)
        stop = len(piece.values) if index == len(pieces) - 1 else first + frames
        kept.append(piece.values[first:stop])
    return replace(pieces[0], values=np.concatenate(kept))
