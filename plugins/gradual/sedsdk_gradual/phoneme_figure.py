"""`sedsdk reproduce gradual --figure phonemes`: Table 2 and Figure 2 of any labelled set."""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sedsdk import FigureRequest, FigureResult
from sedsdk.cli.screen import progress, warn
from sedsdk.config import read_model
from sedsdk.data.corpus import SPLITS, corpus_sounds
from sedsdk.data.sources import SPEECH_LABEL
from sedsdk.errors import DataError, MissingDependency
from sedsdk.files import write_atomically
from sedsdk.plots.style import (
    GRID_COLOUR,
    REFERENCE_COLOUR,
    TEXT_COLOUR,
    class_colour,
    new_axes,
    new_figure,
    save,
    set_title,
)
from sedsdk_gradual.phoneme_table import as_dict, csv_text, page_text, table_text
from sedsdk_gradual.phonemes import (
    EVERY_SPLIT,
    ClassPhones,
    LabelledEvents,
    LabelledSound,
    PhonemeAnalysis,
    find_events,
    phoneme_shares,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PHONES = 45
MOST_CLASSES = 12
CLASSES_IN_A_ROW = 6
ROW_INCHES = 0.19
"""Height of a phone."""
LETTERS_OF_A_ROW = 100
"""Of the names of classes that are beside each other."""
LEAST_PER_CENT = 0.05
"""A share below would be written as 0.0."""
OTHERS_ALPHA = 0.4
MADE_RATE = 16000
MADE_SEED = 0


class PhonemeSettings(BaseModel):
    """What `--set` changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[str, ...] = Field((), description="classes, separated by commas; all if empty")
    split: str | None = Field(None, description='of the set, or "all"; None: its training split')
    min_seconds: float = Field(0.0, ge=0, allow_inf_nan=False, description="of a phone")
    forms: bool = Field(True, description="whether stresses and word positions are kept apart")
    speech: bool = Field(True, description="whether recordings in speech/ are heard, too")
    phones: Path | None = Field(None, description="phones.txt, if not in the model's folder")
    shown: int = Field(MOST_PHONES, ge=1, le=200, description="phones in the picture")

    @field_validator("labels", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value


def draw(request: FigureRequest) -> FigureResult:
    """Writes the page, the picture, and all numbers as CSV and JSON.

    Raises:
        ConfigError: a setting is unknown or wrong.
        DataError: as `find_events` and `phoneme_shares`.
    """
    settings = read_model(PhonemeSettings, dict(request.settings), "figure phonemes")
    events, heard, problems = _events(request, settings)
    warn(f"phonemes of {heard}")
    with progress("hearing events", "events") as update:
        analysis = phoneme_shares(
            events,
            request.model,
            phones=settings.phones,
            min_seconds=settings.min_seconds,
            forms=settings.forms,
            on_event=update,
        )
    analysis = replace(analysis, problems=(*problems, *analysis.problems))
    picture: Path | None = request.out / "phonemes.png"
    try:
        plot_phonemes(analysis, picture, most_phones=settings.shown)
    except MissingDependency as error:
        warn(f"no picture: {error}")
        picture = None
    name = None if picture is None else picture.name
    texts = {
        "README.md": page_text(analysis, heard, name),
        "phonemes.csv": csv_text(analysis),
        "phonemes.json": json.dumps(as_dict(analysis, heard), indent=1, ensure_ascii=False) + "\n",
    }
    for file, text in texts.items():
        write_atomically(request.out / file, text.encode())
    print(table_text(analysis))
    files = [*(request.out / file for file in texts), *([picture] if picture else [])]
    return FigureResult(tuple(files), analysis.problems)


def plot_phonemes(
    analysis: PhonemeAnalysis, path: str | Path | None = None, *, most_phones: int = MOST_PHONES
) -> Figure:
    """Draws the share of each phone in each class: a panel of bars per class, on one scale.

    Phones are in the order of their sum over the classes; those beyond `most_phones` are one bar.
    Of more than twelve classes those with the most events are drawn. Speech is grey.

    Args:
        analysis: what is heard.
        path: file to write (.png, .svg, .pdf); None only builds the figure.
        most_phones: that have a bar of their own.

    Raises:
        DataError: there is no class, or the path's ending is unknown.
        MissingDependency: matplotlib is not installed.
    """
    if not analysis.classes:
        raise DataError("no class was heard, so there is nothing to draw.")
    often = sorted(analysis.classes, key=lambda found: -found.events)[:MOST_CLASSES]
    classes = [found for found in analysis.classes if found in often]
    shown = most_phones if len(analysis.phones) > most_phones + 1 else None
    phones = analysis.phones[:shown]
    rest = analysis.phones[len(phones) :]
    shares = [_shares(found, phones)[: len(phones) + bool(rest)] for found in classes]
    names = [*phones, f"{len(rest)} others"][: len(phones) + bool(rest)]
    across = min(CLASSES_IN_A_ROW, len(classes))
    down = -(-len(classes) // across)
    figure = new_figure(0.9 + down * (0.8 + ROW_INCHES * len(names)))
    cells = figure.add_gridspec(down, across)
    widest = 100 * max(map(max, shares))
    for place, (found, bars) in enumerate(zip(classes, shares, strict=True)):
        axes = new_axes(figure, cells[place // across, place % across])
        colour = REFERENCE_COLOUR if found.label == SPEECH_LABEL else class_colour(place)
        _draw_bars(axes, [100 * share for share in bars], colour, widest)
        if rest:
            axes.patches[-1].set_alpha(OTHERS_ALPHA)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_yticks(range(len(names)), names if place % across == 0 else [])
        axes.set_title(
            _in_lines(found.label, LETTERS_OF_A_ROW // across),
            loc="left",
            fontsize=11,
            fontweight="bold",
            color=colour,
            pad=18,
        )
        what = "recordings" if found.label == SPEECH_LABEL else "events"
        axes.text(
            0.0, 1.0, f"{found.events} {what}, median {found.median_seconds:.2f} s",
            transform=axes.transAxes, va="bottom", fontsize=9, color=TEXT_COLOUR,
        )  # fmt: skip
        if place % across == 0:
            axes.set_ylabel("phone, most frequent first", fontsize=10)
    figure.supxlabel("share of the frames of the class (%)", fontsize=11, color=TEXT_COLOUR)
    hop = 1000 * analysis.hop_seconds
    title = f'Most likely phone per {hop:.0f} ms in each class, by the model "{analysis.model}"'
    set_title(figure, title, left_out=len(analysis.classes) - len(classes))
    return save(figure, path)


def _shares(found: ClassPhones, phones: tuple[str, ...]) -> list[float]:
    """Returns the share of each phone, then that of all others."""
    of_phone = {heard.phone: heard.share for heard in found.phones}
    others = sum(share for phone, share in of_phone.items() if phone not in phones)
    return [*(of_phone.get(phone, 0.0) for phone in phones), others]


def _in_lines(name: str, letters: int) -> str:
    return "\n".join(textwrap.wrap(name, letters, max_lines=2, placeholder="…"))


def _draw_bars(axes: Axes, shares: list[float], colour: str, widest: float) -> None:
    places = range(len(shares))
    axes.barh(places, shares, height=0.78, color=colour)
    for place, share in zip(places, shares, strict=True):
        if share >= LEAST_PER_CENT:
            words = f"{share:.0f}" if share >= 9.95 else f"{share:.1f}"
            axes.text(share + 0.015 * widest, place, words, va="center", fontsize=7.5)
    axes.set_xlim(0.0, 1.15 * widest)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.grid(axis="x", color=GRID_COLOUR, lw=0.8)


def _events(
    request: FigureRequest, settings: PhonemeSettings
) -> tuple[LabelledEvents, str, tuple[str, ...]]:
    """Returns what is to be heard, what it is in words, and what is wrong with it."""
    folder = request.data or request.recordings
    if folder is None:
        return _made_sounds(settings), "the built-in corpus of made sounds", ()
    found = find_events(
        folder, settings.labels or None, split=settings.split, with_speech=settings.speech
    )
    what = "real recordings in" if request.data is None else "the set"
    heard = f'{what} "{folder.resolve().name}"'
    return [*found.events, *found.distractors], heard, found.problems


def _made_sounds(settings: PhonemeSettings) -> list[LabelledSound]:
    split = settings.split or SPLITS[0]
    wanted = [
        sound
        for sound in corpus_sounds()
        if sound.kind == "events"
        and split in (sound.split, EVERY_SPLIT)
        and (not settings.labels or sound.label in settings.labels)
    ]
    if not wanted:
        raise DataError(
            f"the built-in corpus has no such events: labels {', '.join(settings.labels)}, split "
            f'"{split}". Name recordings, or leave both out.'
        )
    made = []
    with progress("making sounds", "sounds") as update:
        for done, sound in enumerate(wanted):
            update(done, len(wanted))
            samples = sound.make(MADE_SEED, MADE_RATE)
            made.append(LabelledSound(sound.label, samples, MADE_RATE, Path(sound.file).name))
    return made
