"""The command: makes speech, trains on it, writes a model in Kaldi's format, judges it.

python -m kaldi_bridge.training RUN --speech RECORDINGS --jobs 2
python -m kaldi_bridge.training judge MODEL --speech RECORDINGS --out FOLDER
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kaldi_bridge.bundled import model_called
from kaldi_bridge.errors import KaldiError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _judge(given[1:]) if given[:1] == ["judge"] else _train(given)
    except KaldiError as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _train(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m kaldi_bridge.training",
        description="Trains a TDNN-F on speech that flite and espeak-ng make, and writes it in "
        "Kaldi's format. The same command goes on where an interrupted one stopped. "
        "`judge MODEL --speech FOLDER` judges a model.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--hours", type=float, help="of made speech; 18 if not given")
    parser.add_argument("--epochs", type=int, help="12 if not given")
    parser.add_argument("--steps", type=int, help="batches in an epoch; 250 if not given")
    parser.add_argument("--seed", type=int, default=0, help="of text, voices and weights")
    parser.add_argument("--speech", type=Path, help="real recordings to judge on")
    parser.add_argument("--jobs", type=int, default=1, help="processes, and threads of training")
    parser.add_argument("--device", default="cpu", help="that the network is trained on")
    parser.add_argument("--install", type=Path, metavar="FOLDER", help="copy the model there")
    options = parser.parse_args(given)

    from kaldi_bridge.training.options import RunOptions
    from kaldi_bridge.training.run import run

    chosen = RunOptions()
    corpus = replace(chosen.corpus, seed=options.seed)
    training = replace(chosen.training, seed=options.seed)
    if options.hours is not None:
        corpus = replace(corpus, hours=options.hours)
    if options.epochs is not None:
        training = replace(training, epochs=options.epochs)
    if options.steps is not None:
        training = replace(training, steps_per_epoch=options.steps)
    model = run(
        options.run,
        replace(chosen, corpus=corpus, training=training),
        speech=options.speech,
        jobs=options.jobs,
        device=options.device,
    )
    if options.install is not None:
        shutil.copytree(model, options.install, dirs_exist_ok=True)
    print((model / "README.md").read_text(encoding="utf-8"))
    print(model)
    return 0


def _judge(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kaldi_bridge.training judge")
    parser.add_argument("model", help='model folder with phones.txt; "bundled": our own')
    parser.add_argument("--speech", type=Path, required=True, help="real recordings")
    parser.add_argument("--linear", type=Path, help="linear baseline of a run (linear.npz)")
    parser.add_argument("--out", type=Path, default=Path("judgement"), help="tables and pictures")
    options = parser.parse_args(given)

    from kaldi_bridge.training.linear import LinearClassifier
    from kaldi_bridge.training.run import judge_all

    linear = None if options.linear is None else LinearClassifier.load(options.linear)
    for judgement in judge_all(model_called(options.model), linear, options.speech, options.out):
        print(judgement, end="\n\n")
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
