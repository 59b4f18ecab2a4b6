"""`sedsdk parts`: what pipelines can be made of, and every option of one part."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sedsdk.errors import UnknownPart, did_you_mean

if TYPE_CHECKING:
    from sedsdk.cli.offers import Offered

LIST_COMMAND = "list"


class ListByDefault(TyperGroup):
    """A group whose `list` command may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `list` in front, unless another command or a request for help stands there."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [LIST_COMMAND, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ListByDefault,
    rich_markup_mode=None,
    help="List parts, recipes and data sets; show a part's options.",
    epilog="`sedsdk parts encoder` is short for `sedsdk parts list encoder`.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(LIST_COMMAND)
def list_parts(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="[KIND]",
            help="frontend, conditioner, encoder, head, postprocessor, recipe, dataset or "
            "reproduction.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List what is on offer, all of it or one kind."""
    from sedsdk.cli.offers import DATASET, RECIPE, REPRODUCTION, offers_of
    from sedsdk.cli.screen import print_json, print_table
    from sedsdk.hooks import PART_KINDS
    from sedsdk.host import default_host

    kinds = (*PART_KINDS, RECIPE, DATASET, REPRODUCTION)
    if kind and kind not in kinds:
        raise typer.BadParameter(
            f'no kind "{kind}".{did_you_mean(kind, kinds)} Choose one of: {", ".join(kinds)}.'
        )
    shown = [offer for offer in offers_of(default_host()) if kind in ("", offer.kind)]
    if as_json:
        print_json([offer.as_dict() for offer in shown])
        return
    print_table(
        ["kind", "name", "summary", "source", "plugin"],
        [[offer.kind, offer.name, offer.summary, offer.source, offer.plugin] for offer in shown],
    )


@app.command("show")
def show_part(
    name: Annotated[str, typer.Argument(help="Name of a part, or plugin/name.")],
    kind: Annotated[
        str, typer.Option(help="Its kind, where parts of two kinds share the name.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the options' JSON schema.")
    ] = False,
) -> None:
    """Show a part: what it does, who wrote it up, who provides it, and its options."""
    from sedsdk.cli.screen import console, print_json, print_table
    from sedsdk.host import default_host

    host = default_host()
    offer = _find(name, kind)
    part = host.load(offer.kind, name)  # type: ignore[arg-type]
    schema = part.Config.model_json_schema()
    if as_json:
        print_json(schema)
        return
    record = host.record(offer.plugin)
    out = console()
    out.print(f"{offer.kind} {offer.name}", style="bold", markup=False)
    out.print(offer.summary, markup=False)
    out.print(f"source    {offer.source}", markup=False)
    out.print(f"provider  {offer.plugin} ({record.origin if record else 'unknown'})", markup=False)
    rows = option_rows(schema)
    if rows:
        print_table(["option", "type", "default", "what it says"], rows)
    else:
        out.print("It has no options.")


def option_rows(schema: dict[str, Any]) -> list[list[str]]:
    """Returns a table of a JSON schema's properties: name, type and range, default, description."""
    required = set(schema.get("required", ()))
    return [
        [
            name,
            type_in_words(field, schema.get("$defs", {})),
            "required" if name in required else _default_in_words(field),
            field.get("description", ""),
        ]
        for name, field in schema.get("properties", {}).items()
    ]


def type_in_words(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Returns a JSON schema's type as a reader says it, with its range.

    Args:
        field: schema of one property.
        definitions: what `$ref` in it points to, by name.
    """
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        target = definitions.get(name, {})
        return name if target.get("type") == "object" else type_in_words(target, definitions)
    if options := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(dict.fromkeys(type_in_words(one, definitions) for one in options))
    if len(field.get("allOf", ())) == 1:
        return type_in_words(field["allOf"][0], definitions)
    if "const" in field:
        return json.dumps(field["const"])
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    kind = str(field.get("type", "any"))
    if kind == "array":
        return _array_in_words(field, definitions)
    if kind == "object" and isinstance(values := field.get("additionalProperties"), dict):
        return f"name: {type_in_words(values, definitions)}"
    return f"{kind}{_range_in_words(field)}"


def _array_in_words(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "prefixItems" in field:
        return f"[{', '.join(type_in_words(one, definitions) for one in field['prefixItems'])}]"
    return f"[{type_in_words(field.get('items', {}), definitions)}, …]"


def _range_in_words(field: dict[str, Any]) -> str:
    bounds = (
        ("minimum", "≥"),
        ("exclusiveMinimum", ">"),
        ("maximum", "≤"),
        ("exclusiveMaximum", "<"),
    )
    said = [f"{sign} {field[key]:g}" for key, sign in bounds if key in field]
    return f" {', '.join(said)}" if said else ""


def _default_in_words(field: dict[str, Any]) -> str:
    default = field.get("default")
    return default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)


def _find(name: str, kind: str) -> Offered:
    from sedsdk.cli.offers import DATASET, RECIPE, Offered, offers_of
    from sedsdk.hooks import PART_KINDS
    from sedsdk.host import default_host

    host = default_host()
    if "/" in name:
        for one in (kind,) if kind else PART_KINDS:
            try:
                entry = host.find(one, name)  # type: ignore[arg-type]
            except UnknownPart:
                continue
            return Offered(
                entry.kind, entry.name, entry.plugin, entry.spec.summary, entry.spec.source
            )
    parts = [offer for offer in offers_of(host) if offer.kind not in (RECIPE, DATASET)]
    found = [offer for offer in parts if offer.name == name and kind in ("", offer.kind)]
    if len(found) > 1:
        kinds = ", ".join(offer.kind for offer in found)
        raise UnknownPart(f'"{name}" names parts of several kinds ({kinds}); add --kind.')
    if not found:
        known = [offer.name for offer in parts if kind in ("", offer.kind)]
        raise UnknownPart(
            f'no {kind or "part"} "{name}".{did_you_mean(name, known)} '
            "`sedsdk parts` lists all that are installed."
        )
    return found[0]
