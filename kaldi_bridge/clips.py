"""Clips as they are given: checked, cut to their lengths, and put together again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kaldi_bridge.errors import ShapeError


@dataclass(frozen=True)
class Clips:
    """Features of clips, with what belongs to each.

    Attributes:
        features: [B, T, F].
        counts: frames of each that count.
        ivectors: per clip one for everything [K], online ones [R, K], or None where none is needed.
        batched: whether they were given with an axis of clips, and rows are wanted like that.
    """

    features: Tensor
    counts: list[int]
    ivectors: list[Tensor | None]
    batched: bool

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yields the frames of each clip that count [T, F], and its i-vectors."""
        for clip, count, vector in zip(self.features, self.counts, self.ivectors, strict=True):
            yield clip[:count], vector

    @property
    def have_online_ivectors(self) -> bool:
        """Whether an i-vector changes within a clip."""
        return any(vector is not None and vector.dim() == 2 for vector in self.ivectors)

    @property
    def require_grad(self) -> bool:
        """Whether gradients of what was given are wanted."""
        return self.features.requires_grad or any(
            vector is not None and vector.requires_grad for vector in self.ivectors
        )

    def output_counts(self, subsampling: int) -> list[int]:
        """Returns the rows of activations of each clip."""
        return [-(-count // subsampling) for count in self.counts]

    def together(self, rows: list[Tensor], subsampling: int) -> Tensor:
        """Returns the rows of each clip as one tensor: [T', D], or [B, T', D] with zeros behind."""
        if not self.batched:
            return rows[0]
        most = -(-self.features.shape[1] // subsampling)
        return torch.stack([nn.functional.pad(part, (0, 0, 0, most - len(part))) for part in rows])


def checked_features(features: Tensor, feature_dim: int) -> Tensor:
    """Returns features as [B, T, F].

    Raises:
        ShapeError: neither [T, F] nor [B, T, F].
    """
    clips = features[None] if features.dim() == 2 else features
    if clips.dim() != 3 or clips.shape[2] != feature_dim or not len(clips):
        raise ShapeError(
            f"features of shape {list(features.shape)}: the network takes [T, {feature_dim}] or "
            f"[B, T, {feature_dim}]."
        )
    return clips


def checked_counts(clips: Tensor, lengths: Tensor | None) -> list[int]:
    """Returns the frames of each clip [B, T, F] that count.

    Raises:
        ShapeError: not one whole number per clip, from 0 to T.
    """
    if lengths is None:
        return [clips.shape[1]] * len(clips)
    if lengths.dim() != 1 or lengths.is_floating_point():
        raise ShapeError(
            f"lengths of shape {list(lengths.shape)} and type {lengths.dtype}: give whole numbers "
            f"of frames [{len(clips)}], one per clip."
        )
    counts: list[int] = lengths.tolist()
    if len(counts) != len(clips) or any(not 0 <= count <= clips.shape[1] for count in counts):
        raise ShapeError(
            f"lengths {counts} for features {list(clips.shape)}: one per clip, from 0 to "
            f"{clips.shape[1]}."
        )
    return counts


def checked_ivectors(
    ivectors: Tensor | None, dim: int, n_clips: int, batched: bool
) -> list[Tensor | None]:
    """Returns one i-vector [K] or online ones [R, K] per clip.

    Raises:
        ShapeError: none, or of another shape.
    """
    if ivectors is None:
        raise ShapeError(
            f"the network takes i-vectors of {dim} and none are given. Compute them with "
            "model.ivectors(features), or use model.embed(waveform)."
        )
    if ivectors.shape[-1:] == (dim,):
        if ivectors.dim() == 1 or (not batched and ivectors.dim() == 2):
            return [ivectors] * n_clips
        if batched and ivectors.dim() in (2, 3) and len(ivectors) == n_clips:
            return list(ivectors)
    wanted = f"[{dim}], [B, {dim}] or [B, R, {dim}]" if batched else f"[{dim}] or [R, {dim}]"
    raise ShapeError(f"i-vectors of shape {list(ivectors.shape)}: expected {wanted}.")
