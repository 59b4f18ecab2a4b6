"""`sedsdk evaluate`: scores of a saved detector on labelled recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sedsdk.cli import EXIT_SOME_FAILED
from sedsdk.errors import DataError

if TYPE_CHECKING:
    from sedsdk.evaluation import Report, TagReport

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog="Clips whose audio cannot be read are named on stderr and left out (exit code 3). "
    "Mixtures named as in DCASE 2017 Task 2 are scored as there, each class on its own mixtures. "
    "Clips with tags and no times, and detectors that only tag, give a report on tags."
)
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a saved detector.")],
    manifest: Annotated[Path, typer.Argument(help="Manifest with the true events or tags.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for report.json and report.md.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Score the clips of this split only.")] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="[LABEL=]VALUE", help="Another threshold, for a class or for all."),
    ] = None,
    device: Annotated[str, typer.Option(help='Where it runs, as in "cpu" or "cuda:0".')] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Score a detector on labelled recordings.

    Event-based, segment-based and tags, with confidence intervals.
    """
    from sedsdk.cli.scores import print_report
    from sedsdk.cli.screen import warn

    report, problems = evaluate_detector(bundle, manifest, split, threshold or (), device)
    for problem in problems:
        warn(f"error: {problem}")
    if out is not None:
        report.write(out)
    if as_json:
        print(report.to_json(), end="")
    else:
        print_report(report.to_dict())
        if out is not None:
            print(f"report  {out}")
    if problems:
        warn(f"{len(problems)} clips left out")
        raise typer.Exit(EXIT_SOME_FAILED)


def evaluate_detector(
    bundle: Path,
    manifest: Path,
    split: str | None = None,
    thresholds: list[str] | tuple[str, ...] = (),
    device: str = "cpu",
) -> tuple[Report | TagReport, list[str]]:
    """Scores a saved detector on the clips of a manifest that have strong labels, else tags.

    Args:
        bundle: folder of the detector.
        manifest: any format of `Manifest.read`.
        split: take the clips of this split only.
        thresholds: as `sedsdk.cli.thresholds.read_thresholds` reads them.
        device: as torch names it.

    Returns:
        The report, on tags alone where there are no strong labels or the detector makes no
        events; and one line per clip that could not be read.

    Raises:
        BundleError: the detector cannot be loaded.
        DataError: the manifest is malformed, or no clip of it can be scored.
        ConfigError: a threshold is wrong.
    """
    from sedsdk.cli.thresholds import set_thresholds
    from sedsdk.data.manifest import Manifest
    from sedsdk.runtime.bundle import load_bundle
    from sedsdk.training.score import ScoringClips, predict_clips, report_on_clips
    from sedsdk.training.streams import StreamReader

    listed = Manifest.read(manifest)
    if split is not None:
        listed = listed.split(split)
    pipeline = load_bundle(bundle, device=device)
    set_thresholds(pipeline, thresholds)
    clips = ScoringClips(listed, StreamReader(pipeline, None), pipeline.labels, device)
    if not clips.present:
        lost = f" The first of {len(clips.problems)} problems: " if clips.problems else ""
        raise DataError(
            f"{manifest}: no clip that can be read has labels (onset, offset and "
            "event_label, or tags)."
            f"{lost}{''.join(clips.problems[:1])}"
        )
    notes = [f"detector {bundle.name}, manifest {manifest.name}"]
    if strangers := sorted(set(listed.labels) - set(pipeline.labels)):
        notes.append(f"labels that the detector does not know: {', '.join(strangers)}")
    title = f"Scores on {manifest.stem}"
    report = report_on_clips(pipeline, predict_clips(pipeline, clips), clips, title, notes)
    return report, clips.problems
