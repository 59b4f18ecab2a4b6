"""A detector: audio in, tags and timed events out. What an application embeds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sedsdk.audio import Waveform, check_waveform, read_blocks, resample
from sedsdk.config import PipelineConfig
from sedsdk.errors import AudioError, ConfigError
from sedsdk.host import Host
from sedsdk.pipeline import Pipeline
from sedsdk.runtime.blocks import (
    BLOCK_SECONDS,
    CONTEXT_SECONDS,
    Track,
    plan_blocks,
    predict_recording,
    shortest_clip,
)
from sedsdk.types import ClipPrediction, Event, FrameGrid

PathLike = str | os.PathLike[str]

READ_SECONDS = 10.0
"""Audio taken from a file at a time."""
ARRAY_NAME = "array"
"""What observers are told of a recording that came as an array."""


@dataclass(frozen=True)
class FrameScores:
    """Frame probabilities of a recording.

    Attributes:
        times: float64 [T], the centre of each frame in seconds.
        probabilities: float32 [T, C], in [0, 1].
        labels: class names in the order of the columns.
        grid: where the frames lie in time.
    """

    times: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    grid: FrameGrid


@dataclass(frozen=True)
class Detection:
    """What became of one of many recordings.

    Attributes:
        path: the recording.
        events: what was found; empty if there is an error, or if the detector only tags.
        error: why it could not be searched, or None.
        tags: label → clip probability of the labels decided to be present, in the order of the
            labels; None if there is an error, or if the detector decides on no tags.
        makes_events: False of a detector that only tags.
    """

    path: str
    events: tuple[Event, ...]
    error: Exception | None = None
    tags: Mapping[str, float] | None = None
    makes_events: bool = True


class Detector:
    """Finds sound events in files and arrays.

    Calls keep no state, so threads may share a detector. Recordings longer than two blocks go
    through the pipeline block by block and their frame probabilities are joined before anything is
    decided: memory does not grow with their length beyond those, and no event is cut at a border.

    Args:
        pipeline: trained; it is put into evaluation mode.
        shortest_clip_seconds: shorter audio is padded with zeros to this; frames of the padding
            are not returned. None: the shortest that fills a frame.
        block_seconds: about how much of a long recording is kept per pass.
        context_seconds: what each pass sees on either side of that.

    Raises:
        ConfigError: a length is out of range.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        shortest_clip_seconds: float | None = None,
        block_seconds: float = BLOCK_SECONDS,
        context_seconds: float = CONTEXT_SECONDS,
    ) -> None:
        self.pipeline = pipeline.eval()
        self.shortest_clip_seconds: float = shortest_clip_seconds or shortest_clip(pipeline)
        self._plan = plan_blocks(pipeline, block_seconds, context_seconds)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names."""
        return self.pipeline.labels

    @property
    def sample_rates(self) -> tuple[int, ...]:
        """Rates that audio is resampled to, in hertz; audio of any rate may be given."""
        return self.pipeline.sample_rates

    @property
    def grid(self) -> FrameGrid:
        """Where the frames of `frames` lie in time."""
        return self.pipeline.encoder.spec.frames.grid

    @property
    def config(self) -> PipelineConfig:
        """The pipeline as data."""
        return self.pipeline.config

    def __call__(self, audio: Any, sample_rate: float | None = None) -> list[Event]:
        """Finds events, in order of their onsets.

        Args:
            audio: path of an audio file of any rate and channel count; or samples [N] or
                [N, channels], float in [-1, 1], int16 or int32.
            sample_rate: of the samples, in hertz; not given for a path.

        Raises:
            AudioError: the audio cannot be read or holds no usable samples; an array without its
                rate, or a path with one.
            ConfigError: the pipeline has no post-processor that makes events.
        """
        events = self.predict(audio, sample_rate).events
        if events is None:
            raise _no_events()
        return list(events)

    def tags(self, audio: Any, sample_rate: float | None = None) -> dict[str, float]:
        """Returns the probability of each class, in [0, 1], anywhere in the recording.

        In a recording longer than two blocks it is the largest of its blocks'.

        Args:
            audio: as for a call.
            sample_rate: as for a call.

        Raises:
            AudioError: as for a call.
        """
        prediction, _ = self._scores(audio, sample_rate)
        return dict(zip(self.labels, prediction.clip.tolist(), strict=True))

    def frames(self, audio: Any, sample_rate: float | None = None) -> FrameScores:
        """Returns the probability of each class over time, before any post-processing.

        Args:
            audio: as for a call.
            sample_rate: as for a call.

        Raises:
            AudioError: as for a call.
        """
        prediction, _ = self._scores(audio, sample_rate)
        times = prediction.grid.times(len(prediction.frames))
        return FrameScores(times, prediction.frames, self.labels, prediction.grid)

    def predict(self, audio: Any, sample_rate: float | None = None) -> ClipPrediction:
        """Returns probabilities, decisions, events and tags at once, post-processed.

        `tags` holds the labels that `tag_threshold` decided to be present; it is None where the
        pipeline has no such part. Events end with the recording at the latest. Observers are told
        of them.

        Args:
            audio: as for a call.
            sample_rate: as for a call.

        Raises:
            AudioError: as for a call.
        """
        prediction, seconds = self._scores(audio, sample_rate)
        prediction = self.pipeline.postprocess_clip(prediction)
        if prediction.events is None:
            return prediction
        events = tuple(
            replace(event, onset=min(event.onset, seconds), offset=min(event.offset, seconds))
            for event in prediction.events
        )
        recording = os.fspath(audio) if _is_path(audio) else ARRAY_NAME
        self.pipeline.host.notify("sedsdk_events_detected", recording=recording, events=events)
        return replace(prediction, events=events)

    def detect_many(
        self,
        paths: Iterable[PathLike],
        on_error: Callable[[str, Exception], None] | None = None,
    ) -> Iterator[Detection]:
        """Searches many recordings, or tags them; one that fails is reported, the rest are done.

        Args:
            paths: audio files.
            on_error: called with the path and the error of each that fails.

        Yields:
            One `Detection` per path, in order, as soon as it is done.

        Raises:
            ConfigError: the pipeline has no post-processor that makes events or decides on tags.
        """
        for path in paths:
            detection = self._detect(os.fspath(path))
            if detection.error is not None and on_error is not None:
                on_error(detection.path, detection.error)
            yield detection

    def _detect(self, path: str) -> Detection:
        try:
            found = self.predict(path)
            if found.events is None and found.tags is None:
                raise _no_events()
            tags = None
            if found.tags is not None:
                probability = dict(zip(found.labels, found.clip.tolist(), strict=True))
                tags = {label: probability[label] for label in found.tags}
            return Detection(path, found.events or (), None, tags, found.events is not None)
        except ConfigError:
            raise
        except Exception as error:  # whatever one recording provokes, the others go on
            return Detection(path, (), error)

    def _scores(self, audio: Any, sample_rate: float | None) -> tuple[ClipPrediction, float]:
        tracks = self._tracks(audio, sample_rate)
        return predict_recording(self.pipeline, tracks, self._plan, self.shortest_clip_seconds)

    def _tracks(self, audio: Any, sample_rate: float | None) -> dict[int, Track]:
        if _is_path(audio):
            if sample_rate is not None:
                raise AudioError(
                    f"{os.fspath(audio)}: a file states its own sample rate. "
                    "Leave sample_rate out, or pass samples instead of a path."
                )
            return {rate: Track(_pieces(audio, rate), rate) for rate in self.sample_rates}
        if sample_rate is None:
            raise AudioError(
                "samples were given without their sample rate. Pass it in hertz: "
                "detector(samples, sample_rate=44100)"
            )
        samples = check_waveform(audio, sample_rate)
        return {
            rate: Track(iter([resample(samples, sample_rate, rate)]), rate)
            for rate in self.sample_rates
        }


def load(
    path: PathLike,
    device: str = "cpu",
    host: Host | None = None,
    *,
    block_seconds: float = BLOCK_SECONDS,
    context_seconds: float = CONTEXT_SECONDS,
) -> Detector:
    """Loads a saved detector.

    Args:
        path: the folder that `sedsdk train` or `save_bundle` wrote.
        device: where to compute, as in "cpu" or "cuda".
        host: plugin host; None for the default one.
        block_seconds: about how much of a long recording is kept per pass.
        context_seconds: what each pass sees on either side of that.

    Raises:
        BundleError: the folder is missing, damaged, changed where it may not be, or a pickle.
        MissingPlugin: a plugin that it needs is missing, too old or of another API version.
        ConfigError: a length is out of range.

    Example:
        >>> detector = sedsdk.load("models/babycry")
        >>> for event in detector("night.wav"):
        ...     print(event.onset, event.offset, event.label)
    """
    from sedsdk.runtime.bundle import open_bundle

    config, pipeline = open_bundle(path, host, device)
    return Detector(
        pipeline,
        shortest_clip_seconds=config.card.shortest_clip_seconds,
        block_seconds=block_seconds,
        context_seconds=context_seconds,
    )


def _is_path(audio: Any) -> bool:
    return isinstance(audio, (str, os.PathLike))


def _pieces(path: PathLike, sample_rate: int) -> Iterator[Waveform]:
    return (block.samples for block in read_blocks(path, sample_rate, READ_SECONDS))


def _no_events() -> ConfigError:
    return ConfigError(
        "this pipeline makes no events: it has no to_events post-processor. Add threshold (or "
        "hysteresis) and to_events, or use detector.tags, detector.frames or detector.predict."
    )
