"""How much memory one clip takes: what a process, or a GPU, needs beyond the loaded model."""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path

import torch
from rare_event_models import CONFIGURATIONS, host_with_cnn14

from sedsdk import Pipeline

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written there, it makes the process's present size its peak (Linux, man 5 proc)."""
WARM_UP_SECONDS = 1.0
MEGABYTE = 1e6


def clip_megabytes(name: str, seconds: float) -> float | None:
    """Returns how far predicting a clip makes a process of its own grow for a while, on the CPU.

    Args:
        name: in `CONFIGURATIONS`.
        seconds: length of the clip.

    Returns:
        Megabytes, or None where the system does not tell a process its peak (Linux does).
    """
    if not (STATUS.exists() and RESET.exists()):
        return None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (name, seconds))


def clip_megabytes_on_gpu(pipeline: Pipeline, seconds: float) -> float:
    """Returns what predicting a clip adds to the memory that torch has taken on the GPU."""
    _predict(pipeline, WARM_UP_SECONDS)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    _predict(pipeline, seconds)
    return (torch.cuda.max_memory_allocated() - before) / MEGABYTE


def _growth(name: str, seconds: float) -> float:
    pipeline = CONFIGURATIONS[name].build(host_with_cnn14())
    _predict(pipeline, min(WARM_UP_SECONDS, seconds))
    RESET.write_text(RESET_PEAK)
    before = _bytes("VmRSS")
    _predict(pipeline, seconds)
    return (_bytes("VmHWM") - before) / MEGABYTE


def _predict(pipeline: Pipeline, seconds: float) -> None:
    rate = pipeline.sample_rates[0]
    pipeline.predict([0.1 * torch.randn(round(seconds * rate)).numpy()], rate)


def _bytes(key: str) -> int:
    """Returns the resident set of this process, VmRSS, or the largest since the reset, VmHWM."""
    found = re.search(rf"{key}:\s+(\d+) kB", STATUS.read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) * 1024
