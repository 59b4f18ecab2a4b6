"""The stream of speech embeddings as an encoder reads it: aligned and standardised."""

from __future__ import annotations

from torch import Tensor, nn

from sedsdk import Features, FrameGrid
from sedsdk.layers import MaskedBatchNorm
from sedsdk.types import frame_mask
from sedsdk_gradual.alignment import aligned


class SpeechEmbeddings(nn.Module):
    """Rows of an acoustic model → one standardised embedding per frame.

    Standardising subtracts each column's mean and divides by its deviation, batch normalisation
    without scale and bias: statistics of the batch in training, running ones in evaluation. The
    dense layer behind, W x + b, could take them up in W and b, so it changes how fast the layer
    learns and not what the network can compute.

    Args:
        size: D.
        standardise: false: embeddings as they are.
    """

    def __init__(self, size: int, standardise: bool) -> None:
        super().__init__()
        self.norm = MaskedBatchNorm(size).requires_grad_(False) if standardise else None

    def forward(self, stream: Features, lengths: Tensor, n_frames: int, grid: FrameGrid) -> Tensor:
        """Aligns and standardises; gradients pass to the stream, if it asks for them.

        Args:
            stream: rows [B, R, D].
            lengths: int64 [B], frames wanted of each clip.
            n_frames: T.
            grid: of the frames.

        Returns:
            [B, T, D], zero on padding.
        """
        x = aligned(stream, lengths, n_frames, grid)
        if self.norm is None:
            return x
        normed: Tensor = self.norm(x.transpose(1, 2), lengths).transpose(1, 2)
        return normed.masked_fill(~frame_mask(lengths, n_frames).unsqueeze(2), 0.0)
