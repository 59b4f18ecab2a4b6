"""Size and speed of the rare-event models, beside the plain CRNN and PANNs' CNN14.

    python benchmarks/rare_events.py                     all models, one and two threads
    python benchmarks/rare_events.py --only mtfa-hourglass crnn --clips 10 --steps 0
    python benchmarks/rare_events.py --device cuda --json FILE

Models are those of the papers at their printed sizes, with random weights. Times are the best of
all rounds, the median in brackets; every round takes each model in turn, so that a busy machine
slows all alike. "Model" is features to probabilities, "audio to events" the whole pipeline with
`log_mel` in front and the post-processors behind. A training step is forward, loss, backward and
Adam's step, on features at hand. CNN14 tags clips and finds no events: it is a yardstick of size
and speed alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import conditions
import torch
from clip_memory import clip_megabytes, clip_megabytes_on_gpu
from interleaved import Setting, Timing
from rare_event_measures import (
    Subject,
    make_subject,
    measure_inference,
    measure_size,
    measure_training,
)
from rare_event_models import CONFIGURATIONS, host_with_cnn14

from sedsdk import UnknownPart
from sedsdk.files import write_atomically
from sedsdk.training.progress import CountedWork

SHORTEST_SECONDS = 1.0
SIZE_HEADER = (
    "configuration",
    "input",
    "output",
    "parameters",
    "MMAC / s of audio",
    "memory of a clip, MB",
)


def tables(subjects: Sequence[Subject], settings: Sequence[Setting]) -> str:
    """Returns two Markdown tables: size, then speed."""
    size: list[Sequence[str]] = [SIZE_HEADER]
    for each in subjects:
        figures, memory = each.figures, each.figures.get("clip_megabytes")
        size.append(
            (
                each.name,
                " × ".join(map(str, figures["input"])),
                " × ".join(map(str, figures["output_frames"])),
                f"{figures['parameters']:,}",
                f"{figures['multiply_accumulates_per_second'] / 1e6:,.1f}",
                "" if memory is None else f"{memory:,.0f}",
            )
        )
    timed = [
        (what, s.name)
        for what in ("model", "audio to events", "training")
        for s in settings
        if s.name in subjects[0].times.get(what, {})
    ]
    speed: list[Sequence[str]] = [("configuration", *(f"{what}, {name}" for what, name in timed))]
    for each in subjects:
        speed.append((each.name, *(_cell(what, each.times[what][name]) for what, name in timed)))
    said = "Real-time factor, best (median); training: seconds of audio per second, best (median)."
    return f"{_markdown(size)}\n\n{said}\n\n{_markdown(speed)}"


def _cell(what: str, timing: Timing) -> str:
    if what == "training":
        return "{:,.1f} ({:,.1f})".format(*timing.speeds)
    return "{:.4f} ({:.4f})".format(*timing.real_time_factors)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def as_json(subjects: Sequence[Subject], environment: Mapping[str, Any]) -> bytes:
    """Returns all figures and the seconds of every round."""
    models = {
        each.name: {
            **each.figures,
            "clip_seconds": each.clip_seconds,
            "batch_seconds": each.batch_seconds,
            "seconds": {
                what: {setting: list(timing.seconds) for setting, timing in times.items()}
                for what, times in each.times.items()
            },
        }
        for each in subjects
    }
    return json.dumps({"environment": environment, "models": models}, indent=1).encode()


# Command line


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--clips", type=conditions.positive, default=5, help="timed rounds of inference"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a clip")
    parser.add_argument("--steps", type=int, default=3, help="timed training steps; 0: none")
    parser.add_argument(
        "--batch", type=conditions.positive, help="clips of a training batch, not the papers'"
    )
    conditions.add_options(parser)
    parser.add_argument("--only", nargs="+", choices=CONFIGURATIONS, metavar="NAME")
    parser.add_argument("--no-memory", action="store_true", help="saves a process per model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for a program")
    options = parser.parse_args(arguments)
    conditions.check_device(parser, options.device)

    if options.seconds < SHORTEST_SECONDS:
        parser.error(f"--seconds: CNN14 halves time five times; give at least {SHORTEST_SECONDS}")

    torch.manual_seed(0)
    load_before = os.getloadavg()
    subjects = _subjects(options)
    if not subjects:
        return 1
    settings = conditions.settings(options)
    measure_inference(subjects, settings, options.clips, conditions.say)
    if options.steps > 0:
        # training on few threads says nothing that inference does not
        last = settings if options.device == "cuda" else settings[-1:]
        measure_training(subjects, last, options.steps, conditions.say)
    environment = conditions.environment(
        options.device,
        load_before,
        clip_seconds=options.seconds,
        rounds=options.clips,
        training_steps=options.steps,
    )
    print(", ".join(f"{name} {value}" for name, value in environment.items()), end="\n\n")
    print(tables(subjects, settings))
    if options.json:
        write_atomically(options.json, as_json(subjects, environment))
    return 0


def _subjects(options: argparse.Namespace) -> list[Subject]:
    """Builds what can be built, and says what has to be installed for the rest."""
    host, subjects = host_with_cnn14(), []
    chosen = options.only or list(CONFIGURATIONS)
    progress = CountedWork("building and counting", conditions.say)
    for done, name in enumerate(chosen, 1):
        install = CONFIGURATIONS[name].install
        try:
            subject = make_subject(name, host, options.device, options.seconds, options.batch)
        except UnknownPart as error:
            if not install:
                raise
            print(f"{name} is left out: {error}\n  Install it: pip install {install}")
            continue
        measure_size(subject)
        if not options.no_memory:
            subject.figures["clip_megabytes"] = (
                clip_megabytes(name, options.seconds)
                if options.device == "cpu"
                else clip_megabytes_on_gpu(subject.pipeline, options.seconds)
            )
        subjects.append(subject)
        progress(done, len(chosen))
    return subjects


if __name__ == "__main__":
    sys.exit(main())
