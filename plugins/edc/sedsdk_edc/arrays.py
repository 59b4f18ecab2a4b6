"""`condition` and `effective_range`: EDC of arrays, NumPy or torch, without a pipeline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sedsdk.types import frame_mask
from sedsdk_edc.conditioning import conditioned, effective_ranges
from sedsdk_edc.offsets import MOST_FEATURES
from sedsdk_edc.scaled import extremes

Array = TypeVar("Array", NDArray[Any], Tensor)
Lengths = Sequence[int] | NDArray[Any] | Tensor


def condition(x: Array, alpha: float = 7.0, lengths: Lengths | None = None) -> Array:
    """Conditions log-mel features: every frame becomes a mean over its event-related range.

    The clip is scaled to [0, 1], each frame's range is estimated from its similarity to the frames
    before and after it, and the frames of the range are averaged, weighted by their similarity
    (Section 2.2 of the paper; the README lists the equations). Deterministic. A clip's result
    depends neither on padding nor on the other clips. No gradient flows.

    Args:
        x: float [T, F], or [B, T, F] with clips of up to T frames; finite. At most 1300 features.
        alpha: α, attenuation factor in frames, above 0; frames of an event reach up to α / e
            frames to either side. The paper's best: 7 for 10 s clips, 10 for 4 s clips.
        lengths: whole numbers [B] in [0, T], frames per clip; what lies behind is ignored. None: T.

    Returns:
        What was given, an array or a tensor of the same shape, dtype and device, with values in
        [0, 1] and zero padding. A single frame, as any clip, is scaled by its own lowest and
        highest value; a clip that holds only one value becomes zeros, an empty one stays empty.

    Raises:
        TypeError: `x` is neither an array nor a tensor, or does not hold floating-point numbers.
        ValueError: a wrong shape, a value that is not finite, `alpha` or a length out of range.
    """
    given = _Given.of(x, lengths, alpha)
    return given.like(x, conditioned(given.values, given.lengths, alpha))


def effective_range(
    x: Array, alpha: float = 7.0, lengths: Lengths | None = None
) -> tuple[Array, Array]:
    """Returns each frame's effective range: the first and the last frame that it is made of.

    Args:
        x: as of `condition`.
        alpha: as of `condition`.
        lengths: as of `condition`.

    Returns:
        int64 [T] or [B, T] each, of the kind and on the device of `x`: first ≤ frame ≤ last, both
        inclusive, at most ⌊α / e⌋ + 1 frames away. 0 and −1, an empty range, on padding.

    Raises:
        TypeError: as of `condition`.
        ValueError: as of `condition`.
    """
    given = _Given.of(x, lengths, alpha)
    first, last = effective_ranges(given.values, given.lengths, alpha)
    return given.like(x, first), given.like(x, last)


@dataclass(frozen=True)
class _Given:
    """Checked input as a batch.

    Attributes:
        values: float [B, T, F].
        lengths: int64 [B].
        is_batch: it was given as a batch, not as one clip.
    """

    values: Tensor
    lengths: Tensor
    is_batch: bool

    @classmethod
    def of(cls, x: Any, lengths: Lengths | None, alpha: float) -> _Given:
        if not (math.isfinite(alpha) and alpha > 0):
            raise ValueError(f"alpha is a number of frames above 0, such as 7; got {alpha}")
        values = _as_tensor(x)
        if values.dim() not in (2, 3):
            raise ValueError(
                f"x has shape {tuple(values.shape)}; give one clip [T, F] or a batch [B, T, F]"
            )
        is_batch = values.dim() == 3
        if not is_batch and lengths is not None:
            raise ValueError("lengths go with a batch [B, T, F]; cut a single clip [T, F] instead")
        if not 1 <= values.shape[-1] <= MOST_FEATURES:
            raise ValueError(
                f"x has {values.shape[-1]} features per frame; EDC takes 1 to {MOST_FEATURES}. "
                f"Group them into bands first."
            )
        values = values if is_batch else values.unsqueeze(0)
        counts = _checked_lengths(lengths, values)
        _check_finite(values, counts)
        return cls(values, counts, is_batch)

    def like(self, x: Array, result: Tensor) -> Array:
        """Returns the result as the kind of `x`; floats with its dtype too."""
        result = result if self.is_batch else result[0]
        if isinstance(x, Tensor):
            return result
        array = result.numpy()
        return array.astype(x.dtype, copy=False) if result.is_floating_point() else array


def _as_tensor(x: Any) -> Tensor:
    kind = type(x).__name__
    if isinstance(x, np.ndarray):
        if x.dtype.kind != "f" or x.dtype.itemsize > 8:
            raise TypeError(f"x holds {x.dtype}; give floats, as x.astype('float32') does")
        return torch.from_numpy(np.require(x, x.dtype.newbyteorder("="), ["C", "W"]))
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {kind}; give a NumPy array or a torch tensor")
    if not x.is_floating_point():
        raise TypeError(f"x holds {x.dtype}; give floats, as x.float() does")
    return x.detach()


def _checked_lengths(lengths: Lengths | None, values: Tensor) -> Tensor:
    batch, frames, _ = values.shape
    if lengths is None:
        return torch.full((batch,), frames, device=values.device)
    counts = torch.as_tensor(lengths, device=values.device)
    if tuple(counts.shape) != (batch,) or (batch and counts.is_floating_point()):
        raise ValueError(
            f"lengths are {counts.dtype} of shape {tuple(counts.shape)}; give one whole number "
            f"per clip, shape ({batch},)"
        )
    wrong = ((counts < 0) | (counts > frames)).nonzero().flatten().tolist()
    if wrong:
        raise ValueError(
            f"lengths[{wrong[0]}] is {int(counts[wrong[0]])}; x has {frames} frames, so give 0 to "
            f"{frames}"
        )
    return counts.long()


def _check_finite(values: Tensor, lengths: Tensor) -> None:
    if values.numel() == 0:
        return
    lowest, highest = extremes(values, frame_mask(lengths, values.shape[1]))
    wrong = (~(highest - lowest).isfinite() & (lengths > 0)).nonzero().flatten().tolist()
    if wrong:
        raise ValueError(
            f"clip {wrong[0]} holds a value that is NaN or infinite, or numbers too far apart. "
            f"Check the features; a logarithm of silence needs a floor."
        )
