"""How much memory one clip takes: what a process, or a GPU, needs beyond the loaded model."""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path

import torch
from rare_event_models import CONFIGURATIONS, host_with_cnn14

from sedsdk import Pipeline

PROCESS_STATUS = Path("/proc/self/status")
WARM_UP_SECONDS = 1.0
MEGABYTE = 1e6


def clip_megabytes(name: str, seconds: float) -> float | None:
    """Returns what predicting a clip adds to the peak of a process of its own, on the CPU.

    Args:
        name: in `CONFIGURATIONS`.
        seconds: length of the clip.

    Returns:
        Megabytes, or None where the system does not tell a process its peak.
    """
    if _peak_bytes() is None:
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
    before = _peak_bytes()
    _predict(pipeline, seconds)
    after = _peak_bytes()
    assert before is not None
    assert after is not None
    return (after - before) / MEGABYTE


def _predict(pipeline: Pipeline, seconds: float) -> None:
    rate = pipeline.sample_rates[0]
    pipeline.predict([0.1 * torch.randn(round(seconds * rate)).numpy()], rate)


def _peak_bytes() -> int | None:
    """Returns the largest resident set that this process had since it was started."""
    if not PROCESS_STATUS.exists():
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", PROCESS_STATUS.read_text(encoding="utf-8"))
    return int(found[1]) * 1024 if found else None
