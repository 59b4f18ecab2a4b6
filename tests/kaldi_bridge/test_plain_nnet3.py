"""The plain evaluator against what Kaldi's own binaries computed, and its rules by closed forms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_context import context, modulus
from plain_nnet3 import evaluate
from random_networks import random_inputs, random_network

from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3.components import SUPPORTED
from kaldi_bridge.nnet3.network import Component, ComponentNode, Network
from kaldi_bridge.nnet3.reading import read_model

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"
WITHOUT_GOLDEN = "needs the golden files of Kaldi in ../shared/golden/kaldi"
MODELS = sorted(path.parent for path in GOLDEN.glob("models/*/final.raw"))
LARGEST = 2e-4
"""Difference over the root mean square of the reference."""
FSF3 = {"subsampling": 3}
DESCRIPTORS = ("Append", "Sum", "Scale", "Const", "Offset", "ReplaceIndex", "Round", "Switch")
DESCRIPTORS += ("Failover", "IfDefined")
VARIANTS: dict[str, dict[str, Any]] = {
    "fsf1": {},
    "fsf1_whole": {"frames_per_chunk": None},
    "fsf3": FSF3,
    "fsf3_ectx": FSF3,
    "fsf3_constivec": FSF3,
    "fsf3_whole": {**FSF3, "frames_per_chunk": None},
    "fsf3_c150": {**FSF3, "frames_per_chunk": 150},
}

needs_golden = pytest.mark.skipif(not MODELS, reason=WITHOUT_GOLDEN)


@cache
def stored(name: str) -> dict[str, np.ndarray]:
    """Returns the matrices of a file under the golden folder, by key."""
    with np.load(GOLDEN / name) as arrays:
        return dict(arrays)


@cache
def network_of(model: str) -> Network:
    return read_model(GOLDEN / "models" / model / "final.raw").network


def error(result: np.ndarray, reference: np.ndarray) -> float:
    """Returns the largest difference over the root mean square of the reference."""
    assert result.shape == reference.shape
    return float(
        np.abs(result - reference).max() / np.sqrt(np.square(reference, dtype=float).mean())
    )


def recomputed(
    model: str, node: str, variant: str, utterance: str, folder: str = "feats"
) -> np.ndarray:
    """Returns a node's activations by the plain evaluator, as `nnet3-compute` was called."""
    network = network_of(model)
    ivectors = None
    if "ivector" in network.nodes:
        name = "ivector_const" if variant.endswith("constivec") else "ivector_online"
        ivectors = stored(f"{'ivectors' if folder == 'feats' else folder}/{name}.npz")[utterance]
    features = stored(f"{folder}/mfcc_hires.npz")[utterance]
    return evaluate(network, features, ivectors, node=node, **VARIANTS[variant])


def cases(utterances: tuple[str, ...]) -> list[tuple[str, str, str, str]]:
    """Returns model, node, variant and utterance of every stored output."""
    found = []
    for model in MODELS:
        for path in sorted(model.glob("out/*.npz")):
            node, variant = path.stem.rsplit(".", 1) if "." in path.stem else ("", "")
            if variant in VARIANTS:
                found += [(model.name, node, variant, utterance) for utterance in utterances]
    return found


@needs_golden
@pytest.mark.parametrize(("model", "node", "variant", "utterance"), cases(("utt4",)))
def test_short_recording(model: str, node: str, variant: str, utterance: str) -> None:
    reference = stored(f"models/{model}/out/{node}.{variant}.npz")[utterance]
    assert error(recomputed(model, node, variant, utterance), reference) <= LARGEST


@needs_golden
@pytest.mark.parametrize("model", [path.name for path in MODELS])
def test_every_node(model: str) -> None:
    references = stored(f"models/{model}/out/debug_utt4_all_nodes_fsf1_whole.npz")
    assert len(references) > 10
    for node, reference in references.items():
        result = recomputed(model, node, "fsf1_whole", "utt4")
        assert error(result, reference) <= LARGEST, node


@needs_golden
@pytest.mark.parametrize(
    "node_and_variant",
    ["output.fsf3", "prefinal-l.fsf3", "prefinal-l.fsf3_c150", "prefinal-l.fsf3_whole"],
)
def test_longer_recording(node_and_variant: str) -> None:
    reference = stored(f"long/a.{node_and_variant}.npz")["utt5"]
    result = recomputed("a_tdnnf_lda_ivec", *node_and_variant.split("."), "utt5", "long")
    assert error(result, reference) <= LARGEST


@needs_golden
@pytest.mark.parametrize("model", [path.name for path in MODELS])
def test_contexts_and_modulus_are_what_kaldi_prints(model: str) -> None:
    lines = (GOLDEN / "models" / model / "info.txt").read_text().splitlines()
    printed = dict(line.split(": ", 1) for line in lines if ": " in line)
    found = (*context(network_of(model), "output"), modulus(network_of(model), "output"))
    assert found == tuple(int(printed[key]) for key in ("left-context", "right-context", "modulus"))


def network(*lines: str, components: Sequence[Component] = ()) -> Network:
    """Returns a network with one-column "input" and "ivector", and nodes such as "y Round(x, 2)".

    A node applies the component of its name, or none at all.
    """
    given = {component.name: component for component in components}
    config = ["input-node name=input dim=1", "input-node name=ivector dim=1"]
    for line in lines:
        name, _, descriptor = line.partition(" ")
        given.setdefault(name, building.noop(name, 1))
        config.append(f"component-node name={name} component={name} input={descriptor}")
    config.append(f"output-node name=output input={lines[-1].partition(' ')[0]}")
    return building.network("\n".join(config), given.values())


SQUARES = np.arange(7.0)[:, np.newaxis] ** 2


def one_column(made: Network, ivectors: object = None, **options: Any) -> list[float]:
    """Returns the output for features t² of seven frames."""
    return evaluate(made, SQUARES, ivectors, **options)[:, 0].tolist()


@pytest.mark.parametrize(
    ("descriptor", "expected"),
    [
        ("Offset(input, 2)", [4, 9, 16, 25, 36, 36, 36]),
        ("Offset(input, -2)", [0, 0, 0, 1, 4, 9, 16]),
        ("Round(input, 3)", [0, 0, 0, 9, 9, 9, 36]),
        ("Offset(Round(input, 3), 1)", [0, 0, 9, 9, 9, 36, 36]),
        ("Round(Offset(input, 1), 3)", [1, 1, 1, 16, 16, 16, 36]),
        ("Switch(input, Scale(-1, input))", [0, -1, 4, -9, 16, -25, 36]),
        ("Sum(input, Const(0.5, 1), Scale(2, input))", [0.5, 3.5, 12.5, 27.5, 48.5, 75.5, 108.5]),
        ("ReplaceIndex(input, x, 0)", [0, 1, 4, 9, 16, 25, 36]),
    ],
)
def test_descriptors(descriptor: str, expected: list[float]) -> None:
    assert one_column(network(f"y {descriptor}")) == expected
    assert one_column(network(f"y {descriptor}"), subsampling=3) == expected[::3]


@pytest.mark.parametrize(
    ("descriptor", "expected"),
    [
        ("Sum(input, IfDefined(Offset(input, -1)))", [0, 1, 5, 9, 25, 41, 36]),
        ("Failover(Offset(input, 2), Scale(-1, input))", [4, -1, -4, 25, -16, -25, -36]),
    ],
)
def test_what_may_be_missing_ends_with_the_chunk(descriptor: str, expected: list[float]) -> None:
    """Chunks of three frames; nothing beyond them is asked for, so nothing is offered."""
    assert one_column(network(f"y {descriptor}"), frames_per_chunk=3) == expected


def test_times_that_a_convolution_can_do_without() -> None:
    component = building.convolution(
        "y",
        [[1.0, 10.0]],
        [0.5],
        offsets=[(-1, 0), (0, 0)],
        height_in=1,
        height_out=1,
        required_time_offsets=[0],
    )
    made = network("y input", components=[component])
    expected = [0.5 + 10 * t**2 + (t - 1) ** 2 * (t % 3 > 0) for t in range(7)]
    assert one_column(made, frames_per_chunk=3) == expected
    assert context(made, "y") == (0, 0)


@pytest.mark.parametrize(
    ("frames_per_chunk", "subsampling", "expected"),
    [
        (4, 1, [1, 1, 1, 1, 25, 25, 25]),
        (4, 3, [1, 1, 36]),
        (3, 1, [1, 1, 1, 16, 16, 16, 36]),
        (None, 1, 7 * [9]),
        (None, 3, 3 * [9]),
    ],
)
def test_a_chunk_has_the_ivector_of_its_middle(
    frames_per_chunk: int | None, subsampling: int, expected: list[float]
) -> None:
    made = network("y ReplaceIndex(ivector, t, 0)")
    options = {"frames_per_chunk": frames_per_chunk, "subsampling": subsampling}
    assert one_column(made, SQUARES, period=1, **options) == expected
    few = [min(value, 4.0) for value in expected]
    assert one_column(made, SQUARES[:3], period=1, **options) == few
    middles_halved = [np.sqrt(value) // 2 for value in expected]
    rows = np.arange(4.0)[:, np.newaxis]
    assert one_column(made, rows, period=2, **options) == middles_halved
    assert one_column(made, np.array([7.0]), **options) == [7.0] * len(expected)


@pytest.mark.parametrize("seed", range(40))
def test_laws_of_random_networks(seed: int) -> None:
    random = np.random.default_rng(seed)
    made = random_network(random, 1 + seed % 14)
    features, ivectors = random_inputs(made, random, 23)
    ivector = None if ivectors is None else ivectors[0]
    whole = evaluate(made, features, ivector, frames_per_chunk=None)
    assert np.isfinite(whole).all()
    chunked = evaluate(made, features, ivector, frames_per_chunk=7)
    third = evaluate(made, features, ivector, subsampling=3)
    np.testing.assert_allclose(chunked, whole, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(third, whole[::3], rtol=1e-9, atol=1e-12)
    left, right = context(made, "output")
    period = modulus(made, "output")
    later = evaluate(made, np.vstack([features[:period], features]), ivector)
    inside = slice(left, len(features) - right)
    np.testing.assert_allclose(later[period:][inside], whole[inside], rtol=1e-9, atol=1e-12)


def test_random_networks_have_every_component_and_descriptor() -> None:
    drawn = [
        random_network(np.random.default_rng(seed), 14, rare=seed % 2 == 0) for seed in range(60)
    ]
    assert {c.kind for made in drawn for c in made.components.values()} == set(SUPPORTED)
    words = {
        word
        for made in drawn
        for node in made.nodes.values()
        if isinstance(node, ComponentNode)
        for word in re.findall(r"(\w+)\(", str(node.input))
    }
    assert words == set(DESCRIPTORS)
    shared = [len(made.components) < _component_nodes(made) for made in drawn]
    assert any(shared)
    assert not all(shared)


def _component_nodes(made: Network) -> int:
    return sum(isinstance(node, ComponentNode) for node in made.nodes.values())
