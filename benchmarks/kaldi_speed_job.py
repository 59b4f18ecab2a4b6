"""Measures one setting of a Kaldi network in a process of its own: run by kaldi_speed.py.

    python benchmarks/kaldi_speed_job.py '{"model": "final.raw", "seconds": 60, …}'

It prints one line of JSON. The network runs first, before anything else takes memory; only then
come the yardsticks, in turn with further runs of the network.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from interleaved import Setting, interleaved
from torch import Tensor

FRAMES_PER_SECOND = 100
PERIOD = 10
"""Frames from one i-vector to the next."""
YARDSTICK = 2048
"""Rows, columns and depth of the matrix product that speed is compared with."""
LONGEST_WHOLE_SECONDS = 300
"""Longer audio is fed block by block, and its rows are dropped: they alone would fill memory."""
BLOCK_FRAMES = 3000
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Job:
    """What one process measures.

    Attributes:
        model: path of the model file.
        node: whose activations.
        seconds: of audio.
        subsampling: frames per row.
        dtype: "float32" or "bfloat16", of weights and activations.
        chunk: frames that share an i-vector; 0 for one i-vector for everything.
        rounds: runs in turn with the yardsticks; 0 leaves the first run as the only one.
        threads: of torch.
        processor_time: times what the processor spent on this process instead of what passed.
        block: frames per product of the bare sequence.
        products: layers as (rows per frame of audio, columns in, columns out).
        rows: path for the result, as .npy; "" keeps none.
    """

    model: str
    node: str
    seconds: float
    subsampling: int
    dtype: str
    chunk: int
    rounds: int
    threads: int
    processor_time: bool
    block: int
    products: tuple[tuple[float, int, int], ...]
    rows: str = ""

    @property
    def frames(self) -> int:
        """Frames of audio."""
        return round(self.seconds * FRAMES_PER_SECOND)


class ProcessorTime(Setting):
    """Times by the processor's clock, which stands still while other processes have their turn."""

    def seconds(self, call: Callable[[], Any]) -> float:
        """Returns the processor's seconds of a call, of all threads together."""
        begin = time.process_time()
        call()
        return time.process_time() - begin


def measured(job: Job) -> dict[str, Any]:
    """Measures a job; bytes are 0 where the system does not tell a process its peak."""
    torch.set_num_threads(job.threads)
    import kaldi_bridge.acoustic_model  # noqa: F401

    libraries = resident("VmHWM")
    begin = time.perf_counter()
    network = Subject(job)
    loading = time.perf_counter() - begin
    loaded = resident("VmRSS")
    clock = time.process_time if job.processor_time else time.perf_counter
    begin = clock()
    rows = network()
    first = clock() - begin
    peak = resident("VmHWM")
    held = network.bytes + (0 if rows is None else rows.numel() * rows.element_size())
    if job.rows and rows is not None:
        import numpy as np

        np.save(job.rows, rows.float().numpy())
    del rows
    found = {
        "libraries": libraries,
        "loaded": loaded,
        "peak": peak,
        "held": held,
        "loading": loading,
        "first": first,
    }
    return {**found, **_timed(job, network)}


class Subject:
    """The network under test, called for all of its audio.

    Attributes:
        bytes: that its features and i-vectors take.
    """

    def __init__(self, job: Job) -> None:
        from kaldi_bridge.acoustic_model import AcousticModel

        self.job = job
        self.model = AcousticModel.load(job.model).to(getattr(torch, job.dtype))
        self.options = {"node": job.node, "subsampling": job.subsampling}
        self.whole = job.seconds <= LONGEST_WHOLE_SECONDS
        generator = torch.Generator().manual_seed(0)
        n_frames = job.frames if self.whole else BLOCK_FRAMES
        self.features = torch.randn(n_frames, self.model.feature_dim, generator=generator)
        n_vectors = -(-n_frames // PERIOD) if job.chunk else 1
        self.ivectors = torch.randn(n_vectors, self.model.ivector_dim, generator=generator)
        self.bytes = 4 * (self.features.numel() + self.ivectors.numel())

    @torch.inference_mode()
    def __call__(self) -> Tensor | None:
        """Computes every row; returns them unless the audio is long."""
        if self.whole:
            ivectors = self.ivectors if self.job.chunk else self.ivectors[0]
            return self.model(
                self.features,
                ivectors=ivectors if self.model.ivector_dim else None,
                frames_per_chunk=self.job.chunk or None,
                **self.options,
            )
        self._in_blocks()
        return None

    def _in_blocks(self) -> None:
        stream = self.model.network_stream(
            ivector=None if self.job.chunk or not self.model.ivector_dim else self.ivectors[0],
            frames_per_chunk=self.job.chunk or None,
            **self.options,
        )
        left = self.job.frames
        while left:
            n_frames = min(left, BLOCK_FRAMES)
            ivectors = self.ivectors[: -(-n_frames // PERIOD)] if self.job.chunk else None
            stream.push(self.features[:n_frames], ivectors)
            left -= n_frames
        stream.finish()


def bare_products(job: Job) -> Callable[[], None]:
    """Returns a call of the job's matrix products alone, block after block, layer after layer."""
    dtype = getattr(torch, job.dtype)
    blocks = max(1, round(job.frames / job.block))
    per_block = job.frames / blocks
    layers = []
    spaces: dict[tuple[int, int], Tensor] = {}
    for rows, columns, outputs in job.products:
        n_rows = max(1, round(rows * per_block))
        weights = torch.randn(columns, outputs).to(dtype)
        for width in (columns, outputs):
            largest = spaces.get((width, 0), torch.empty(0, width, dtype=dtype))
            if len(largest) < n_rows:
                spaces[width, 0] = torch.ones(n_rows, width, dtype=dtype)
                spaces[width, 1] = torch.ones(n_rows, width, dtype=dtype)
        layers.append((n_rows, columns, outputs, weights))

    @torch.inference_mode()
    def run() -> None:
        for _ in range(blocks):
            for n_rows, columns, outputs, weights in layers:
                source = spaces[columns, 0][:n_rows]
                torch.mm(source, weights, out=spaces[outputs, 1][:n_rows])

    return run


def _timed(job: Job, network: Subject) -> dict[str, list[float]]:
    """Returns seconds per round of the network and of the yardsticks."""
    square = torch.randn(YARDSTICK, YARDSTICK)
    result = torch.empty_like(square)

    def yardstick() -> None:
        torch.mm(square, square, out=result)

    calls: dict[str, Callable[[], Any]] = {"yardstick": yardstick}
    if job.rounds:
        calls |= {"network": network, "bare": bare_products(job)}
    kind = ProcessorTime if job.processor_time else Setting
    setting = kind("threads", threads=job.threads)
    taken = interleaved(calls, [setting], job.rounds or 5, lambda done, total: None)
    return {name: taken[name, setting.name] for name in calls}


def resident(key: str) -> int:
    """Returns bytes of this process: VmRSS now, or VmHWM at its peak; 0 if it is not told."""
    text = STATUS.read_text() if STATUS.exists() else ""
    found = re.search(rf"{key}:\s+(\d+) kB", text)
    return 1024 * int(found[1]) if found else 0


if __name__ == "__main__":
    values = json.loads(sys.argv[1])
    values["products"] = tuple(map(tuple, values["products"]))
    print(json.dumps(measured(Job(**values))))
