"""What a report does, whatever it holds: JSON for programs, a page for people, files on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sedsdk.config import PartRef, read_model
from sedsdk.files import write_atomically

JSON_NAME = "report.json"
MARKDOWN_NAME = "report.md"


class WrittenReport:
    """Base of reports: a subclass says what it holds, as plain values, as a page, and beside it."""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON: no NaN, None where nothing is defined."""
        raise NotImplementedError

    def to_markdown(self) -> str:
        """Returns the report as a page to read."""
        raise NotImplementedError

    def beside(self) -> Mapping[str, bytes | None]:
        """Returns what the scores were computed from, by file name.

        None stands for a file that an earlier report of another kind may have left: it belongs to
        other scores, and goes.
        """
        raise NotImplementedError

    def to_json(self) -> str:
        """Returns `to_dict` as strict JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, folder: str | Path) -> Path:
        """Writes report.json, report.md and the files beside them, and returns the folder.

        Each file appears whole or not at all; what the scores were computed from comes first, so
        that it is there where there is a report.

        Raises:
            OSError: the folder or the disk cannot be written to.
        """
        folder = Path(folder)
        for name, content in self.beside().items():
            if content is None:
                (folder / name).unlink(missing_ok=True)
            else:
                write_atomically(folder / name, content)
        write_atomically(folder / JSON_NAME, self.to_json().encode())
        write_atomically(folder / MARKDOWN_NAME, self.to_markdown().encode())
        return folder


def part_refs(parts: Iterable[PartRef | Mapping[str, Any] | str]) -> tuple[PartRef, ...]:
    """Returns post-processors as a config holds them, from any way of writing them.

    Raises:
        ConfigError: one is malformed.
    """
    return tuple(
        part if isinstance(part, PartRef) else read_model(PartRef, part, "post-processor")
        for part in parts
    )


def plain_parts(parts: Iterable[PartRef]) -> list[dict[str, Any]]:
    """Returns parts with their options as plain values."""
    return [{"part": ref.part, **ref.options} for ref in parts]
