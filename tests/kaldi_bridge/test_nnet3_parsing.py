"""Descriptors and node lines: Kaldi's grammar, and what is not in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaldi_bridge.nnet3.descriptors import (
    Append,
    Const,
    Descriptor,
    Failover,
    IfDefined,
    NodeRef,
    Offset,
    ReplaceIndex,
    Round,
    Scale,
    Sum,
    Switch,
)
from kaldi_bridge.nnet3.network import ComponentNode, DimRangeNode, InputNode, OutputNode
from kaldi_bridge.nnet3.parsing import DEEPEST, ParsingError, parse_descriptor, parse_node
from kaldi_bridge.nnet3.writing import node_line

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,12}", fullmatch=True).filter(
    lambda name: (
        name not in {"Append", "Sum", "Switch", "Failover", "IfDefined", "Offset"}
        and name not in {"ReplaceIndex", "Round", "Scale", "Const"}
    )
)
REALS = st.floats(width=32, allow_nan=False, allow_infinity=False)
FRAMES = st.integers(-10_000, 10_000)


def larger(parts: st.SearchStrategy[Descriptor]) -> st.SearchStrategy[Descriptor]:
    """Descriptors made of others."""
    several = st.lists(parts, min_size=1, max_size=3).map(tuple)
    return st.one_of(
        several.map(Append),
        several.map(Sum),
        several.map(Switch),
        st.tuples(parts, parts).map(Failover),
        parts.map(IfDefined),
        st.builds(Offset, parts, FRAMES, FRAMES),
        st.builds(ReplaceIndex, parts, st.sampled_from("tx"), FRAMES),
        st.builds(Round, parts, st.integers(1, 1000)),
        st.builds(Scale, REALS, parts),
    )


LEAVES = st.one_of(NAMES.map(NodeRef), st.builds(Const, REALS, st.integers(1, 2**20)))
DESCRIPTORS = st.recursive(LEAVES, larger, max_leaves=12)


class TestDescriptors:
    @given(DESCRIPTORS, st.integers(0, 3))
    def test_printed_and_read_again(self, descriptor, blanks):
        text = str(descriptor)
        loose = text.replace(",", " " * blanks + ",\t").replace("(", " ( ")
        assert parse_descriptor(text) == descriptor
        assert parse_descriptor(loose) == descriptor
        assert str(parse_descriptor(loose)) == text

    def test_the_recipes_own(self):
        text = "Append(Offset(input, -1), input, Scale(0.4, ReplaceIndex(ivector, t, 0)))"
        assert parse_descriptor(text) == Append(
            (
                Offset(NodeRef("input"), -1),
                NodeRef("input"),
                Scale(float(np.float32(0.4)), ReplaceIndex(NodeRef("ivector"), "t", 0)),
            )
        )
        assert list(parse_descriptor(text).nodes()) == ["input", "input", "ivector"]

    def test_a_scale_reads_back_as_the_same_float(self):
        for value in (1 / 3, 0.1, 2e-38, 16777217.0, 0.66, 1.0):
            single = float(np.float32(value))
            printed = str(Scale(single, NodeRef("a")))
            assert parse_descriptor(printed) == Scale(single, NodeRef("a"))
        assert str(Scale(0.75, NodeRef("a"))) == "Scale(0.75, a)"
        assert str(Scale(1.0, NodeRef("a"))) == "Scale(1, a)"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "got the end of the line"),
            ("a b", 'expected the end of the line, got "b"'),
            ("Append()", "expected a node or a descriptor"),
            ("Append(a", 'expected ")", got the end'),
            ("Append(a,)", "expected a node"),
            ("Failover(a)", 'expected ","'),
            ("Failover(a, b, c)", 'expected ")"'),
            ("Offset(a)", 'expected ","'),
            ("Offset(a, x)", "expected an integer (time offset)"),
            ("Offset(a, 2000000000)", "must lie between -10000 and 10000"),
            ("Round(a, 0)", "must lie between 1 and 1000"),
            ("ReplaceIndex(a, n, 0)", "expected t or x"),
            ("Scale(a, b)", "expected a number (scale)"),
            ("Scale(nan, b)", "must be a finite number"),
            ("Scale(1e39, b)", "must be a finite number"),
            ("Scale(1_0, b)", "expected a number"),
            ("Const(1, 0)", "must lie between 1"),
            ("Const(1, 2147483647)", "must lie between 1"),
            ("3", "expected a node or a descriptor"),
            ("Sum", 'expected "("'),
            ("a)", "expected the end of the line"),
        ],
    )
    def test_what_is_none(self, text, said):
        with pytest.raises(ParsingError) as caught:
            parse_descriptor(text)
        assert said in str(caught.value)

    @pytest.mark.parametrize("depth", [DEEPEST + 1, 10_000])
    def test_nested_too_deep(self, depth):
        with pytest.raises(ParsingError, match="nested more than"):
            parse_descriptor("Sum(" * depth + "a" + ")" * depth)
        assert parse_descriptor("Sum(" * DEEPEST + "a" + ")" * DEEPEST)


class TestLines:
    @pytest.mark.parametrize(
        ("line", "node"),
        [
            ("input-node name=input dim=40", InputNode("input", 40)),
            (
                "component-node name=a.b-c component=d input=Sum(e, f)",
                ComponentNode("a.b-c", "d", Sum((NodeRef("e"), NodeRef("f")))),
            ),
            (
                "dim-range-node name=r input-node=a dim-offset=3 dim=2",
                DimRangeNode("r", "a", 3, 2),
            ),
            (
                "output-node name=output input=a objective=quadratic",
                OutputNode("output", NodeRef("a"), "quadratic"),
            ),
        ],
    )
    def test_each_kind_both_ways(self, line, node):
        assert parse_node(line) == node
        assert node_line(node) == line
        assert parse_node(f"  {line.replace(' ', '  ')} \t") == node

    def test_the_objective_may_be_left_out(self):
        assert parse_node("output-node name=o input=a") == OutputNode("o", NodeRef("a"), "linear")

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("lstm-node name=a", 'starts with "lstm-node"'),
            ("input-node name=a", "without dim="),
            ("input-node name=a dim=", "without dim="),
            ("input-node name=a dim=0", "must lie between 1"),
            ("input-node name=a dim=1.5", "must lie between 1"),
            ("input-node name=a dim=2147483647", "must lie between 1"),
            ("input-node name=3 dim=4", "not a name"),
            ("input-node name=a dim=4 dim=5", "given twice"),
            ("input-node name=a dim=4 size=5", 'unknown key "size"'),
            ("input-node a name=a dim=4", "expected key=value"),
            ("input-node", "without name="),
            ("output-node name=a input=b objective=cubic", "objective=cubic"),
            ("component-node name=a component=b input=Sum(", "expected a node"),
            ("dim-range-node name=r input-node=a dim-offset=-1 dim=2", "between 0"),
            ("input-node name=a dim=4 " + " " * 70_000, "characters"),
        ],
    )
    def test_what_is_none(self, line, said):
        with pytest.raises(ParsingError) as caught:
            parse_node(line)
        assert said in str(caught.value)
