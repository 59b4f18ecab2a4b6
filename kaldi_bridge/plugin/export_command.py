"""`sedsdk kaldi export`: a node's computation as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kaldi_bridge.bundled import model_called
from kaldi_bridge.plugin.error_words import kaldi_errors_in_words

if TYPE_CHECKING:
    from kaldi_bridge.export import OnnxDescription


def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help='Folder of a model, or its .mdl or .raw file; "bundled": our own.'
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.onnx", help="Where to write.")],
    node: Annotated[str, typer.Option(help="Node that is computed.")] = "prefinal-l",
    subsampling: Annotated[
        int | None, typer.Option(min=1, help="Frames per row; the model's own if not given.")
    ] = None,
    batched: Annotated[
        bool, typer.Option("--batched", help="Several clips of one length at a time.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
) -> None:
    """Write what computes a node from features and i-vector as an ONNX file.

    The edges of the recording are repeated inside, as nnet3-compute does; one i-vector for all of
    it. Features and i-vectors are made outside.
    """
    from kaldi_bridge.acoustic_model import AcousticModel
    from sedsdk.errors import DataError

    if out.exists() and not overwrite:
        raise DataError(f"{out}: already there. Give --overwrite to replace.")
    with kaldi_errors_in_words():
        loaded = AcousticModel.load(model_called(model))
        written = loaded.export_onnx(out, node=node, subsampling=subsampling, batched=batched)
    print(_sentence(written))


def _sentence(written: OnnxDescription) -> str:
    """Says what a file holds, in a line: its inputs and its output."""
    clips = "B, " if written.batched else ""
    ivector = f" and ivector [{clips}{written.ivector_dim}]" if written.ivector_dim else ""
    rows = "T" if written.subsampling == 1 else f"⌈T / {written.subsampling}⌉"
    return (
        f"{written.path}: {written.n_bytes / 1e6:.2f} MB, features [{clips}T, "
        f"{written.feature_dim}]{ivector} → activations [{clips}{rows}, {written.node_dim}]"
    )
