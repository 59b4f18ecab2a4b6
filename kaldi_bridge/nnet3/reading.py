"""Reads nnet3 models: `.raw` and `.mdl`, binary and text, packed with gzip or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kaldi_bridge.errors import KaldiFileError, NotSupported
from kaldi_bridge.nnet3.checking import Mismatch, check_component, check_dimensions
from kaldi_bridge.nnet3.components import CONVOLUTION_MODEL, FIELDS, SUPPORTED, FieldSpec
from kaldi_bridge.nnet3.network import Component, Field, FieldValue, Network, Node
from kaldi_bridge.nnet3.parsing import ParsingError, is_name, parse_node
from kaldi_bridge.nnet3.transitions import TransitionModel, read_transition_model
from kaldi_bridge.source import Precision, Reals, Source


@dataclass(frozen=True, eq=False)
class Model:
    """What a model file holds.

    Attributes:
        transitions: the transition model; None in a `.raw` file.
        network: nodes and components.
        priors: probability of each pdf; empty for chain models and in a `.raw` file.
        left_context: as the file says, 0 in a `.raw` file; `describe.context` counts it.
        right_context: likewise.
    """

    transitions: TransitionModel | None
    network: Network
    priors: Reals = field(default_factory=lambda: np.zeros(0, np.float32))
    left_context: int = 0
    right_context: int = 0


def read_nnet(path: Path | str) -> Network:
    """Returns the network of a `.raw` or `.mdl` file; see `read_model`."""
    return read_model(path).network


def read_model(path: Path | str) -> Model:
    """Reads a model file, whichever of its forms it has.

    Args:
        path: `final.mdl` or `final.raw`, binary or text, as it is or packed with gzip.

    Raises:
        MissingFile: no such file.
        KaldiFileError: damaged, cut off, not a model, or parts that do not fit together; says
            where.
        NotSupported: a component that this package does not compute.
    """
    return model_from(Source.open(path))


def model_from(source: Source) -> Model:
    """Reads a model from an open source; see `read_model`."""
    transitions = None
    if source.peek() not in ("<TransitionModel>", "<Nnet3>"):
        raise _other_file(source)
    if source.peek() == "<TransitionModel>":
        transitions = read_transition_model(source)
    network = network_from(source)
    if transitions is None:
        return Model(None, network)
    source.expect("<LeftContext>")
    left = source.integer()
    source.expect("<RightContext>")
    right = source.integer()
    source.expect("<Priors>")
    place = source.where
    priors = source.vector()
    model = Model(transitions, network, priors, left, right)
    problem = _disagreement(model)
    if problem:
        raise KaldiFileError(source.name, place, problem)
    return model


def network_from(source: Source) -> Network:
    """Reads `<Nnet3>` to `</Nnet3>` and checks that its parts fit together."""
    source.expect("<Nnet3>")
    new_line = bytes(source.data[source.position - 1 : source.position]) == b"\n"
    if not new_line and source.line().strip():
        raise source.fail("expected the nodes on lines of their own behind <Nnet3>.")
    places: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    while True:
        place = source.where
        line = source.line()
        if not line.strip():
            break
        if not source.left:
            raise source.fail("the file ends among the nodes.")
        try:
            node = parse_node(line)
        except ParsingError as problem:
            raise KaldiFileError(source.name, place, str(problem)) from None
        if node.name in nodes:
            raise KaldiFileError(source.name, place, f'a second node "{node.name}".')
        nodes[node.name] = node
        places[node.name] = place
    components = _components(source)
    source.expect("</Nnet3>")
    network = Network(nodes, components)
    try:
        check_dimensions(network)
    except Mismatch as found:
        raise KaldiFileError(source.name, places[found.node], str(found)) from None
    return network


def _components(source: Source) -> dict[str, Component]:
    source.expect("<NumComponents>")
    count = source.count("components", len("<ComponentName> x <X> </X> "))
    components: dict[str, Component] = {}
    for _ in range(count):
        source.expect("<ComponentName>")
        place = source.where
        name = source.token()
        if not is_name(name) or name in components:
            raise KaldiFileError(source.name, place, f'"{name[:40]}" is no name, or there twice.')
        source.component = name
        component = _component(source, name)
        try:
            check_component(component)
        except Mismatch as found:
            raise KaldiFileError(source.name, place, found.problem, name) from None
        components[name] = component
        source.component = ""
    return components


def _component(source: Source, name: str) -> Component:
    opening = source.peek()
    kind = opening[1:-1]
    if not (opening.startswith("<") and opening.endswith(">") and len(opening) > 2):
        raise source.fail(f'expected the type of a component, got "{opening[:40]}".')
    if kind not in FIELDS:
        if not (kind.endswith("Component") and is_name(kind)):
            raise source.fail(f'"{kind[:40]}" is no type of component.')
        known = ", ".join(SUPPORTED)
        raise NotSupported(
            f'{source.name}, {source.where}: component "{name}" is a {kind}, which is not '
            f"supported. Supported are: {known}."
        )
    source.token()
    closing = (f"</{kind}>", opening)  # old files close with the opening token
    fields = _fields(source, dict(FIELDS[kind]), closing)
    return Component(kind, name, fields)


def _fields(
    source: Source, specs: dict[str, FieldSpec], closing: tuple[str, ...]
) -> tuple[Field, ...]:
    found: dict[str, Field] = {}
    while source.peek() not in closing:
        token = source.peek()
        spec = specs.get(token[1:-1]) if token[:1] == "<" and token[-1:] == ">" else None
        if spec is None or spec.token in found:
            again = "a second " if spec is not None else ""
            shown = f'{again}"{token[:40]}"' if token else "something else"
            known = " ".join(f"<{name}>" for name in specs if name not in found)
            raise source.fail(f"expected {closing[0]} or one of {known}, got {shown}.")
        source.token()
        found[spec.token] = _field(source, spec)
    source.token()
    return tuple(found.values())


def _field(source: Source, spec: FieldSpec) -> Field:
    kind = spec.kind
    value: FieldValue
    if kind == "float" or kind == "double":
        precision: Precision = kind
        value, precision = source.sized_real(precision)
        return Field(spec.token, precision, value)
    if kind == "ints" and source.binary and source.peek() in ("FV", "DV"):
        return Field(spec.token, "vector", source.vector())  # an ancient <ColumnMap>
    if kind == "int":
        value = source.integer()
    elif kind == "bool":
        value = source.boolean()
    elif kind == "ints":
        value = source.integers()
    elif kind == "pairs":
        value = source.pairs()
    elif kind == "vector":
        value = source.vector()
    elif kind == "matrix":
        value = source.matrix()
    elif kind == "numbers":
        value = tuple(source.integer() if n == "i" else source.real() for n in spec.numbers)
    elif kind == "model":
        value = _convolution_model(source)
    else:
        value = None
    return Field(spec.token, kind, value)


def _convolution_model(source: Source) -> tuple[Field, ...]:
    source.expect("<ConvolutionModel>")
    specs = {spec.token: spec for spec in CONVOLUTION_MODEL}
    place = source.where
    fields = _fields(source, specs, ("</ConvolutionModel>",))
    for token in specs:
        if token not in {field.token for field in fields}:
            problem = f"<{token}> is missing from the convolution's model."
            raise KaldiFileError(source.name, place, problem, source.component)
    return fields


def _disagreement(model: Model) -> str:
    """What the parts of an `.mdl` file contradict each other in; "" for nothing."""
    assert model.transitions is not None
    output = check_dimensions(model.network).get("output", 0)
    if model.transitions.num_pdfs > output:
        return f"{model.transitions.num_pdfs} pdfs, but the output has {output} columns."
    if len(model.priors) not in (0, output):
        return f"{len(model.priors)} priors, but the output has {output} columns."
    if not (np.isfinite(model.priors).all() and (model.priors >= 0).all()):
        return "a prior that is no probability."
    return ""


def _other_file(source: Source) -> KaldiFileError:
    """The error for a file that starts like something else."""
    start = source.peek()
    if start in ("<Nnet>", "<AmNnet>", "<NnetComponent>"):
        return source.fail(f"a model of an older kind ({start}); only nnet3 models are read.")
    shown = f'"{start[:40]}"' if start else "neither"
    return source.fail(f"expected <Nnet3> or <TransitionModel>, got {shown}: not an nnet3 model.")
