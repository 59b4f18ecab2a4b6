"""The benchmark of Kaldi networks: what it counts, its bare products, and one tiny run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import kaldi_speed as benchmark
import numpy as np
import pytest
from kaldi_speed_job import Job, bare_products
from made_networks import cnn_tdnnf, tdnn_renorm, tdnnf
from nnet3_work import products, useful_macs
from plain_nnet3 import PlainChunk
from random_networks import random_inputs, random_network

from kaldi_bridge.nnet3.network import ComponentNode, Network

SMALL = {"features": 6, "ivector": 3, "dim": 12, "bottleneck": 4, "prefinal": 5, "pdfs": 7}
TINY = ["--dim", "16", "--bottleneck", "4", "--pdfs", "3", "--seconds", "1", "--rounds", "1"]
TINY += ["--types", "float32", "bfloat16", "--wanted-share", "0"]


def test_librispeech_counted_by_hand() -> None:
    """Without what the network sees beyond the recording, per frame of audio."""
    network = tdnnf()
    first, prefinal = 220 * 1536, 1536 * 256
    pair, single = 4 * 160 * 1536, 2 * 160 * 1536  # layers with a time stride and without
    everything = first + 15 * pair + single + prefinal
    # of the last layer with stride 1, frames 0 and 1 of three below and frame 0 above
    thirds = first + 2 * pair + (2 / 3 + 1 / 3) * pair / 2 + (single + 12 * pair + prefinal) / 3
    assert useful_macs(network, "prefinal-l", 20_000, 1) == pytest.approx(20_000 * everything, 4e-3)
    assert useful_macs(network, "prefinal-l", 20_000, 3) == pytest.approx(20_000 * thirds, 4e-3)
    assert round(useful_macs(network, "prefinal-l", 6000, 1) / 1e9, 1) == 96.5
    assert round(useful_macs(network, "prefinal-l", 6000, 3) / 1e9, 1) == 42.5


@pytest.mark.parametrize("subsampling", [1, 2, 3])
@pytest.mark.parametrize(
    "network",
    [
        tdnnf(**SMALL, strides=(1, 1, 0, 3, 3)),
        tdnnf(**SMALL, strides=(1, 3), front="delta"),
        tdnn_renorm(features=6, ivector=0, dim=5, pdfs=3),
        cnn_tdnnf(height=8, ivector=0, convolutions=((3, 8), (2, 4)), dim=6, bottleneck=2, pdfs=3),
        *(
            random_network(
                np.random.default_rng(seed), 10, kinds=("TdnnComponent", "NoOpComponent")
            )
            for seed in range(12)
        ),
    ],
    ids=lambda network: f"{len(network.nodes)} nodes",
)
def test_frames_are_those_that_the_plain_evaluator_computes(
    network: Network, subsampling: int
) -> None:
    features, ivectors = random_inputs(network, np.random.default_rng(0), 25)
    plain = PlainChunk(network, features, 0, None if ivectors is None else ivectors[0], range(0))
    plain.values("output", list(range(0, 25, subsampling)))
    counted = products(network, "output", 25, subsampling, folded=False)
    assert {product.node for product in counted} == set(_multiplying(network, plain.known))
    for product in counted:
        rows = np.stack(list(plain.known[product.node].values()))
        assert rows.shape[1] % product.outputs == 0  # a convolution has so many per height
        steady = product.frames == 1 and np.allclose(rows, rows[0])  # i-vectors decide
        assert steady or product.frames == len(rows)


def _multiplying(network: Network, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        node = network.nodes[name]
        if isinstance(node, ComponentNode):
            component = network.components[node.component]
            if component.has("LinearParams") or component.kind == "LinearComponent":
                yield name


def test_convolutions_are_counted_without_their_padding() -> None:
    """Height 4, offsets −1, 0, 1: two of the twelve pairs lie outside."""
    network = cnn_tdnnf(height=4, ivector=0, convolutions=((3, 4),), dim=6, bottleneck=2, pdfs=3)
    counted = products(network, "cnn1.conv", 20)
    assert [product.node for product in counted] == ["idct", "cnn1.conv"]
    assert counted[1].multiply_accumulates == 20 * 3 * (12 - 2) * 3


def job(**changed: object) -> Job:
    options = {
        "model": "",
        "node": "x",
        "seconds": 30.0,
        "subsampling": 1,
        "dtype": "bfloat16",
        "chunk": 0,
        "rounds": 1,
        "threads": 1,
        "processor_time": False,
        "block": 1500,
        "products": ((1.0, 6, 4), (1 / 3, 4, 6)),
    }
    return Job(**{**options, **changed})


def test_bare_products_are_the_useful_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    multiplied = []

    def mm(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        assert a.dtype == b.dtype == out.dtype == torch.bfloat16
        assert a.data_ptr() != out.data_ptr()
        multiplied.append((len(a), *b.shape, *out.shape))

    run = bare_products(job())
    monkeypatch.setattr(torch, "mm", mm)
    run()
    assert multiplied == 2 * [(1500, 6, 4, 1500, 4), (500, 4, 6, 500, 6)]


def test_the_share_is_of_the_yardstick_in_the_same_round() -> None:
    found = {"network": [1.0, 2.0, 4.0], "yardstick": [0.1, 0.4, 0.2], "first": 9.0}
    row = benchmark.Row(job(seconds=8.0), work=2048**3 * 5.0, found=found)
    assert row.share() == pytest.approx(0.5)  # of 0.5, 1 and 0.25
    assert row.share(work=2048**3 * 10.0) == pytest.approx(1.0)
    assert row.real_time_factors == (1 / 8, 2 / 8)
    alone = benchmark.Row(job(), work=2048**3 * 5.0, found={**found, "network": None})
    assert alone.seconds == [9.0]


def test_a_tiny_run_prints_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*TINY, "--only", "network", "gpu", "--subsampling", "3", "--processor-time"]
    assert benchmark.main(arguments) == 0
    printed = capsys.readouterr().out
    rows = re.findall(r"^\| 1 s \| 3 \| (\w+) \| .* \| ([\d.e-]*) \|$", printed, re.MULTILINE)
    assert [name for name, _ in rows] == ["float32", "bfloat16"]
    assert rows[0][1] == ""
    assert 0 < float(rows[1][1]) < 1
    assert "nnet3-compute" not in printed  # its figures are for the large network


def test_slow_or_large_rows_fail() -> None:
    options = benchmark.argparse.Namespace(wanted_share=0.9, limit_megabytes=250.0)
    fast = {"network": [1.0], "yardstick": [1.0], "peak": 400e6, "libraries": 200e6, "held": 5e6}

    def fails(**changed: object) -> bool:
        row = benchmark.Row(job(dtype="float32"), 0.95 * 2048**3, {**fast, **changed})
        return benchmark.falls_short(row, options, coarse=False)

    assert not fails()
    assert fails(network=[1.1])
    assert fails(peak=460e6)
    assert not fails(peak=460e6, held=20e6)


def test_the_script_does_not_hide_the_package() -> None:
    benchmarks = Path(benchmark.__file__).parent
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import kaldi_bridge; "
        "import kaldi_bridge.errors; print(kaldi_bridge.__path__[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, benchmarks], check=True, stdout=subprocess.PIPE, text=True
    )
    assert Path(done.stdout.strip()) == benchmarks.parent / "kaldi_bridge"
