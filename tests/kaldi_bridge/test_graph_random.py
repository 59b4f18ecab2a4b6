"""The compiled graph against the plain evaluator, in double, on networks that no recipe has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_networks import tdnnf
from network_draft import NetworkDraft
from plain_nnet3 import evaluate
from random_networks import random_inputs, random_network

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.chunks import Chunk
from kaldi_bridge.errors import KaldiError, NotSupported, ShapeError
from kaldi_bridge.graph import folding, planning, streaming
from kaldi_bridge.graph.folding import fold
from kaldi_bridge.graph.lowering import lower
from kaldi_bridge.graph.planning import make_plan
from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3.network import Network
from kaldi_bridge.nnet3.reading import Model
from kaldi_bridge.passes import Pass
from kaldi_bridge.weights import NetworkWeights

TOLERANCE = 1e-10
"""Of the root mean square; double precision leaves about 1e-14."""
FIRST_SEEDS = range(0, 180, 30)


def double_model(network: Network) -> AcousticModel:
    return AcousticModel(Model(None, network)).double()


def as_double(array: np.ndarray | None) -> torch.Tensor | None:
    return None if array is None else torch.from_numpy(array).double()


def assert_near(found: torch.Tensor, expected: np.ndarray, what: object = "") -> None:
    assert found.shape == expected.shape, what
    rms = max(float(np.sqrt(np.square(expected).mean())), 1e-3)
    assert np.abs(found.detach().numpy() - expected).max() <= TOLERANCE * rms, what


def run_plan(
    network: Network, features: np.ndarray, ivector: np.ndarray | None, node: str, folded: bool
) -> torch.Tensor:
    """Runs one chunk, with or without the folding rules."""
    graph = lower(network, (node,), 1, NetworkWeights(network).double())
    made = make_plan(fold(graph) if folded else graph, torch.float64, torch.device("cpu"))
    steady = {} if ivector is None else {"ivector": torch.from_numpy(ivector).double()}
    run = Pass(made)
    frames = torch.from_numpy(features).double()
    parts = [*run.chunk(frames, Chunk(0, len(frames)), steady), *run.finish()]
    return torch.cat([part[node] for part in parts])


@pytest.mark.parametrize("first", FIRST_SEEDS)
def test_random_networks(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any nodes, frame rate, chunk, i-vectors; streamed, in one piece with gradients, together.

    The limits that choose how a layer is multiplied are drawn too: with weights as small as these
    every layer would otherwise be done in one way.
    """
    for seed in range(first, first + 30):
        random = np.random.default_rng(seed)
        monkeypatch.setattr(planning, "NARROWING", int(random.choice([1, 2])))
        monkeypatch.setattr(planning, "ACCUMULATED", int(random.choice([1, 4, 128])))
        monkeypatch.setattr(planning, "TILE_COLUMNS", int(random.choice([2, 5, 384])))
        monkeypatch.setattr(planning, "TILE_MULTIPLE", 1)
        monkeypatch.setattr(streaming, "BLOCK_ROWS", int(random.choice([1, 2, 5, 64, 768])))
        monkeypatch.setattr(folding, "MAX_PUSHED_BIAS", float(random.choice([4.0, 1e9])))
        network = random_network(random, int(random.integers(1, 14)))
        arrays = random_inputs(network, random, int(random.integers(1, 60)))
        features, ivectors = map(as_double, arrays)
        nodes = [node for node in network.nodes if node not in ("input", "ivector")]
        names = tuple(dict.fromkeys(["output", *map(str, random.choice(nodes, 2))]))
        options = {
            "subsampling": int(random.integers(1, 5)),
            "frames_per_chunk": [None, 7, 20, 50][random.integers(4)],
        }
        model = double_model(network)
        together = model(features, None, ivectors, node=names, **options)
        assert features is not None
        moving = features.clone().requires_grad_()
        one_piece = model(moving, None, ivectors, node=names, **options)
        for name in names:
            expected = evaluate(network, *arrays, node=name, **options)
            alone = model(features, None, ivectors, node=name, **options)
            assert_near(alone, expected, (seed, name))
            assert_near(together[name], expected, (seed, name, "together"))
            assert_near(one_piece[name], expected, (seed, name, "in one piece"))


def test_folding_changes_nothing() -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        network = random_network(random, int(random.integers(1, 14)))
        features, ivectors = random_inputs(network, random, 12)
        ivector = None if ivectors is None else ivectors[0]
        expected = evaluate(network, features, ivector)
        for folded in (False, True):
            assert_near(run_plan(network, features, ivector, "output", folded), expected, seed)


def test_one_ivector_for_a_recording() -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        network = random_network(random, 6)
        features, ivectors = random_inputs(network, random, 21)
        if ivectors is not None:
            expected = evaluate(network, features, ivectors[1], frames_per_chunk=None)
            found = double_model(network)(as_double(features), None, as_double(ivectors[1]))
            assert_near(found, expected, seed)


@pytest.mark.parametrize(("period", "chunk"), [(1, 3), (4, 10), (7, None), (25, 1)])
def test_period_of_the_ivectors(period: int, chunk: int | None) -> None:
    network = tdnnf(features=5, ivector=4, dim=8, bottleneck=3, strides=(1, 3), prefinal=3, pdfs=5)
    features, ivectors = random_inputs(network, np.random.default_rng(0), 61, period)
    for subsampling in (1, 2, 3):
        options = {"subsampling": subsampling, "frames_per_chunk": chunk}
        expected = evaluate(network, features, ivectors, period=period, **options)
        model = double_model(network)
        given = (as_double(features), None, as_double(ivectors))
        assert_near(model(*given, ivector_period=period, **options), expected)


@pytest.mark.parametrize("n_frames", [1, 50, 1700])
def test_wide_layer_of_several_frames_on_a_bypass(n_frames: int) -> None:
    """Frames that add up in place, and a bypass whose place the sum would like to take."""
    draft = NetworkDraft(np.random.default_rng(0))
    draft.input("input", 20)
    bypass = draft.relu("a.relu", draft.affine("a", "input", 160))
    last = draft.relu("b.relu", draft.affine("b", "input", 160))
    frames = f"Append(Offset({last}, -1), {last}, Offset({last}, 1))"
    last = draft.relu("c.relu", draft.affine("c", frames, 160))
    mixed = draft.add(building.noop("mixed", 160), f"Sum({last}, Scale(0.5, {bypass}))")
    frames = f"Append(Offset({mixed}, -1), {mixed}, Offset({mixed}, 1))"
    draft.output("output", draft.affine("d", frames, 5))
    network = draft.network()
    features, _ = random_inputs(network, np.random.default_rng(1), n_frames)
    assert_near(double_model(network)(as_double(features)), evaluate(network, features))


def test_output_and_the_very_node_that_it_reads() -> None:
    """A constant that folding moves to the readers goes to each of them once."""
    draft = NetworkDraft(np.random.default_rng(0))
    draft.input("input", 8)
    layer = draft.relu_layer("layer", "input", 9)
    draft.output("output", layer)
    draft.output("output-more", draft.affine("more", layer, 4))
    network = draft.network()
    features, _ = random_inputs(network, np.random.default_rng(1), 5)
    nodes = ("output", layer, "output-more")
    found = double_model(network)(as_double(features), node=nodes)
    for node in nodes:
        assert_near(found[node], evaluate(network, features, node=node), node)


def test_layer_that_reads_constants_alone() -> None:
    draft = NetworkDraft(np.random.default_rng(0))
    draft.input("input", 3)
    constant = draft.relu("relu", draft.affine("affine", "Const(0.5, 4)", 6))
    draft.output("output", draft.affine("mixed", f"Append({constant}, input)", 4))
    network = draft.network()
    features, _ = random_inputs(network, np.random.default_rng(1), 5)
    for node in ("affine", "relu", "output"):
        found = double_model(network)(as_double(features), node=node)
        assert_near(found, evaluate(network, features, node=node), node)


def test_features_themselves_are_a_node() -> None:
    network = tdnnf(features=4, ivector=0, dim=8, bottleneck=3, strides=(1,), prefinal=3, pdfs=5)
    features = torch.randn(10, 4, dtype=torch.float64)
    assert torch.equal(double_model(network)(features, node="input", subsampling=3), features[::3])


class TestRefused:
    def test_recurrence(self) -> None:
        draft = NetworkDraft(np.random.default_rng(0))
        draft.input("input", 3)
        draft.dims["b"], draft.sizes["b"] = 4, 1.0
        draft.affine("a", "Append(input, Offset(b, -1))", 4)
        draft.affine("b", "a", 4)
        draft.output("output", "b")
        network = building.network("\n".join(draft.lines), draft.components.values())
        model = AcousticModel(Model(None, network))
        with pytest.raises(NotSupported, match="recurrent"):
            model(torch.zeros(4, 3))

    @pytest.mark.parametrize("source", ["IfDefined(Offset(input, -1))", "Failover(input, input)"])
    def test_what_depends_on_the_cut(self, source: str) -> None:
        draft = NetworkDraft(np.random.default_rng(0))
        draft.input("input", 3)
        draft.output("output", draft.affine("a", source, 4))
        with pytest.raises(NotSupported, match=source.split("(")[0]):
            AcousticModel(Model(None, draft.network()))(torch.zeros(4, 3))

    def test_ivector_read_frame_by_frame(self) -> None:
        draft = NetworkDraft(np.random.default_rng(0))
        draft.input("input", 3)
        draft.input("ivector", 2)
        draft.output("output", draft.affine("a", "Append(input, ivector)", 4))
        with pytest.raises(NotSupported, match=r"ReplaceIndex\(ivector, t, 0\)"):
            AcousticModel(Model(None, draft.network()))(torch.zeros(4, 3), None, torch.zeros(2))

    def test_input_of_another_name(self) -> None:
        draft = NetworkDraft(np.random.default_rng(0))
        draft.input("input", 3)
        draft.input("speaker", 2)
        draft.affine("a", "input", 4)
        draft.output("output", draft.affine("b", "Append(a, ReplaceIndex(speaker, t, 0))", 4))
        model = AcousticModel(Model(None, draft.network()))
        with pytest.raises(NotSupported, match='"speaker"'):
            model(torch.zeros(4, 3))
        assert model(torch.zeros(4, 3), node="a").shape == (4, 4)

    def test_batch_norm_without_statistics(self) -> None:
        draft = NetworkDraft(np.random.default_rng(0))
        draft.input("input", 3)
        component = building.batchnorm("norm", np.zeros(3), np.ones(3), count=0)
        draft.output("output", draft.add(component, "input"))
        with pytest.raises(KaldiError, match=r'"norm".*statistics'):
            AcousticModel(Model(None, draft.network()))(torch.zeros(4, 3))

    def test_unknown_node(self) -> None:
        network = tdnnf(features=4, ivector=0, dim=8, bottleneck=3, strides=(1,), pdfs=5)
        with pytest.raises(ShapeError, match=r'no node "nothing".*prefinal-l'):
            lower(network, ("nothing",), 1, NetworkWeights(network))
