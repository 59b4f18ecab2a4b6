"""`sedsdk demo`: the whole way from sounds to events, on made sounds and on real recordings."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sedsdk.cli.recordings import RECORDINGS_BESIDE, RECORDINGS_VARIABLE, recordings_folder

if TYPE_CHECKING:
    from sedsdk.data.manifest import Clip
    from sedsdk.runtime.detector import Detector
    from sedsdk.training.run import TrainingResult
    from sedsdk.types import Event

app = typer.Typer(rich_markup_mode=None)

CORPUS_RECIPE = "demo/corpus"
RECORDINGS_RECIPE = "demo/recordings"
QUICK_CHANGES = (
    "training.epochs=2",
    "training.steps_per_epoch=10",
    "data.validation.mixtures.mixtures_per_class=4",
    "data.test.mixtures.mixtures_per_class=4",
)
QUICK_CORPUS = "data.corpus_size=tiny"
TRAINING_FOLDERS = frozenset({"events", "events_other", "backgrounds", "speech"})
TRAINING_SPLITS = frozenset({"train", "training"})
REFERENCE_FILE = "reference.csv"
MOST_PER_FOLDER = 4


@app.command(
    epilog="Run it again to go on where it was interrupted. Real recordings are looked for in "
    f"--recordings, then ${RECORDINGS_VARIABLE}, then {RECORDINGS_BESIDE}."
)
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything made.")] = Path("demo"),
    recordings: Annotated[
        Path | None,
        typer.Option(help="Real recordings: events/<label>/, backgrounds/, maybe origin.csv."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Train for seconds only: shows the way, not scores.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help='As in "cpu" or "cuda:0"; a GPU where there is one.')
    ] = None,
) -> None:
    """Go the whole way, on made and on real sounds.

    Make sounds, train, score, draw; then the same on real recordings.
    """
    story = Story()
    story.chapter("1. A detector for made sounds")
    story.say(
        "Cries, breaking glass and gunshots are computed, mixed into made backgrounds and learned."
    )
    changes = [*QUICK_CHANGES, QUICK_CORPUS] if quick else []
    corpus = _learn(story, CORPUS_RECIPE, out / "corpus", changes, device)
    drawn = _draw_test_clips(story, corpus, out / "pictures")

    story.chapter("2. A detector for real recordings")
    folder = recordings_folder(recordings)
    if folder is None:
        story.say(
            f"No real recordings here: neither --recordings nor ${RECORDINGS_VARIABLE} is given, "
            f"and {RECORDINGS_BESIDE} does not exist. The detector of the made sounds searches "
            "made recordings of its test part instead; it has not heard their sounds before."
        )
        last, unheard = corpus, _as_unheard(_test_clips(corpus))[:MOST_PER_FOLDER]
    else:
        story.say(f"Recordings in {folder}; mixtures of their training part are learned.")
        changes = [
            f"data.folder={json.dumps(folder.as_posix())}",
            *(QUICK_CHANGES if quick else ()),
        ]
        last = _learn(story, RECORDINGS_RECIPE, out / "recordings", changes, device)
        drawn += _draw_test_clips(story, last, out / "pictures")
        unheard = unheard_recordings(folder) or _as_unheard(_test_clips(last))[:MOST_PER_FOLDER]

    story.chapter("3. Events in recordings that it has not heard")
    drawn += _search(story, last, unheard, out / "pictures")

    story.chapter("What is there now")
    story.say(f"detector    {last.bundle}")
    story.say(f"report      {last.folder / 'scores' / 'report.md'}")
    story.say(f"pictures    {out / 'pictures'} ({len(drawn)})")
    story.say(f"try it      sedsdk detect {last.bundle} YOUR.wav")
    story.say(f"it took     {story.minutes:.1f} min")


class Story:
    """Tells the reader what is happening and how long it took."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def minutes(self) -> float:
        """Minutes since the story began."""
        return (time.monotonic() - self._began) / 60

    def chapter(self, title: str) -> None:
        """Prints a heading."""
        print(f"\n{title}\n{'─' * len(title)}", flush=True)

    def say(self, line: str) -> None:
        """Prints a paragraph."""
        print(line, flush=True)

    def note(self, line: str) -> None:
        """Prints what a step says of itself, with the minutes gone by."""
        print(f"  [{self.minutes:4.1f} min] {line}", flush=True)


@dataclass(frozen=True)
class Unheard:
    """A recording to search.

    Attributes:
        path: audio file.
        reference: its true events; None if they are not known.
        known: what is known of it, in words.
    """

    path: Path
    reference: tuple[Event, ...] | None
    known: str


def unheard_recordings(folder: Path, most_per_folder: int = MOST_PER_FOLDER) -> list[Unheard]:
    """Finds recordings as they were made, in no training split and in no folder that is mixed from.

    Args:
        folder: with `origin.csv`, whose columns `file` and `split` say what may be searched, and
            `label` what is known; a subfolder's `reference.csv` gives true events.
        most_per_folder: how many are taken of each subfolder, evenly spread.

    Returns:
        Recordings, by subfolder and name; none without `origin.csv`.
    """
    origin = folder / "origin.csv"
    if not origin.is_file():
        return []
    labels: dict[str, dict[str, str]] = {}
    with origin.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name, split = row.get("file") or "", row.get("split") or ""
            top = name.split("/")[0]
            if "/" in name and top not in TRAINING_FOLDERS and split not in TRAINING_SPLITS:
                labels.setdefault(top, {})[name] = row.get("label") or ""
    found: list[Unheard] = []
    for top, names in sorted(labels.items()):
        reference = _reference(folder, top)
        for name in _evenly(sorted(names), most_per_folder):
            path = folder / name
            events = reference.get(path.resolve())
            known = "times known" if events is not None else f"tagged {names[name] or 'nothing'}"
            found.append(Unheard(path, events, known))
    return found


def chosen_clips(clips: Iterable[Clip]) -> list[Clip]:
    """Returns clips worth drawing: per class the first with an event, and one without any."""
    chosen: dict[str, Clip] = {}
    for clip in clips:
        labels = sorted({event.label for event in clip.events or ()}) or ["none"]
        for label in labels:
            chosen.setdefault(label, clip)
    return list({clip.id: clip for clip in chosen.values()}.values())


def _learn(
    story: Story, recipe: str, folder: Path, changes: Sequence[str], device: str | None
) -> TrainingResult:
    from sedsdk.cli.scores import print_report
    from sedsdk.cli.train import curves_picture
    from sedsdk.training.recipe import load_recipe
    from sedsdk.training.run import train

    story.note(f"recipe {recipe}, run in {folder}")
    result = train(load_recipe(recipe, None, changes), folder, device=device, say=story.note)
    story.note(f"trained; best epoch {result.best.get('epoch', 0):g}")
    curves_picture(result)
    if result.report is not None:
        print_report(result.report)
    return result


def _test_clips(result: TrainingResult) -> list[Clip]:
    from sedsdk.data.manifest import Manifest

    manifests = sorted((result.folder / "data" / "test").glob("manifest_*.csv"))
    return [clip for path in manifests for clip in Manifest.read(path)]


def _as_unheard(clips: Iterable[Clip]) -> list[Unheard]:
    return [Unheard(clip.path, clip.events, "made") for clip in chosen_clips(clips)]


def _draw_test_clips(story: Story, result: TrainingResult, pictures: Path) -> list[Path]:
    from sedsdk.runtime.detector import load

    detector = load(result.bundle)
    drawn = []
    for clip in chosen_clips(_test_clips(result)):
        kinds = "-".join(sorted({event.label for event in clip.events or ()})) or "no-event"
        path = pictures / f"{result.folder.name}-test-{kinds}.png"
        title = f"test mixture of {result.folder.name}: {kinds.replace('-', ', ')}"
        _draw(detector, clip.path, clip.events, title, path)
        drawn.append(path)
    if drawn:
        story.say(f"Pictures of {len(drawn)} test mixtures: {pictures}")
    return drawn


def _search(
    story: Story, result: TrainingResult, recordings: Sequence[Unheard], pictures: Path
) -> list[Path]:
    from sedsdk.cli.screen import print_table
    from sedsdk.runtime.detector import load

    detector = load(result.bundle)
    rows, drawn = [], []
    for recording in recordings:
        path = pictures / f"unheard-{recording.path.parent.name}-{recording.path.stem}.png"
        title = f"{recording.path.name} ({recording.known})"
        found = _draw(detector, recording.path, recording.reference, title, path)
        drawn.append(path)
        known = recording.known if recording.reference is None else _words(recording.reference)
        rows.append([recording.path.name, known, _words(found)])
    print_table(["recording", "known", "found (s, score)"], rows)
    story.say(f"{len(rows)} recordings searched, each drawn in {pictures}")
    return drawn


def _draw(
    detector: Detector,
    audio: Path,
    reference: Sequence[Event] | None,
    title: str,
    picture: Path,
) -> tuple[Event, ...]:
    """Draws what a detector finds in a recording, and returns it."""
    from sedsdk.audio import read_audio
    from sedsdk.plots import plot_detection
    from sedsdk.plots.detection import decision_thresholds

    samples, sample_rate = read_audio(audio)
    prediction = detector.predict(audio)
    thresholds = decision_thresholds(detector.pipeline.postprocessors, prediction)
    plot_detection(
        samples, sample_rate, prediction, reference, title, picture, thresholds=thresholds
    )
    return prediction.events or ()


def _words(events: Sequence[Event]) -> str:
    words = []
    for event in events:
        score = f" ({event.score:.2f})" if event.score < 1 else ""
        words.append(f"{event.label} {event.onset:.2f}–{event.offset:.2f}{score}")
    return "\n".join(words) or "nothing"


def _reference(folder: Path, top: str) -> dict[Path, tuple[Event, ...]]:
    from sedsdk.data.manifest import Manifest

    path = folder / top / REFERENCE_FILE
    if not path.is_file():
        return {}
    clips = Manifest.read(path, audio_root=folder)
    return {clip.path.resolve(): clip.events for clip in clips if clip.events is not None}


def _evenly(names: Sequence[str], most: int) -> list[str]:
    step = max(1.0, len(names) / most)
    return [names[int(index * step)] for index in range(min(most, len(names)))]
