"""Writes nnet3 models as Kaldi does: `.raw` and `.mdl`, binary and text.

A file that Kaldi wrote in binary comes back byte for byte.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kaldi_bridge.nnet3.checking import check_component, check_dimensions
from kaldi_bridge.nnet3.network import (
    Component,
    ComponentNode,
    DimRangeNode,
    Field,
    InputNode,
    Network,
    Node,
)
from kaldi_bridge.nnet3.reading import Model
from kaldi_bridge.nnet3.transitions import write_transition_model
from kaldi_bridge.sink import Sink, opened_atomically


def write_model(model: Model | Network, path: Path | str, binary: bool = True) -> None:
    """Writes a model: an `.mdl` if it has a transition model, else a `.raw`. Atomic.

    Args:
        model: what to write; a bare network becomes a `.raw`.
        path: file; packed with gzip if its name ends in `.gz`.
        binary: whether binary or text.

    Raises:
        ShapeError: parts that do not fit together; nothing is written then.
        KaldiFileError: the place cannot be written to.
    """
    network = model if isinstance(model, Network) else model.network
    for component in network.components.values():
        check_component(component)
    check_dimensions(network)
    with opened_atomically(path) as file:
        write_to(Sink(file, binary), model)


def node_line(node: Node) -> str:
    """Returns a node as a line of the file's head."""
    if isinstance(node, InputNode):
        return f"input-node name={node.name} dim={node.dim}"
    if isinstance(node, ComponentNode):
        return f"component-node name={node.name} component={node.component} input={node.input}"
    if isinstance(node, DimRangeNode):
        source = f"input-node={node.source} dim-offset={node.offset}"
        return f"dim-range-node name={node.name} {source} dim={node.dim}"
    return f"output-node name={node.name} input={node.input} objective={node.objective}"


def write_to(sink: Sink, model: Model | Network) -> None:
    """Writes a model that fits together; see `write_model`."""
    if isinstance(model, Network):
        model = Model(None, model)
    if model.transitions is not None:
        write_transition_model(sink, model.transitions)
    _write_network(sink, model.network)
    if model.transitions is None:
        return
    sink.token("<LeftContext>")
    sink.integer(model.left_context)
    sink.token("<RightContext>")
    sink.integer(model.right_context)
    sink.token("<Priors>")
    sink.vector(model.priors)


def _write_network(sink: Sink, network: Network) -> None:
    sink.token("<Nnet3>")
    sink.text("\n")
    for node in network.nodes.values():
        sink.text(node_line(node) + "\n")
    sink.text("\n")
    sink.token("<NumComponents>")
    sink.integer(len(network.components))
    sink.new_line()
    for component in network.components.values():
        _write_component(sink, component)
    sink.token("</Nnet3>")


def _write_component(sink: Sink, component: Component) -> None:
    sink.token("<ComponentName>")
    sink.token(component.name)
    sink.token(f"<{component.kind}>")
    for field in component.fields:
        _write_field(sink, field)
    sink.token(f"</{component.kind}>")
    sink.new_line()


def _write_field(sink: Sink, field: Field) -> None:
    sink.token(f"<{field.token}>")
    value, kind = field.value, field.kind
    if kind == "model" and isinstance(value, tuple):
        sink.token("<ConvolutionModel>")
        for inner in value:
            assert isinstance(inner, Field)
            _write_field(sink, inner)
        sink.token("</ConvolutionModel>")
    elif kind == "numbers" and isinstance(value, tuple):
        for number in value:
            if isinstance(number, int):
                sink.integer(number)
            elif isinstance(number, float):
                sink.real(number)
    elif kind == "int" and isinstance(value, int):
        sink.integer(value)
    elif (kind == "float" or kind == "double") and isinstance(value, int | float):
        sink.real(value, kind)
    elif kind == "bool":
        sink.boolean(bool(value))
    elif kind == "ints":
        sink.integers(np.asarray(value, np.int32))
    elif kind == "pairs":
        sink.pairs(np.asarray(value, np.int32))
    elif kind in ("vector", "matrix") and isinstance(value, np.ndarray):
        wide = value.dtype == np.float64
        array = np.asarray(value, np.float64) if wide else np.asarray(value, np.float32)
        (sink.vector if kind == "vector" else sink.matrix)(array)
