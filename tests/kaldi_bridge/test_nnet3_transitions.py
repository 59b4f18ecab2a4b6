"""Transition models: which phone an output stands for, in both forms of topology."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import replace

import numpy as np
import pytest
from kaldi_golden import GOLDEN, MODEL_FILES, needs_golden, short_name
from made_models import as_bytes, chain_transitions, every_model, read_bytes

from kaldi_bridge.errors import KaldiFileError
from kaldi_bridge.nnet3.reading import read_model
from kaldi_bridge.nnet3.transitions import (
    NO_PDF,
    State,
    Topology,
    TransitionModel,
    read_topology,
    read_transition_model,
    write_transition_model,
)
from kaldi_bridge.sink import Sink
from kaldi_bridge.source import Source


def written(model: TransitionModel, binary: bool) -> bytes:
    """Returns a transition model as bytes."""
    file = io.BytesIO()
    write_transition_model(Sink(file, binary), model)
    return file.getvalue()


def hmm_transitions() -> TransitionModel:
    """Makes phones 2 and 5 with three states of one pdf each; they share the last pdf."""
    states = (
        State(0, 0, ((0, 0.75), (1, 0.25))),
        State(1, 1, ((1, 0.75), (2, 0.25))),
        State(2, 2, ((2, 0.75), (3, 0.25))),
        State(NO_PDF, NO_PDF, ()),
    )
    triples = [(2, 0, 0), (2, 1, 1), (2, 2, 4), (5, 0, 2), (5, 1, 3), (5, 2, 4)]
    tuples = np.array([(*triple, triple[2]) for triple in triples], np.int32)
    probabilities = np.array([1, *6 * [0.75, 0.25]], np.float32)
    topology = Topology((2, 5), (-1, -1, 0, -1, -1, 0), (states,), False)
    return TransitionModel(topology, tuples, False, np.log(probabilities))


@needs_golden
class TestGolden:
    def model(self) -> TransitionModel:
        path = next(
            path for path in MODEL_FILES if short_name(path) == "a_tdnnf_lda_ivec/final.mdl"
        )
        transitions = read_model(path).transitions
        assert transitions is not None
        return transitions

    def test_pdfs_are_those_of_the_tree(self):
        # In the tree each phone has a leaf per pdf class; leaves stand there in order of phones.
        tree = (GOLDEN / "models/tree").read_bytes()
        leaves = [
            struct.unpack("<i", found)[0]
            for found in re.findall(rb"CE \x04(.{4})", tree, re.DOTALL)
        ]
        assert len(leaves) == 42
        model = self.model()
        assert model.num_pdfs == 42
        assert model.phones == tuple(range(1, 22))
        table = model.pdf_to_phone()
        assert table.dtype == np.int32
        assert [table[leaf] for leaf in leaves] == [phone for phone in range(1, 22) for _ in "ab"]
        assert model.pdf_to_phones() == tuple((phone,) for phone in table.tolist())

    def test_the_topology_is_that_of_the_file_topo(self):
        topology = read_topology(Source.open(GOLDEN / "models/topo"))
        model = self.model()
        assert vars(topology) == vars(model.topology)
        assert topology.states(7)[0] == State(0, 1, ((0, 0.5), (1, 0.5)))

    def test_probabilities_are_of_the_topology(self):
        model = self.model()
        assert np.allclose(np.exp(model.log_probs[1:]), 0.5)
        assert len(model.log_probs) == 1 + 42

    def test_text_and_binary_are_the_same(self):
        binary = self.model()
        text = read_model(GOLDEN / "models/a_tdnnf_lda_ivec/final.mdl.txt.gz").transitions
        assert text is not None
        assert vars(text.topology) == vars(binary.topology)
        assert np.array_equal(text.tuples, binary.tuples)
        assert np.allclose(text.log_probs, binary.log_probs, rtol=1e-6)


class TestRoundTrip:
    @pytest.mark.parametrize("binary", [True, False])
    @pytest.mark.parametrize("make", [chain_transitions, hmm_transitions])
    def test_both_topologies(self, make, binary):
        model = make()
        data = written(model, binary)
        again = read_transition_model(Source(data, "made"))
        assert vars(again.topology) == vars(model.topology)
        assert np.array_equal(again.tuples, model.tuples)
        assert again.with_self_loop == model.with_self_loop
        assert np.array_equal(again.log_probs, model.log_probs)
        assert written(again, binary) == data

    def test_the_older_text(self):
        text = written(hmm_transitions(), binary=False).decode()
        assert "<State> 1 <PdfClass> 1 <Transition> 1 0.75 <Transition> 2 0.25 </State> \n" in text
        assert "<ForPhones> \n2 5 \n</ForPhones> \n" in text
        assert "<Triples> 6 \n2 0 0 \n2 1 1 \n" in text

    def test_the_older_binary(self):
        def number(value: int) -> bytes:
            return b"\x04" + struct.pack("<i", value)

        def arc(state: int, probability: float) -> bytes:
            return number(state) + b"\x04" + struct.pack("<f", probability)

        data = b"\0B<TransitionModel> <Topology> \x04\x01\0\0\0" + struct.pack("<i", 3)
        data += b"\x04\x04\0\0\0" + struct.pack("<4i", -1, -1, -1, 0)
        data += number(1) + number(2) + number(0) + number(2) + arc(0, 0.5) + arc(1, 0.5)
        data += number(-1) + number(0) + b"</Topology> <Triples> " + number(1)
        data += number(3) + number(0) + number(0) + b"</Triples> <LogProbs> FV " + number(3)
        data += struct.pack("<3f", 0, -0.5, -1) + b"</LogProbs> </TransitionModel> "
        model = read_transition_model(Source(data, "made"))
        assert model.topology.states(3)[0] == State(0, 0, ((0, 0.5), (1, 0.5)))
        assert model.tuples.tolist() == [[3, 0, 0, 0]]
        assert model.pdf_to_phone().tolist() == [3]
        assert written(model, binary=True) == data


class TestTables:
    def test_a_shared_pdf_goes_to_the_first_phone(self):
        model = hmm_transitions()
        assert model.num_pdfs == 5
        assert model.pdf_to_phone().tolist() == [2, 2, 5, 5, 2]
        assert model.pdf_to_phones() == ((2,), (2,), (5,), (5,), (2, 5))

    def test_a_pdf_that_no_phone_has(self):
        tuples = np.array([[1, 0, 0, 3], [2, 0, 4, 4]], np.int32)
        model = replace(chain_transitions(), tuples=tuples)
        assert model.pdf_to_phone().tolist() == [1, -1, -1, 1, 2]


class TestDamage:
    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("1 0 0 1 ", "1 1 0 1 ", "log probabilities, 3 expected"),
            ("1 0 0 1 ", "1 2 0 1 ", "phone 1 has no state 2"),
            ("1 0 0 1 ", "3 0 0 1 ", "phone 3 has no state 0"),
            ("1 0 0 1 ", "1 0 -1 1 ", "has pdf -1 and 1"),
            ("1 0 0 1 ", "1 0 2000000000 1 ", "has pdf 2000000000 and 1"),
            ("<Tuples> 2", "<Tuples> 3", "expected an integer"),
            ("<Tuples> 2", "<Tuples> 2000000000", "only"),
            ("<Tuples> 2", "<Tuples> 0", "expected </Tuples>"),
            ("[ 0 -0.69", "[ 0 nan", "expected numbers"),
            ("[ 0 -0.6931472 ", "[ 0 nan ", "not one"),
            ("[ 0 -0.6931472 ", "[ 0 ", "4 log probabilities, 5 expected"),
            ("<State> 1", "<State> 2", "states must be in order"),
            ("<Transition> 1 0.5", "<Transition> 9 0.5", "a transition to state 9 of 2"),
            ("<Transition> 1 0.5", "<Transition> 1 0", "a transition of probability 0"),
            ("<ForPhones> \n1 2", "<ForPhones> \n1 1", "out of reason, or there twice"),
            ("<ForPhones> \n1 2", "<ForPhones> \n1 2000000000", "out of reason"),
            ("<ForPhones> \n1 2", "<ForPhones> \n", "no phones"),
            ("</TopologyEntry>", "</Topology>", "expected <State> or </TopologyEntry>"),
        ],
    )
    def test_one_error_with_its_line(self, old, new, said):
        text = as_bytes(every_model(), binary=False).decode()
        assert old in text
        with pytest.raises(KaldiFileError) as caught:
            read_bytes(text.replace(old, new, 1).encode())
        assert said in str(caught.value)
        assert re.match(r"made, line \d+: ", str(caught.value))
