"""Sizes and speeds of M&mnet and its baselines: every row of Table 1, and M&mnet-MS.

    python benchmarks/mmnet.py                       # one and two threads; minutes
    python benchmarks/mmnet.py --threads 2 --only mmnet resnet-mean --steps 5
    python benchmarks/mmnet.py --device cuda --batch 64 --json mmnet.json

Features of 10 s clips as the paper has them, 896 frames of 128 bands, all noise: inference takes
one clip, a training step a batch. Frontends are measured by frontends.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import conditions
import torch
from interleaved import Setting, Timing, interleaved
from multiply_accumulates import multiply_accumulates
from torch import nn

from sedsdk import FrameGrid, Prediction, StreamSpec, Targets, UnknownPart, default_host
from sedsdk.files import write_atomically
from sedsdk.training.progress import CountedWork
from sedsdk.types import Features, Inputs

FRAMES, BANDS = 896, 128
GRID = FrameGrid(492 / 44100)
"""Of 10 s at 44.1 kHz (Chou et al. 2018, Section 2.7)."""
CLIP_SECONDS = 10.0
DCASE17, AUDIOSET = 17, 527
PRESENT_SHARE = 0.1
LEARNING_RATE = 0.01
INSTALL = "pip install plugins/mmnet"


@dataclass(frozen=True)
class Row:
    """A row of the paper's tables.

    Attributes:
        printed: parameters in millions; None where the paper prints none.
        head: name and options.
        encoder: name and options.
        classes: C.
    """

    printed: float | None
    head: tuple[str, Mapping[str, Any]]
    encoder: tuple[str, Mapping[str, Any]] = ("mmnet_resnet", {})
    classes: int = DCASE17


MS = ("mmnet_resnet", {"pyramid": True})
ROWS = {
    "convnet-mean": Row(1.54, ("macro", {"units": 512}), ("mmnet_convnet", {})),
    "resnet-max": Row(3.70, ("macro", {"pooling": "max"})),
    "resnet-mean": Row(3.70, ("macro", {})),
    "wlat": Row(3.70, ("wlat", {})),
    "slat": Row(3.70, ("slat", {})),
    "plat": Row(3.72, ("plat", {})),
    "att": Row(4.14, ("att", {})),
    "spda": Row(6.84, ("spda", {})),
    "mmnet": Row(4.16, ("macro_micro", {})),
    "mmnet-without-ep": Row(4.16, ("macro_micro", {"ensemble_prediction": False})),
    "mmnet-ms": Row(None, ("macro_micro_ms", {}), MS),
    "mmnet-ms-audioset": Row(8.0, ("macro_micro_ms", {}), MS, AUDIOSET),
}


class Net(nn.Module):
    """Encoder and head of a row; its head is told that a tenth of the clips hold each class."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        host = default_host()
        encoder, head = host.load("encoder", row.encoder[0]), host.load("head", row.head[0])
        streams = {"main": StreamSpec(BANDS, GRID)}
        self.encoder = encoder(encoder.Config(**row.encoder[1]), streams)
        self.head = head(head.Config(**row.head[1]), self.encoder.spec, row.classes)
        self.head.fit(torch.full((row.classes,), PRESENT_SHARE))

    def forward(self, inputs: Inputs) -> Prediction:
        """Predicts from features [B, T, 128]."""
        return self.head(self.encoder(inputs))  # type: ignore[no-any-return]


@dataclass
class Measured:
    """A row's net, and what was measured of it.

    Attributes:
        name: in `ROWS`.
        net: on its device.
        figures: name → number, ready for JSON.
        times: "inference" and "training", setting → `Timing`.
    """

    name: str
    net: Net
    figures: dict[str, Any]
    times: dict[str, dict[str, Timing]] = field(default_factory=dict)


def noise(clips: int, device: str = "cpu") -> Inputs:
    """Returns features of noise, [B, 896, 128]."""
    values = torch.randn(clips, FRAMES, BANDS, device=device)
    lengths = torch.full((clips,), FRAMES, device=device)
    return Inputs({"main": Features(values, lengths, GRID)})


def measured(name: str, device: str = "cpu") -> Measured:
    """Builds a row's net and counts it.

    Raises:
        UnknownPart: the plugin is not installed.
    """
    row = ROWS[name]
    net = Net(row).to(device).eval()
    parameters = sum(p.numel() for p in net.parameters())
    inputs = noise(1, device)
    with torch.inference_mode():
        count = multiply_accumulates(net, partial(net, inputs))
    figures = {
        "classes": row.classes,
        "parameters": parameters,
        "printed_millions": row.printed,
        "deviation": None if row.printed is None else parameters / 1e6 / row.printed - 1,
        "multiply_accumulates_per_second": count / CLIP_SECONDS,
    }
    return Measured(name, net, figures)


def measure_inference(
    rows: Sequence[Measured], settings: Sequence[Setting], rounds: int, say: Callable[[str], None]
) -> None:
    """Times features of one clip to probabilities."""
    inputs = noise(1, settings[0].device)
    calls = {each.name: partial(_predict, each.net.eval(), inputs) for each in rows}
    taken = interleaved(calls, settings, rounds, CountedWork("timing clips", say))
    for each in rows:
        each.times["inference"] = {
            s.name: Timing(taken[each.name, s.name], CLIP_SECONDS) for s in settings
        }


def measure_training(
    rows: Sequence[Measured],
    settings: Sequence[Setting],
    steps: int,
    clips: int,
    say: Callable[[str], None],
) -> None:
    """Times steps of SGD on a batch of clips, and leaves the nets in training mode."""
    inputs = noise(clips, settings[0].device)
    calls = {each.name: training_step(each, inputs) for each in rows}
    taken = interleaved(calls, settings, steps, CountedWork("timing training steps", say))
    for each in rows:
        each.times["training"] = {
            s.name: Timing(taken[each.name, s.name], clips * CLIP_SECONDS) for s in settings
        }


def _predict(net: Net, inputs: Inputs) -> None:
    with torch.inference_mode():
        net(inputs)


def training_step(row: Measured, inputs: Inputs) -> Callable[[], None]:
    """Returns what makes one step: forward, loss, gradients, SGD with momentum."""
    net, classes = row.net.train(), ROWS[row.name].classes
    optimiser = torch.optim.SGD(net.parameters(), LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    clips = inputs.batch_size
    device = inputs.main.values.device
    labels = (torch.rand(clips, classes, device=device) < PRESENT_SHARE).float()
    known = torch.ones_like(labels, dtype=torch.bool)
    unknown = torch.zeros(clips, 1, classes, device=device)
    targets = Targets(labels, known, unknown, unknown.bool(), GRID)

    def step() -> None:
        loss = net.head.loss(net(inputs), targets).mean()
        with torch.autocast(device.type, enabled=False):
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()

    return step


# What is told


def table(rows: Sequence[Measured], settings: Sequence[Setting]) -> str:
    """Returns the figures as Markdown."""
    timed = [
        (what, s.name)
        for what in ("inference", "training")
        for s in settings
        if s.name in rows[0].times.get(what, {})
    ]
    head = ["row", "classes", "parameters", "printed", "off by", "M multiply-adds per second"]
    lines = [[*head, *(f"{what}, {name}" for what, name in timed)]]
    for each in rows:
        figures = each.figures
        printed = figures["printed_millions"]
        lines.append(
            [
                each.name,
                str(figures["classes"]),
                f"{figures['parameters']:,}",
                "" if printed is None else f"{printed:.2f} M",
                "" if printed is None else f"{figures['deviation']:+.1%}",
                f"{figures['multiply_accumulates_per_second'] / 1e6:,.1f}",
                *(_cell(what, each.times[what][name]) for what, name in timed),
            ]
        )
    rule = "|" + "---|" * len(lines[0])
    shown = [f"| {' | '.join(line)} |" for line in lines]
    said = (
        "Inference: real-time factor of one clip, best (median). Training: seconds of audio per "
        "second, best (median)."
    )
    return "\n".join([shown[0], rule, *shown[1:], "", said])


def _cell(what: str, timing: Timing) -> str:
    if what == "training":
        return "{:,.1f} ({:,.1f})".format(*timing.speeds)
    return "{:.5f} ({:.5f})".format(*timing.real_time_factors)


def as_json(rows: Sequence[Measured], environment: Mapping[str, Any]) -> bytes:
    """Returns all figures and the seconds of every round."""
    found = {
        each.name: {
            **each.figures,
            "seconds": {
                what: {setting: list(timing.seconds) for setting, timing in times.items()}
                for what, times in each.times.items()
            },
        }
        for each in rows
    }
    return json.dumps({"environment": environment, "rows": found}, indent=1).encode()


# Command line


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--clips", type=conditions.positive, default=5, help="timed rounds of inference"
    )
    parser.add_argument("--steps", type=int, default=3, help="timed training steps; 0: none")
    parser.add_argument(
        "--batch", type=conditions.positive, default=8, help="clips of a training batch"
    )
    conditions.add_options(parser)
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for a program")
    options = parser.parse_args(arguments)
    conditions.check_device(parser, options.device)
    torch.manual_seed(0)
    load_before = os.getloadavg()
    chosen = options.only or list(ROWS)
    progress = CountedWork("building and counting", conditions.say)
    rows: list[Measured] = []
    try:
        for done, name in enumerate(chosen, 1):
            rows.append(measured(name, options.device))
            progress(done, len(chosen))
    except UnknownPart as error:
        print(f"{error}\n  Install it: {INSTALL}")
        return 1
    settings = conditions.settings(options)
    measure_inference(rows, settings, options.clips, conditions.say)
    if options.steps > 0:
        measure_training(rows, settings, options.steps, options.batch, conditions.say)
    environment = conditions.environment(
        options.device,
        load_before,
        rounds=options.clips,
        training_steps=options.steps,
        batch=options.batch,
    )
    print(", ".join(f"{name} {value}" for name, value in environment.items()), end="\n\n")
    print(table(rows, settings))
    if options.json:
        write_atomically(options.json, as_json(rows, environment))
    return 0


if __name__ == "__main__":
    sys.exit(main())
