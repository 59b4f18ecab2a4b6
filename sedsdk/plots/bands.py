"""The frequency axis of a map that an encoder draws over the bands of its frontend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sedsdk.audio.mel import MelScale, hz_to_mel
from sedsdk.plots.spectrogram import TICKS_HERTZ
from sedsdk.types import MAIN_STREAM

SHARES = (0.0, 0.5, 1.0)
SHOWN_HERTZ = TICKS_HERTZ[1::2]
"""Every second frequency of a spectrogram's axis: maps are lower."""


@dataclass(frozen=True)
class BandAxis:
    """The bands of a stream, which a map may show as they are or joined.

    Attributes:
        n_bands: of the stream.
        hertz: lower edge of the first and upper edge of the last band; None if they are unknown.
        scale: mel scale along which triangular bands are spread evenly.
    """

    n_bands: int
    hertz: tuple[float, float] | None = None
    scale: MelScale = "htk"

    def fits(self, size: int) -> bool:
        """Tells whether a map of `size` features can be these bands, joined in equal groups."""
        return 1 < size <= self.n_bands and self.n_bands % size == 0

    def share(self, hertz: float) -> float:
        """Returns where a frequency lies, 0 at the lower end of the axis and 1 at its upper end.

        Band b of n stands for the share from b / n to (b + 1) / n; its centre is the peak of its
        triangle, at (b + 1) / (n + 1) of the way from the lowest to the highest mel value.

        Raises:
            ValueError: the frequencies are unknown.
        """
        if self.hertz is None:
            raise ValueError("the frequencies of these bands are unknown")
        low, high = (float(hz_to_mel(edge, self.scale)) for edge in self.hertz)
        way = (float(hz_to_mel(hertz, self.scale)) - low) / (high - low)
        return (way * (self.n_bands + 1) - 0.5) / self.n_bands

    def ticks(self) -> tuple[list[float], list[str], str]:
        """Returns shares of the axis, what is written there, and the name of the axis."""
        if self.hertz is None:
            return list(SHARES), [f"{share:g}" for share in SHARES], "share of bands"
        shown = [value for value in SHOWN_HERTZ if 0.0 <= self.share(value) <= 1.0]
        texts = [f"{value / 1000:g}" for value in shown]
        return [self.share(value) for value in shown], texts, "kHz (mel)"


def band_axis(pipeline: Any) -> BandAxis:
    """Returns the bands of the stream that a pipeline's encoder reads.

    Args:
        pipeline: a `sedsdk.Pipeline`; the frequencies are known of a frontend whose features are
            the mel bands that its config describes, as those of `log_mel` are.
    """
    name = getattr(pipeline.encoder.config, "stream", MAIN_STREAM)
    name = name if name in pipeline.streams else MAIN_STREAM
    size, frontend = pipeline.streams[name].size, pipeline.frontends[name]
    config = frontend.config
    if getattr(config, "n_mels", None) != size or not hasattr(config, "mel_scale"):
        return BandAxis(size)
    top = config.f_max or frontend.sample_rate / 2
    return BandAxis(size, (config.f_min, top), config.mel_scale)
