"""Predicts clips of a manifest with a pipeline, and scores the predictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from sedsdk.config import PartRef
from sedsdk.data.manifest import Clip, Manifest
from sedsdk.errors import AudioError
from sedsdk.evaluation import ClipTags, Report, TagReport
from sedsdk.evaluation.tags import DEFAULT_THRESHOLD
from sedsdk.pipeline import Pipeline
from sedsdk.training.streams import Stored, StreamReader, clip_targets
from sedsdk.types import ClipPrediction, Event, Inputs, Targets, clip_predictions

BATCH_FRAMES = 12000
"""Most frames, padding included, in one batch of whole clips: bounds memory, not results."""

TAG_PART = "tag_threshold"

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
    def present(self) -> dict[str, tuple[str, ...]]:
        """The labels that each clip holds, by clip id; clips without any labels are left out."""
        held = {clip.id: set(clip.labels) for clip in self.clips if is_labelled(clip)}
        return {
            clip_id: tuple(label for label in self._labels if label in labels)
            for clip_id, labels in held.items()
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


def is_labelled(clip: Clip) -> bool:
    """Returns whether it is known which labels a clip holds: from tags or from events."""
    return clip.tags is not None or clip.events is not None


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


def report_on_clips(
    pipeline: Pipeline,
    predictions: Mapping[str, ClipPrediction],
    clips: ScoringClips,
    title: str,
    notes: Sequence[str] = (),
) -> Report | TagReport:
    """Scores predictions against the clips' labels.

    Clips with strong labels, of a pipeline that makes events, get a report on events and tags; in
    any other case tags alone are scored, of all clips with weak or strong labels. Clips that are
    left out are counted in the report.

    Args:
        pipeline: its post-processors run first; tags are scored at its `tag_threshold`.
        predictions: before any post-processing, by clip id.
        clips: with their labels.
        title: heading.
        notes: one line each.

    Raises:
        DataError: no clip has labels.
    """
    present, groups, reference = clips.present, clips.groups, clips.reference
    processed = {clip.id: pipeline.postprocess_clip(predictions[clip.id]) for clip in clips.clips}
    parts, thresholds = pipeline.config.postprocessors, tag_thresholds(pipeline)
    if reference and all(processed[clip_id].events is not None for clip_id in reference):
        weak, unknown = len(present) - len(reference), len(processed) - len(present)
        left_out = [
            f"{count} clips {what} are left out"
            for count, what in ((weak, "with tags and no events"), (unknown, "without labels"))
            if count
        ]
        return Report.build(
            {clip_id: processed[clip_id] for clip_id in reference},
            reference,
            groups={clip_id: groups[clip_id] for clip_id in reference},
            clip_class=clips.made_for,
            postprocessors=parts,
            tag_thresholds=thresholds,
            present={clip_id: present[clip_id] for clip_id in reference},
            title=title,
            notes=[*notes, *left_out],
        )
    return TagReport.build(
        ClipTags.of(processed, present, groups=groups, thresholds=thresholds),
        durations={
            clip_id: clip.grid.start(len(clip.frames)) for clip_id, clip in processed.items()
        },
        postprocessors=parts,
        title=title,
        notes=notes,
    )


def part_name(ref: PartRef) -> str:
    """Returns the name of a part without that of its plugin."""
    return ref.part.rsplit("/", 1)[-1]


def tag_thresholds(pipeline: Pipeline) -> dict[str, float]:
    """Returns what each class's clip probability has to exceed: 0.5 without `tag_threshold`."""
    found = dict.fromkeys(pipeline.labels, DEFAULT_THRESHOLD)
    for ref, part in zip(pipeline.config.postprocessors, pipeline.postprocessors, strict=True):
        if part_name(ref) == TAG_PART:
            given = part.config.threshold
            found.update(given if isinstance(given, Mapping) else dict.fromkeys(found, given))
    return found


def validation_scorer(
    pipeline: Pipeline, clips: ScoringClips
) -> Callable[[Sequence[ClipPrediction]], dict[str, float]]:
    """Returns the function that scores an epoch, without thresholds and with those in place.

    Clips whose labels are not known count for the loss alone. A score that no class allows is 0.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    from sedsdk.evaluation import count_events
    from sedsdk.evaluation.matching import own_clips
    from sedsdk.evaluation.rates import error_rates, f1_scores

    def mean_precision(truth: np.ndarray, scores: np.ndarray) -> float:
        present = [c for c in range(truth.shape[1]) if truth[:, c].any()]
        if not present:
            return 0.0
        return float(np.mean([average_precision_score(truth[:, c], scores[:, c]) for c in present]))

    def mean_auc(truth: np.ndarray, scores: np.ndarray) -> float:
        mixed = [c for c in range(truth.shape[1]) if 0 < truth[:, c].sum() < len(truth)]
        if not mixed:
            return 0.0
        return float(np.mean([roc_auc_score(truth[:, c], scores[:, c]) for c in mixed]))

    def score(predictions: Sequence[ClipPrediction]) -> dict[str, float]:
        ordered = clips.in_order(predictions)
        truth, scores, clip_truth, clip_scores = [], [], [], []
        for clip, prediction in zip(clips.clips, ordered, strict=True):
            if is_labelled(clip):
                held = set(clip.labels)
                clip_truth.append([label in held for label in pipeline.labels])
                clip_scores.append(prediction.clip)
            if clip.events is None:
                continue
            labels = np.zeros(prediction.frames.shape, bool)
            for event in clip.events:
                if event.label in pipeline.labels:
                    first, last = prediction.grid.span(event.onset, event.offset, len(labels))
                    labels[first:last, pipeline.labels.index(event.label)] = True
            truth.append(labels)
            scores.append(prediction.frames)
        found: dict[str, float] = {}
        if clip_truth:
            known, tagged = np.array(clip_truth), np.array(clip_scores)
            found["clip_average_precision"] = mean_precision(known, tagged)
            found["clip_auc"] = mean_auc(known, tagged)
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
