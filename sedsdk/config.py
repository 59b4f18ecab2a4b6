"""A pipeline as data: which parts by name, with which options, for which labels.

A config names parts and only the host turns names into classes; nothing in a file can name a
module, so no config can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sedsdk.contract import PartConfig
from sedsdk.errors import ConfigError, PluginError, did_you_mean
from sedsdk.hooks import PartKind
from sedsdk.host import Host, check_name
from sedsdk.types import MAIN_STREAM

Model = TypeVar("Model", bound=BaseModel)


def read_model(model: type[Model], values: Any, what: str) -> Model:
    """Builds a pydantic model, or says in words what is wrong with the values.

    Args:
        model: the model's class.
        values: mapping to read.
        what: what the values describe, as in "encoder crnn".

    Raises:
        ConfigError: names every wrong field, its value and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_describe(problem, model) for problem in error.errors()]
        raise ConfigError(f"{what}: " + "; ".join(lines)) from None


def _describe(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    where = ".".join(str(step) for step in problem["loc"]) or "value"
    if problem["type"] == "extra_forbidden":
        known = list(model.model_fields) if len(problem["loc"]) == 1 else []
        allowed = f" Known fields: {', '.join(known)}." if known else ""
        return f'unknown field "{where}".{did_you_mean(where, known)}{allowed}'
    if problem["type"] == "missing":
        return f'the field "{where}" is missing'
    given = repr(problem["input"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where} = {given[:80]}: {message}"


class PartRef(BaseModel):
    """A part by name, with options: `{"part": "log_mel", "n_mels": 64}`, or just its name.

    Attributes:
        part: short name, or plugin/name.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    part: str

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"part": value} if isinstance(value, str) else value

    @field_validator("part")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        try:
            check_name(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def options(self) -> dict[str, Any]:
        """The part's options, without its name."""
        return dict(self.model_extra or {})

    def resolve(self, kind: PartKind, host: Host) -> tuple[type[Any], PartConfig]:
        """Returns the part's class and its validated config.

        Raises:
            UnknownPart: no loaded plugin offers the name.
            ConfigError: an option is unknown or wrong.
            PluginError: the part cannot be imported, or has an option named "part".
        """
        part = host.load(kind, self.part)
        if "part" in part.Config.model_fields:
            raise PluginError(
                f'{kind} {self.part} has an option named "part", which is the key of the part\'s '
                f"name in every config. Its plugin has to rename the option."
            )
        return part, read_model(part.Config, self.options, f"{kind} {self.part}")

    def completed(self, kind: PartKind, host: Host) -> PartRef:
        """Returns the same part with its qualified name and every default written out."""
        _, config = self.resolve(kind, host)
        name = host.find(kind, self.part).qualified_name
        return PartRef.model_validate({"part": name, **config.model_dump(mode="json")})


def part(name: str, /, **options: Any) -> PartRef:
    """Names a part for `compose`: `part("log_mel", n_mels=64)`.

    Raises:
        ConfigError: the name is none, or an option is called "part".
    """
    if "part" in options:
        raise ConfigError(f'part {name}: "part" is the key of the name and can be no option')
    return read_model(PartRef, {"part": name, **options}, f"part {name}")


class PipelineConfig(BaseModel):
    """A whole pipeline as data; `sedsdk.Pipeline` is the same as a torch module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[str, ...] = Field(description="class names; their order is that of all outputs")
    frontends: dict[str, PartRef] = Field(description='frontend per stream; "main" must be there')
    conditioners: tuple[PartRef, ...] = Field((), description="applied in this order")
    encoder: PartRef
    head: PartRef
    postprocessors: tuple[PartRef, ...] = Field((), description="applied in this order")

    @field_validator("labels")
    @classmethod
    def _labels_are_a_set(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if not labels or not all(label.strip() for label in labels):
            raise ValueError("name at least one label, and no empty one")
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f'"{twice[0]}" is there twice')
        return labels

    @field_validator("frontends", mode="before")
    @classmethod
    def _one_frontend_is_main(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "part" not in value:
            return value
        return {MAIN_STREAM: value}

    @field_validator("frontends")
    @classmethod
    def _main_is_there(cls, frontends: dict[str, PartRef]) -> dict[str, PartRef]:
        if MAIN_STREAM not in frontends:
            raise ValueError(f'no stream is named "{MAIN_STREAM}"; streams: {", ".join(frontends)}')
        if wrong := [name for name in frontends if not name.isidentifier()]:
            raise ValueError(f'"{wrong[0]}" is no stream name: letters, digits and "_" only')
        return frontends

    def parts(self) -> list[tuple[PartKind, PartRef]]:
        """Returns every part with its kind, in the order in which audio meets them."""
        return [
            *(("frontend", ref) for ref in self.frontends.values()),
            *(("conditioner", ref) for ref in self.conditioners),
            ("encoder", self.encoder),
            ("head", self.head),
            *(("postprocessor", ref) for ref in self.postprocessors),
        ]

    def completed(self, host: Host) -> PipelineConfig:
        """Returns the same pipeline with qualified names and every default written out.

        This is what is saved: later defaults or name clashes cannot change it.

        Raises:
            UnknownPart: a part is not installed.
            ConfigError: an option is unknown or wrong.
        """
        return PipelineConfig(
            labels=self.labels,
            frontends={
                name: ref.completed("frontend", host) for name, ref in self.frontends.items()
            },
            conditioners=tuple(ref.completed("conditioner", host) for ref in self.conditioners),
            encoder=self.encoder.completed("encoder", host),
            head=self.head.completed("head", host),
            postprocessors=tuple(
                ref.completed("postprocessor", host) for ref in self.postprocessors
            ),
        )

    def plugins(self, host: Host) -> list[str]:
        """Returns the names of the plugins that the parts come from, sorted."""
        return sorted({host.find(kind, ref.part).plugin for kind, ref in self.parts()})

    @property
    def labels_digest(self) -> str:
        """SHA-256 of the labels in order, in hexadecimal: two models agree on it or cannot mix."""
        return digest(list(self.labels))


def digest(value: Any) -> str:
    """Returns the SHA-256 of a JSON-like value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
