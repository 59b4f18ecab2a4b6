"""How an encoder arranges frames: t-SNE maps side by side, and a number that says how well.

The picture is that of Figure 3 of the EDC paper, with the frames' labels where they are known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sedsdk.errors import DataError, missing_dependency
from sedsdk.plots.frame_samples import BACKGROUND, SEVERAL, UNKNOWN, FrameSample
from sedsdk.plots.style import (
    CLASS_COLOURS,
    REFERENCE_COLOUR,
    TEXT_COLOUR,
    WIDTH_INCHES,
    class_colour,
    new_axes,
    new_figure,
    save,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PERPLEXITY = 30.0
MOST_PANELS = 6
MOST_COLUMNS = 3
MARKERS = ("o", "^", "s", "D")
"""Beyond eight classes colours come again, with the next marker."""
BACKGROUND_COLOUR = "#B4B4B4"
UNKNOWN_COLOUR = "#D9D9D9"
LEGEND_COLUMNS = 6

Values = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Separability:
    """How far apart the classes lie.

    Attributes:
        score: mean of the classes' values, so that a frequent class counts as much as a rare one.
        by_class: mean silhouette of the frames of each class, in [-1, 1]: 1 far from all others,
            0 on the border, below 0 nearer to another class than to its own.
        n_frames: frames that it is computed of.
        strong: the frames' own labels are known; False: those of their clips stand for them.
    """

    score: float
    by_class: dict[str, float]
    n_frames: int
    strong: bool


def separability(values: Values, sample: FrameSample) -> Separability | None:
    """Returns the silhouette (Rousseeuw 1987) of the labelled frames by Euclidean distance.

    Frames of several classes or none known are left out; the background is a class. If the frames
    whose own labels are known are of fewer than two classes, the labels of clips are used for all.

    Args:
        values: [N, D], the frames' representations or their places in a map.
        sample: whose labels are used.

    Returns:
        None if fewer than two classes are known.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    labels = np.array(sample.labels)
    known = (labels != SEVERAL) & (labels != UNKNOWN)
    strong = len(set(labels[known & sample.strong])) > 1
    used = known & sample.strong if strong else known
    classes = sorted(set(labels[used]))
    if not 2 <= len(classes) < used.sum():
        return None
    try:
        from sklearn.metrics import silhouette_samples
    except ImportError as error:
        raise missing_dependency("sklearn", "the silhouette of frames", "train") from error
    silhouettes = silhouette_samples(np.asarray(values, np.float64)[used], labels[used])
    by_class = {name: float(silhouettes[labels[used] == name].mean()) for name in classes}
    return Separability(
        float(np.mean(list(by_class.values()))), by_class, int(used.sum()), bool(strong)
    )


def tsne_map(values: Values, perplexity: float = PERPLEXITY, seed: int = 0) -> Values:
    """Places frames in a plane by t-SNE (van der Maaten and Hinton 2008), begun from their PCA.

    Args:
        values: [N, H], finite.
        perplexity: about the number of neighbours that count, at least 1 and below N.
        seed: of what is random; the same values give the same map.

    Returns:
        float32 [N, 2], without unit.

    Raises:
        DataError: too few frames, or values that are not finite.
        MissingDependency: scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise missing_dependency("sklearn", "t-SNE", "train") from error
    if not 1 <= perplexity < len(values):
        raise DataError(
            f"t-SNE with a perplexity of {perplexity:g} needs more frames than that, got "
            f"{len(values)}. Give a perplexity of at least 1 and below the number of frames."
        )
    if not np.isfinite(values).all():
        raise DataError("the encoder gives values that are not finite; t-SNE cannot place them.")
    begin: Any = "pca" if min(np.shape(values)) > 1 else "random"
    method = TSNE(2, perplexity=perplexity, random_state=seed, init=begin)
    return np.asarray(method.fit_transform(np.asarray(values, np.float32)))


def plot_tsne(
    samples: Mapping[str, FrameSample],
    maps: Mapping[str, Values],
    title: str = "",
    path: str | Path | None = None,
) -> Figure:
    """Draws the frames of each model in a panel of its own, coloured by label.

    Filled: the frame's own label is known. Hollow: its clip's tag. Grey: background. Above each
    panel stand the silhouettes (`separability`) of the representations and of the map.

    Args:
        samples: model → its frames; one to six models.
        maps: model → places of these frames, [N, 2], as `tsne_map` gives them.
        title: written above.
        path: file to write (.png, .svg, .pdf); None only builds the figure.

    Raises:
        DataError: there is no model or more than six, or a map has other frames.
        MissingDependency: matplotlib or scikit-learn is not installed.
    """
    if not 1 <= len(samples) <= MOST_PANELS:
        raise DataError(f"a picture holds 1 to {MOST_PANELS} models, got {len(samples)}.")
    for name, sample in samples.items():
        if name not in maps or maps[name].shape != (len(sample), 2):
            raise DataError(f'the map of "{name}" must be [{len(sample)}, 2]: a place per frame.')
    classes = _classes(samples)
    columns = min(MOST_COLUMNS, len(samples))
    rows = math.ceil(len(samples) / columns)
    side = min(WIDTH_INCHES / columns, 7.0)
    figure = new_figure(rows * (side + 0.5) + 0.8 + 0.25 * math.ceil(len(classes) / LEGEND_COLUMNS))
    cells = figure.add_gridspec(rows, columns)
    for number, (name, sample) in enumerate(samples.items()):
        axes = new_axes(figure, cells[number // columns, number % columns])
        _draw_frames(axes, sample, maps[name], classes)
        letter = f"({chr(ord('a') + number)}) " if len(samples) > 1 else ""
        axes.set_title(
            f"{letter}{name}\n", loc="left", fontsize=12, fontweight="bold", color=TEXT_COLOUR
        )
        scores = separability(sample.values, sample), separability(maps[name], sample)
        axes.annotate(
            f"{len(sample)} frames; {_score_in_words(*scores)}",
            (0.0, 1.0), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points",
            fontsize=10, color=TEXT_COLOUR,
        )  # fmt: skip
    _draw_legend(figure, classes, samples)
    set_title(figure, title)
    return save(figure, path)


def _classes(samples: Mapping[str, FrameSample]) -> dict[str, tuple[str, str]]:
    """Returns the colour and marker of every label that occurs: classes first, by name."""
    found = {label for sample in samples.values() for label in sample.labels}
    names = sorted(found - {BACKGROUND, SEVERAL, UNKNOWN})
    looks = {
        name: (class_colour(index), MARKERS[index // len(CLASS_COLOURS) % len(MARKERS)])
        for index, name in enumerate(names)
    }
    rest = ((SEVERAL, REFERENCE_COLOUR), (BACKGROUND, BACKGROUND_COLOUR), (UNKNOWN, UNKNOWN_COLOUR))
    return looks | {name: (colour, "o") for name, colour in rest if name in found}


def _draw_frames(
    axes: Axes, sample: FrameSample, places: Values, classes: Mapping[str, tuple[str, str]]
) -> None:
    labels = np.array(sample.labels)
    for name, (colour, marker) in reversed(list(classes.items())):
        for strong in (False, True):
            chosen = (labels == name) & (sample.strong == strong)
            axes.scatter(
                places[chosen, 0], places[chosen, 1], s=13, marker=marker, linewidths=0.7,
                facecolors=colour if strong else "none", edgecolors="none" if strong else colour,
                alpha=0.85, label=name,
            )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("t-SNE 1 (no unit)", fontsize=10)
    axes.set_ylabel("t-SNE 2 (no unit)", fontsize=10)


def _score_in_words(inside: Separability | None, in_map: Separability | None) -> str:
    if inside is None or in_map is None:
        return "silhouette unknown: fewer than two classes are labelled"
    basis = "" if inside.strong else ", by the clips' tags"
    return f"silhouette {inside.score:.2f}, in this map {in_map.score:.2f}{basis}"


def _draw_legend(
    figure: Figure, classes: Mapping[str, tuple[str, str]], samples: Mapping[str, FrameSample]
) -> None:
    from matplotlib.lines import Line2D

    counts = [Counter(sample.labels) for sample in samples.values()]
    alike = all(count == counts[0] for count in counts)
    keys, texts = [], []
    for name, (colour, marker) in classes.items():
        strong = any(
            label == name and is_strong
            for sample in samples.values()
            for label, is_strong in zip(sample.labels, sample.strong, strict=True)
        )
        keys.append(
            Line2D([], [], ls="", marker=marker, ms=7, mec=colour, mfc=colour if strong else "none")
        )
        facts = [f"{counts[0][name]}"] if alike else []
        if not strong and name not in (SEVERAL, UNKNOWN):
            facts.append("by tag")
        texts.append(f"{name} ({', '.join(facts)})" if facts else name)
    figure.legend(
        keys, texts, loc="outside lower left", ncols=LEGEND_COLUMNS, frameon=False, fontsize=10
    )  # fmt: skip
