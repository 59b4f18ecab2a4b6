"""The transition model: which phone and which state of it each output of the network stands for.

Source: hmm/transition-model.cc of Kaldi 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.nnet3.component_checks import Mismatch
from kaldi_bridge.nnet3.parsing import LARGEST_DIM
from kaldi_bridge.nnet3.topology import NO_PDF, State, Topology, read_topology, write_topology
from kaldi_bridge.sink import Sink
from kaldi_bridge.source import Reals, Source

__all__ = [
    "NO_PDF",
    "State",
    "Topology",
    "TransitionModel",
    "check_transitions",
    "read_topology",
    "read_transition_model",
    "write_topology",
    "write_transition_model",
]


@dataclass(frozen=True, eq=False)
class TransitionModel:
    """What the outputs of a network stand for.

    Attributes:
        topology: the hidden Markov models.
        tuples: int32 [transition states, 4]: phone, state, forward pdf, self-loop pdf. Sorted.
        with_self_loop: whether the file holds four numbers each, and not the older three.
        log_probs: of each transition, from 1; [0] is unused.
    """

    topology: Topology
    tuples: NDArray[np.int32]
    with_self_loop: bool
    log_probs: Reals

    @property
    def phones(self) -> tuple[int, ...]:
        """The phones, in order."""
        return self.topology.phones

    @property
    def num_pdfs(self) -> int:
        """How many outputs the network has."""
        return int(self.tuples[:, 2:].max()) + 1

    def pdf_to_phone(self) -> NDArray[np.int32]:
        """Returns the phone of each pdf, int32 [num_pdfs]; the first where several share it.

        -1 for a pdf that no phone has.
        """
        table = np.full(self.num_pdfs, -1, np.int32)
        for column in (3, 2):
            pdfs = self.tuples[::-1, column]
            used = pdfs >= 0
            table[pdfs[used]] = self.tuples[::-1, 0][used]
        return table

    def pdf_to_phones(self) -> tuple[tuple[int, ...], ...]:
        """Returns all phones that share each pdf, in order."""
        shared: list[set[int]] = [set() for _ in range(self.num_pdfs)]
        for phone, _, forward, self_loop in self.tuples.tolist():
            shared[forward].add(phone)
            shared[self_loop].add(phone)
        return tuple(tuple(sorted(phones)) for phones in shared)

    def num_transitions(self) -> NDArray[np.int32]:
        """Returns the number of transitions out of each transition state."""
        states = [self.topology.states(phone)[state] for phone, state in self.tuples[:, :2]]
        return np.array([len(state.transitions) for state in states], np.int32)


def read_transition_model(source: Source) -> TransitionModel:
    """Reads `<TransitionModel>`, the position being on that token.

    Raises:
        KaldiFileError: not one, or one that contradicts itself.
    """
    source.expect("<TransitionModel>")
    topology = read_topology(source)
    with_self_loop = source.expect("<Tuples>", "<Triples>") == "<Tuples>"
    width = 4 if with_self_loop else 3
    count = source.count("transition states", width * (5 if source.binary else 2))
    tuples = source.integer_table(count, width)
    if not with_self_loop:
        tuples = np.concatenate([tuples, tuples[:, 2:]], axis=1)
    source.expect("</Tuples>" if with_self_loop else "</Triples>")
    source.expect("<LogProbs>")
    log_probs = source.vector()
    model = TransitionModel(topology, tuples, with_self_loop, log_probs)
    try:
        check_transitions(model)
    except Mismatch as found:
        raise source.fail(found.problem) from None
    source.expect("</LogProbs>")
    source.expect("</TransitionModel>")
    return model


def check_transitions(model: TransitionModel) -> None:
    """Checks the tuples against a topology that has been checked.

    Raises:
        Mismatch: a phone, state or pdf that cannot be, or another number of probabilities.
    """
    known = set(model.phones)
    if not len(model.tuples):
        raise Mismatch("the transition model has no states.")
    for phone, state, forward, self_loop in model.tuples.tolist():
        if phone not in known or not 0 <= state < len(model.topology.states(phone)):
            raise Mismatch(f"phone {phone} has no state {state}.")
        if not (0 <= forward < LARGEST_DIM and 0 <= self_loop < LARGEST_DIM):
            raise Mismatch(f"phone {phone}, state {state} has pdf {forward} and {self_loop}.")
    wanted = int(model.num_transitions().sum()) + 1
    if len(model.log_probs) != wanted:
        raise Mismatch(f"{len(model.log_probs)} log probabilities, {wanted} expected.")
    if not (np.isfinite(model.log_probs).all() and (model.log_probs <= 1e-3).all()):
        raise Mismatch("a log probability that is not one.")


def write_transition_model(sink: Sink, model: TransitionModel) -> None:
    """Writes `<TransitionModel>` to `</TransitionModel>` as Kaldi does."""
    sink.token("<TransitionModel>")
    sink.new_line()
    write_topology(sink, model.topology)
    name = "Tuples" if model.with_self_loop else "Triples"
    sink.token(f"<{name}>")
    sink.integer(len(model.tuples))
    sink.new_line()
    for row in model.tuples[:, : 4 if model.with_self_loop else 3].tolist():
        for number in row:
            sink.integer(number)
        sink.new_line()
    sink.token(f"</{name}>")
    sink.new_line()
    sink.token("<LogProbs>")
    sink.new_line()
    sink.vector(model.log_probs)
    sink.token("</LogProbs>")
    sink.new_line()
    sink.token("</TransitionModel>")
    sink.new_line()
