"""What a layer of a detector's encoder gives for every frame, over a recording of any length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sedsdk.errors import DataError, did_you_mean
from sedsdk.runtime.attention import (
    AttentionMap,
    block_count,
    first_clip,
    joined_blocks,
    seconds_of,
)

if TYPE_CHECKING:
    from sedsdk.runtime.detector import Detector


def frame_representations(
    detector: Detector,
    audio: Any,
    sample_rate: float | None = None,
    layer: str = "",
    on_block: Callable[[int, int], None] | None = None,
) -> AttentionMap:
    """Returns what an encoder, or one layer inside it, gives for each frame of a recording.

    A recording that is heard block by block has its frames joined as its probabilities are.
    Nothing is post-processed and no observer is told.

    Args:
        detector: not used by another thread meanwhile.
        audio: as for `Detector.predict`.
        sample_rate: as for `Detector.predict`.
        layer: a module inside the encoder, as in "attention", that gives [B, T, H], or several
            values of which that is the first, with as many frames as the encoder; "" for the
            encoder's own frames, which the head reads.
        on_block: called with the number of blocks done and of all blocks, after each.

    Returns:
        Values float32 [T, H] on their grid, for as many frames as the head predicts if it predicts
        each of them.

    Raises:
        AudioError: as `Detector.predict`.
        DataError: the encoder has no such layer, or the layer gives no value per frame.
    """
    encoder, plan = detector.pipeline.encoder, detector._plan
    modules = dict(encoder.named_modules())
    if layer not in modules:
        known = [name for name in modules if name]
        raise DataError(
            f'the encoder {detector.config.encoder.part} has no layer "{layer}".'
            f"{did_you_mean(layer, known)}"
        )
    count = block_count(seconds_of(audio, sample_rate), plan)
    blocks: list[AttentionMap] = []
    given: list[Any] = []

    def keep_layer(module: Any, inputs: Any, output: Any) -> None:
        given.append(output[0] if isinstance(output, tuple) else output)

    def keep_encoded(module: Any, inputs: Any, encoded: Any) -> None:
        frames = encoded.frames
        if layer and not given:
            raise DataError(f'the encoder does not use its layer "{layer}" for this recording.')
        values = given[-1] if layer else frames.values
        if values.ndim != 3 or values.shape[:2] != frames.values.shape[:2]:
            raise DataError(
                f'layer "{layer}" gives {tuple(values.shape)}; a value per frame would be '
                f"{(*frames.values.shape[:2], 'H')}."
            )
        blocks.append(first_clip(values, frames.lengths, frames.grid))
        given.clear()
        if on_block is not None:
            on_block(len(blocks), count)

    hooks = [encoder.register_forward_hook(keep_encoded)]
    if layer:
        hooks.append(modules[layer].register_forward_hook(keep_layer))
    try:
        scores = detector.frames(audio, sample_rate)
    finally:
        for hook in hooks:
            hook.remove()
    joined = joined_blocks(layer or "frames", blocks, plan)
    if joined.grid != scores.grid:
        return joined
    return replace(joined, values=joined.values[: len(scores.probabilities)])
