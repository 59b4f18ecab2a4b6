"""Networks cut in two: both parts together are the whole, in numbers and in gradients."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from made_networks import cnn_tdnnf, tdnn, tdnn_renorm, tdnnf, tdnnf_with_skips
from network_draft import NetworkDraft
from plain_nnet3 import evaluate

from kaldi_bridge.errors import NotSupported, ShapeError
from kaldi_bridge.learning_layers import LearningLayers
from kaldi_bridge.network_module import NetworkModule
from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3.cutting import cut_below, learning_layers
from kaldi_bridge.nnet3.network import Network
from kaldi_bridge.nnet3.reading import Model

SMALL: dict[str, Any] = {"features": 6, "ivector": 4, "dim": 12, "pdfs": 5}
FACTORED = {**SMALL, "bottleneck": 4, "strides": (1, 0, 3, 3), "prefinal": 5}
NETWORKS = {
    "tdnnf": (tdnnf(**FACTORED), "prefinal-l"),
    "tdnnf, chain branch": (tdnnf(**FACTORED), "prefinal-chain.batchnorm2"),
    "tdnnf, an output": (tdnnf(**FACTORED), "output"),
    "tdnnf, inside a layer": (tdnnf(**FACTORED), "tdnnf4.relu"),
    "tdnnf, no i-vector": (tdnnf(**{**FACTORED, "ivector": 0}), "prefinal-l"),
    "tdnnf, deltas": (tdnnf(front="delta", **FACTORED), "prefinal-l"),
    "tdnnf, skips": (tdnnf_with_skips(**{**SMALL, "bottleneck": 4, "prefinal": 5}), "prefinal-l"),
    "tdnn": (tdnn(**SMALL), "output"),
    "tdnn, renorm": (tdnn_renorm(**{**SMALL, "ivector": 0}), "tdnn5.renorm"),
    "cnn": (
        cnn_tdnnf(
            height=6,
            ivector=4,
            ivector_filters=2,
            convolutions=((3, 6), (3, 3)),
            dim=12,
            bottleneck=4,
            first_bottleneck=5,
            strides=(0, 3),
            prefinal=5,
            pdfs=5,
        ),
        "prefinal-l",
    ),
}
N_FRAMES = 47
TOLERANCE = 1e-4


def inputs(network: Network) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Features [47, F] and, where the network takes them, online i-vectors [5, K]."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(N_FRAMES, network.nodes["input"].dim, generator=random)
    if "ivector" not in network.nodes:
        return features, None
    return features, torch.randn(5, network.nodes["ivector"].dim, generator=random)


def cuts(network: Network, node: str):
    """Every number of layers below which the network can be cut."""
    for n in range(1, len(learning_layers(network, node)) + 1):
        try:
            yield n, cut_below(network, node, n)
        except ShapeError:
            continue


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("subsampling", [1, 3])
def test_both_parts_give_what_the_plain_twin_gives(name, subsampling):
    """With chunks of 20 frames that have an i-vector each, and with edges."""
    network, node = NETWORKS[name]
    features, ivectors = inputs(network)
    options = {"subsampling": subsampling, "frames_per_chunk": 20}
    want = evaluate(
        network,
        features.numpy(),
        None if ivectors is None else ivectors.numpy(),
        node=node,
        **options,
    )
    tried = []
    for n, cut in cuts(network, node):
        rows = NetworkModule(Model(None, cut.lower))(
            features, None, ivectors, node=cut.rows, **options
        )
        upper = LearningLayers(cut)
        with torch.no_grad():
            kept = upper(rows).numpy()
        for got in (upper(rows).detach().numpy(), kept):
            assert np.abs(got - want).max() < TOLERANCE * np.sqrt(np.mean(np.square(want)))
        tried.append(n)
    assert {1, 2} <= set(tried) or "skips" in name


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_the_whole_network(name):
    network, node = NETWORKS[name]
    features, ivectors = inputs(network)
    options = {"subsampling": 3, "frames_per_chunk": 20}
    for _, cut in islice(cuts(network, node), 3):
        whole = NetworkModule(Model(None, network))
        upper = LearningLayers(cut)
        named = dict(whole.weights.named_parameters())
        wanted = {
            name: named[name].requires_grad_() for name, _ in upper.weights.named_parameters()
        }
        rows = NetworkModule(Model(None, cut.lower))(
            features, None, ivectors, node=cut.rows, **options
        )
        weights = torch.linspace(-1, 1, upper(rows).numel())
        (upper(rows).flatten() * weights).sum().backward()
        (whole(features, None, ivectors, node=node, **options).flatten() * weights).sum().backward()
        for key, parameter in upper.weights.named_parameters():
            if not parameter.numel():  # the bias of a layer without one
                continue
            scale = wanted[key].grad.abs().max()
            torch.testing.assert_close(
                parameter.grad, wanted[key].grad, rtol=1e-3, atol=float(1e-4 * scale)
            )


def test_layers_are_counted_from_the_node_downwards():
    network, node = NETWORKS["tdnnf"]
    assert learning_layers(network, node) == [
        "prefinal-l",
        "tdnnf5",
        "tdnnf4",
        "tdnnf3",
        "tdnnf2",
        "tdnn1",
    ]
    assert learning_layers(network, "tdnnf3.linear") == ["tdnnf3", "tdnnf2", "tdnn1"]
    assert learning_layers(network, "output")[:2] == ["output", "prefinal-chain"]


def test_what_is_above_are_those_layers_alone():
    network, node = NETWORKS["tdnnf"]
    cut = cut_below(network, node, 2)
    assert (cut.layers, cut.through) == (("tdnnf5", "prefinal-l"), "tdnnf4.noop")
    assert cut.offsets == (-3, 0, 3)
    names = {name for name, _ in LearningLayers(cut).weights.named_parameters()}
    assert {name.split(":")[0].split("/")[0] for name in names} == {"tdnnf5", "prefinal-l"}
    assert all(value.requires_grad for value in LearningLayers(cut).parameters() if len(value))


def test_a_layer_without_context_stores_the_node_below_as_it_is():
    network, node = NETWORKS["tdnnf"]
    cut = cut_below(network, node, 1)
    assert (cut.rows, cut.offsets) == ("tdnnf5.noop", (0,))
    assert cut.lower is network


def test_a_network_can_be_cut_above_its_features():
    draft = NetworkDraft(np.random.default_rng(0))
    draft.input("input", 4)
    draft.output("output", draft.affine("a", "Append(Offset(input, -1), input)", 3))
    network = draft.network()
    cut = cut_below(network, "output", 1)
    assert (cut.through, cut.offsets) == ("input", (-1, 0))
    features, _ = inputs(network)
    rows = NetworkModule(Model(None, cut.lower))(features, node=cut.rows, subsampling=1)
    want = evaluate(network, features.numpy(), None, node="output", subsampling=1)
    np.testing.assert_allclose(LearningLayers(cut)(rows).detach().numpy(), want, atol=1e-5)


class TestRefusals:
    @pytest.mark.parametrize("n", [0, 7])
    def test_more_layers_than_there_are(self, n):
        with pytest.raises(ShapeError, match=r"it has 6, which are prefinal-l.*Give 1 to 6"):
            cut_below(*NETWORKS["tdnnf"], n)

    def test_no_such_node(self):
        with pytest.raises(ShapeError, match='no node "tdnnf9"'):
            cut_below(NETWORKS["tdnnf"][0], "tdnnf9", 1)

    def test_several_nodes_below(self):
        with pytest.raises(ShapeError, match=r"read tdnn2l, tdnn5l, tdnn6l.*layers: 1, 10, 11, 12"):
            cut_below(*NETWORKS["tdnnf, skips"], 2)

    def test_where_the_ivector_comes_in(self):
        with pytest.raises(ShapeError, match=r"read input, ivector.*layers: 1, 2, 3, 4, 5\."):
            cut_below(*NETWORKS["cnn"], len(learning_layers(*NETWORKS["cnn"])))

    def test_layers_that_differ_from_frame_to_frame(self):
        draft = NetworkDraft(np.random.default_rng(0))
        draft.input("input", 4)
        below = draft.affine("a", "input", 4)
        draft.output("output", draft.affine("b", f"Round({below}, 3)", 3))
        with pytest.raises(NotSupported, match=r'"b" reads Round\(a, 3\)'):
            cut_below(draft.network(), "output", 1)
        assert cut_below(draft.network(), "a", 1).through == "input"

    def test_recurrence(self):
        random = np.random.default_rng(0)
        components = [
            building.affine(name, random.random((4, 8)), random.random(4)) for name in "a"
        ]
        network = building.network(
            "input-node name=input dim=4\n"
            "component-node name=a component=a input=Append(input, Offset(a, -1))\n"
            "output-node name=output input=a",
            components,
        )
        with pytest.raises(NotSupported, match='"a" depends on itself'):
            cut_below(network, "output", 1)
