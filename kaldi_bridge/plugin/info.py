"""What `sedsdk kaldi info` prints of a model. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kaldi_bridge.directory import ModelFiles
from kaldi_bridge.nnet3.describe import Row, Table
from kaldi_bridge.plugin.layers import Layer, layers
from sedsdk.cli.screen import console, print_table

LAYER_COLUMNS = ("layer", "nodes", "in → out", "frames", "context", "parameters")
NODE_COLUMNS = ("node", "kind", "in → out", "frames", "context", "parameters", "reads")
RIGHT = ("in → out", "context", "parameters")
FILES = ("model", "feature_conf", "extractor", "global_cmvn_stats", "tree", "phones")


def as_values(files: ModelFiles, table: Table) -> dict[str, Any]:
    """Returns all that is known of a model as plain values, ready for JSON."""
    values = asdict(table)
    nodes = [{"name": row.pop("node"), **row} for row in values.pop("rows")]
    return {
        "files": {name: _path(files, name) for name in FILES},
        "missing": {name: list(places) for name, places in files.missing.items()},
        "notes": list(files.notes),
        "frame_subsampling_factor": files.frame_subsampling_factor,
        **values,
        "nodes": nodes,
    }


def print_model(files: ModelFiles, table: Table, every_node: bool) -> None:
    """Prints a model for people: what it is, its layers or all its nodes, its files."""
    out = console()
    for line in _summary(files, table):
        out.print(line, markup=False)
    print()
    if every_node:
        print_table(NODE_COLUMNS, [_node_cells(row) for row in table.rows], right=RIGHT)
    else:
        found = layers(table.rows)
        print_table(LAYER_COLUMNS, [_layer_cells(layer) for layer in found], right=RIGHT)
        example = next((each for each in found if len(each.parts) > 1), None)
        if example is not None:
            name = f"{example.name}.{example.parts[-1]}"
            print(f"\nA node's name is LAYER.NODE, as in {name}, or LAYER if that is one node.")
    print()
    print_table(("file", "where"), [[name, _where(files, name)] for name in FILES])
    for note in files.notes:
        out.print(f"note: {note}", markup=False)


def _summary(files: ModelFiles, table: Table) -> list[str]:
    kind = "not found" if files.features is None else f"{files.features.dim} {files.features.kind}"
    inputs = " and ".join(f"{name} of {dim}" for name, dim in table.inputs.items())
    factor = files.frame_subsampling_factor
    rate = "one row per frame" if factor == 1 else f"one row per {factor} frames"
    lines = [
        str(files.model),
        f"parameters   {_count(table.parameters)}",
        f"inputs       {inputs}; features: {kind}",
        f"context      {table.left_context} frames before, {table.right_context} after; {rate}",
    ]
    if table.pdfs:
        lines.append(f"outputs      {_count(table.pdfs)} pdfs of {table.phones} phones")
    return lines


def _layer_cells(layer: Layer) -> list[str]:
    return [
        layer.name,
        ", ".join(layer.parts),
        " → ".join(map(str, layer.dims)),
        "; ".join(map(_frames, layer.frames)),
        _context(layer.left_context, layer.right_context),
        _count(layer.parameters),
    ]


def _node_cells(row: Row) -> list[str]:
    dims = [row.input_dim] if row.input_dim == row.output_dim else [row.input_dim, row.output_dim]
    return [
        row.node,
        row.kind,
        " → ".join(map(str, dims)),
        "" if row.time_offsets == (0,) else _frames(row.time_offsets),
        _context(row.left_context, row.right_context),
        _count(row.parameters),
        row.input,
    ]


def _frames(offsets: Sequence[int]) -> str:
    return " ".join(f"{offset:+d}" if offset else "0" for offset in offsets) or "any"


def _context(left: int, right: int) -> str:
    return f"−{left} +{right}" if left or right else ""


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ") if number else ""


def _path(files: ModelFiles, name: str) -> str | None:
    path = getattr(files, name)
    return None if path is None else str(path)


def _where(files: ModelFiles, name: str) -> str:
    path, origin = _path(files, name), files.origin.get(name, "")
    if path is None:
        found = origin or ("not found" if name in files.missing else "not needed")
        looked = len(files.missing.get(name, ()))
        return f"{found}; looked at {looked} places, see --json" if looked > 1 else found
    return path if path in origin else f"{path} ({origin})" if origin else path
