"""`sedsdk plot tsne`: how encoders arrange frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sedsdk.plots.frame_samples import FrameSample

SCORE_COLUMNS = ("model", "frames", "silhouette", "in the map", "by class")


def draw_tsne(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="RUN_OR_BUNDLE...", help="Runs or saved detectors, up to six."),
    ],
    clips: Annotated[Path, typer.Option(help="Manifest of the clips to take frames from.")],
    split: Annotated[str | None, typer.Option(help="Only this split of the manifest.")] = None,
    frames: Annotated[
        int, typer.Option(min=2, max=20_000, help="Frames to draw, spread evenly over the clips.")
    ] = 2000,
    perplexity: Annotated[
        float, typer.Option(min=1.0, help="About how many neighbours of a frame count.")
    ] = 30.0,
    seed: Annotated[int, typer.Option(min=0, help="Of what is random in t-SNE.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to draw to: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Draw how encoders arrange frames (t-SNE), coloured by label, one panel per model.

    Prints how separable the classes are: the mean silhouette, 1 for tight clusters far apart, 0 or
    less for a mixture.
    """
    from sedsdk.cli import EXIT_SOME_FAILED
    from sedsdk.cli.models import load_models
    from sedsdk.cli.screen import in_words, print_table, progress, warn
    from sedsdk.data.manifest import Clip, Manifest
    from sedsdk.plots.frame_samples import evenly, sample_frames
    from sedsdk.plots.tsne import plot_tsne, tsne_map

    manifest = Manifest.read(clips)
    chosen = evenly((manifest.split(split) if split else manifest).clips, frames)
    failed: dict[str, str] = {}

    def note(clip: Clip, error: Exception) -> None:
        failed[clip.id] = in_words(error)

    samples, maps = {}, {}
    for name, detector in load_models(models).items():
        with progress(f"{name}: listening", "clips") as update:
            samples[name] = sample_frames(detector, chosen, update, note)
        warn(f"{name}: arranging {len(samples[name])} frames of {len(chosen)} clips")
        maps[name] = tsne_map(samples[name].values, perplexity, seed)
    path = out or Path(f"{clips.stem}.tsne.png")
    plot_tsne(samples, maps, f"frames of {clips.name}, arranged by t-SNE", path)
    print_table(SCORE_COLUMNS, score_rows(samples, maps), right=SCORE_COLUMNS[1:4])
    print(path)
    for message in failed.values():
        warn(f"error: {message}")
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def score_rows(
    samples: Mapping[str, FrameSample], maps: Mapping[str, npt.NDArray[np.floating]]
) -> list[list[str]]:
    """Returns a row per model: its name, frames scored, and silhouettes as `separability` says."""
    from sedsdk.plots.tsne import separability

    rows = []
    for name, sample in samples.items():
        inside, in_map = separability(sample.values, sample), separability(maps[name], sample)
        if inside is None or in_map is None:
            rows.append([name, "0", "–", "–", "fewer than two classes are labelled"])
            continue
        frames = f"{inside.n_frames}{'' if inside.strong else ' by tag'}"
        shares = ", ".join(f"{label} {value:.2f}" for label, value in inside.by_class.items())
        rows.append([name, frames, f"{inside.score:.2f}", f"{in_map.score:.2f}", shares])
    return rows
