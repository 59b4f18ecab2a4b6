"""Under which conditions a benchmark runs: its options, devices and threads, and the machine."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any

import torch
from interleaved import Setting


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --threads and --device."""
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="on a CPU, as in 1,2")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


def check_device(parser: argparse.ArgumentParser, device: str) -> None:
    """Ends the program, in words, if there is no GPU where one is asked for."""
    if device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here; leave the option out")


def settings(options: argparse.Namespace) -> list[Setting]:
    """Returns what is measured: each number of threads, or two precisions on a GPU."""
    if options.device == "cuda":
        return [Setting("fp32", "cuda"), Setting("bf16", "cuda", half=True)]
    return [Setting(f"{n} thread{'s' * (n > 1)}", threads=n) for n in options.threads]


def environment(device: str, load_before: Sequence[float], **more: Any) -> dict[str, Any]:
    """Returns what the figures depend on, the machine's load before and behind included.

    Args:
        device: "cpu" or "cuda".
        load_before: as `os.getloadavg` gave it.
        more: what else to note.
    """
    on_gpu = device == "cuda"
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if on_gpu else f"CPU, {os.cpu_count()} cores",
        "machine": platform.machine(),
        **{name.replace("_", " "): value for name, value in more.items()},
        "load average before": round(load_before[0], 2),
        "and behind": round(os.getloadavg()[0], 2),
    }


def numbers(text: str) -> list[int]:
    """Reads whole numbers above 0, as in "1,2"."""
    try:
        found = [int(each) for each in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"expected whole numbers as in 1,2, got {text}")
    return found


def positive(text: str) -> int:
    """Reads a whole number above 0."""
    return numbers(text)[0]


def say(line: str) -> None:
    """Prints a line beside the results."""
    print(line, file=sys.stderr)
