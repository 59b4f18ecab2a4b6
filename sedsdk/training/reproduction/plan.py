"""The plan of a reproduction: which tables, of which rows, trained by which recipes at which scale.

A plan is data: a plugin ships one YAML file per paper and no code. `docs/reproduce.md` shows one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sedsdk.config import read_model
from sedsdk.errors import ConfigError, did_you_mean
from sedsdk.host import Host, default_host
from sedsdk.offers import NAME
from sedsdk.training.named_yaml import named_yaml
from sedsdk.training.reproduction.measures import MEASURES

DataKind = Literal["recordings", "corpus", "dataset"]
"""What is trained on: a folder of real recordings, the built-in corpus, a published data set."""

Printed = dict[str, dict[str, tuple[float | None, ...]]]
"""Test → column (a class, or "average") → values as the paper prints them."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(_Section):
    """How large the experiments are."""

    caption: str = Field(description="one or two sentences for the reader of the tables")
    recipes: dict[str, str] = Field(
        min_length=1,
        description="model → recipe: one model for all classes, or one for each, whose one-label "
        "reports make one row together",
    )
    seeds: tuple[int, ...] = Field(min_length=1, description="a training of every row for each")
    changes: tuple[str, ...] = Field((), description="changes of every recipe, as section.field=v")
    seed_changes: tuple[str, ...] = Field(
        ("training.seed={seed}",), description="changes that a seed makes"
    )
    changes_on: dict[DataKind, tuple[str, ...]] = Field(
        {}, description='changes by what is trained on; "{data}" stands for the folder'
    )

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is there twice")
        return seeds


class Row(_Section):
    """One line of a table: a detector, trained with every seed."""

    name: str = Field(min_length=1)
    value: float | None = Field(None, description="of the swept parameter")
    changes: tuple[str, ...] = Field((), description="what makes this row, as section.field=v")
    changes_at: dict[str, tuple[str, ...]] = Field({}, description="scale → further changes")
    recipes_at: dict[str, dict[str, str]] = Field(
        {}, description="scale → model → recipe, in place of the scale's"
    )
    seeds_at: dict[str, tuple[int, ...]] = Field(
        {}, description="scale → seeds, in place of the scale's"
    )
    scales: tuple[str, ...] | None = Field(None, description="where the row exists; None: at all")
    printed: Printed = Field({}, description="what the paper prints; null where it prints nothing")
    baseline: bool = Field(False, description="the rows' differences are taken to this one")

    def is_at(self, scale: str) -> bool:
        """Returns whether the row exists at a scale."""
        return self.scales is None or scale in self.scales


class Table(_Section):
    """A table of the paper."""

    name: str = Field(description="of its files: lower case, digits, _ and -")
    caption: str
    kind: Literal["rows", "sweep"] = "rows"
    parameter: str | None = Field(None, description="kind sweep: the axis of the swept values")
    rows: tuple[Row, ...] = Field(min_length=1)

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("may hold lower case letters, digits, _ and - only")
        return name

    @model_validator(mode="after")
    def _rows_fit(self) -> Table:
        names = [row.name for row in self.rows]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f'two rows are named "{twice[0]}"')
        if self.kind == "sweep":
            if self.parameter is None:
                raise ValueError("kind sweep needs the name of its parameter")
            if lacking := [row.name for row in self.rows if row.value is None]:
                raise ValueError(f'kind sweep: row "{lacking[0]}" has no value')
        return self


class Plan(_Section):
    """All that a reproduction does."""

    title: str
    source: str = Field(description="the paper")
    measure: str = Field("rare_events", description="what the columns are")
    scales: dict[str, Scale] = Field(min_length=1)
    tables: tuple[Table, ...] = Field(min_length=1)

    @field_validator("measure")
    @classmethod
    def _is_known(cls, measure: str) -> str:
        if measure not in MEASURES:
            raise ValueError(f"must be one of {', '.join(MEASURES)}")
        return measure

    @model_validator(mode="after")
    def _names_fit(self) -> Plan:
        names = [table.name for table in self.tables]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f'two tables are named "{twice[0]}"')
        most = len(MEASURES[self.measure].scores)
        for table in self.tables:
            for row in table.rows:
                where = f'row "{row.name}" of table "{table.name}"'
                used = {*row.changes_at, *row.recipes_at, *row.seeds_at, *(row.scales or ())}
                if unknown := sorted(used - set(self.scales)):
                    raise ValueError(
                        f'{where} names the scale "{unknown[0]}".'
                        f"{did_you_mean(unknown[0], self.scales)} There are: "
                        f"{', '.join(self.scales)}"
                    )
                for columns in row.printed.values():
                    for column, values in columns.items():
                        if len(values) > most:
                            raise ValueError(
                                f"{where} prints {len(values)} values for {column}; "
                                f"{self.measure} has {most}"
                            )
        return self

    def scale(self, name: str) -> Scale:
        """Returns a scale by name.

        Raises:
            ConfigError: there is none of that name.
        """
        if name not in self.scales:
            raise ConfigError(
                f'no scale "{name}".{did_you_mean(name, self.scales)} There are: '
                f"{', '.join(self.scales)}."
            )
        return self.scales[name]


def load_plan(name_or_path: str | Path, host: Host | None = None) -> Plan:
    """Reads a plan by the name of its reproduction, or from a YAML file.

    Args:
        name_or_path: as in "mtfa", or a path that ends in .yaml or .yml.
        host: plugin host; None for the default one.

    Raises:
        UnknownPart: no plugin offers the name.
        ConfigError: the file is missing or malformed, or a value is not allowed.
    """
    what = f"reproduction {name_or_path}"
    values = named_yaml(name_or_path, (host or default_host()).reproduction_text, what)
    return read_model(Plan, values, what)
