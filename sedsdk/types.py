"""What flows between parts: five small types and the grid that turns frames into time.

    waveform ─ Frontend ─▶ Features ─ Conditioner* ─▶ Features ─ Encoder ─▶ Encoded
                                          ─ Head ─▶ Prediction ─ PostProcessor* ─▶ [Event]

Axis letters used everywhere: B clips, N samples, T frames, F features, H hidden units, C classes.
Time is seconds, frequency is hertz, audio is float32 in [-1, 1]. Importing this module imports
neither torch nor numpy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

MAIN_STREAM = "main"


@dataclass(frozen=True)
class FrameGrid:
    """Where frames lie in time: the only place where a frame index becomes seconds.

    Frame `i` has its centre at `first_seconds + i * hop_seconds` and stands for the span of one
    hop around it.

    Attributes:
        hop_seconds: distance of neighbouring frame centres, in seconds, above zero.
        first_seconds: centre of frame 0, in seconds.
    """

    hop_seconds: float
    first_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.hop_seconds > 0:
            raise ValueError(f"hop_seconds must be above 0, got {self.hop_seconds}")

    def times(self, n_frames: int) -> np.ndarray:
        """Returns the centres of the first `n_frames` frames, in seconds: float64 [T]."""
        import numpy as np

        return self.first_seconds + self.hop_seconds * np.arange(n_frames, dtype=np.float64)

    def start(self, frame: float) -> float:
        """Returns the time at which the span of `frame` begins, in seconds, at least 0."""
        return max(0.0, self.first_seconds + (frame - 0.5) * self.hop_seconds)

    def position(self, seconds: float) -> float:
        """Returns the fractional frame index whose centre lies at `seconds`."""
        return (seconds - self.first_seconds) / self.hop_seconds

    def span(self, onset: float, offset: float, n_frames: int) -> tuple[int, int]:
        """Returns the half-open frame range [first, last) that the interval covers.

        A frame belongs to the interval if its centre does; an interval that covers no centre gets
        its nearest frame, so no labelled event vanishes. An interval wholly before time 0 or
        behind the last frame gives an empty range.
        """
        first = math.ceil(self.position(onset) - 1e-6)
        last = math.ceil(self.position(offset) - 1e-6)
        if last <= first or (onset >= 0 and last <= 0):
            first = round(self.position((onset + offset) / 2))
            if onset >= 0:
                first = max(first, 0)
            last = first + 1
        return min(max(first, 0), n_frames), min(max(last, 0), n_frames)

    def reduced(self, factor: int) -> FrameGrid:
        """Returns the grid after joining every `factor` neighbouring frames into one."""
        if factor == 1:
            return self
        shift = (factor - 1) / 2 * self.hop_seconds
        return FrameGrid(self.hop_seconds * factor, self.first_seconds + shift)


@dataclass(frozen=True)
class Features:
    """One stream of frames for a batch of clips.

    Attributes:
        values: float tensor [B, T, F]; frames at and after a clip's length are padding.
        lengths: int64 tensor [B], valid frames per clip, on the same device.
        grid: where the frames lie in time.
    """

    values: Tensor
    lengths: Tensor
    grid: FrameGrid

    def mask(self) -> Tensor:
        """Returns a bool tensor [B, T], true on valid frames."""
        return frame_mask(self.lengths, self.values.shape[1])

    def zero_padded(self) -> Features:
        """Returns the same features with padding set to zero."""
        return replace(self, values=self.values.masked_fill(~self.mask().unsqueeze(-1), 0.0))

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Features:
        """Moves values and lengths to a device and casts the values to a floating dtype."""
        return replace(
            self,
            values=self.values.to(device=device, dtype=dtype),
            lengths=self.lengths.to(device=device),
        )

    def clip(self, index: int) -> Features:
        """Returns clip `index` alone, without padding: values [1, length, F]."""
        length = int(self.lengths[index])
        return replace(
            self,
            values=self.values[index : index + 1, :length],
            lengths=self.lengths[index : index + 1],
        )


def frame_mask(lengths: Tensor, n_frames: int) -> Tensor:
    """Returns a bool tensor [B, n_frames], true before the end of each clip."""
    import torch

    return torch.arange(n_frames, device=lengths.device).unsqueeze(0) < lengths.unsqueeze(1)


@dataclass(frozen=True)
class Inputs:
    """Named streams of features for one batch; a plain pipeline has one, named "main".

    Attributes:
        streams: features per stream name; all have the same batch size, hops may differ.
    """

    streams: Mapping[str, Features]

    @property
    def main(self) -> Features:
        """The stream named "main"."""
        return self.streams[MAIN_STREAM]

    @property
    def batch_size(self) -> int:
        """Clips in the batch."""
        return int(next(iter(self.streams.values())).values.shape[0])

    def __getitem__(self, name: str) -> Features:
        return self.streams[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.streams)

    def with_stream(self, name: str, features: Features) -> Inputs:
        """Returns a copy in which stream `name` holds `features`."""
        return Inputs({**self.streams, name: features})

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Inputs:
        """Moves every stream."""
        return Inputs({name: stream.to(device, dtype) for name, stream in self.streams.items()})


@dataclass(frozen=True)
class Targets:
    """What is known about a batch: clip labels, frame labels, or both, and where they are known.

    Labels are float in [0, 1] (mixup makes them fractional). A mask is true where the label is
    known; where it is false the label is ignored by every loss.

    Attributes:
        clip: [B, C] clip labels.
        clip_mask: bool [B, C].
        frames: [B, T, C] frame labels on `grid`.
        frame_mask: bool [B, T, C]; false on padding.
        grid: grid of `frames`: the one of the stream "main" until the pipeline reduces it.
    """

    clip: Tensor
    clip_mask: Tensor
    frames: Tensor
    frame_mask: Tensor
    grid: FrameGrid

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Targets:
        """Moves all tensors and casts the labels to a floating dtype."""
        return replace(
            self,
            clip=self.clip.to(device=device, dtype=dtype),
            clip_mask=self.clip_mask.to(device=device),
            frames=self.frames.to(device=device, dtype=dtype),
            frame_mask=self.frame_mask.to(device=device),
        )

    def reduced(self, factor: int, n_frames: int) -> Targets:
        """Returns targets on the grid reduced by `factor`, cut or padded to `n_frames` frames.

        A joined frame is labelled with the largest of its known frames (an event that touches
        the frame counts) and known if any of its frames is. Padding is unknown.
        """
        import torch
        import torch.nn.functional as F

        wanted = n_frames * factor
        have = self.frames.shape[1]
        labels = torch.where(self.frame_mask, self.frames, torch.zeros_like(self.frames))
        known = self.frame_mask
        if have < wanted:
            labels = F.pad(labels, (0, 0, 0, wanted - have))
            known = F.pad(known, (0, 0, 0, wanted - have))
        elif have > wanted:
            labels, known = labels[:, :wanted], known[:, :wanted]
        if factor > 1:
            batch, _, classes = labels.shape
            labels = labels.reshape(batch, n_frames, factor, classes).amax(2)
            known = known.reshape(batch, n_frames, factor, classes).any(2)
        return replace(self, frames=labels, frame_mask=known, grid=self.grid.reduced(factor))


@dataclass(frozen=True)
class Encoded:
    """What an encoder gives to a head.

    Attributes:
        frames: Features [B, T', H].
        scales: further feature maps, coarse or fine, each with its own lengths and grid.
        attention: named maps for pictures, values [B, T', F] (F = 1 for a curve over time), each
            with its own lengths and grid. An encoder may give them in evaluation mode only.
    """

    frames: Features
    scales: tuple[Features, ...] = ()
    attention: Mapping[str, Features] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """Probabilities for a batch.

    Attributes:
        clip: [B, C] clip probabilities in [0, 1].
        frames: [B, T', C] frame probabilities in [0, 1]; zero on padding.
        lengths: int64 [B], valid frames per clip.
        grid: grid of `frames`.
        extras: named tensors beside them: the logits that the head's loss needs, attention,
            segment predictions. Each has the batch as its first axis.
    """

    clip: Tensor
    frames: Tensor
    lengths: Tensor
    grid: FrameGrid
    extras: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class Event:
    """One sound event.

    Attributes:
        onset: start, in seconds from the start of the recording.
        offset: end, in seconds, not before the onset.
        label: the class's name.
        score: confidence in [0, 1].
    """

    onset: float
    offset: float
    label: str
    score: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return {
            "onset": self.onset,
            "offset": self.offset,
            "label": self.label,
            "score": self.score,
        }


@dataclass(frozen=True)
class ClipPrediction:
    """One clip's probabilities in numpy: what post-processors pass on.

    Attributes:
        labels: class names, in the order of the last axis of the arrays.
        clip: float [C] clip probabilities.
        frames: float [T, C] frame probabilities.
        grid: grid of the frames.
        active: bool [T, C] decisions, once a thresholding part has run; None before.
        events: the events found, once `to_events` has run; None before.
        tags: the labels decided to be present, once `tag_threshold` has run; None before.
    """

    labels: tuple[str, ...]
    clip: np.ndarray
    frames: np.ndarray
    grid: FrameGrid
    active: np.ndarray | None = None
    events: tuple[Event, ...] | None = None
    tags: tuple[str, ...] | None = None


def clip_predictions(prediction: Prediction, labels: tuple[str, ...]) -> list[ClipPrediction]:
    """Splits a batch into clips without padding, as float32 numpy arrays."""
    clip = prediction.clip.detach().float().cpu().numpy()
    frames = prediction.frames.detach().float().cpu().numpy()
    lengths = prediction.lengths.tolist()
    return [
        ClipPrediction(labels, clip[i], frames[i, : lengths[i]], prediction.grid)
        for i in range(len(lengths))
    ]
