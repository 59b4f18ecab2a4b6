"""`sedsdk plugins`: every plugin found, whether or not it could be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sedsdk.cli.offers import Offered
    from sedsdk.host import PluginRecord

app = typer.Typer(rich_markup_mode=None)

MOST_NAMES = 12
NAMES_OF_MANY = 3
"""A plugin may offer a recipe for every row of its paper: too many for a cell."""


@app.command()
def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List plugins.

    Status, origin, API range, what each offers, and why one is not loaded.
    """
    from sedsdk.cli.offers import offers_of
    from sedsdk.cli.screen import print_json, print_table
    from sedsdk.host import default_host

    host = default_host()
    offers = offers_of(host)
    described = [describe_plugin(record, offers) for record in host.plugins]
    if as_json:
        print_json(described)
        return
    rows = []
    for plugin in described:
        api = plugin["api"]
        own = "; ".join(f"{kind} {_few(kind, names)}" for kind, names in plugin["offers"].items())
        rows.append(
            [
                plugin["name"],
                plugin["status"],
                f"{plugin['distribution']} {plugin['version']}".strip() or "unknown",
                ("–".join(dict.fromkeys(str(bound) for bound in api)) if api else "?"),
                plugin["reason"] or own or "nothing",
            ]
        )
    print_table(["plugin", "status", "origin", "API", "offers, or why not"], rows)


def _few(kind: str, names: Sequence[str]) -> str:
    """Returns names for a cell of a table; of very many, the first ones and how many follow."""
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    shown = names[:NAMES_OF_MANY]
    return f"{', '.join(shown)} and {len(names) - len(shown)} more (sedsdk parts {kind})"


def describe_plugin(record: PluginRecord, offers: Sequence[Offered]) -> dict[str, Any]:
    """Returns what is known of one plugin as plain values, ready for JSON.

    Args:
        record: of the plugin.
        offers: everything on offer, by any plugin.
    """
    own: dict[str, list[str]] = {}
    if record.status == "loaded":
        for offer in offers:
            if offer.plugin == record.name:
                own.setdefault(offer.kind, []).append(offer.name)
    return {
        "name": record.name,
        "status": record.status,
        "distribution": record.distribution,
        "version": record.version,
        "api": list(record.api) if record.api else None,
        "offers": own,
        "reason": record.reason,
    }
