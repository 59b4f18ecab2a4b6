"""`sedsdk kaldi`: what a Kaldi model holds, and its activations for recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaldi_bridge.bundled import model_called
from kaldi_bridge.plugin.error_words import kaldi_errors_in_words
from kaldi_bridge.plugin.export_command import export

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Look into Kaldi acoustic models; write embeddings of recordings.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help='Folder of a model, or its .mdl or .raw file; "bundled": our own.'
    ),
]
ExtractorPath = Annotated[
    Path | None,
    typer.Option(help="i-vector extractor, folder or conf; looked for around the model."),
]
FeatureConfPath = Annotated[
    Path | None, typer.Option(help="Conf of the features; looked for around the model.")
]


@app.command(
    epilog="A layer is a row: frames that its nodes read beside their own, context of the "
    "network's input in frames. A name that ends in a node can be given to --node."
)
def info(
    model: ModelPath,
    extractor: ExtractorPath = None,
    feature_conf: FeatureConfPath = None,
    every_node: Annotated[
        bool, typer.Option("--all", help="A row for every node, with what it reads.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show a model's layers, context, parameters, nodes and files."""
    from kaldi_bridge.directory import find_model
    from kaldi_bridge.nnet3.describe import table
    from kaldi_bridge.nnet3.reading import read_model
    from kaldi_bridge.plugin.info import as_values, print_model
    from sedsdk.cli.screen import print_json

    with kaldi_errors_in_words():
        files = find_model(model_called(model), extractor=extractor, feature_conf=feature_conf)
        read = read_model(files.model)
        described = table(read.network, read.transitions)
    if as_json:
        print_json(as_values(files, described))
    else:
        print_model(files, described, every_node)


@app.command(
    epilog="DIR gets one .npz per recording (embedding [T, D], times [T] in seconds); FILE.npz has "
    "the rows of each under its name; FILE.ark is a Kaldi archive, with its .scp beside it. Exit "
    "code 3: some recordings could not be read; each is named on stderr, and the rest is done."
)
def embed(
    model: ModelPath,
    audio: Annotated[list[Path], typer.Argument(help="Audio files, or folders of them.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR|FILE.npz|FILE.ark", help="Where to write.")
    ],
    node: Annotated[str, typer.Option(help="Node whose activations are written.")] = "prefinal-l",
    subsampling: Annotated[
        int | None, typer.Option(min=1, help="Frames per row; the model's own if not given.")
    ] = None,
    frames_per_chunk: Annotated[
        int, typer.Option(min=1, help="Frames that share an i-vector, as in nnet3-compute.")
    ] = 150,
    extractor: ExtractorPath = None,
    feature_conf: FeatureConfPath = None,
    file_format: Annotated[
        str | None, typer.Option("--format", metavar="npz|ark", help="npz if --out says nothing.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps embeddings by the audio's content.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
) -> None:
    """Write a node's activations for recordings of any rate and length.

    In a DIR, recordings whose file is there and was made from the same model, options and audio are
    left as they are, so an interrupted run goes on.
    """
    from kaldi_bridge.plugin.embedding_job import Job, run
    from kaldi_bridge.plugin.outputs import ARCHIVE_NAME
    from sedsdk.cli import EXIT_SOME_FAILED

    ending = out.suffix if out.suffix in (".npz", ".ark") else ""
    if file_format not in (None, "npz", "ark"):
        raise typer.BadParameter(f"--format is npz or ark, not {file_format}.")
    if ending and file_format not in (None, ending[1:]):
        raise typer.BadParameter(f"--format {file_format} contradicts --out {out}.")
    if file_format == "ark" and not ending:
        out = out / ARCHIVE_NAME
    job = Job(node, subsampling, frames_per_chunk, out, cache, overwrite)
    with kaldi_errors_in_words():
        failed = run(job, model_called(model), extractor, feature_conf, audio)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


app.command()(export)
