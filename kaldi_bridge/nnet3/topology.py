"""The hidden Markov models of phones: their states, pdf classes and transitions.

Source: hmm/hmm-topology.cc of Kaldi 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from kaldi_bridge.nnet3.component_checks import Mismatch
from kaldi_bridge.sink import Sink
from kaldi_bridge.source import Source

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


def write_topology(sink: Sink, topology: Topology) -> None:
    """Writes `<Topology>` to `</Topology>` as Kaldi does."""
    (_write_binary_topology if sink.binary else _write_text_topology)(sink, topology)


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
