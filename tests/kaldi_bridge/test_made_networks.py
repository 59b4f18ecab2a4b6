"""The layouts that are made on the spot against those that Kaldi's own scripts wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_networks import cnn_tdnnf, tdnn, tdnn_renorm, tdnnf, tdnnf_with_skips
from plain_context import context
from plain_nnet3 import evaluate
from random_networks import random_inputs

from kaldi_bridge.nnet3.components import FIELDS, parameters
from kaldi_bridge.nnet3.network import Component, Network
from kaldi_bridge.nnet3.reading import read_nnet

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"
WITHOUT_GOLDEN = "needs the golden files of Kaldi in ../shared/golden/kaldi"
SMALL = {"ivector": 20, "bypass": 0.75, "pdfs": 42, "dim": 64, "bottleneck": 16, "prefinal": 24}
B = {**SMALL, "front": "delta", "strides": (1, 1, 0, 3, 3, 3), "dropout": False}
C = {"ivector_filters": 3, "first_bottleneck": 24, "strides": (0, 3, 3, 3, 3)}
C_MAPS = ((8, 40), (8, 40), (12, 20), (12, 20), (16, 10), (16, 10))
D2_SPLICES = ((0,), (-1, 0, 1), (-1, 0, 1), (-3, 0, 3), (-6, -3, 0))
F_LAYERS = ((1, ()), (0, ()), (1, ()), (0, (3,)), (3, (5, 4, 2)))
MADE: dict[str, Callable[[], Network]] = {
    "a_tdnnf_lda_ivec": lambda: tdnnf(
        **{**SMALL, "dim": 96, "bottleneck": 24, "prefinal": 32}, strides=(1, 1, 1, 0, 3, 3, 3)
    ),
    "b_tdnnf_delta_noivec": lambda: tdnnf(**{**B, "ivector": 0}),
    "b2_tdnnf_delta_ivec": lambda: tdnnf(**B),
    "c_cnn_tdnnf_ivec": lambda: cnn_tdnnf(**SMALL, **C, convolutions=C_MAPS),
    "d_tdnn_batchnorm": lambda: tdnn(ivector=20, norm="batchnorm"),
    "d2_tdnn_renorm_noivec": lambda: tdnn_renorm(ivector=0, splices=D2_SPLICES),
    "f_tdnnf_7n_skip": lambda: tdnnf_with_skips(ivector=20, layers=F_LAYERS),
}


@pytest.mark.parametrize("model", MADE)
@pytest.mark.skipif(not GOLDEN.exists(), reason=WITHOUT_GOLDEN)
def test_layout_and_sizes_are_those_of_the_recipe(model: str) -> None:
    kaldis, made = read_nnet(GOLDEN / "models" / model / "final.raw"), MADE[model]()
    assert made.nodes == kaldis.nodes
    assert [sizes(component) for component in made.components.values()] == [
        sizes(component) for component in kaldis.components.values()
    ]


def sizes(component: Component) -> tuple[str, str, list[tuple[str, tuple[int, ...]]]]:
    """Returns type, name and the shapes of what counts at test time."""
    specs = FIELDS[component.kind]
    arrays = [
        (field.token, np.shape(field.value))
        for field in component.fields
        if isinstance(field.value, np.ndarray) and not specs[field.token].statistics
    ]
    return component.kind, component.name, arrays


@pytest.mark.parametrize("model", MADE)
def test_activations_neither_vanish_nor_explode(model: str) -> None:
    network = MADE[model]()
    features, ivectors = random_inputs(network, np.random.default_rng(0), 12)
    for node in network.nodes:
        if node != "ivector":
            result = evaluate(network, features, ivectors, node=node)
            assert 0.02 < np.sqrt(np.square(result).mean()) < 20, node


def test_seeds_differ_and_repeat() -> None:
    first, again, other = (tdnn(dim=4, seed=seed).components["lda"] for seed in (1, 1, 2))
    assert np.array_equal(first.array("LinearParams"), again.array("LinearParams"))
    assert not np.array_equal(first.array("LinearParams"), other.array("LinearParams"))


def test_librispeech_size() -> None:
    """Weights and biases of LibriSpeech's TDNN-F, counted by hand."""
    network = tdnnf()
    factored = 15 * (4 * 1536 * 160 + 1536) + (2 * 1536 * 160 + 1536)
    prefinal = 1536 * 256 + 2 * ((256 + 1) * 1536 + 1536 * 256 + (256 + 1) * 6024)
    assert sum(map(parameters, network.components.values())) == (
        (220 + 1) * 1536 + factored + prefinal
    )
    assert context(network, "prefinal-l") == (1 + 3 + 36, 1 + 3 + 36)
