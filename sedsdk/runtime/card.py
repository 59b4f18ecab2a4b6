"""The card of a saved detector: what a person should know before relying on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

NOT_STATED = "not stated"
LONGEST_TABLE = 20
"""Rows of a table that stays open; longer ones are folded."""


class ModelCard(BaseModel):
    """What is known about a detector beyond its weights; saved with it, as JSON and as Markdown.

    Scores and facts that are NaN or infinite become None: JSON has no such numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        default="Sound event detector", min_length=1, description="one line: its title"
    )
    summary: str = Field(default="", description="what it is for, in a paragraph")
    data: str = Field(default=NOT_STATED, description="what it was trained, tuned and tested on")
    labels_source: str = Field(default=NOT_STATED, description="where the labels come from")
    limits: str = Field(default=NOT_STATED, description="where it is known, or likely, to fail")
    code_licence: str = Field(default="Apache-2.0", description="licence of the code")
    weights_licence: str = Field(default=NOT_STATED, description="licence of the weights")
    shortest_clip_seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="clips shorter than this are padded with zeros; None: saving fills in the "
        "shortest that gives a whole frame",
    )
    scores: dict[str, JsonValue] = Field(default_factory=dict, description="scores, as JSON")
    scores_page: str = Field(
        default="", description="Markdown for the card's section on scores; empty: their table"
    )
    training: dict[str, JsonValue] = Field(
        default_factory=dict, description="facts of the training"
    )

    @field_validator("scores", "training")
    @classmethod
    def _numbers_are_finite(cls, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {name: _finite(value) for name, value in values.items()}

    def markdown(
        self, labels: tuple[str, ...], requirements: tuple[str, ...], only_tags: bool = False
    ) -> str:
        """Returns the card as a Markdown page.

        Args:
            labels: class names in output order.
            requirements: what `pip install` needs to be given before the detector loads.
            only_tags: it decides on tags and makes no events.
        """
        shortest = self.shortest_clip_seconds
        use = (
            'tags = detector.predict("recording.wav").tags'
            if only_tags
            else 'events = detector("recording.wav")'
        )
        sections = [
            f"# {self.name}",
            self.summary,
            "## Use",
            "```python",
            f'import sedsdk\ndetector = sedsdk.load("path/to/this/folder")\n{use}',
            "```",
            f"Needs: `pip install {' '.join(requirements)}`." if requirements else "",
            "## Labels",
            "\n".join(f"{index}. {label}" for index, label in enumerate(labels)),
            f"Source: {self.labels_source}",
            "## Data",
            self.data,
            "## Scores",
            self.scores_page.strip() or _table(self.scores, ("score", "value")) or NOT_STATED,
            "## Limits",
            self.limits,
            ""
            if shortest is None
            else f"Shortest useful clip: {shortest:g} s; shorter ones are padded with zeros.",
            "## Training",
            _table(self.training, ("fact", "value")) or NOT_STATED,
            "## Licence",
            f"Code: {self.code_licence}. Weights: {self.weights_licence}.",
        ]
        page = "\n\n".join(section for section in sections if section)
        return page.replace("```python\n\n", "```python\n").replace("\n\n```\n", "\n```\n") + "\n"


def _finite(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(values: Mapping[str, JsonValue], titles: tuple[str, str]) -> str:
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in _flat(values)]
    if not rows:
        return ""
    table = "\n".join([f"| {titles[0]} | {titles[1]} |", "|---|---|", *rows])
    if len(rows) <= LONGEST_TABLE:
        return table
    return f"<details>\n<summary>{len(rows)} entries</summary>\n\n{table}\n\n</details>"


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _cell(value: JsonValue) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
