"""Each rule of folding: that it fires where it may, and leaves alone what it may not touch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from made_networks import cnn_tdnnf, tdnn, tdnnf, tdnnf_with_skips
from network_draft import NetworkDraft
from plain_nnet3 import PlainChunk, evaluate
from random_networks import random_inputs
from torch.utils.flop_counter import FlopCounterMode

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.chunks import Chunk
from kaldi_bridge.errors import NotSupported
from kaldi_bridge.graph import folding
from kaldi_bridge.graph.folding import Uses, fold, sources
from kaldi_bridge.graph.lowering import Graph, lower
from kaldi_bridge.graph.operations import Convolution, Gather, Linear, Operation, Pointwise
from kaldi_bridge.graph.plan import Plan
from kaldi_bridge.graph.planning import make_plan
from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3.network import ComponentNode, Network
from kaldi_bridge.nnet3.reading import Model
from kaldi_bridge.passes import Pass
from kaldi_bridge.weights import NetworkWeights

STRIDES = (1, 0, 3)
SMALL = {"features": 6, "dim": 16, "bottleneck": 4, "prefinal": 5, "pdfs": 30}


@dataclass
class Folded:
    """A folded graph, and what its plan gives beside the plain evaluator."""

    graph: Graph
    plan: Plan

    def of(self, name: str) -> Operation:
        (found,) = [one for one in self.graph.operations if one.out.name == name]
        return found

    def linear(self, name: str) -> Linear:
        found = self.of(name)
        assert isinstance(found, Linear)
        return found

    @property
    def kinds(self) -> list[str]:
        return [type(operation).__name__ for operation in self.graph.operations]


def folded(network: Network, *nodes: str, subsampling: int = 1) -> Folded:
    """Folds, checks every node asked for against the plain evaluator, and returns the graph."""
    names = nodes or ("output",)
    graph = fold(lower(network, names, subsampling, NetworkWeights(network).double()))
    plan = make_plan(graph, torch.float64, torch.device("cpu"))
    features, ivectors = random_inputs(network, np.random.default_rng(5), 17)
    steady = {} if ivectors is None else {"ivector": torch.from_numpy(ivectors[0]).double()}
    run, frames = Pass(plan), torch.from_numpy(features).double()
    parts = [*run.chunk(frames, Chunk(0, len(frames)), steady), *run.finish()]
    for name in names:
        options = {"node": name, "subsampling": subsampling}
        constant = None if ivectors is None else ivectors[0]
        expected = evaluate(network, features, constant, **options)
        found = torch.cat([part[name] for part in parts]).numpy()
        assert np.abs(found - expected).max() < 1e-11 * np.abs(expected).max(), name
    return Folded(graph, plan)


def drafted(build: Callable[[NetworkDraft], str], features: int = 6) -> Network:
    """Draws a network up on "input"; `build` returns what "output" reads."""
    draft = NetworkDraft(np.random.default_rng(0))
    draft.input("input", features)
    draft.output("output", build(draft))
    return draft.network()


def weights_of_readers(found: Folded, name: str) -> list[torch.Tensor | None]:
    return [term.weights for term, _, _ in Uses(found.graph).of[found.of(name).out]]


def test_tdnnf_is_one_linear_operation_per_matrix() -> None:
    """LDA and first layer are one; no cut, batch norm, dropout or bypass stands alone."""
    found = folded(tdnnf(**SMALL, ivector=3, strides=STRIDES), "prefinal-l")
    assert found.kinds == ["Linear"] * (1 + 2 * len(STRIDES) + 1)
    layers = [one for one in found.graph.operations if isinstance(one, Linear) and one.relu]
    assert [one.out.name for one in layers] == [
        "tdnn1.relu",
        *(f"tdnnf{number}.noop" for number in (2, 3, 4)),
    ]
    assert [one.rest is not None for one in layers] == [False, True, True, True]
    assert [one.rest.terms[0].factor for one in layers if one.rest] == [np.float32(0.66)] * 3
    for one in layers:
        assert set(weights_of_readers(found, one.out.name)) == {None}
    assert layers[0].floor is None, "reads the i-vector, so that its bias differs between segments"
    assert all(one.floor is not None and one.bias is None for one in layers[1:])


def test_lda_without_ivector_keeps_nothing_of_its_own() -> None:
    found = folded(tdnnf(**SMALL, ivector=0, strides=STRIDES), "prefinal-l")
    assert "lda" not in {one.out.name for one in found.graph.operations}
    first = found.linear("tdnn1.relu")
    assert first.weight.shape == (16, 18)
    assert first.floor is not None


def test_cnn_cuts_are_in_the_convolutions() -> None:
    maps = ((4, 8), (6, 4))
    network = cnn_tdnnf(
        height=8,
        ivector=3,
        ivector_filters=2,
        convolutions=maps,
        dim=16,
        bottleneck=4,
        first_bottleneck=5,
        strides=(0, 3),
        prefinal=5,
        pdfs=7,
    )
    found = folded(network, "prefinal-l")
    convolutions = [one for one in found.graph.operations if isinstance(one, Convolution)]
    assert len(convolutions) == 2
    assert all(one.relu for one in convolutions)
    assert "Pointwise" not in found.kinds


def test_delta_features_of_mini_librispeech() -> None:
    found = folded(tdnnf(**SMALL, ivector=3, strides=STRIDES, front="delta"), "prefinal-l")
    assert not any(isinstance(one, Pointwise) for one in found.graph.operations)


class TestMerging:
    def test_not_where_a_bottleneck_would_be_lost(self) -> None:
        def build(draft: NetworkDraft) -> str:
            return draft.affine("wide", draft.linear("narrow", "input", 2), 20)

        assert folded(drafted(build)).kinds == ["Linear", "Linear"]

    def test_where_it_is_no_more_work(self) -> None:
        def build(draft: NetworkDraft) -> str:
            first = draft.affine("first", "input", 12)
            return draft.affine("second", f"Offset(Scale(-0.5, {first}), 2)", 3)

        found = folded(drafted(build))
        assert found.kinds == ["Linear"]
        assert found.linear("second").weight.shape == (3, 6)

    def test_not_with_a_second_reader(self) -> None:
        def build(draft: NetworkDraft) -> str:
            first = draft.affine("first", "input", 12)
            return f"Append({draft.affine('second', first, 3)}, {draft.affine('third', first, 3)})"

        assert folded(drafted(build)).kinds == ["Linear"] * 3

    def test_not_what_is_asked_for(self) -> None:
        def build(draft: NetworkDraft) -> str:
            return draft.affine("second", draft.affine("first", "input", 12), 3)

        assert folded(drafted(build), "output", "first").kinds == ["Linear", "Linear"]

    def test_not_several_frames_of_the_first(self) -> None:
        def build(draft: NetworkDraft) -> str:
            first = draft.affine("first", "input", 12)
            return draft.affine("second", f"Append({first}, Offset({first}, 1))", 3)

        assert folded(drafted(build)).kinds == ["Linear", "Linear"]


class TestCut:
    def test_not_into_a_layer_that_is_asked_for(self) -> None:
        network = tdnn(features=6, ivector=0, norm="batchnorm", dim=8, splices=((0,),), pdfs=5)
        found = folded(network, "output", "tdnn1.affine")
        assert isinstance(found.of("tdnn1.relu"), Pointwise)
        assert not found.linear("tdnn1.affine").relu

    def test_not_with_another_reader(self) -> None:
        def build(draft: NetworkDraft) -> str:
            layer = draft.affine("layer", "input", 8)
            return f"Append({draft.relu('relu', layer)}, {layer})"

        found = folded(drafted(build))
        assert isinstance(found.of("relu"), Pointwise)

    def test_scale_before_it_goes_into_the_weights(self) -> None:
        def build(draft: NetworkDraft) -> str:
            return draft.relu("relu", f"Scale(-0.7, {draft.affine('layer', 'input', 8)})")

        assert folded(drafted(build)).linear("relu").relu

    def test_batch_norm_before_it_goes_into_the_weights(self) -> None:
        def build(draft: NetworkDraft) -> str:
            norm = draft.batchnorm("norm", draft.affine("layer", "input", 8))
            return draft.relu("relu", norm)

        assert folded(drafted(build)).kinds == ["Linear"]

    def test_not_through_a_shift(self) -> None:
        def build(draft: NetworkDraft) -> str:
            return draft.relu("relu", f"Offset({draft.affine('layer', 'input', 8)}, 2)")

        assert isinstance(folded(drafted(build)).of("relu"), Pointwise)

    def test_not_a_second_cut(self) -> None:
        def build(draft: NetworkDraft) -> str:
            first = draft.relu("first", draft.affine("layer", "input", 8))
            return draft.relu("second", draft.batchnorm("norm", first))

        found = folded(drafted(build))
        assert isinstance(found.of("second"), Pointwise)

    def test_not_of_a_sum(self) -> None:
        def build(draft: NetworkDraft) -> str:
            one, two = draft.affine("one", "input", 8), draft.affine("two", "input", 8)
            return draft.relu("relu", f"Sum({one}, {two})")

        assert isinstance(folded(drafted(build)).of("relu"), Pointwise)


class TestScales:
    def test_not_if_the_cut_values_are_asked_for(self) -> None:
        network = tdnn(features=6, ivector=0, norm="batchnorm", dim=8, splices=((0,),), pdfs=5)
        found = folded(network, "output", "tdnn1.relu")
        assert not found.linear("tdnn1.relu").normalized
        assert sum(weights is None for weights in weights_of_readers(found, "tdnn1.relu")) == 1

    def test_not_if_readers_have_different_ones(self) -> None:
        def build(draft: NetworkDraft) -> str:
            last = draft.relu("relu", draft.affine("layer", "input", 8))
            one, two = draft.batchnorm("one", last), draft.batchnorm("two", last)
            return f"Append({draft.affine('a', one, 3)}, {draft.affine('b', two, 3)})"

        found = folded(drafted(build))
        assert not found.linear("relu").normalized
        assert None not in weights_of_readers(found, "relu")

    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    def test_only_positive_ones(self, sign: float) -> None:
        def build(draft: NetworkDraft) -> str:
            last = draft.relu("relu", draft.affine("layer", "input", 8))
            scales = np.append(np.ones(7), sign)
            last = draft.add(building.per_element_scale("scale", scales), last)
            return draft.affine("next", last, 3)

        assert folded(drafted(build)).linear("relu").normalized == (sign > 0)

    def test_not_if_a_reader_takes_some_columns(self) -> None:
        def build(draft: NetworkDraft) -> str:
            last = draft.relu_layer("layer", "input", 8)
            part = draft.dim_range("part", last, 2, 3)
            return f"Append({draft.affine('a', last, 3)}, {draft.affine('b', part, 3)})"

        assert not folded(drafted(build)).linear("layer.relu").normalized


class TestBiases:
    """Biases of the layers move on where the batch norm's scale is in the weights."""

    @staticmethod
    def network(bias: float) -> Network:
        def build(draft: NetworkDraft) -> str:
            layer = building.affine("layer", np.ones((4, 6)), np.full(4, bias))
            last = draft.relu("relu", draft.add(layer, "input", size=1.0))
            norm = building.batchnorm("norm", np.zeros(4), np.full(4, 0.5), epsilon=0.5)
            return draft.affine("next", draft.add(norm, last, size=1.0), 3)

        return drafted(build)

    def test_small_ones_move(self) -> None:
        layer = folded(self.network(3.9)).linear("relu")
        assert layer.bias is None
        assert layer.floor is not None
        assert layer.floor.tolist() == pytest.approx([-3.9] * 4)

    def test_big_ones_stay(self) -> None:
        """Max(a + b, 0) with b = 1000 would lose three digits of a as max(a, -b) + b."""
        layer = folded(self.network(4.1)).linear("relu")
        assert layer.floor is None
        assert layer.bias is not None

    def test_the_limit_is_that_of_the_normalised_output(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        network = tdnnf(**SMALL, ivector=0, strides=(1,))
        assert folded(network, "prefinal-l").linear("tdnnf2.noop").floor is not None
        monkeypatch.setattr(folding, "MAX_PUSHED_BIAS", 0.0)
        assert folded(network, "prefinal-l").linear("tdnnf2.noop").floor is None

    def test_not_past_what_is_no_product(self) -> None:
        def build(draft: NetworkDraft) -> str:
            last = draft.relu_layer("layer", "input", 8)
            return draft.add(building.sigmoid("sigmoid", 8), last)

        assert folded(drafted(build)).linear("layer.relu").floor is None

    def test_through_a_sum_to_all_of_its_readers(self) -> None:
        def build(draft: NetworkDraft) -> str:
            one, two = draft.relu_layer("one", "input", 8), draft.relu_layer("two", "input", 8)
            mixed = draft.add(building.noop("sum", 8), f"Sum({one}, Offset({two}, 1), {one})")
            sigmoid = draft.add(building.sigmoid("sigmoid", 8), mixed)
            tanh = draft.add(building.tanh("tanh", 8), mixed)
            return f"Append({sigmoid}, {tanh}, {draft.affine('next', mixed, 3)})"

        found = folded(drafted(build), "output", "sum", "sigmoid")
        assert found.linear("one.relu").floor is not None


class TestBypass:
    @staticmethod
    def kinds(make: Callable[[NetworkDraft, str, str], str]) -> list[str]:
        def build(draft: NetworkDraft) -> str:
            below = draft.relu_layer("below", "input", 8)
            layer = draft.relu_layer("layer", below, 8)
            mixed = draft.add(building.noop("sum", 8), make(draft, below, layer))
            return draft.affine("next", mixed, 3)

        return folded(drafted(build)).kinds

    def test_fires_either_way_around_and_over_time(self) -> None:
        for text in ("Sum({0}, {1})", "Sum({1}, Scale(-0.5, {0}))", "Sum({1}, Offset({0}, -3))"):
            kinds = self.kinds(lambda _, below, layer, text=text: text.format(below, layer))
            assert "Gather" not in kinds, text

    @pytest.mark.parametrize(
        "text",
        ["Sum(Scale(0.5, {1}), {0})", "Sum(Offset({1}, 1), {0})", "Sum({1}, {0}, Offset({0}, 1))"],
    )
    def test_not_where_the_layer_itself_is_changed(self, text: str) -> None:
        assert "Gather" in self.kinds(lambda _, below, layer: text.format(below, layer))

    def test_not_where_somebody_else_reads_the_layer(self) -> None:
        def make(draft: NetworkDraft, below: str, layer: str) -> str:
            draft.output("output-layer", layer)
            return f"Sum({below}, {layer})"

        def build(draft: NetworkDraft) -> str:
            below = draft.relu_layer("below", "input", 8)
            layer = draft.relu_layer("layer", below, 8)
            return draft.add(building.noop("sum", 8), make(draft, below, layer))

        assert "Gather" in folded(drafted(build), "output", "output-layer").kinds

    def test_a_layer_stays_before_the_bypass_that_is_computed_later(self) -> None:
        def build(draft: NetworkDraft) -> str:
            early = draft.relu_layer("a", "input", 8)
            late = draft.relu_layer("z", draft.relu_layer("y", "input", 8), 8)
            mixed = draft.add(building.noop("sum", 8), f"Sum({early}, {late})")
            return draft.affine("next", mixed, 3)

        found = folded(drafted(build))
        computed = set(found.graph.inputs.values())
        for operation in found.graph.operations:
            read = {term.core for value in sources(operation) for term in value.terms}
            assert read <= computed
            computed.add(operation.out)


def test_nodes_that_share_a_component_are_folded_by_themselves() -> None:
    def build(draft: NetworkDraft) -> str:
        shared = building.affine("shared", np.random.default_rng(1).random((6, 6)), np.ones(6))
        one = draft.add(shared, "input", node="one", size=1.0)
        one = draft.batchnorm("norm1", draft.relu("relu1", one))
        two = draft.add(shared, one, node="two", size=1.0)
        two = draft.batchnorm("norm2", draft.relu("relu2", two))
        return draft.add(shared, two, node="three", size=1.0)

    found = folded(drafted(build), "output", "one", "norm2")
    assert found.kinds.count("Linear") == 3


def test_dead_branches_are_not_computed() -> None:
    network = tdnnf(**SMALL, ivector=0, strides=STRIDES)
    names = {one.out.name for one in folded(network, "tdnnf2.noop").graph.operations}
    assert names == {"tdnn1.relu", "tdnnf2.linear", "tdnnf2.noop"}


NETWORKS: dict[str, Network] = {
    "tdnnf": tdnnf(**SMALL, ivector=0, strides=(1, 1, 1, 0, 3, 3, 3)),
    "tdnnf_delta": tdnnf(**SMALL, ivector=0, strides=(1, 0, 3, 3), front="delta"),
    "tdnn": tdnn(features=6, ivector=0, norm="batchnorm", dim=8, pdfs=5),
    "skips": tdnnf_with_skips(features=6, ivector=0, dim=16, bottleneck=4, prefinal=5, pdfs=30),
}


def multiplied(plan: Plan, n_frames: int) -> int:
    """Multiply-accumulates that torch counts while a plan runs over one block."""
    run = Pass(plan, block_rows=10_000)
    with FlopCounterMode(display=False) as counter:
        chunk = Chunk(0, n_frames)
        [*run.chunk(torch.zeros(n_frames, 6).double(), chunk, {}), *run.finish()]
    return counter.get_total_flops() // 2


def multiplied_by_the_plain_evaluator(network: Network, n_frames: int, subsampling: int) -> int:
    """Multiply-accumulates of all rows it computes, LDA being part of the layer behind it."""
    features = np.zeros((n_frames, 6))
    chunk = PlainChunk(network, features, 0, None, range(n_frames))
    chunk.values("output", list(range(0, n_frames, subsampling)))
    total = 0
    for name, rows in chunk.known.items():
        node = network.nodes[name]
        if isinstance(node, ComponentNode) and name != "lda":
            component = network.components[node.component]
            tokens = [token for token in ("Params", "LinearParams") if component.has(token)]
            total += sum(component.array(token).size * len(rows) for token in tokens)
    return total


@pytest.mark.parametrize("subsampling", [1, 2, 3, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_product_is_computed_at_a_frame_that_is_not_needed(name: str, subsampling: int) -> None:
    """As many in the middle of a recording as the plain evaluator, which asks frame by frame."""
    network = NETWORKS[name]
    plan = folded(network, "output", subsampling=subsampling).plan
    short, long = 40 * subsampling, 60 * subsampling
    needed = multiplied_by_the_plain_evaluator(network, long, subsampling)
    needed -= multiplied_by_the_plain_evaluator(network, short, subsampling)
    assert multiplied(plan, long) - multiplied(plan, short) == needed > 0


def test_layers_of_stride_three_are_in_one_phase_only() -> None:
    network = tdnnf(**SMALL, ivector=0, strides=(1, 1, 0, 3, 3))
    graph = folded(network, "prefinal-l", subsampling=3).graph
    phases: dict[str, int] = {}
    for one in graph.operations:
        phases[one.out.name] = phases.get(one.out.name, 0) + 1
    assert phases == {
        "tdnn1.relu": 3,
        **{f"tdnnf{number}.{part}": 3 for number in (2,) for part in ("linear", "noop")},
        "tdnnf3.linear": 2,
        "tdnnf3.noop": 1,
        "tdnnf4.linear": 1,
        "tdnnf4.noop": 1,
        "tdnnf5.linear": 1,
        "tdnnf5.noop": 1,
        "tdnnf6.linear": 1,
        "tdnnf6.noop": 1,
        "prefinal-l": 1,
    }
    assert not any(isinstance(one, Gather) for one in graph.operations)


def test_moduli_that_would_need_too_many_phases_are_refused():
    def rounding(first: int, second: int) -> AcousticModel:
        lines = (
            "input-node name=input dim=1\n"
            f"output-node name=output input=Sum(Round(input, {first}), Round(input, {second}))\n"
        )
        return AcousticModel(Model(None, building.network(lines, [])))

    t = torch.arange(7)
    expected = ((t - t % 2) + (t - t % 3)).float()[:, None]  # as Round is defined
    assert torch.equal(rounding(2, 3)(t.float()[:, None]), expected)
    with pytest.raises(NotSupported, match="repeats after 988027 frames"):
        rounding(997, 991)(t.float()[:, None])
