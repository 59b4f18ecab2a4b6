"""A test's clip probabilities beside what the clips hold, in a file beside its report.

From these every score of tags can be formed again, and so can those of any resample of the clips:
that is what confidence intervals over several trainings, and of the difference between two of them,
are computed from.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sedsdk.errors import DataError
from sedsdk.evaluation.tags import (
    DEFAULT_THRESHOLD,
    TagScores,
    Thresholds,
    tag_scores,
    thresholds_of_classes,
)
from sedsdk.types import ClipPrediction

FORMAT = "sedsdk-tag-scores/1"
TAG_SCORES_NAME = "tag_scores.npz"


@dataclass(frozen=True)
class ClipTags:
    """Clip probabilities of one test, or of validation clips, with what the clips hold.

    Attributes:
        clip_ids: in the order of the rows.
        groups: recording group by clip id; None if they are not known.
        labels: class names, in the order of the columns.
        probabilities: float32 [clips, C] in [0, 1].
        truth: bool [clips, C], true where the clip holds the class; false where that is unknown.
        known: bool [clips, C], where the truth is known; nothing else is scored.
        thresholds: float64 [C], what a probability has to exceed.
    """

    clip_ids: tuple[str, ...]
    groups: Mapping[str, str] | None
    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    truth: NDArray[np.bool_]
    known: NDArray[np.bool_]
    thresholds: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        predictions: Mapping[str, ClipPrediction],
        present: Mapping[str, Collection[str]],
        *,
        groups: Mapping[str, str] | None = None,
        thresholds: Thresholds = DEFAULT_THRESHOLD,
    ) -> ClipTags:
        """Puts predictions beside labels.

        Args:
            predictions: by clip id, at least one, all with the same labels.
            present: labels that each clip holds; clips that it does not name are unknown.
            groups: recording group of each clip; None if they are not known.
            thresholds: what a clip probability has to exceed.

        Raises:
            ConfigError: the thresholds do not fit the labels.
            DataError: there are no predictions, or a clip has no group.
        """
        if not predictions:
            raise DataError("there are no clips to score. Give at least one.")
        ids = tuple(predictions)
        labels = predictions[ids[0]].labels
        if groups is not None:
            if lacking := [clip_id for clip_id in ids if clip_id not in groups]:
                raise DataError(
                    f'groups does not name the clip "{lacking[0]}". Give every clip a group.'
                )
            groups = {clip_id: groups[clip_id] for clip_id in ids}
        held = [set(present.get(clip_id, ())) for clip_id in ids]
        truth = [[label in found for label in labels] for found in held]
        known = np.array([[clip_id in present] for clip_id in ids])
        return cls(
            ids,
            groups,
            labels,
            np.stack([predictions[clip_id].clip for clip_id in ids]).astype(np.float32),
            np.array(truth, dtype=bool),
            np.repeat(known, len(labels), axis=1),
            thresholds_of_classes(thresholds, labels),
        )

    @property
    def n_unknown(self) -> int:
        """Clips of which no label is known; they are left out of every score."""
        return int((~self.known.any(axis=1)).sum())

    def known_clips(self) -> ClipTags:
        """Returns the clips of which at least one label is known."""
        rows = np.flatnonzero(self.known.any(axis=1))
        if len(rows) == len(self.clip_ids):
            return self
        return replace(
            self,
            clip_ids=tuple(self.clip_ids[row] for row in rows),
            probabilities=self.probabilities[rows],
            truth=self.truth[rows],
            known=self.known[rows],
        )

    @property
    def units(self) -> tuple[str, ...]:
        """What each clip is drawn with in a resample: its recording group, or itself."""
        if self.groups is None:
            return self.clip_ids
        return tuple(self.groups[clip_id] for clip_id in self.clip_ids)

    @property
    def unit(self) -> str:
        """What is drawn as a whole: "recording group" or "clip"."""
        return "clip" if self.units == self.clip_ids else "recording group"

    def scores(self) -> TagScores:
        """Returns scikit-learn's scores of the clips whose labels are known.

        Raises:
            DataError: a probability is not in [0, 1].
            MissingDependency: scikit-learn is not installed.
        """
        rows = self.known.all(axis=1)
        return tag_scores(
            self.probabilities[rows], self.truth[rows], self.labels, self.thresholds.tolist()
        )

    def to_bytes(self) -> bytes:
        """Returns the content of tag_scores.npz: plain arrays, no pickle."""
        arrays = {
            "format": np.array(FORMAT),
            "clips": np.array(self.clip_ids),
            "labels": np.array(self.labels),
            "probabilities": self.probabilities,
            "truth": self.truth,
            "known": self.known,
            "thresholds": self.thresholds,
        }
        if self.groups is not None:
            arrays["groups"] = np.array(self.units)
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
        return content.getvalue()


def read_clip_tags(path: str | Path) -> ClipTags:
    """Reads what a report's `write` leaves as tag_scores.npz.

    Raises:
        DataError: the file is missing, damaged or of another kind.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}. Reports of earlier versions have no scores of tags per "
            "clip; score the detector again."
        ) from None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        if str(arrays["format"]) != FORMAT:
            raise ValueError("of another format")
        ids = tuple(arrays["clips"].tolist())
        groups = None
        if "groups" in arrays:
            groups = dict(zip(ids, arrays["groups"].tolist(), strict=True))
        return ClipTags(
            ids,
            groups,
            tuple(arrays["labels"].tolist()),
            arrays["probabilities"],
            arrays["truth"],
            arrays["known"],
            arrays["thresholds"],
        )
    except (ValueError, KeyError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise DataError(
            f"{path} does not hold scores of tags of the format {FORMAT}. Score the detector again."
        ) from None


def beside_tags(parts: Sequence[ClipTags]) -> ClipTags:
    """Joins the scores of detectors for different classes into those of one for all.

    A clip that several of them were tested on stays one; where a detector was not tested on a clip,
    its classes are unknown there.

    Args:
        parts: no label twice.

    Raises:
        DataError: two of them score the same class.
    """
    if len(parts) == 1:
        return parts[0]
    labels = tuple(label for part in parts for label in part.labels)
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise DataError(
            f'the class "{twice[0]}" is scored by two models. Give every model classes of its own.'
        )
    ids = tuple(dict.fromkeys(clip_id for part in parts for clip_id in part.clip_ids))
    row_of = {clip_id: row for row, clip_id in enumerate(ids)}
    shape = (len(ids), len(labels))
    probabilities = np.zeros(shape, np.float32)
    truth, known = np.zeros(shape, bool), np.zeros(shape, bool)
    groups: dict[str, str] = {}
    column = 0
    for part in parts:
        rows = [row_of[clip_id] for clip_id in part.clip_ids]
        columns = slice(column, column + len(part.labels))
        probabilities[rows, columns] = part.probabilities
        truth[rows, columns] = part.truth
        known[rows, columns] = part.known
        groups = {**(part.groups or {}), **groups}
        column += len(part.labels)
    return ClipTags(
        ids,
        groups if all(clip_id in groups for clip_id in ids) else None,
        labels,
        probabilities,
        truth,
        known,
        np.concatenate([part.thresholds for part in parts]),
    )
