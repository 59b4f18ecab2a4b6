"""Predicts clips of a manifest with a pipeline, fits post-processors on them, scores them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sedsdk.data.manifest import Clip, Manifest
from sedsdk.errors import AudioError
from sedsdk.evaluation import FittedPostProcessors, Report, fit_postprocessors
from sedsdk.pipeline import Pipeline
from sedsdk.training.streams import Stored, StreamReader, clip_targets
from sedsdk.types import ClipPrediction, Event, Inputs, Targets, clip_predictions

BATCH_FRAMES = 12000
"""Most frames, padding included, in one batch of whole clips: bounds memory, not results."""

DECIDING_PARTS = frozenset({"threshold", "dynamic_threshold", "hysteresis", "clip_gate"})
"""Parts whose thresholds are fitted after training; durations stay as the recipe has them."""

_MIXTURE_NAME = re.compile(r"^mixture_[^_]+_(?P<label>.+)_\d+_[0-9a-f]{32}\.")


class ScoringClips:
    """The clips of a manifest, read once and put into batches of whole clips.

    Args:
        manifest: with labels; clips that cannot be read are left out and noted in `problems`.
        reader: computes and keeps the streams.
        labels: class names in output order.
        device: where batches go.

    Attributes:
        clips: those that could be read.
        problems: one line for each other.
    """

    def __init__(
        self,
        manifest: Manifest,
        reader: StreamReader,
        labels: Sequence[str],
        device: torch.device | str,
    ) -> None:
        self._reader = reader
        self._labels = tuple(labels)
        self._device = device
        self._stored: list[Stored] = []
        self.clips: list[Clip] = []
        self.problems: list[str] = []
        for clip in manifest:
            try:
                self._stored.append(reader.read(clip))
            except AudioError as error:
                self.problems.append(str(error))
                continue
            self.clips.append(clip)
        self._batches = self._group()

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Inputs, Targets]:
        if index >= len(self):
            raise IndexError(index)
        rows = self._batches[index]
        inputs = self._reader.inputs([self._stored[row] for row in rows], self._device)
        clips = [self.clips[row] for row in rows]
        return inputs, clip_targets(clips, [0.0] * len(clips), inputs, self._labels)

    def in_order(self, predictions: Sequence[ClipPrediction]) -> list[ClipPrediction]:
        """Brings predictions, as the batches gave them, into the order of `clips`."""
        rows = [row for batch in self._batches for row in batch]
        ordered: list[ClipPrediction | None] = [None] * len(rows)
        for row, prediction in zip(rows, predictions, strict=True):
            ordered[row] = prediction
        return [prediction for prediction in ordered if prediction is not None]

    @property
    def reference(self) -> dict[str, tuple[Event, ...]]:
        """The events to find, by clip id; clips without strong labels are left out."""
        return {
            clip.id: tuple(event for event in clip.events if event.label in self._labels)
            for clip in self.clips
            if clip.events is not None
        }

    @property
    def groups(self) -> dict[str, str]:
        """Recording group by clip id."""
        return {clip.id: clip.group or clip.id for clip in self.clips}

    @property
    def made_for(self) -> dict[str, str] | None:
        """The class that each mixture was made for, as DCASE 2017 Task 2 names files; else None."""
        found = {clip.id: mixture_class(clip.id) for clip in self.clips}
        if all(label in self._labels for label in found.values()):
            return {clip_id: str(label) for clip_id, label in found.items()}
        return None

    def _group(self) -> list[list[int]]:
        main = [len(next(iter(stored.values()))) for stored in self._stored]
        batches: list[list[int]] = []
        for row in sorted(range(len(main)), key=lambda row: main[row]):
            longest = main[row]
            if batches and (len(batches[-1]) + 1) * longest <= BATCH_FRAMES:
                batches[-1].append(row)
            else:
                batches.append([row])
        return batches


def mixture_class(name: str) -> str | None:
    """Returns the class in a name like mixture_devtest_gunshot_007_<md5>.wav, or None."""
    match = _MIXTURE_NAME.match(name)
    return match["label"] if match else None


def predict_clips(pipeline: Pipeline, clips: ScoringClips) -> dict[str, ClipPrediction]:
    """Returns probabilities by clip id, before any post-processing."""
    pipeline.eval()
    predictions: list[ClipPrediction] = []
    with torch.inference_mode():
        for index in range(len(clips)):
            inputs, _ = clips[index]
            predictions += clip_predictions(pipeline(inputs), pipeline.labels)
    ordered = clips.in_order(predictions)
    return {clip.id: prediction for clip, prediction in zip(clips.clips, ordered, strict=True)}


@dataclass(frozen=True)
class Judged:
    """Predictions with what they are judged by, by clip id; clips with strong labels only.

    Attributes:
        predictions: before any post-processing.
        reference: the events to find.
        groups: recording group.
        made_for: class that each mixture was made for; None if they were not made for one.
    """

    predictions: dict[str, ClipPrediction]
    reference: dict[str, tuple[Event, ...]]
    groups: dict[str, str]
    made_for: dict[str, str] | None

    @classmethod
    def of(cls, clips: ScoringClips, predictions: Mapping[str, ClipPrediction]) -> Judged:
        """Puts the predictions of clips beside their labels."""
        reference, made_for = clips.reference, clips.made_for
        return cls(
            {clip_id: predictions[clip_id] for clip_id in reference},
            reference,
            {clip_id: clips.groups[clip_id] for clip_id in reference},
            None if made_for is None else {clip_id: made_for[clip_id] for clip_id in reference},
        )


def fit_to_clips(pipeline: Pipeline, judged: Judged) -> FittedPostProcessors | None:
    """Fits the pipeline's post-processors across recording groups and puts them in place.

    Returns None, and leaves them as they are, where the pipeline makes no events or no clip has
    strong labels.
    """
    names = [ref.part.rsplit("/", 1)[-1] for ref in pipeline.config.postprocessors]
    if not judged.reference or "to_events" not in names:
        return None
    fitted = fit_postprocessors(
        pipeline.config.postprocessors,
        judged.predictions,
        judged.reference,
        groups=judged.groups,
        clip_class=judged.made_for,
        search={name: {} for name in names if name not in DECIDING_PARTS},
        host=pipeline.host,
    )
    pipeline.set_postprocessors(fitted.postprocessors)
    return fitted


def report_on_clips(
    pipeline: Pipeline,
    predictions: Mapping[str, ClipPrediction],
    clips: ScoringClips,
    title: str,
    notes: Sequence[str] = (),
) -> Report:
    """Scores post-processed predictions against the clips' strong labels.

    Raises:
        ConfigError: the post-processors make no events.
        DataError: no clip has strong labels.
    """
    reference = clips.reference
    return Report.build(
        {clip_id: pipeline.postprocess_clip(predictions[clip_id]) for clip_id in reference},
        reference,
        groups={clip_id: clips.groups[clip_id] for clip_id in reference},
        clip_class=clips.made_for,
        postprocessors=pipeline.config.postprocessors,
        title=title,
        notes=notes,
    )


def validation_scorer(
    pipeline: Pipeline, clips: ScoringClips
) -> Callable[[Sequence[ClipPrediction]], dict[str, float]]:
    """Returns the function that scores an epoch, without thresholds and with those in place."""
    from sklearn.metrics import average_precision_score

    from sedsdk.evaluation import count_events
    from sedsdk.evaluation.matching import own_clips
    from sedsdk.evaluation.rates import error_rates, f1_scores

    def mean_precision(truth: np.ndarray, scores: np.ndarray) -> float:
        present = [c for c in range(truth.shape[1]) if truth[:, c].any()]
        if not present:
            return 0.0
        return float(np.mean([average_precision_score(truth[:, c], scores[:, c]) for c in present]))

    def score(predictions: Sequence[ClipPrediction]) -> dict[str, float]:
        ordered = clips.in_order(predictions)
        truth, scores, clip_truth, clip_scores = [], [], [], []
        for clip, prediction in zip(clips.clips, ordered, strict=True):
            labels = np.zeros(prediction.frames.shape, bool)
            held = {event.label for event in clip.events or ()} | set(clip.tags or ())
            clip_truth.append([label in held for label in pipeline.labels])
            clip_scores.append(prediction.clip)
            if clip.events is None:
                continue
            for event in clip.events:
                if event.label in pipeline.labels:
                    first, last = prediction.grid.span(event.onset, event.offset, len(labels))
                    labels[first:last, pipeline.labels.index(event.label)] = True
            truth.append(labels)
            scores.append(prediction.frames)
        precision = mean_precision(np.array(clip_truth), np.array(clip_scores))
        found = {"clip_average_precision": precision}
        if truth:
            found["frame_average_precision"] = mean_precision(
                np.concatenate(truth), np.concatenate(scores)
            )
        processed = {
            clip.id: pipeline.postprocess_clip(prediction)
            for clip, prediction in zip(clips.clips, ordered, strict=True)
            if clip.events is not None
        }
        if processed and all(clip.events is not None for clip in processed.values()):
            counts = count_events(
                clips.reference,
                {clip_id: clip.events or () for clip_id, clip in processed.items()},
                pipeline.labels,
            )
            own = own_clips(counts.clip_ids, counts.labels, clips.made_for)
            n_ref = (counts.n_ref * own).sum(0)
            n_sys = (counts.n_sys * own).sum(0)
            hits = (counts.hits * own).sum(0)
            found["event_error_rate"] = float(error_rates(n_ref + n_sys - 2 * hits, n_ref).mean())
            found["event_f1"] = float(f1_scores(hits, n_ref, n_sys).mean())
        return found

    return score
