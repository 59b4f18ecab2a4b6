"""An analysis of phonemes as text: the paper's Table 2 in Markdown, all numbers as CSV and JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

from sedsdk_gradual.phone_counts import ClassPhones, PhonemeAnalysis

MOST_PHONES = 10
"""Phones of a class in the table, as the paper prints at most."""
LEAST_SHARE = 0.0005
"""A share below would be written as 0.0 %."""
PRINTED: dict[str, tuple[float, str]] = {
    "babycry": (
        2.33,
        "SPN S, EH1 S, M E, OW1 E, HH B, N E, OW1 S, AH1 I, L B, N B",
    ),
    "glassbreak": (1.29, "SPN S, IH1 I, AH0 I, IY1 E, L B, L E, M B, N E, T I, AE1 B"),
    "gunshot": (1.21, "SPN S, AH1 I, D E, EH1 I, EH1 S, N B, W B, Z E"),
}
"""Table 2: median duration in seconds, and the frequent phones in the order they are printed in."""
_POSITIONS = " Behind a phone, B, E, I and S are its place in a word: begin, end, inside, alone."
COLUMNS = (
    "event",
    "phone",
    "share",
    "frames",
    "runs",
    "median_run_seconds",
    "events_with_phone",
    "events",
    "median_event_seconds",
)


def table_text(analysis: PhonemeAnalysis, most: int = MOST_PHONES) -> str:
    """Returns the paper's Table 2 as Markdown, with shares; ends in a line break.

    Args:
        analysis: what is heard.
        most: phones that are named for each class.
    """
    lines = [
        "| event | events | median duration | most frequent phones (share of the frames) |",
        "|---|---:|---:|---|",
    ]
    for found in analysis.classes:
        phones = ", ".join(
            f"{_cell(phone.phone)} {_per_cent(phone.share)}"
            for phone in found.phones[:most]
            if phone.share >= LEAST_SHARE
        )
        lines.append(
            f"| {_cell(found.label)} | {found.events} | {found.median_seconds:.2f} s | {phones} |"
        )
    return "\n".join(lines) + "\n"


def page_text(analysis: PhonemeAnalysis, heard: str, picture: str | None) -> str:
    """Returns a page with the table, the picture and how both were made.

    Args:
        analysis: what is heard.
        heard: whose events they are, as in 'real recordings in "real"'.
        picture: file name of the picture, if there is one.
    """
    parts = [
        "# Phonemes of sound events\n",
        f"{_method(analysis, heard)}\n",
        table_text(analysis),
    ]
    if printed := _printed_text(analysis.classes):
        parts += ["The paper prints (Table 2), of another set and another model:\n", printed]
    if picture is not None:
        parts.append(f"![Share of each phone in the frames of each class]({picture})\n")
    if analysis.problems:
        count = len(analysis.problems)
        parts.append(f"{count} problem{'s' if count > 1 else ''}: see the JSON file.\n")
    return "\n".join(parts)


def csv_text(analysis: PhonemeAnalysis) -> str:
    """Returns one row per class and phone, under the headings of `COLUMNS`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for found in analysis.classes:
        for phone in found.phones:
            rows.writerow(
                [
                    found.label,
                    phone.phone,
                    f"{phone.share:.6f}",
                    phone.frames,
                    phone.runs,
                    f"{phone.median_seconds:.4f}",
                    phone.events,
                    found.events,
                    f"{found.median_seconds:.4f}",
                ]
            )
    return text.getvalue()


def as_dict(analysis: PhonemeAnalysis, heard: str) -> dict[str, Any]:
    """Returns everything as plain values, ready for JSON."""
    return {"heard": heard, **asdict(analysis), "problems": list(analysis.problems)}


def _method(analysis: PhonemeAnalysis, heard: str) -> str:
    hop = f"{1000 * analysis.hop_seconds:.0f} ms"
    how = (
        f"the phones of the best path on which each lasts {1000 * analysis.min_seconds:.0f} ms or "
        "more"
        if analysis.min_seconds
        else "the most likely phone of each"
    )
    return (
        f'Frames of {hop} of the events of {heard}, as the acoustic model "{analysis.model}" hears '
        f"them: {how}. Every event is heard by itself; a share is of all frames of a "
        f"class.{_POSITIONS if any(' ' in phone for phone in analysis.phones) else ''}"
    )


def _printed_text(classes: tuple[ClassPhones, ...]) -> str:
    rows = [
        f"| {found.label} | {PRINTED[found.label][0]:.2f} s | {PRINTED[found.label][1]} |"
        for found in classes
        if found.label in PRINTED
    ]
    head = ["| event | median duration | most frequent phones |", "|---|---:|---|"]
    return "\n".join([*head, *rows]) + "\n" if rows else ""


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
