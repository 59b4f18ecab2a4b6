"""The transition model: which phone and which state of it each output of the network stands for.

Source: hmm/hmm-topology.cc and hmm/transition-model.cc of Kaldi 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.nnet3.checking import Mismatch
from kaldi_bridge.nnet3.parsing import LARGEST_DIM
from kaldi_bridge.sink import Sink
from kaldi_bridge.source import Reals, Source

NO_PDF = -1


@dataclass(frozen=True)
class State:
    """A state of a phone's hidden Markov model.

    Attributes:
        forward_pdf_class: which of the phone's outputs speaks for entering it; NO_PDF for none.
        self_loop_pdf_class: which one speaks for staying; equal to the former but in chain models.
        transitions: (state to go to, probability to start training from).
    """

    forward_pdf_class: int
    self_loop_pdf_class: int
    transitions: tuple[tuple[int, float], ...]


@dataclass(frozen=True, eq=False)
class Topology:
    """The hidden Markov models of all phones.

    Attributes:
        phones: the phones, in order.
        phone_to_entry: entry of each phone; -1 where there is no such phone.
        entries: states of each model; the last one is where it is left, without transitions.
        two_classes: whether the file tells the two classes of a state apart.
    """

    phones: tuple[int, ...]
    phone_to_entry: tuple[int, ...]
    entries: tuple[tuple[State, ...], ...]
    two_classes: bool

    def states(self, phone: int) -> tuple[State, ...]:
        """Returns the states of a phone's model."""
        return self.entries[self.phone_to_entry[phone]]


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


def read_topology(source: Source) -> Topology:
    """Reads `<Topology>` to `</Topology>`, as in a file `topo` or an `.mdl`.

    Raises:
        KaldiFileError: not one, or one that contradicts itself.
    """
    source.expect("<Topology>")
    topology = _binary_topology(source) if source.binary else _text_topology(source)
    try:
        check_topology(topology)
    except Mismatch as found:
        raise source.fail(found.problem) from None
    return topology


def check_topology(topology: Topology) -> None:
    """Checks that every phone has a model and every transition a state to go to.

    Raises:
        Mismatch: it does not.
    """
    if not topology.phones:
        raise Mismatch("the topology has no phones.")
    for phone in topology.phones:
        if not 0 < phone < len(topology.phone_to_entry):
            raise Mismatch(f"phone {phone} has no entry in the topology.")
        if not 0 <= topology.phone_to_entry[phone] < len(topology.entries):
            raise Mismatch(f"phone {phone} has no entry in the topology.")
    for states in topology.entries:
        if len(states) < 2 or states[-1].transitions:
            raise Mismatch("a phone's model needs a state, and a last one without transitions.")
        for state in states:
            for destination, probability in state.transitions:
                if not 0 <= destination < len(states):
                    raise Mismatch(f"a transition to state {destination} of {len(states)}.")
                if not 0 < probability <= 1.01:
                    raise Mismatch(f"a transition of probability {probability:.7g}.")


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


def _small(source: Source) -> int:
    """An integer that fits 32 signed bits."""
    value = source.integer()
    if value >= 2**31:
        raise source.fail(f"{value}: too large.")
    return value


def _binary_topology(source: Source) -> Topology:
    phones, phone_to_entry = source.integers(), source.integers()
    two_classes = source.peek_integer() == -1
    if two_classes:
        source.integer()
    entries = []
    for _ in range(source.count("topology entries", 5)):
        states = []
        for _ in range(source.count("states", 10)):
            forward = _small(source)
            self_loop = _small(source) if two_classes else forward
            arcs = tuple(
                (_small(source), source.real()) for _ in range(source.count("transitions", 10))
            )
            states.append(State(forward, self_loop, arcs))
        entries.append(tuple(states))
    source.expect("</Topology>")
    return Topology(
        tuple(phones.tolist()), tuple(phone_to_entry.tolist()), tuple(entries), two_classes
    )


def _text_topology(source: Source) -> Topology:
    entries: list[tuple[State, ...]] = []
    entry_of: dict[int, int] = {}
    two_classes = False
    while source.expect("<TopologyEntry>", "</Topology>") == "<TopologyEntry>":
        source.expect("<ForPhones>")
        while source.peek() != "</ForPhones>":
            phone = _small(source)
            if phone in entry_of or not 0 < phone < len(source.data):  # a table that long is made
                raise source.fail(f"phone {phone}: out of reason, or there twice.")
            entry_of[phone] = len(entries)
        source.expect("</ForPhones>")
        states: list[State] = []
        while source.expect("<State>", "</TopologyEntry>") == "<State>":
            state, new_style = _text_state(source, len(states))
            two_classes |= new_style
            states.append(state)
        entries.append(tuple(states))
    phones = tuple(sorted(entry_of))
    phone_to_entry = tuple(entry_of.get(phone, -1) for phone in range(max(phones, default=-1) + 1))
    return Topology(phones, phone_to_entry, tuple(entries), two_classes)


def _text_state(source: Source, number: int) -> tuple[State, bool]:
    """Reads a state after its `<State>`; returns it and whether it has two classes."""
    if source.integer() != number:
        raise source.fail(f"states must be in order; number {number} was expected.")
    forward = self_loop = NO_PDF
    new_style = source.peek() == "<ForwardPdfClass>"
    if new_style:
        source.expect("<ForwardPdfClass>")
        forward = _small(source)
        source.expect("<SelfLoopPdfClass>")
        self_loop = _small(source)
    elif source.peek() == "<PdfClass>":
        source.expect("<PdfClass>")
        forward = self_loop = _small(source)
    arcs = []
    while source.expect("<Transition>", "</State>") == "<Transition>":
        arcs.append((_small(source), source.real()))
    return State(forward, self_loop, tuple(arcs)), new_style


def write_transition_model(sink: Sink, model: TransitionModel) -> None:
    """Writes `<TransitionModel>` to `</TransitionModel>` as Kaldi does."""
    sink.token("<TransitionModel>")
    sink.new_line()
    (_write_binary_topology if sink.binary else _write_text_topology)(sink, model.topology)
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


def _write_binary_topology(sink: Sink, topology: Topology) -> None:
    sink.token("<Topology>")
    sink.integers(topology.phones)
    sink.integers(topology.phone_to_entry)
    if topology.two_classes:
        sink.integer(-1)
    sink.integer(len(topology.entries))
    for states in topology.entries:
        sink.integer(len(states))
        for state in states:
            sink.integer(state.forward_pdf_class)
            if topology.two_classes:
                sink.integer(state.self_loop_pdf_class)
            sink.integer(len(state.transitions))
            for destination, probability in state.transitions:
                sink.integer(destination)
                sink.real(probability)
    sink.token("</Topology>")


def _write_text_topology(sink: Sink, topology: Topology) -> None:
    sink.text("<Topology> \n")
    for number, states in enumerate(topology.entries):
        sink.text("<TopologyEntry> \n<ForPhones> \n")
        for phone, entry in enumerate(topology.phone_to_entry):
            if entry == number:
                sink.integer(phone)
        sink.text("\n</ForPhones> \n")
        for index, state in enumerate(states):
            sink.token("<State>")
            sink.integer(index)
            if state.forward_pdf_class != NO_PDF:
                _write_classes(sink, state, topology.two_classes)
            for destination, probability in state.transitions:
                sink.token("<Transition>")
                sink.integer(destination)
                sink.real(probability)
            sink.text("</State> \n")
        sink.text("</TopologyEntry> \n")
    sink.text("</Topology> \n")


def _write_classes(sink: Sink, state: State, two_classes: bool) -> None:
    sink.token("<ForwardPdfClass>" if two_classes else "<PdfClass>")
    sink.integer(state.forward_pdf_class)
    if two_classes:
        sink.token("<SelfLoopPdfClass>")
        sink.integer(state.self_loop_pdf_class)
