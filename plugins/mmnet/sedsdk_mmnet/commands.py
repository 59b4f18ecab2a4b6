"""`sedsdk plot segments`: tags, segment probabilities and attention of a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sedsdk import Detector
    from sedsdk_mmnet.plots import Heard

app = typer.Typer(rich_markup_mode=None)

HEAD_ATTENTION = "head attention"


@app.command("segments")
def draw_segments(
    bundle: Annotated[Path, typer.Argument(help="Saved detector, or the run that holds it.")],
    audio: Annotated[Path, typer.Argument(help="Audio file.")],
    beside: Annotated[
        list[Path] | None,
        typer.Option(metavar="BUNDLE", help="Another detector to draw beside it; up to two."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Manifest or event list that holds the true events of the recording."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="A class to draw; if not given, those of the reference or of the tags."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to draw to: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Draw spectrogram, reference, clip tags, segment probabilities and attention of a recording.

    For any detectors; those whose head weighs segments show their attention, too.
    """
    from sedsdk.audio import read_audio
    from sedsdk.cli.models import load_models
    from sedsdk.cli.plot import reference_events
    from sedsdk_mmnet.plots import check_count, plot_segments

    folders = [bundle, *(beside or ())]
    check_count(len(folders))
    true_events = None if reference is None else reference_events(reference, audio)
    detectors = load_models(folders)
    samples, sample_rate = read_audio(audio)
    heard = {name: _hear(name, detector, audio) for name, detector in detectors.items()}
    path = out or Path(f"{audio.stem}.segments.png")
    plot_segments(samples, sample_rate, heard, true_events, label or (), audio.name, path)
    print(path)


def _hear(name: str, detector: Detector, audio: Path) -> Heard:
    from sedsdk.cli.screen import progress
    from sedsdk.runtime.attention import predict_with_attention
    from sedsdk_mmnet.plots import Heard

    with progress(name, "blocks") as update:
        prediction, maps = predict_with_attention(detector, audio, on_block=update)
    return Heard(prediction, maps.get(HEAD_ATTENTION))
