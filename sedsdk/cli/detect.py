"""`sedsdk detect`: events and tags of recordings, for people, tables or programs."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sedsdk.cli import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from sedsdk.runtime.detector import Detection

app = typer.Typer(rich_markup_mode=None)

CSV_COLUMNS = ("recording", "onset", "offset", "label", "score")


@app.command(
    epilog="Times are seconds from the start of the recording. Exit code 3: some recordings could "
    "not be read; each is named on stderr, and the rest is done."
)
def detect(
    bundle: Annotated[Path, typer.Argument(help="Folder of a saved detector.")],
    audio: Annotated[list[Path], typer.Argument(help="Audio files, or folders of them.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document per recording and line.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A row of CSV per event or tag.")] = False,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LABEL=]VALUE",
            help="Another threshold in [0, 1], for a class or for all; may be repeated.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help='Where it runs, as in "cpu" or "cuda:0".')] = "cpu",
) -> None:
    """Find events in recordings, or tag them."""
    from sedsdk.cli.recordings import audio_files
    from sedsdk.cli.screen import in_words, progress, warn
    from sedsdk.cli.thresholds import set_thresholds
    from sedsdk.runtime.detector import load

    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv.")
    files, missing = audio_files(audio)
    detector = load(bundle, device=device)
    set_thresholds(detector.pipeline, threshold or ())
    write = _JsonLines() if as_json else _CsvTable() if as_csv else _Plain()
    failed = len(missing)
    for problem in missing:
        warn(f"error: {problem}")
    with progress("listening", "recordings") as update:
        for number, detection in enumerate(detector.detect_many(files), start=1):
            path = Path(detection.path)
            if detection.error is None:
                write.found(path, detection)
            else:
                failed += 1
                reason = in_words(detection.error)
                warn(f"error: {reason}")
                write.failed(path, reason)
            if not sys.stdout.isatty():
                update(number, len(files))
    if failed:
        warn(f"{failed} of {len(files) + len(missing)} inputs failed")
        raise typer.Exit(EXIT_SOME_FAILED)


class _JsonLines:
    """One JSON document per recording; "events" and "tags" where the detector decides on them."""

    def found(self, recording: Path, detection: Detection) -> None:
        from sedsdk.cli.screen import print_json_line

        values: dict[str, Any] = {"recording": str(recording)}
        if detection.makes_events:
            values["events"] = [event.as_dict() for event in detection.events]
        if detection.tags is not None:
            values["tags"] = [
                {"label": label, "score": score} for label, score in detection.tags.items()
            ]
        print_json_line(values)

    def failed(self, recording: Path, reason: str) -> None:
        from sedsdk.cli.screen import print_json_line

        print_json_line({"recording": str(recording), "error": reason})


class _CsvTable:
    """One row per event and per tag, which has no times, below a header."""

    def __init__(self) -> None:
        self._writer: Any = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(CSV_COLUMNS)

    def found(self, recording: Path, detection: Detection) -> None:
        for event in detection.events:
            times = f"{event.onset:.3f}", f"{event.offset:.3f}"
            self._writer.writerow([recording, *times, event.label, f"{event.score:.4f}"])
        for label, score in (detection.tags or {}).items():
            self._writer.writerow([recording, "", "", label, f"{score:.4f}"])
        sys.stdout.flush()

    def failed(self, recording: Path, reason: str) -> None:
        """Leaves the table to what was found; the failure stands on stderr."""


class _Plain:
    """A paragraph per recording."""

    def found(self, recording: Path, detection: Detection) -> None:
        counts = [_count(len(detection.events), "event")] if detection.makes_events else []
        if detection.tags is not None:
            counts.append(_count(len(detection.tags), "tag"))
        print(f"{recording}: {', '.join(counts)}", flush=True)
        for event in detection.events:
            span = f"{event.onset:9.2f} – {event.offset:.2f} s"
            print(f"{span:<24}{event.label:<20}{event.score:.2f}", flush=True)
        for label, score in (detection.tags or {}).items():
            print(f"{'     tag':<24}{label:<20}{score:.2f}", flush=True)

    def failed(self, recording: Path, reason: str) -> None:
        """Leaves stdout to what was found; the failure stands on stderr."""


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number or 'no'} {what}s"
