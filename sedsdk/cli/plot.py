"""`sedsdk plot`: pictures of detections, attention, learning curves and threshold fits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sedsdk.cli.application import OpenGroup
from sedsdk.cli.tsne import draw_tsne
from sedsdk.errors import DataError

if TYPE_CHECKING:
    from sedsdk.types import Event

app = typer.Typer(
    cls=OpenGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Draw recordings, what detectors make of them, and training runs.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

CURVES_FILE = "curves.csv"
THRESHOLDS_FILE = "thresholds.json"
TAG_THRESHOLD = "tag_threshold.threshold"

BundlePath = Annotated[Path, typer.Argument(help="Folder of a saved detector.")]
AudioPath = Annotated[Path, typer.Argument(help="Audio file.")]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a training run.")]
ReferencePath = Annotated[
    Path | None,
    typer.Option(help="Manifest or event list that holds the true events of the recording."),
]
ThresholdTexts = Annotated[
    list[str] | None,
    typer.Option(metavar="[LABEL=]VALUE", help="Another threshold, for a class or for all."),
]
OutPath = Annotated[Path | None, typer.Option("--out", help="File to draw to: .png, .svg or .pdf.")]


@app.command("detection")
def draw_detection(
    bundle: BundlePath,
    audio: AudioPath,
    reference: ReferencePath = None,
    threshold: ThresholdTexts = None,
    out: OutPath = None,
) -> None:
    """Draw spectrogram, probabilities, thresholds, reference and found events of a recording."""
    from sedsdk.audio import read_audio
    from sedsdk.cli.thresholds import set_thresholds
    from sedsdk.plots import plot_detection
    from sedsdk.plots.detection import decision_thresholds
    from sedsdk.runtime.detector import load

    true_events = None if reference is None else reference_events(reference, audio)
    detector = load(bundle)
    set_thresholds(detector.pipeline, threshold or ())
    samples, sample_rate = read_audio(audio)
    prediction = detector.predict(audio)
    thresholds = decision_thresholds(detector.pipeline.postprocessors, prediction)
    path = out or Path(f"{audio.stem}.detection.png")
    plot_detection(
        samples, sample_rate, prediction, true_events, audio.name, path, thresholds=thresholds
    )
    print(path)


@app.command("attention")
def draw_attention(
    bundle: BundlePath,
    audio: AudioPath,
    reference: ReferencePath = None,
    threshold: ThresholdTexts = None,
    out: OutPath = None,
    begin: Annotated[
        float | None, typer.Option("--from", metavar="S", help="Draw from this second on.")
    ] = None,
    end: Annotated[
        float | None, typer.Option("--to", metavar="S", help="Draw up to this second.")
    ] = None,
) -> None:
    """Draw spectrogram, attention maps, probabilities, reference and found events of a recording.

    The detector hears the whole recording, whatever part of it is drawn.
    """
    from sedsdk.audio import read_audio
    from sedsdk.cli.screen import progress, warn
    from sedsdk.cli.thresholds import set_thresholds
    from sedsdk.plots import plot_attention
    from sedsdk.plots.attention import MOST_MAPS
    from sedsdk.plots.bands import band_axis
    from sedsdk.plots.detection import decision_thresholds
    from sedsdk.runtime.attention import predict_with_attention
    from sedsdk.runtime.detector import load

    true_events = None if reference is None else reference_events(reference, audio)
    detector = load(bundle)
    pipeline = detector.pipeline
    set_thresholds(pipeline, threshold or ())
    samples, sample_rate = read_audio(audio, start=begin or 0.0, end=end)
    with progress("listening", "blocks") as update:
        prediction, maps = predict_with_attention(detector, audio, on_block=update)
    if not maps:
        raise DataError(
            f"{bundle}: neither encoder nor head of this detector gives attention maps."
        )
    if len(maps) > MOST_MAPS:
        warn(
            f"drawing {MOST_MAPS} of {len(maps)} maps, without {', '.join(list(maps)[MOST_MAPS:])}"
        )
    path = out or Path(f"{audio.stem}.attention.png")
    plot_attention(
        samples,
        sample_rate,
        dict(list(maps.items())[:MOST_MAPS]),
        prediction,
        true_events,
        audio.name,
        path,
        thresholds=decision_thresholds(pipeline.postprocessors, prediction),
        bands=band_axis(pipeline),
        start_seconds=begin or 0.0,
    )
    print(path)


@app.command("curves")
def draw_curves(folder: RunFolder, out: OutPath = None) -> None:
    """Draw losses and validation scores of a training run over its epochs."""
    from sedsdk.plots import plot_curves

    table = folder / CURVES_FILE if folder.is_dir() else folder
    path = out or table.with_suffix(".png")
    plot_curves(table, path, table.resolve().parent.name)
    print(path)


@app.command("thresholds")
def draw_thresholds(
    folder: RunFolder,
    field: Annotated[
        str | None,
        typer.Option(help='Field to draw, as in "hysteresis.high"; the first if not given.'),
    ] = None,
    out: OutPath = None,
) -> None:
    """Draw how the validation score of each class depended on its threshold."""
    from sedsdk.plots import plot_thresholds

    file = folder / THRESHOLDS_FILE if folder.is_dir() else folder
    name, table, chosen = read_threshold_fit(file, field)
    path = out or file.with_suffix(".png")
    plot_thresholds(table, path, chosen, field_name=name, title=file.resolve().parent.name)
    print(path)


app.command("tsne")(draw_tsne)


def reference_events(manifest: Path, audio: Path) -> list[Event]:
    """Returns the true events of one recording out of a manifest.

    Args:
        manifest: any format of `Manifest.read`.
        audio: the recording; found by its path, else by its file name.

    Raises:
        DataError: the manifest does not hold the recording, or holds no times for it.
    """
    from sedsdk.data.manifest import Manifest

    clips = Manifest.read(manifest).clips
    wanted = audio.resolve()
    own = [clip for clip in clips if clip.path.resolve() == wanted]
    own = own or [clip for clip in clips if clip.path.name == audio.name]
    if not own:
        raise DataError(f'{manifest} does not list "{audio.name}"; it lists {len(clips)} clips.')
    if any(clip.events is None for clip in own):
        raise DataError(
            f'{manifest} tags "{audio.name}" but gives no times; leave --reference out.'
        )
    return [
        type(event)(clip.start + event.onset, clip.start + event.offset, event.label, event.score)
        for clip in own
        for event in clip.events or ()
    ]


def read_threshold_fit(
    file: Path, field: str | None
) -> tuple[str, dict[str, list[tuple[float, float]]], dict[str, float]]:
    """Reads what a training run wrote of its threshold fit.

    Args:
        file: JSON of `FittedThresholds.as_dict`.
        field: a searched field, or "tag_threshold.threshold"; None for the first.

    Returns:
        The field's name; label → pairs of its value and the F1 there; label → the chosen value.

    Raises:
        DataError: the file is missing or of another kind, or the field was not searched.
    """
    import json

    try:
        fit = json.loads(file.read_text(encoding="utf-8"))
        trials, tags = fit.get("trials", []), fit.get("tags")
        searched = list(trials[0]["setting"]) if trials else []
        searched += [] if tags is None else [TAG_THRESHOLD]
        first = searched[0]
    except OSError as error:
        raise DataError(
            f"{file}: {error.strerror}; a run that fits thresholds writes it."
        ) from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise DataError(f"{file}: holds no threshold fit.") from None
    name = field or first
    if name not in searched:
        raise DataError(f'"{name}" was not searched. Searched: {", ".join(searched)}.')
    if name == TAG_THRESHOLD:
        fitted = {label: tags["thresholds"][label] for label in tags["score_table"]}
        return name, tags["score_table"], fitted
    table: dict[str, list[tuple[float, float]]] = {}
    for trial in trials:
        table.setdefault(trial["label"], []).append((trial["setting"][name], trial["f1"]))
    best: Mapping[str, Any] = fit["chosen"]
    return name, table, {label: trial["setting"][name] for label, trial in best.items()}
