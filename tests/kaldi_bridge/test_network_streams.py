"""Recordings in blocks: the same rows, bit for bit, however they were cut, in bounded memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_networks import cnn_tdnnf, tdnnf, tdnnf_with_skips
from made_recipe import make_recipe, plain_embedding, sound
from network_draft import NetworkDraft
from plain_nnet3 import evaluate
from random_networks import random_inputs, random_network

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.chunks import Chunk
from kaldi_bridge.embedding_stream import NetworkStream
from kaldi_bridge.errors import ShapeError
from kaldi_bridge.graph import streaming
from kaldi_bridge.graph.layout import Layout
from kaldi_bridge.graph.plan import Plan
from kaldi_bridge.nnet3.network import Network
from kaldi_bridge.nnet3.reading import Model
from kaldi_bridge.passes import Pass
from kaldi_bridge.plans import Plans
from kaldi_bridge.weights import NetworkWeights

SIZES = {"features": 6, "dim": 16, "bottleneck": 4, "prefinal": 5, "pdfs": 12}
STRIDES = (1, 0, 3, 3)
WITH = tdnnf(**SIZES, ivector=4, strides=STRIDES)
WITHOUT = tdnnf(**SIZES, ivector=0, strides=STRIDES, front="delta")
SKIPS = tdnnf_with_skips(features=6, ivector=4, dim=16, bottleneck=4, prefinal=5, pdfs=12)
CNN = cnn_tdnnf(
    height=6,
    ivector=4,
    ivector_filters=2,
    convolutions=((3, 6), (4, 3)),
    dim=16,
    bottleneck=4,
    first_bottleneck=5,
    strides=(0, 3),
    prefinal=5,
    pdfs=12,
)


def switching() -> Network:
    """A network whose layers repeat themselves every six frames."""
    draft = NetworkDraft(np.random.default_rng(0))
    draft.input("ivector", 4)
    draft.input("input", 6)
    first = draft.relu_layer("first", "Round(Offset(input, 1), 2)", 8)
    mixed = f"Append(Switch({first}, input2, {first}), ReplaceIndex(ivector, t, 0))"
    draft.relu_layer("other", "input", 8)
    mixed = mixed.replace("input2", "other.batchnorm")
    draft.output("output", draft.affine("last", mixed, 5))
    return draft.network()


NETWORKS = {"with": WITH, "without": WITHOUT, "skips": SKIPS, "cnn": CNN, "switch": switching()}
MODELS = {name: AcousticModel(Model(None, network)) for name, network in NETWORKS.items()}


def inputs(network: Network, n_frames: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    features, ivectors = random_inputs(network, np.random.default_rng(1), n_frames)
    return torch.from_numpy(features), None if ivectors is None else torch.from_numpy(ivectors)


def joined(parts: Iterable[dict[str, torch.Tensor]], node: str = "output") -> torch.Tensor:
    return torch.cat([part[node] for part in parts])


def pushed(
    stream: NetworkStream, features: torch.Tensor, ivectors: torch.Tensor | None, ends: list[int]
) -> torch.Tensor:
    """Rows of a recording cut at `ends`; an i-vector comes with the block that has its frame."""
    rows, start = [], 0
    for end in [*sorted(ends), len(features)]:
        vectors = None if ivectors is None else ivectors[-(-start // 10) : -(-end // 10)]
        rows.append(stream.push(features[start:end], vectors))
        start = end
    return torch.cat([*rows, stream.finish()])


def plan_of(network: Network, subsampling: int = 1, node: str = "output") -> Plan:
    return Plans(network, NetworkWeights(network).double()).get((node,), subsampling)


@pytest.mark.parametrize("subsampling", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_rows_at_a_time(name: str, subsampling: int) -> None:
    network = NETWORKS[name]
    features, ivectors = inputs(network, 61)
    steady = {} if ivectors is None else {"ivector": ivectors[0]}
    vector = None if ivectors is None else ivectors[0].numpy()
    expected = evaluate(network, features.numpy(), vector, subsampling=subsampling)
    plan = plan_of(network, subsampling)
    for block_rows in (1, 2, 5, 64, 768):
        run = Pass(plan, block_rows)
        found = joined([*run.chunk(features, Chunk(0, 61), steady), *run.finish()])
        assert np.abs(found.numpy() - expected).max() < 1e-12 * np.abs(expected).max(), block_rows


@pytest.mark.parametrize("block_rows", [1, 2, 5, 64, 768])
@pytest.mark.parametrize("name", NETWORKS)
def test_same_bits_however_the_rows_arrive(name: str, block_rows: int) -> None:
    network = NETWORKS[name]
    features, ivectors = inputs(network, 80)
    steady = {} if ivectors is None else {"ivector": ivectors[0]}
    plan = plan_of(network)
    whole = Pass(plan, block_rows)
    expected = joined([*whole.chunk(features, Chunk(0, 80), steady), *whole.finish()])
    random = np.random.default_rng(block_rows)
    for _ in range(4):
        run = Pass(plan, block_rows)
        run.begin(steady)
        total = plan.past + -(-80 // plan.phases) + plan.future
        ends = [*np.sort(random.integers(0, total, 5)), total]
        parts, start = [], 0
        run.end(80)
        for end in ends:
            first = (start - plan.past) * plan.phases
            parts += run.frames(features, first, int(end) - start)
            start = int(end)
        assert torch.equal(joined([*parts, *run.finish()]), expected)


@settings(max_examples=40)
@given(
    st.sampled_from(list(NETWORKS)),
    st.integers(1, 90),
    st.lists(st.integers(0, 90), max_size=6),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 7, 50]),
)
def test_cut_anywhere(
    name: str, n_frames: int, ends: list[int], subsampling: int, chunk: int
) -> None:
    """Blocks of frames, also empty ones, give the bits of the whole; those are Kaldi's chunks."""
    model, network = MODELS[name], NETWORKS[name]
    features, ivectors = inputs(network, n_frames)
    options = {"subsampling": subsampling, "frames_per_chunk": chunk}
    whole = model(features, None, ivectors, **options)
    stream = model.network_stream(node="output", **options)
    cut = [min(end, n_frames) for end in ends]
    assert torch.equal(pushed(stream, features, ivectors, cut), whole)
    vectors = None if ivectors is None else ivectors.numpy()
    expected = evaluate(network, features.numpy(), vectors, **options)
    assert np.abs(whole.numpy() - expected).max() < 2e-4 * np.sqrt(np.square(expected).mean())


def test_random_networks_cut_anywhere() -> None:
    for seed in range(60):
        random = np.random.default_rng(seed)
        network = random_network(random, int(random.integers(1, 10)))
        arrays = random_inputs(network, random, int(random.integers(1, 50)))
        features = torch.from_numpy(arrays[0])
        ivectors = None if arrays[1] is None else torch.from_numpy(arrays[1])
        options = {"subsampling": int(random.integers(1, 4)), "frames_per_chunk": 6}
        model = AcousticModel(Model(None, network))
        stream = model.network_stream(node="output", **options)
        cut = random.integers(0, len(features), 4).tolist()
        whole = model(features, None, ivectors, **options)
        assert torch.equal(pushed(stream, features, ivectors, cut), whole), seed


def test_recordings_shorter_than_the_context() -> None:
    left, right = MODELS["with"].context("output")
    assert (left, right) == (8, 8), "from the strides, by hand: 1 + 1 + 0 + 3 + 3"
    for n_frames in (1, 2, 3, 7, 8, 9, 16, 17):
        features, ivectors = inputs(WITH, n_frames)
        assert ivectors is not None
        for chunk in (1, 2, None):
            options = {"frames_per_chunk": chunk}
            expected = evaluate(WITH, features.numpy(), ivectors.numpy(), **options)
            found = MODELS["with"](features, None, ivectors, **options)
            assert np.abs(found.numpy() - expected).max() < 1e-4, (n_frames, chunk)


def test_one_ivector_needs_no_chunks() -> None:
    features, ivectors = inputs(WITH, 70)
    assert ivectors is not None
    stream = MODELS["with"].network_stream(node="output", ivector=ivectors[2])
    whole = MODELS["with"](features, None, ivectors[2])
    assert torch.equal(pushed(stream, features, None, [3, 60]), whole)


def test_rows_come_as_soon_as_a_block_is_full() -> None:
    """Nothing waits for the end: of 5 000 frames all but a block and the context are out."""
    features, _ = inputs(WITHOUT, 5000)
    stream = MODELS["without"].network_stream(node="output")
    assert len(stream.push(features)) > 5000 - streaming.BLOCK_ROWS - 20


def test_nothing_and_one_frame() -> None:
    for name, model in MODELS.items():
        stream = model.network_stream(node="output", subsampling=3)
        features, ivectors = inputs(NETWORKS[name], 1)
        nothing = stream.push(features[:0], None if ivectors is None else ivectors[:0])
        assert nothing.shape == stream.finish().shape == (0, model.node_dim("output"))
        stream = model.network_stream(node="output", subsampling=3)
        whole = model(features, None, ivectors, subsampling=3)
        assert torch.equal(pushed(stream, features, ivectors, []), whole)
        assert whole.shape == (1, model.node_dim("output"))


def held(thing: Any, seen: set[int] | None = None) -> int:
    """Counts what an object keeps: elements of tensors and arrays, entries of containers."""
    seen = set() if seen is None else seen
    storage = thing.untyped_storage() if isinstance(thing, torch.Tensor) else None
    place = id(thing) if storage is None else -storage.data_ptr()
    if place in seen or isinstance(thing, Plan | AcousticModel):
        return 0
    seen.add(place)
    if storage is not None:
        return storage.nbytes() // int(thing.element_size())
    if isinstance(thing, np.ndarray):
        return thing.size if thing.base is None else held(thing.base, seen)
    if isinstance(thing, dict):
        return len(thing) + sum(held(value, seen) for value in thing.values())
    if hasattr(thing, "__iter__") and hasattr(thing, "__len__") and not isinstance(thing, str):
        return len(thing) + sum(held(value, seen) for value in thing)
    return held(vars(thing), seen) if hasattr(thing, "__dict__") else 1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_long_stream_keeps_no_more_than_a_short_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of chunks: neither frames, i-vectors nor their segments pile up."""
    monkeypatch.setattr(streaming, "BLOCK_ROWS", 32)
    stream = MODELS[name].network_stream(node="output", frames_per_chunk=7)
    features, ivectors = inputs(NETWORKS[name], 1000)
    peaks = []
    for _ in range(4):
        peak = 0
        for start in range(0, 1000, 50):
            vectors = None if ivectors is None else ivectors[start // 10 : start // 10 + 5]
            stream.push(features[start : start + 50], vectors)
            peak = max(peak, held(stream))
        peaks.append(peak)
    assert peaks[3] <= peaks[1] + 50


def test_buffers_are_used_again() -> None:
    """After the first blocks a pass lends and takes back the same matrices."""
    run = Pass(plan_of(WITHOUT), block_rows=10)
    features = torch.randn(300, 6)
    run.begin({})
    places = []
    for start in range(0, 300, 20):
        list(run.frames(features, start, 20))
        pool = run._stream._pool._free
        places.append({matrix.data_ptr() for matrices in pool.values() for matrix in matrices})
    assert places[-1] == places[5]
    assert places[-1]


def test_a_stream_in_inference_mode_leaves_nothing_that_cannot_be_used_outside() -> None:
    model = AcousticModel(Model(None, WITHOUT))
    features, _ = inputs(WITHOUT, 900)
    stream = model.network_stream(node="output")
    with torch.inference_mode():
        whole = model(features)
        first = stream.push(features[:850])
    second = stream.push(features[850:])
    assert torch.equal(torch.cat([first, second, stream.finish()]), whole)
    assert torch.equal(model(features), whole)


def test_streams_beside_one_another() -> None:
    features, _ = inputs(WITHOUT, 900)
    model = AcousticModel(Model(None, WITHOUT))
    streams = [model.network_stream(node="output") for _ in range(3)]
    rows = [[stream.push(features[:800] * factor)] for factor, stream in enumerate(streams)]
    for factor, stream in enumerate(streams):
        rows[factor] += [stream.push(features[800:] * factor), stream.finish()]
        assert torch.equal(torch.cat(rows[factor]), model(features * factor))


class TestNetworkStreamRefuses:
    def test_an_ivector_of_another_dimension(self) -> None:
        with pytest.raises(ShapeError, match=r"expected \[4\]"):
            MODELS["with"].network_stream(node="output", ivector=torch.zeros(5))

    def test_features_of_another_dimension(self) -> None:
        with pytest.raises(ShapeError, match=r"\[2, 5\].*\[n, 6\]"):
            MODELS["with"].network_stream(node="output").push(torch.zeros(2, 5))

    def test_no_ivectors(self) -> None:
        stream = MODELS["with"].network_stream(node="output")
        stream.push(torch.zeros(9, 6))
        with pytest.raises(ShapeError, match="0 i-vectors"):
            stream.finish()

    @pytest.mark.parametrize(
        "options", [{"frames_per_chunk": 0}, {"subsampling": 0}, {"node": "nothing"}]
    )
    def test_options(self, options: dict[str, Any]) -> None:
        with pytest.raises(ShapeError):
            MODELS["with"].network_stream(**{"node": "output", **options})


class TestEmbeddingStream:
    """From samples to activations."""

    @pytest.fixture(scope="class")
    def model_dir(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return make_recipe(tmp_path_factory.mktemp("recipe"))

    @pytest.fixture(scope="class")
    def model(self, model_dir: Path) -> AcousticModel:
        return AcousticModel.load(model_dir)

    @pytest.mark.parametrize("chunk", [7, 50, 150])
    def test_same_bits_as_embed(self, model: AcousticModel, chunk: int) -> None:
        waveform = sound(2.3)
        whole = model.embed(waveform, frames_per_chunk=chunk)
        for block in (1000, 160, 37000, 12345):
            stream = model.stream(frames_per_chunk=chunk)
            rows = [
                stream.push(waveform[start : start + block])
                for start in range(0, len(waveform), block)
            ]
            assert torch.equal(torch.cat([*rows, stream.finish()]), whole), block

    def test_against_plain_twins(self, model: AcousticModel, model_dir: Path) -> None:
        waveform = sound(1.2, seed=3)
        expected = plain_embedding(model_dir, waveform, frames_per_chunk=20)
        stream = model.stream(frames_per_chunk=20)
        found = torch.cat([stream.push(waveform), stream.finish()]).numpy()
        assert np.abs(found - expected).max() < 2e-4 * np.sqrt(np.square(expected).mean())

    def test_full_rate_and_other_nodes(self, model: AcousticModel) -> None:
        waveform = sound(0.7)
        options = {"node": "output", "subsampling": 1, "frames_per_chunk": 20}
        stream = model.stream(**options)
        rows = [stream.push(waveform[:5000]), stream.push(waveform[5000:]), stream.finish()]
        assert torch.equal(torch.cat(rows), model.embed(waveform, **options))

    @pytest.mark.parametrize("n_samples", [0, 1, 399, 400, 401])
    def test_hardly_any_samples(self, model: AcousticModel, n_samples: int) -> None:
        """One window is 400 samples."""
        waveform = sound(1.0)[:n_samples]
        stream = model.stream()
        rows = torch.cat([stream.push(waveform), stream.finish()])
        whole = model.embed(waveform)
        assert rows.shape == whole.shape == (int(n_samples >= 400), 8)
        assert torch.equal(rows, whole)

    def test_finished_once(self, model: AcousticModel) -> None:
        stream = model.stream()
        stream.push(sound(0.5))
        stream.finish()
        for call in (lambda: stream.push(sound(0.1)), stream.finish):
            with pytest.raises(ShapeError, match="finished"):
                call()

    def test_chunks_are_needed_for_ivectors(self, model: AcousticModel) -> None:
        with pytest.raises(ShapeError, match="frames_per_chunk"):
            model.stream(frames_per_chunk=None)
        no_ivectors = model.stream(node="tdnn1.affine", frames_per_chunk=20)
        assert no_ivectors.state is not None

    def test_speaker_goes_on_to_the_next_recording(self, model: AcousticModel) -> None:
        first, second = sound(1.0), sound(1.5, seed=1)
        stream = model.stream()
        stream.push(first)
        stream.finish()
        features = model.features(second)
        expected = model(features, None, model.ivectors(features, stream.state), node="prefinal-l")
        stream = model.stream(state=stream.state)
        rows = torch.cat([stream.push(second), stream.finish()])
        assert torch.equal(rows, expected)
        assert not torch.equal(rows, model.embed(second))

    def test_memory(self, model: AcousticModel, monkeypatch: pytest.MonkeyPatch) -> None:
        """A recording three times as long leaves nothing more behind."""
        monkeypatch.setattr(streaming, "BLOCK_ROWS", 32)
        stream = model.stream(frames_per_chunk=20)
        peaks = []
        for _ in range(6):
            peak = 0
            for seed in range(5):
                stream.push(sound(1.0, seed=seed))
                peak = max(peak, held(stream))
            peaks.append(peak)
        assert peaks[5] <= peaks[2] + 200

    def test_learning_weights_are_left_out(self, model_dir: Path) -> None:
        model = AcousticModel.load(model_dir)
        model.requires_grad_()
        stream = model.stream()
        rows = torch.cat([stream.push(sound(0.5)), stream.finish()])
        assert not rows.requires_grad


def test_blocks_are_let_go_of_without_the_garbage_collector(monkeypatch):
    alive: list[weakref.ref[Layout]] = []
    make = Layout.__init__

    def counted(layout, *arguments):
        make(layout, *arguments)
        alive.append(weakref.ref(layout))

    monkeypatch.setattr(Layout, "__init__", counted)
    monkeypatch.setattr(streaming, "BLOCK_ROWS", 32)
    network = tdnnf(dim=16, bottleneck=4, ivector=0, prefinal=4, pdfs=5)
    stream = AcousticModel(Model(None, network)).network_stream(node="prefinal-l", subsampling=3)
    gc.disable()
    try:
        stream.push(torch.zeros(1000, 40))
        stream.finish()
        assert len(alive) > 5
        assert not any(layout() is not None for layout in alive)
    finally:
        gc.enable()
