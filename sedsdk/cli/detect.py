"""`sedsdk detect`: events in recordings, for people, tables or programs."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sedsdk.cli import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from sedsdk.types import Event

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
    as_csv: Annotated[bool, typer.Option("--csv", help="One line of CSV per event.")] = False,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LABEL=]VALUE",
            help="Another threshold in [0, 1], for a class or for all; may be repeated.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help='Where it runs, as in "cpu" or "cuda:0".')] = "cpu",
) -> None:
    """Find events in recordings."""
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
                write.found(path, detection.events)
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
    """One JSON document per recording."""

    def found(self, recording: Path, events: Sequence[Event]) -> None:
        from sedsdk.cli.screen import print_json_line

        print_json_line(
            {"recording": str(recording), "events": [event.as_dict() for event in events]}
        )

    def failed(self, recording: Path, reason: str) -> None:
        from sedsdk.cli.screen import print_json_line

        print_json_line({"recording": str(recording), "error": reason})


class _CsvTable:
    """One row per event, below a header."""

    def __init__(self) -> None:
        self._writer: Any = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(CSV_COLUMNS)

    def found(self, recording: Path, events: Sequence[Event]) -> None:
        for event in events:
            times = f"{event.onset:.3f}", f"{event.offset:.3f}"
            self._writer.writerow([recording, *times, event.label, f"{event.score:.4f}"])
        sys.stdout.flush()

    def failed(self, recording: Path, reason: str) -> None:
        """Leaves the table to events; the failure stands on stderr."""


class _Plain:
    """A paragraph per recording."""

    def found(self, recording: Path, events: Sequence[Event]) -> None:
        count = "1 event" if len(events) == 1 else f"{len(events) or 'no'} events"
        print(f"{recording}: {count}", flush=True)
        for event in events:
            span = f"{event.onset:9.2f} – {event.offset:.2f} s"
            print(f"{span:<24}{event.label:<20}{event.score:.2f}", flush=True)

    def failed(self, recording: Path, reason: str) -> None:
        """Leaves stdout to events; the failure stands on stderr."""
