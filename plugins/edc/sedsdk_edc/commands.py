"""`sedsdk plot edc`: what EDC makes of a recording."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sedsdk import Detector
    from sedsdk_edc.plots import Conditioning

app = typer.Typer(rich_markup_mode=None)

ALPHA = 7.0
CONDITIONER = "edc/edc"
ATTENTION_LAYER = "attention"
FRONTEND = {
    "window_seconds": 0.04,
    "hop_seconds": 0.02,
    "window": "hamming",
    "n_mels": 64,
    "floor": 1e-7,
}
"""The paper's Section 3.1; the rate is the recording's own."""
HIGHEST_RATE = 44100
FFT_SIZE = 2048
LONG_SECONDS = 300.0
"""Recordings above take EDC, whose time grows with the square of theirs, more than seconds."""


@app.command("edc")
def draw_edc(
    audio: Annotated[Path, typer.Argument(help="Audio file.")],
    alpha: Annotated[
        float | None,
        typer.Option(help="α, in frames; if not given, that of the detector, else 7."),
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Detector trained with EDC, for its probabilities."),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE", help="Detector with self-attention, for its bottleneck features."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Manifest or event list that holds the true events of the recording."),
    ] = None,
    begin: Annotated[
        float | None, typer.Option("--from", metavar="S", help="Draw from this second on.")
    ] = None,
    end: Annotated[
        float | None, typer.Option("--to", metavar="S", help="Draw up to this second.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to draw to: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Draw a recording before and after EDC, each frame's range, and what models make of it.

    Without a detector the features are the paper's; with one trained with EDC, they are its own.
    The whole recording is conditioned and heard, whatever part of it is drawn.
    """
    from sedsdk import DataError, load
    from sedsdk.cli.models import bundle_of
    from sedsdk.cli.plot import reference_events
    from sedsdk.cli.screen import progress
    from sedsdk.runtime.representations import frame_representations
    from sedsdk_edc.plots import plot_edc

    if alpha is not None and not 0 < alpha < math.inf:
        raise typer.BadParameter(f"--alpha is a number of frames above 0, got {alpha:g}")
    true_events = None if reference is None else reference_events(reference, audio)
    model = None if detector is None else load(bundle_of(detector))
    other = None if beside is None else load(bundle_of(beside))
    if other is not None and ATTENTION_LAYER not in dict(other.pipeline.encoder.named_modules()):
        raise DataError(
            f"{beside}: its encoder has no self-attention layer. --beside wants a detector whose "
            "encoder is crnn with self_attention: true."
        )
    clip = _conditioning(audio, model, alpha)
    prediction = bottleneck = None
    if model is not None:
        prediction = model.predict(audio)
    if other is not None:
        with progress("self-attention", "blocks") as update:
            bottleneck = frame_representations(other, audio, layer=ATTENTION_LAYER, on_block=update)
    span = None
    if begin is not None or end is not None:
        span = (begin or 0.0, clip.seconds[1] if end is None else end)
    path = out or Path(f"{audio.stem}.edc.png")
    plot_edc(clip, prediction, bottleneck, true_events, audio.name, path, span=span)
    print(path)


def _conditioning(audio: Path, model: Detector | None, alpha: float | None) -> Conditioning:
    """Conditions a recording as a detector does, or as the paper does if there is none."""
    import torch

    from sedsdk import default_host, part
    from sedsdk.audio import read_audio, resample
    from sedsdk.cli.screen import warn
    from sedsdk.plots.bands import BandAxis, band_axis
    from sedsdk_edc.plots import Conditioning

    samples, rate = read_audio(audio)
    stream, trained = (None, None) if model is None else _edc_of(model)
    if model is not None and stream is None:
        warn("warning: the detector was trained without EDC; it hears what is not conditioned.")
    if trained is not None and alpha not in (None, trained):
        warn(f"warning: the detector was trained with α = {trained:g}; drawing {alpha:g}.")
    if stream is not None and model is not None:
        frontend: Any = model.pipeline.frontends[stream]
        reads = getattr(model.pipeline.encoder.config, "stream", "main")
        bands = band_axis(model.pipeline) if reads == stream else BandAxis(frontend.spec.size)
    else:
        frontend_rate = min(int(rate), HIGHEST_RATE)
        ref = part("log_mel", sample_rate=frontend_rate, n_fft=FFT_SIZE, **FRONTEND)
        kind, config = ref.resolve("frontend", default_host())
        frontend = kind(config)
        bands = BandAxis(frontend.spec.size, (0.0, frontend_rate / 2))
    waveform = torch.as_tensor(resample(samples, rate, frontend.sample_rate))
    waveform = waveform.float().unsqueeze(0).to(frontend.device)
    seconds = waveform.shape[1] / frontend.sample_rate
    if seconds > LONG_SECONDS:
        warn(f"conditioning {seconds / 60:.0f} min of sound; this may take minutes")
    with torch.inference_mode():
        features = frontend(waveform, torch.tensor([waveform.shape[1]], device=waveform.device))
    values = features.clip(0).values[0].float().cpu().numpy()
    return Conditioning.of(values, features.grid, alpha or trained or ALPHA, bands)


def _edc_of(model: Detector) -> tuple[str | None, float | None]:
    """Returns the stream that a detector conditions by EDC, and its α; None for both if none."""
    pipeline = model.pipeline
    for ref, conditioner in zip(pipeline.config.conditioners, pipeline.conditioners, strict=True):
        if pipeline.host.find("conditioner", ref.part).qualified_name == CONDITIONER:
            config: Any = conditioner.config
            return config.streams[0], config.alpha
    return None, None
