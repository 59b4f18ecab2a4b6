"""What the host's plugins offer, as the commands list it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sedsdk.host import Host

RECIPE = "recipe"
DATASET = "dataset"
REPRODUCTION = "reproduction"


@dataclass(frozen=True)
class Offered:
    """One thing that a plugin offers.

    Attributes:
        kind: a part's kind, "recipe", "dataset" or "reproduction".
        name: what configs and commands call it.
        plugin: who offers it.
        summary: one line.
        source: paper or reference.
    """

    kind: str
    name: str
    plugin: str
    summary: str
    source: str

    def as_dict(self) -> dict[str, str]:
        """Returns plain values, ready for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "plugin": self.plugin,
            "summary": self.summary,
            "source": self.source,
        }


def offers_of(host: Host) -> list[Offered]:
    """Returns everything on offer under its short name: parts by kind, then what is no part."""
    found = [
        Offered(entry.kind, entry.name, entry.plugin, entry.spec.summary, entry.spec.source)
        for entry in host.parts()
    ]
    providers = dict(_providers(host))
    specs_by_kind = (
        (RECIPE, host.recipes()),
        (DATASET, host.datasets()),
        (REPRODUCTION, host.reproductions()),
    )
    for kind, specs in specs_by_kind:
        for name, spec in specs.items():
            plugin = providers.get((kind, name), "")
            found.append(Offered(kind, name, plugin, spec.summary, spec.source))
    return found


def _providers(host: Host) -> Iterator[tuple[tuple[str, str], str]]:
    hooks_by_kind = (
        (RECIPE, host.hook.sedsdk_recipes),
        (DATASET, host.hook.sedsdk_datasets),
        (REPRODUCTION, host.hook.sedsdk_reproductions),
    )
    for kind, hook in hooks_by_kind:
        for implementation in hook.get_hookimpls():
            for spec in implementation.function():
                yield (kind, spec.name), implementation.plugin_name
