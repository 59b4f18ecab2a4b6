"""Speech with the time of every phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.training.inventory import CLASS_OF, SILENCE

_MICROSECOND = 1e-6


@dataclass(frozen=True)
class TimedPhone:
    """A phone from `start` up to `end`.

    Attributes:
        phone: a name of `inventory.CLASSES`.
        start: seconds.
        end: seconds.
    """

    phone: str
    start: float
    end: float


@dataclass(frozen=True)
class Utterance:
    """A waveform whose every moment belongs to one phone.

    Attributes:
        samples: [N] float32 in [−1, 1].
        sample_rate: hertz.
        phones: contiguous from 0 to N / sample_rate, each longer than nothing.
        voice: who speaks, as str(Voice).
        text: what was read.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    phones: tuple[TimedPhone, ...]
    voice: str
    text: str

    def __post_init__(self) -> None:
        """Raises ShapeError where samples and phones do not fit together."""
        if self.samples.ndim != 1 or self.samples.dtype != np.float32:
            raise ShapeError(
                f"samples must be one channel of float32, not {self.samples.dtype} of shape "
                f"{self.samples.shape}."
            )
        if not self.phones:
            raise ShapeError("an utterance needs at least one phone: label all of it SIL.")
        edges = [0.0, *(phone.end for phone in self.phones)]
        for edge, phone in zip(edges, self.phones, strict=False):
            if abs(phone.start - edge) > _MICROSECOND or phone.end <= phone.start:
                raise ShapeError(
                    f"phones must be contiguous from 0 and of positive length: {phone} follows "
                    f"{edge:.6f} s."
                )
        if abs(edges[-1] - self.duration) > _MICROSECOND:
            raise ShapeError(
                f"the phones end at {edges[-1]:.6f} s, the samples at {self.duration:.6f} s: label "
                "the rest SIL."
            )

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


def frame_labels(
    phones: Sequence[TimedPhone],
    n_frames: int,
    *,
    shift: float = 0.01,
    first_centre: float = 0.0125,
) -> NDArray[np.uint8]:
    """Returns [n_frames] class numbers: that of the phone at each frame's centre.

    The defaults are Kaldi's frames of 25 ms every 10 ms with `snip-edges=true`. A centre that falls
    on a boundary belongs to the later phone, one behind the last phone is silence.

    Args:
        phones: contiguous from 0.
        n_frames: how many frames there are.
        shift: seconds between frames.
        first_centre: centre of frame 0 in seconds.

    Raises:
        ShapeError: there are no phones.
    """
    if not phones:
        raise ShapeError("no phones to label frames with.")
    ends = np.array([phone.end for phone in phones])  # [P]
    centres = first_centre + shift * np.arange(n_frames)  # [n_frames]
    classes = np.array([*(CLASS_OF[phone.phone] for phone in phones), CLASS_OF[SILENCE]], np.uint8)
    return classes[np.searchsorted(ends, centres + _MICROSECOND, side="right")]
