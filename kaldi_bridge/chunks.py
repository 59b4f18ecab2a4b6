"""How nnet3-compute cuts a recording, which i-vector each chunk gets, and how edges are padded.

Source: nnet3/nnet-am-decodable-simple.cc.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kaldi_bridge.errors import ShapeError

MAX_FRAMES_BEHIND = 50
"""Frames that a chunk's i-vector may lie behind the last one there is."""
DEFAULT_PERIOD = 10


@dataclass(frozen=True)
class Chunk:
    """Frames `first` to `last` (excluded) of a recording, computed with one i-vector."""

    first: int
    last: int

    def rows(self, phases: int) -> int:
        """Returns rows of `phases` frames that cover it."""
        return -(-(self.last - self.first) // phases)

    def outputs(self, subsampling: int) -> int:
        """Returns its output frames."""
        return -(-(self.last - self.first) // subsampling)

    def middle(self, subsampling: int) -> int:
        """Returns the frame whose i-vector Kaldi takes: half-way from first to last output."""
        last_output = self.first + (self.outputs(subsampling) - 1) * subsampling
        return self.first + (last_output - self.first) // 2


def chunk_frames(frames_per_chunk: int | None, unit: int) -> int | None:
    """Returns the chunk's frames as Kaldi rounds them, up to a multiple of `unit`; None for all.

    Raises:
        ShapeError: less than one frame.
    """
    if frames_per_chunk is None:
        return None
    if frames_per_chunk < 1:
        raise ShapeError(f"frames_per_chunk is {frames_per_chunk}; give 1 or more, or None.")
    return -(-frames_per_chunk // unit) * unit


def cut(n_frames: int, size: int | None) -> Iterator[Chunk]:
    """Yields the chunks of a recording; one for all of it if `size` is None."""
    if size is None:
        if n_frames:
            yield Chunk(0, n_frames)
        return
    for first in range(0, n_frames, size):
        yield Chunk(first, min(first + size, n_frames))


def ivector_row(ivectors: Tensor, frame: int, period: int, offset: int = 0) -> Tensor:
    """Returns the row of online i-vectors that belongs to a frame.

    Args:
        ivectors: rows from number `offset` on [R, K].
        frame: number of the frame.
        period: frames from one row to the next.
        offset: number of the first row in `ivectors`.

    Raises:
        ShapeError: the i-vectors end too long before the frame.
    """
    row = frame // period
    n_rows = offset + len(ivectors)
    if n_rows == 0 or (row - (n_rows - 1)) * period > MAX_FRAMES_BEHIND:
        raise ShapeError(
            f"{n_rows} i-vectors, one for every {period} frames, do not reach frame {frame}. "
            "Compute them from the same features, or pass the period that they have."
        )
    return ivectors[min(row, n_rows - 1) - offset]


def padded(features: Tensor, first: int, last: int, offset: int = 0) -> Tensor:
    """Returns frames `first` to `last` (excluded) of a recording, its edges repeated beyond them.

    Args:
        features: frames from number `offset` on [n, F], n at least 1.
        first, last: may lie outside.
        offset: number of the first frame in `features`.
    """
    n = len(features)
    low, high = first - offset, last - offset
    inside = features[max(low, 0) : max(min(high, n), 0)]
    parts = []
    if low < 0:
        parts.append(features[:1].expand(min(high, 0) - low, -1))
    if len(inside):
        parts.append(inside)
    if high > n:
        parts.append(features[-1:].expand(high - max(low, n), -1))
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts) if parts else features[:0]
