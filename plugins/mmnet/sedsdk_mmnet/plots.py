"""What models with clip labels alone make of a recording: tags, segment probabilities, attention.

The picture is that of Figure 5 of the paper, for any recording and any detectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sedsdk import ClipPrediction, DataError, Event
from sedsdk.errors import did_you_mean
from sedsdk.plots.pictures import steps
from sedsdk.plots.spectrogram import draw_spectrogram, log_mel_spectrogram
from sedsdk.plots.style import (
    GRID_COLOUR,
    REFERENCE_SHADE,
    TEXT_COLOUR,
    class_colour,
    hide_time_labels,
    new_axes,
    new_figure,
    save,
    set_title,
)
from sedsdk.plots.tags import draw_tags
from sedsdk.plots.tracks import draw_boxes
from sedsdk.runtime.attention import AttentionMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_MODELS = 3
MOST_LABELS = 8
TOP_LABELS = 3
"""Classes that are drawn where nothing says which."""
TAG_PROBABILITY = 0.5
"""Above it a class is a tag, where no post-processor decides."""
SPECTROGRAM_HEIGHT = 2.6
ROW_HEIGHT = 0.42
CURVE_HEIGHT = 1.05


@dataclass(frozen=True)
class Heard:
    """What one model makes of a recording.

    Attributes:
        prediction: of the whole recording, post-processed.
        attention: weight of each segment, [T, 1], or of each for a class, [T, C]; None if the head
            has none.
    """

    prediction: ClipPrediction
    attention: AttentionMap | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's classes."""
        return self.prediction.labels

    @property
    def probabilities(self) -> dict[str, float]:
        """Clip probability of each class, in [0, 1]."""
        return dict(zip(self.labels, self.prediction.clip.tolist(), strict=True))

    @property
    def tags(self) -> tuple[str, ...]:
        """What it tags: as its post-processor decided, else all classes above 0.5."""
        if self.prediction.tags is not None:
            return self.prediction.tags
        scores = self.probabilities
        return tuple(label for label in self.labels if scores[label] > TAG_PROBABILITY)

    def attention_for(self, label: str | None) -> AttentionMap | None:
        """Returns the weights [T] that a class has of its own, or that all share (None).

        They are divided by their mean: 1 is the weight of a segment if all weigh the same.
        """
        if self.attention is None:
            return None
        values = self.attention.values
        own = self.attention.features == self.labels and values.shape[1] == len(self.labels)
        if own and label in self.labels:
            column = values[:, self.labels.index(label)]
        elif not own and label is None:
            column = values.mean(axis=1)
        else:
            return None
        return AttentionMap(column / (float(column.mean()) or 1.0), self.attention.grid)


def plot_segments(
    samples: npt.ArrayLike,
    sample_rate: float,
    models: Mapping[str, Heard],
    reference: Sequence[Event] | None = None,
    labels: Sequence[str] = (),
    title: str = "",
    path: str | Path | None = None,
) -> Figure:
    """Draws a recording, the tags of models, their segment probabilities and their attention.

    From above: the spectrogram with the true events; a table of clip probabilities and decided
    tags, right or wrong where the reference is known; for each class drawn, the probability of
    every segment (frame), in steps as long as the segments; the attention of the heads that have
    one, divided by its mean, once for all classes or per class, as the head has it.

    Args:
        samples: [N] in [-1, 1], one channel.
        sample_rate: hertz.
        models: name → what it made of the recording; one to three.
        reference: true events; None if they are not known (an empty sequence says: there are none).
        labels: classes to draw; none: see `chosen_labels`.
        title: written above.
        path: file to write (.png, .svg, .pdf); None only builds the figure.

    Raises:
        DataError: no model or more than three, a label that none of them has, or more than eight.
        AudioError: the samples cannot be drawn.
        MissingDependency: matplotlib is not installed.
    """
    check_count(len(models))
    rows = chosen_labels(models, reference, labels)
    columns = _tag_columns(models, reference, rows)
    attention = _attention_rows(models, rows)
    curves = len(rows) + len(attention)
    heights = [SPECTROGRAM_HEIGHT, ROW_HEIGHT * (len(models) + 0.9), *[CURVE_HEIGHT] * curves]
    figure = new_figure(1.0 + sum(heights) + 0.22 * curves)
    cells = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(60, 1))
    spectrogram = log_mel_spectrogram(samples, sample_rate)
    top = new_axes(figure, cells[0, 0])
    draw_spectrogram(top, figure.add_subplot(cells[0, 1]), spectrogram)
    top.set_xlim(0.0, spectrogram.seconds)
    known = {label for model in models.values() for label in model.labels}
    draw_boxes(top, reference or (), tuple(known), named=True)
    truth = None if reference is None else {event.label for event in reference}
    draw_tags(
        figure.add_subplot(cells[1, 0]),
        {name: model.probabilities for name, model in models.items()},
        {name: model.tags for name, model in models.items()},
        columns,
        truth,
    )
    panels = [top]

    def panel(name: str, axis: str) -> Axes:
        axes = new_axes(figure, cells[len(panels) + 1, 0], top)
        axes.set_title(name, loc="left", fontsize=11, fontweight="bold", color=TEXT_COLOUR, pad=3)
        axes.set_ylabel(axis, fontsize=10)
        axes.grid(axis="x", color=GRID_COLOUR, lw=0.8)
        panels.append(axes)
        return axes

    for label in rows:
        axes = panel(f"segment probability: {label}", "probability")
        _shade(axes, [event for event in reference or () if event.label == label])
        for index, (name, model) in enumerate(models.items()):
            if label in model.labels:
                frames = model.prediction.frames[:, model.labels.index(label)]
                curve = AttentionMap(frames, model.prediction.grid)
                _draw_steps(axes, curve, class_colour(index), name)
        axes.set_ylim(0.0, 1.02)
        axes.set_yticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
        if label == rows[0]:
            _name_models(axes, models, reference)
    for own, weights in attention:
        axes = panel("attention" + (f": {own}" if own else ""), "weight / mean")
        _shade(axes, [event for event in reference or () if own in (None, event.label)])
        for index, shown in weights.items():
            _draw_steps(axes, shown, class_colour(index), list(models)[index])
        axes.axhline(1.0, color=TEXT_COLOUR, lw=0.9, ls=(0, (4, 3)))
        axes.set_ylim(0.0, None)
    hide_time_labels(panels)
    set_title(figure, title, left_out=len(known.difference(columns)))
    return save(figure, path)


def check_count(models: int) -> None:
    """Raises `DataError` unless a picture has room for so many models."""
    if not 1 <= models <= MOST_MODELS:
        raise DataError(f"a picture holds 1 to {MOST_MODELS} models, got {models}.")


def chosen_labels(
    models: Mapping[str, Heard], reference: Sequence[Event] | None, labels: Sequence[str]
) -> list[str]:
    """Returns the classes whose segments are drawn.

    Those that are named; else those of the reference that a model has; else what the models tag;
    else the three that the first model finds most probable. Eight at most.

    Raises:
        DataError: no model has a class that was named, or more than eight were.
    """
    known = list(dict.fromkeys(label for model in models.values() for label in model.labels))
    for label in labels:
        if label not in known:
            raise DataError(
                f'no model has a class "{label}".{did_you_mean(label, known)} '
                f"There are: {', '.join(known)}."
            )
    if len(set(labels)) > MOST_LABELS:
        raise DataError(f"a picture has room for {MOST_LABELS} classes, got {len(set(labels))}.")
    if labels:
        return list(dict.fromkeys(labels))
    true = {event.label for event in reference or ()}
    tagged = {tag for model in models.values() for tag in model.tags}
    for wanted in (true, tagged):
        if found := [label for label in known if label in wanted]:
            return found[:MOST_LABELS]
    first = next(iter(models.values()))
    order = np.argsort(-first.prediction.clip, kind="stable")[:TOP_LABELS]
    return [first.labels[index] for index in sorted(order)]


def _tag_columns(
    models: Mapping[str, Heard], reference: Sequence[Event] | None, rows: Sequence[str]
) -> list[str]:
    """Returns the classes of the table: those drawn, true or tagged, then the most probable."""
    known = dict.fromkeys(label for model in models.values() for label in model.labels)
    wanted = {event.label for event in reference or ()}.union(
        *(model.tags for model in models.values())
    )
    scores = [model.probabilities for model in models.values()]
    highest = {label: max(score.get(label, 0.0) for score in scores) for label in known}
    ranked = sorted(
        known, key=lambda label: (label not in rows, label not in wanted, -highest[label])
    )
    return [label for label in known if label in ranked[:MOST_LABELS]]


def _attention_rows(
    models: Mapping[str, Heard], rows: Iterable[str]
) -> list[tuple[str | None, dict[int, AttentionMap]]]:
    """Returns the panels of attention: class (None: all), and model number → its weights."""
    panels = []
    for label in (None, *rows):
        found = {
            index: weights
            for index, model in enumerate(models.values())
            if (weights := model.attention_for(label)) is not None
        }
        if found:
            panels.append((label, found))
    return panels


def _shade(axes: Axes, events: Iterable[Event]) -> None:
    for event in events:
        axes.axvspan(event.onset, event.offset, color=REFERENCE_SHADE, lw=0, zorder=0)


def _draw_steps(axes: Axes, curve: AttentionMap, colour: str, name: str) -> None:
    heights, borders = steps(curve.values, curve.grid)
    axes.stairs(heights, borders, baseline=None, color=colour, lw=1.6, label=name)


def _name_models(
    axes: Axes, models: Mapping[str, Heard], reference: Sequence[Event] | None
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys: list[Any] = [
        Line2D([], [], color=class_colour(index), lw=2.0) for index in range(len(models))
    ]
    texts = list(models)
    if reference is not None:
        keys.append(Patch(color=REFERENCE_SHADE))
        texts.append("reference")
    axes.legend(
        keys, texts, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(keys), frameon=False,
        fontsize=9, borderaxespad=0.1,
    )  # fmt: skip
