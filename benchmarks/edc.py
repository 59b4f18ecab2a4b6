"""Times `sedsdk_edc.condition` beside what one would write instead, and measures its memory.

    python benchmarks/edc.py                 # 32 clips of 500 × 64 on two threads; 90 000 × 64
    python benchmarks/edc.py --threads 1 --long-frames 0

Beside it, in the same run and in turn: the equations frame by frame in NumPy, one clip after the
other, and whole T × T matrices in torch for the batch. All compute in float64 from the same float32
features. A long recording is conditioned in a process of its own, whose peak counts everything
that it holds, the libraries too.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from interleaved import Setting, interleaved

ALPHA = 7.0
AUTHORS_MILLISECONDS = 150.0
"""What the authors' program takes for a clip of 500 × 64, measured on two cores such as these."""
WANTED_RATIO = 40.0
MEGABYTE = 1e6

LONG = r"""
import json, re, sys, time
from pathlib import Path
import numpy as np
import torch
import sedsdk_edc
from sedsdk_edc import arrays

def peak():
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return 1024 * int(found[1]) if found else 0

frames, bands, threads = map(int, sys.argv[1:4])
torch.set_num_threads(threads)
libraries = peak()
x = np.random.default_rng(0).normal(-6, 2, (frames, bands)).astype(np.float32)
start = time.perf_counter()
sedsdk_edc.condition(x, float(sys.argv[4]))
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "peak": peak(), "libraries": libraries}))
"""


def made_clips(clips: int, frames: int, bands: int) -> np.ndarray:
    """Returns float32 [B, T, F] like log-mel energies: noise, with events that last."""
    random = np.random.default_rng(0)
    values = random.normal(-8, 1, (clips, frames, bands))
    for clip in values:
        for _ in range(6):
            begin, length = random.integers(0, frames), random.integers(5, 80)
            clip[begin : begin + length] += random.exponential(3.0, bands)
    return values.astype(np.float32)


def frame_by_frame(x: np.ndarray, alpha: float) -> np.ndarray:
    """The equations for one clip [T, F], a frame at a time, in NumPy."""
    x = x.astype(np.float64)
    x = (x - x.min()) / (x.max() - x.min())
    n_frames = len(x)
    offsets = np.arange(n_frames)
    decayed = offsets * np.exp(-offsets / alpha)
    result = np.empty_like(x)
    for i in range(n_frames):
        similarity = x @ x[i]
        first = math.floor(i - _softmax(similarity[: i + 1]) @ decayed[i::-1])
        last = math.floor(i + _softmax(similarity[i:]) @ decayed[: n_frames - i])
        kept = slice(first, last + 1)
        result[i] = _softmax(similarity[kept]) @ x[kept]
    return result


def _softmax(values: np.ndarray) -> Any:
    exponentials = np.exp(values - values.max())
    return exponentials / exponentials.sum()


def all_pairs(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """The equations for a batch [B, T, F] on T × T matrices, in torch."""
    x = x.double()
    lowest, highest = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
    x = (x - lowest) / (highest - lowest)
    place = torch.arange(x.shape[1])
    distance = place - place.unsqueeze(1)  # [T, T]
    similarity = x @ x.transpose(1, 2)  # [B, T, T]
    decayed = distance.abs() * torch.exp(-distance.abs() / alpha)
    before = similarity.masked_fill(distance > 0, -math.inf).softmax(2)
    after = similarity.masked_fill(distance < 0, -math.inf).softmax(2)
    first = (place - (before * decayed).sum(2)).floor().unsqueeze(2)
    last = (place + (after * decayed).sum(2)).floor().unsqueeze(2)
    outside = (place < first) | (place > last)
    return similarity.masked_fill(outside, -math.inf).softmax(2) @ x


def compare(x: np.ndarray, threads: int, rounds: int) -> dict[str, list[float]]:
    """Returns seconds per clip of every round: ours, the frames in NumPy, the matrices in torch.

    Raises:
        AssertionError: they do not give the same.
    """
    from sedsdk_edc import condition

    batch, few = torch.from_numpy(x), x[: max(1, len(x) // 8)]
    ours = condition(batch, ALPHA)
    assert np.abs(ours[0].numpy() - frame_by_frame(x[0], ALPHA)).max() < 1e-6
    assert (ours - all_pairs(batch, ALPHA)).abs().max() < 1e-6
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "sedsdk_edc": (partial(condition, batch, ALPHA), len(x)),
        "frame by frame": (lambda: [frame_by_frame(clip, ALPHA) for clip in few], len(few)),
        "T × T matrices": (partial(all_pairs, batch, ALPHA), len(x)),
    }
    setting = Setting("threads", threads=threads)
    taken = interleaved(
        {name: call for name, (call, _) in calls.items()}, [setting], rounds, _progress
    )
    return {
        name: [seconds / clips for seconds in taken[name, setting.name]]
        for name, (_, clips) in calls.items()
    }


def condition_long(frames: int, bands: int, threads: int) -> dict[str, float]:
    """Returns seconds, peak bytes and bytes before any frame, of a process of its own.

    Bytes are 0 where the system does not tell a process its peak as Linux does.
    """
    arguments = map(str, (frames, bands, threads, ALPHA))
    done = subprocess.run(
        [sys.executable, "-c", LONG, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return dict(json.loads(done.stdout))


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} calls", end="\n" if done == total else "", file=sys.stderr)


def print_comparison(taken: dict[str, list[float]]) -> float:
    """Prints a table; returns how many times faster than the authors' program ours is."""
    print("| | ms per clip, best (median) | times the speed of the authors' program |")
    print("|---|---|---|")
    print(f"| authors' program, as measured once | {AUTHORS_MILLISECONDS:.0f} | 1 |")
    ratios = {}
    for name, seconds in taken.items():
        best, median = 1e3 * min(seconds), 1e3 * float(np.median(seconds))
        ratios[name] = AUTHORS_MILLISECONDS / best
        print(f"| {name} | {best:.2f} ({median:.2f}) | {ratios[name]:.0f} |")
    return ratios["sedsdk_edc"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clips", type=int, default=32, help="in the batch")
    parser.add_argument("--frames", type=int, default=500, help="of each clip")
    parser.add_argument("--bands", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long-frames", type=int, default=90_000, help="0: no long recording")
    parser.add_argument("--limit-megabytes", type=float, default=600.0, help="fails above this")
    options = parser.parse_args(arguments)

    print(
        f"{options.clips} clips of {options.frames} × {options.bands}, α = {ALPHA:g}, "
        f"{options.threads} threads, torch {torch.__version__}\n"
    )
    x = made_clips(options.clips, options.frames, options.bands)
    ratio = print_comparison(compare(x, options.threads, options.rounds))
    failed = (options.frames, options.bands) == (500, 64) and ratio < WANTED_RATIO
    if options.long_frames:
        found = condition_long(options.long_frames, options.bands, options.threads)
        peak, libraries = found["peak"] / MEGABYTE, found["libraries"] / MEGABYTE
        print(
            f"\n{options.long_frames} × {options.bands}: {found['seconds']:.1f} s, peak memory "
            f"{peak:.0f} MB, of which the libraries take {libraries:.0f} MB"
        )
        failed |= peak > options.limit_megabytes
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
