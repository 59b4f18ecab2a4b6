"""Speed and memory of Kaldi networks in `kaldi_bridge`, one thread, beside what bounds them.

    python benchmarks/kaldi_bridge.py                   # 60 s of audio; a few minutes
    python benchmarks/kaldi_bridge.py --hour            # and an hour of it
    python benchmarks/kaldi_bridge.py --only wav        # recordings to embeddings, end to end

The network has the layout and the sizes of LibriSpeech's TDNN-F (1536/160, 16 factored layers) with
random weights, and is written to a temporary folder. Each row is measured in a process of its own,
in turn with the two yardsticks: one 2048³ product in float32, and the network's products alone, a
bare sequence of `torch.mm` over blocks of 1 500 frames. Useful work is what nnet3_work.py counts:
every layer at the frames that are needed, each once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from interleaved import Setting, interleaved
from kaldi_speed_job import FRAMES_PER_SECOND, YARDSTICK, Job
from nnet3_work import products

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests" / "kaldi_bridge"))  # has made_networks.py
GOLDEN = HERE.parents[1] / "shared" / "golden" / "kaldi"
HOUR = 3600.0
MEGABYTE = 1e6
PARTS = ("network", "wav", "gpu")
LIBRISPEECH = (1536, 160)
"""Columns of a layer and of its bottleneck."""
EMBEDDING_CHUNKS = (50, 150)
GPU_BATCH = (32, 10.0)
"""Clips, and seconds of each."""
COLUMNS = (
    "audio",
    "subsampling",
    "type",
    "useful G",
    "real-time factor, best (median)",
    f"share of the {YARDSTICK}³ product's rate",
    "by the coarser count",
    "bare products' share",
    "MB at peak (above libraries)",
    "of which features and result",
    "loading s",
    "error",
)
COARSE_PER_SECOND = {3: 46.6e9 / 60, 1: 99e9 / 60}
"""Multiply-accumulates per second of audio by subsampling, counted more coarsely: the layer of time
stride 0 as if it read two frames, and all layers below it at every frame. The figures of
nnet3-compute refer to this count."""
KALDIS = {3: (0.029, 0.55), 1: (0.052, 0.66)}
"""Real-time factor and share of a product's rate that Kaldi's nnet3-compute reached once, on such a
network: OpenBLAS, one thread, its best chunk size, loading included, in about 95 MB."""
WANTED_SHARE = 0.9
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclasses.dataclass
class Row:
    """What was measured of one setting.

    Attributes:
        job: the setting.
        work: useful multiply-accumulates.
        found: bytes and seconds, as `kaldi_speed_job.measured` gives them.
        error: largest difference from the float32 row over its root mean square; None for that row.
    """

    job: Job
    work: float
    found: dict[str, Any]
    error: float | None = None

    @property
    def seconds(self) -> list[float]:
        """Seconds of every round; of the only run where there were none."""
        return self.found.get("network") or [self.found["first"]]

    @property
    def real_time_factors(self) -> tuple[float, float]:
        """Best and median."""
        audio = self.job.seconds
        return min(self.seconds) / audio, median(self.seconds) / audio

    def share(self, name: str = "network", work: float | None = None) -> float:
        """Returns the speed as a share of the yardstick's, the median of the rounds.

        Args:
            name: "network" or "bare".
            work: multiply-accumulates of a call; None for those counted.
        """
        yardsticks = self.found["yardstick"]
        seconds = self.found.get(name)
        if seconds is None:
            seconds, yardsticks = [self.found["first"]], [median(yardsticks)]
        useful = self.work if work is None else work
        return median(
            useful / taken * product / YARDSTICK**3
            for taken, product in zip(seconds, yardsticks, strict=True)
        )

    @property
    def above_libraries(self) -> float:
        """Bytes at the peak beyond what importing the libraries took."""
        return float(self.found["peak"] - self.found["libraries"])


def jobs(options: argparse.Namespace, model: Path, folder: Path) -> Iterator[tuple[Job, float]]:
    """Yields every setting, float32 before the other types, with its useful work."""
    from kaldi_bridge.nnet3.reading import read_nnet

    network = read_nnet(model)
    durations = [options.seconds] + ([HOUR] if options.hour else [])
    for seconds in durations:
        for subsampling in options.subsampling:
            frames = round(seconds * FRAMES_PER_SECOND)
            layers = products(network, options.node, frames, subsampling)
            work = sum(layer.multiply_accumulates for layer in layers)
            for dtype in options.types:
                long = seconds > options.seconds
                yield (
                    Job(
                        model=str(model),
                        node=options.node,
                        seconds=seconds,
                        subsampling=subsampling,
                        dtype=dtype,
                        chunk=options.chunk,
                        rounds=0 if long else options.rounds,
                        threads=options.threads,
                        processor_time=options.processor_time,
                        block=options.block,
                        products=tuple(
                            (layer.frames / frames, layer.inputs, layer.outputs) for layer in layers
                        ),
                        rows="" if long else str(folder / f"{subsampling}-{dtype}.npy"),
                    ),
                    float(work),
                )


def run(job: Job, work: float) -> Row:
    """Measures a setting in a process of its own."""
    limited = dict.fromkeys(ONE_THREAD, str(job.threads))
    done = subprocess.run(
        [sys.executable, HERE / "kaldi_speed_job.py", json.dumps(dataclasses.asdict(job))],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **limited},
    )
    return Row(job, work, json.loads(done.stdout))


def network_rows(options: argparse.Namespace, model: Path, folder: Path) -> list[Row]:
    """Measures every setting, and what the other types differ from float32."""
    rows = []
    for job, work in jobs(options, model, folder):
        _say(f"{job.seconds:g} s, subsampling {job.subsampling}, {job.dtype}")
        row = run(job, work)
        exact = folder / f"{job.subsampling}-float32.npy"
        if job.rows and job.dtype != "float32" and exact.exists():
            row.error = error(np.load(job.rows), np.load(exact))
        rows.append(row)
    return rows


def error(result: np.ndarray, reference: np.ndarray) -> float:
    """Returns the largest difference over the root mean square of the reference."""
    rms = np.sqrt(np.square(reference, dtype=np.float64).mean())
    return float(np.abs(result - reference).max() / rms)


def print_network(rows: Sequence[Row], coarse: bool) -> None:
    """Prints a table.

    Args:
        rows: what was measured.
        coarse: whether the coarser count holds for this network and node.
    """
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for row in rows:
        job, found = row.job, row.found
        best, middle = row.real_time_factors
        bare = f"{row.share('bare'):.0%}" if "bare" in found else ""
        coarser = ""
        if coarse and job.subsampling in COARSE_PER_SECOND:
            work = COARSE_PER_SECOND[job.subsampling] * job.seconds
            coarser = f"{row.share(work=work):.0%}"
        print(
            f"| {job.seconds:g} s | {job.subsampling} | {job.dtype} | {row.work / 1e9:.1f} | "
            f"{best:.4f} ({middle:.4f}) | {row.share():.0%} | {coarser} | {bare} | "
            f"{found['peak'] / MEGABYTE:.0f} ({row.above_libraries / MEGABYTE:.0f}) | "
            f"{found['held'] / MEGABYTE:.0f} | {found['loading']:.2f} | "
            f"{'' if row.error is None else format(row.error, '.1e')} |"
        )
    for subsampling, (factor, share) in KALDIS.items() if coarse else ():
        print(
            f"| nnet3-compute, once | {subsampling} | float32 | | {factor} | | {share:.0%} | | 95 "
            "| | | |"
        )


def print_embeddings(options: argparse.Namespace, model: Path) -> None:
    """Prints how long recordings take from samples to activations, part by part.

    Once with a small model of the golden folder, once with the large network; the large one's
    i-vectors, of dimension 100, come from the golden folder's large extractor.
    """
    import soundfile

    from kaldi_bridge.acoustic_model import AcousticModel

    golden = Path(options.golden)
    recordings = [
        soundfile.read(path, dtype="float32") for path in sorted(golden.glob("*/utt*.wav"))
    ]
    duration = sum(len(samples) / rate for samples, rate in recordings)
    print(
        f"\n{len(recordings)} recordings, {duration:.1f} s: seconds per round, best (median), and "
        f"real-time factor\n"
    )
    print("| model | frames per i-vector | features | i-vectors | network | all | factor |")
    print("|---|---|---|---|---|---|---|")
    conf = golden / "conf"
    for name, path, extractor in (
        ("a_tdnnf_lda_ivec", golden / "models/a_tdnnf_lda_ivec/final.mdl", "ivector_extractor"),
        ("LibriSpeech's size", model, "ivector_extractor_bigk"),
    ):
        loaded = AcousticModel.load(
            path, extractor=conf / f"{extractor}.conf", feature_conf=conf / "mfcc_hires.conf"
        )
        for chunk in EMBEDDING_CHUNKS:
            _say(f"recordings, {name}, {chunk} frames per i-vector")
            parts = _embedding_parts(loaded, [samples for samples, _ in recordings], chunk, options)
            taken = interleaved(
                parts, [Setting("threads", threads=options.threads)], options.rounds, _silent
            )
            cells = [taken[part, "threads"] for part in parts]
            shown = [f"{min(seconds):.3f} ({median(seconds):.3f})" for seconds in cells]
            factor = min(cells[-1]) / duration
            print(f"| {name} | {chunk} | {' | '.join(shown)} | {factor:.4f} |")


def _embedding_parts(
    model: Any, recordings: list[np.ndarray], chunk: int, options: argparse.Namespace
) -> dict[str, Callable[[], Any]]:
    wanted = {"node": options.node, "subsampling": 3, "frames_per_chunk": chunk}
    features = [model.features(samples) for samples in recordings]
    vectors = [model.ivectors(frames) for frames in features]
    return {
        "features": lambda: [model.features(samples) for samples in recordings],
        "i-vectors": lambda: [model.ivectors(frames) for frames in features],
        "network": lambda: [
            model(frames, ivectors=rows, **wanted)
            for frames, rows in zip(features, vectors, strict=True)
        ],
        "all": lambda: [model.embed(samples, **wanted) for samples in recordings],
    }


def print_gpu(options: argparse.Namespace, model: Path) -> None:
    """Prints the speed of a batch on a GPU; says so where there is none."""
    import torch

    from kaldi_bridge.acoustic_model import AcousticModel

    clips, seconds = GPU_BATCH
    if not torch.cuda.is_available():
        print("\nNo GPU here: the batch was not measured.")
        return
    print(f"\n{torch.cuda.get_device_name()}, {clips} × {seconds:g} s\n")
    print("| subsampling | type | ms, best (median) | times real time, best | error |")
    print("|---|---|---|---|---|")
    frames = round(seconds * FRAMES_PER_SECOND)
    loaded = AcousticModel.load(model)
    features = torch.randn(clips, frames, loaded.feature_dim, device="cuda")
    vectors = torch.randn(clips, loaded.ivector_dim, device="cuda") if loaded.ivector_dim else None
    for subsampling in options.subsampling:
        reference = None
        for dtype in options.types:
            typed = AcousticModel.load(model).to("cuda", getattr(torch, dtype))
            call = partial(
                typed,
                features,
                ivectors=vectors,
                node=options.node,
                subsampling=subsampling,
                frames_per_chunk=None,
            )
            rows = call().float().cpu().numpy()
            reference = rows if dtype == "float32" else reference
            taken = interleaved({"gpu": call}, [Setting("gpu", "cuda")], options.rounds, _silent)
            times = taken["gpu", "gpu"]
            differs = "" if reference is None or reference is rows else error(rows, reference)
            print(
                f"| {subsampling} | {dtype} | {1e3 * min(times):.2f} ({1e3 * median(times):.2f}) | "
                f"{clips * seconds / min(times):.0f} | {differs and format(differs, '.1e')} |"
            )


def _silent(done: int, total: int) -> None:
    """Shows nothing of a few short calls."""


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def write_network(options: argparse.Namespace, folder: Path) -> Path:
    """Writes a random network of LibriSpeech's layout with the package's own writer."""
    from made_networks import tdnnf

    from kaldi_bridge.nnet3.writing import write_model

    path = folder / "final.raw"
    write_model(tdnnf(dim=options.dim, bottleneck=options.bottleneck, pdfs=options.pdfs), path)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--model", type=Path, help="a model file; none: one is made")
    parser.add_argument("--node", default="prefinal-l")
    parser.add_argument("--seconds", type=float, default=60.0, help="of audio")
    parser.add_argument("--hour", action="store_true", help="also an hour of audio")
    parser.add_argument("--subsampling", type=int, nargs="+", default=[3, 1])
    parser.add_argument("--types", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--chunk", type=int, default=0, help="frames per i-vector; 0: one for all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="time what the processor spends, not what passes: for a busy machine, one thread",
    )
    parser.add_argument("--block", type=int, default=1500, help="frames, of the bare products")
    parser.add_argument("--dim", type=int, default=LIBRISPEECH[0], help="of the made network")
    parser.add_argument("--bottleneck", type=int, default=LIBRISPEECH[1])
    parser.add_argument("--pdfs", type=int, default=6024)
    parser.add_argument("--golden", default=str(GOLDEN), help="folder of the recordings")
    parser.add_argument("--wanted-share", type=float, default=WANTED_SHARE, help="fails below")
    parser.add_argument("--limit-megabytes", type=float, default=250.0, help="fails above")
    options = parser.parse_args(arguments)

    failed = False
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        model = options.model or write_network(options, folder)
        if "network" in options.only:
            sizes = (options.dim, options.bottleneck, options.node)
            coarse = options.model is None and sizes == (*LIBRISPEECH, "prefinal-l")
            rows = network_rows(options, model, folder)
            print_network(rows, coarse)
            failed = any(falls_short(row, options, coarse) for row in rows)
        if "wav" in options.only and Path(options.golden).exists():
            print_embeddings(options, model)
        elif "wav" in options.only:
            print(f"\nNo recordings in {options.golden}: give --golden.")
        if "gpu" in options.only:
            print_gpu(options, model)
    return int(failed)


def falls_short(row: Row, options: argparse.Namespace, coarse: bool) -> bool:
    """Returns whether a row is slower or takes more memory than is asked for.

    Speed is asked of float32 alone, by the coarser count where that holds.
    """
    work = COARSE_PER_SECOND.get(row.job.subsampling) if coarse else None
    share = row.share(work=work and work * row.job.seconds)
    slow = row.job.dtype == "float32" and share < options.wanted_share
    large = row.above_libraries - row.found["held"] > options.limit_megabytes * MEGABYTE
    return slow or large


if __name__ == "__main__":
    sys.exit(main())
