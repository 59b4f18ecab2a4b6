"""Contexts, moduli and the table of a network."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaldi_golden import MODEL_DIRS, needs_golden
from made_models import chain_transitions, every_network

from kaldi_bridge.errors import NotSupported, ShapeError
from kaldi_bridge.nnet3 import building as make
from kaldi_bridge.nnet3.describe import context, table
from kaldi_bridge.nnet3.network import Network
from kaldi_bridge.nnet3.reading import read_model
from kaldi_bridge.nnet3.timing import modulus


def reading(descriptor: str) -> Network:
    """Makes a network whose node "a" reads one descriptor of "input" and "ivector"."""
    head = (
        "input-node name=input dim=2\ninput-node name=ivector dim=2\n"
        f"component-node name=a component=a input={descriptor}\noutput-node name=output input=a\n"
    )
    return make.network(head, [make.noop("a", 2)])


@needs_golden
@pytest.mark.parametrize("folder", MODEL_DIRS, ids=lambda path: path.name)
@pytest.mark.parametrize("prepared", ["", "_prepared"])
def test_golden_networks_are_as_kaldi_describes_them(folder, prepared):
    model = read_model(folder / f"final{prepared}.raw")
    described = table(model.network)
    info = (folder / f"info{prepared}.txt").read_text()
    said = {
        key: int(value)
        for key, value in re.findall(
            r"^(left-context|right-context|num-parameters|modulus): (\d+)", info, re.MULTILINE
        )
    }
    assert said == {
        "left-context": described.left_context,
        "right-context": described.right_context,
        "num-parameters": described.parameters,
        "modulus": described.modulus,
    }
    rows = {row.node: row for row in described.rows}
    nodes = re.findall(
        r"^component-node name=(\S+) .*input=(.*) input-dim=(\d+) output-dim=(\d+)$", info, re.M
    )
    assert len(nodes) > 20
    for name, text, taken, given_ in nodes:
        row = rows[name]
        assert (row.input, row.input_dim, row.output_dim) == (text, int(taken), int(given_))


class TestContext:
    @pytest.mark.parametrize(
        ("descriptor", "sides", "period"),
        [
            ("input", (0, 0), 1),
            ("Offset(input, -3)", (3, 0), 1),
            ("Offset(input, 5)", (0, 5), 1),
            ("Sum(Offset(input, -3), Scale(2, Offset(Offset(input, 4), -2)))", (3, 2), 1),
            ("ReplaceIndex(ivector, t, 0)", (0, 0), 1),
            ("Offset(ivector, -9)", (0, 0), 1),
            ("Sum(Offset(input, 1), Const(1, 2))", (0, 1), 1),
            ("Sum(input, IfDefined(Offset(input, -7)))", (0, 0), 1),
            ("Failover(Offset(input, -7), Offset(input, -2))", (2, 0), 1),
            ("Round(input, 3)", (2, 0), 3),
            ("Round(Offset(input, 1), 3)", (1, 1), 3),
            ("Offset(Round(input, 3), 2)", (0, 2), 3),
            ("Switch(Offset(input, -1), input, Offset(input, 4))", (1, 4), 3),
            ("Sum(Round(input, 2), Switch(input, input, Offset(input, 2)))", (1, 2), 6),
        ],
    )
    def test_of_one_descriptor(self, descriptor, sides, period):
        network = reading(descriptor)
        assert context(network, "a") == context(network, "output") == sides
        assert modulus(network) == period

    @given(st.lists(st.lists(st.integers(-6, 6), min_size=1, max_size=3, unique=True), max_size=8))
    def test_of_a_stack_is_the_sum_of_its_offsets(self, layers):
        head, parts, last = "input-node name=input dim=1\n", [], "input"
        for number, offsets in enumerate(layers):
            weights = np.zeros((1, len(offsets)))
            parts.append(make.tdnn(f"l{number}", weights, None, offsets))
            head += f"component-node name=l{number} component=l{number} input={last}\n"
            last = f"l{number}"
        network = make.network(head + f"output-node name=output input={last}\n", parts)
        first = sum(min(offsets) for offsets in layers)
        final = sum(max(offsets) for offsets in layers)
        assert context(network, "output") == (max(-first, 0), max(final, 0))

    def test_of_the_frames_that_a_convolution_must_have(self):
        weights = np.zeros((1, 3))
        offsets = [(-2, 0), (0, 0), (3, 0)]
        conv = make.convolution(
            "a", weights, [0], offsets=offsets, height_in=2, height_out=2,
            required_time_offsets=[-2, 0],
        )  # fmt: skip
        network = reading("Offset(input, 1)")
        assert context(Network(network.nodes, {"a": conv}), "a") == (1, 1)

    def test_a_recurrent_network(self):
        head = (
            "input-node name=input dim=2\n"
            "component-node name=a component=a input=Sum(input, IfDefined(Offset(b, -1)))\n"
            "component-node name=b component=b input=a\noutput-node name=output input=b\n"
        )
        network = make.network(head, [make.noop("a", 2), make.tanh("b", 2)])
        with pytest.raises(NotSupported, match='node "a" is recurrent'):
            context(network, "output")

    def test_an_unknown_node(self):
        with pytest.raises(ShapeError, match='no node "prefinal"; there are input, ivector, a'):
            context(reading("input"), "prefinal")

    def test_a_period_out_of_reason(self):
        network = reading("Sum(Round(input, 997), Round(input, 991))")
        with pytest.raises(NotSupported, match="repeats after 988027 frames"):
            modulus(network)


def test_the_table_of_a_made_network():
    described = table(every_network(), chain_transitions())
    rows = {row.node: row for row in described.rows}
    assert list(rows) == list(every_network().nodes)
    factor = rows["factor"]
    assert (factor.kind, factor.time_offsets, factor.parameters) == ("Tdnn", (-1, 2), 72)
    assert (factor.left_context, factor.right_context) == (2, 2)
    assert rows["part"].input == "scale[1:7]"
    assert rows["part"].kind == "columns"
    assert rows["normalize"].output_dim == 8
    assert rows["lda"].parameters == 0  # fixed
    assert rows["lda"].time_offsets == (-1, 0)
    assert rows["input"].kind == "input"
    assert rows["output-xent"].kind == "output"
    assert described.inputs == {"ivector": 3, "input": 4}
    assert described.modulus == 6
    assert (described.pdfs, described.phones) == (4, 2)
    assert "input" not in described.readable
    assert {"lda", "part", "output"} <= set(described.readable)
    assert described.parameters == sum(row.parameters for row in described.rows)
