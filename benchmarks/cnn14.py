"""CNN14 of PANNs as two parts, so that it is built, timed and trained like everything else.

It is an outside yardstick, written from the published layer table: no pretrained weights, no
spectrogram of its own. Convolutions and normalisations stay apart in evaluation, as in a
textbook; clips of a batch must be of equal length, because nothing here masks padding.

Source: Kong et al. 2020, "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern
Recognition" (arXiv:1912.10211), Table I, Sections II-A and VI-A; its size is in Table XII.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedsdk import EncodedSpec, Encoder, Head, PartConfig, PartSpec, StreamSpec, hookimpl
from sedsdk.layers import masked_binary_cross_entropy
from sedsdk.types import Encoded, Features, Inputs, Prediction, Targets

SEDSDK_API = (1, 1)
CLASSES = 527
"""Classes of AudioSet."""
CHANNELS = (64, 128, 256, 512, 1024, 2048)
"""Of each block; behind each but the last, time and frequency are halved."""
TIME_REDUCTION = 2 ** (len(CHANNELS) - 1)
EMBEDDING = 2048
BLOCK_DROPOUT, DENSE_DROPOUT = 0.2, 0.5
PAPER = "Kong et al. 2020, PANNs"


@hookimpl
def sedsdk_encoders() -> Iterator[PartSpec]:
    """Offers the convolutional blocks."""
    yield PartSpec("cnn14", f"{__name__}:Cnn14", "six blocks of two 3×3 convolutions", PAPER)


@hookimpl
def sedsdk_heads() -> Iterator[PartSpec]:
    """Offers global pooling and the two dense layers."""
    yield PartSpec("cnn14_tags", f"{__name__}:Cnn14Tags", "global pooling, two dense layers", PAPER)


class Cnn14(Encoder):
    """The convolutional part: [B, T, F] → [B, ⌊T / 32⌋, 2048], the mean over frequency.

    Mel bands are normalised one by one; then six times two 3×3 convolutions, each with batch
    normalisation and ReLU, with 2×2 average pooling behind all but the last.
    """

    Config = PartConfig
    time_reduction = TIME_REDUCTION

    def __init__(self, config: PartConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        source = streams["main"]
        self.bands = nn.BatchNorm1d(source.size)
        self.blocks = nn.ModuleList(
            nn.Sequential(*_normed(before, channels), *_normed(channels, channels))
            for before, channels in zip((1, *CHANNELS), CHANNELS, strict=False)
        )
        self.spec = EncodedSpec(StreamSpec(CHANNELS[-1], source.grid.reduced(TIME_REDUCTION)))

    def forward(self, inputs: Inputs) -> Encoded:
        """Encodes stream "main"; a clip needs at least 32 frames and 32 bands."""
        features = inputs.main
        x = self.bands(features.values.transpose(1, 2)).transpose(1, 2).unsqueeze(1)  # [B, 1, T, F]
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number < len(self.blocks):
                x = F.avg_pool2d(x, 2)
            x = F.dropout(x, BLOCK_DROPOUT, self.training)
        lengths = features.lengths // TIME_REDUCTION
        frames = x.mean(3).transpose(1, 2)  # [B, T // 32, 2048]
        return Encoded(Features(frames, lengths, self.spec.frames.grid))


class Cnn14Tags(Head):
    """The tagging part: maximum + mean over time, 2048 units, one sigmoid per class.

    It tags clips: the probability of a frame is that of its clip. Extras: "clip_logits" [B, C].
    """

    Config = PartConfig

    def __init__(self, config: PartConfig, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.embedding = nn.Linear(encoded.frames.size, EMBEDDING)
        self.output = nn.Linear(EMBEDDING, n_classes)

    def forward(self, encoded: Encoded) -> Prediction:
        """Predicts: frames [B, T', 2048] → clip [B, C] and frame [B, T', C] probabilities."""
        frames = encoded.frames
        x = frames.values.amax(1) + frames.values.mean(1)
        x = F.relu(self.embedding(F.dropout(x, DENSE_DROPOUT, self.training)))
        logits = self.output(F.dropout(x, DENSE_DROPOUT, self.training)).float()
        clip = torch.sigmoid(logits)
        everywhere = clip.unsqueeze(1).expand(-1, frames.values.shape[1], -1)
        return Prediction(clip, everywhere, frames.lengths, frames.grid, {"clip_logits": logits})

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Returns the binary cross-entropy of each clip's labels: [B]."""
        logits = prediction.extras["clip_logits"]
        return masked_binary_cross_entropy(logits, targets.clip, targets.clip_mask)


def _normed(before: int, channels: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, channels, 3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
