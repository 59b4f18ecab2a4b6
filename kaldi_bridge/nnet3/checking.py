"""Whether a network makes sense: its arrays agree, its nodes exist, its dimensions fit.

Nothing is computed. Each error is a `Mismatch` that says which component or node it is about;
whoever reads a file adds the place.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.nnet3.components import FIELDS, input_dim, model_field, model_number, output_dim
from kaldi_bridge.nnet3.descriptors import (
    Append,
    Const,
    Descriptor,
    NodeRef,
    Offset,
    ReplaceIndex,
)
from kaldi_bridge.nnet3.network import (
    Component,
    ComponentNode,
    DimRangeNode,
    Field,
    InputNode,
    Network,
    Node,
    OutputNode,
)
from kaldi_bridge.nnet3.parsing import FARTHEST_FRAMES, LARGEST_DIM


class Mismatch(ShapeError):
    """Parts of a network that do not fit together.

    Attributes:
        component: name of the component it is about, or "".
        node: name of the node it is about, or "".
    """

    def __init__(self, problem: str, component: str = "", node: str = "") -> None:
        """Args:
        problem: what does not fit, ending in a full stop.
        component: name of the component it is about.
        node: name of the node it is about.
        """
        self.problem = problem
        self.component = component
        self.node = node
        about = f'component "{component}": ' if component else f'node "{node}": ' if node else ""
        super().__init__(about + problem)


def check_component(component: Component) -> None:
    """Checks that a component has what its type needs, and that its arrays agree.

    Raises:
        Mismatch: a field missing, a weight that is not finite, sizes that contradict one another.
    """
    problem = next(_problems(component), None)
    if problem is not None:
        raise Mismatch(problem, component=component.name)


def check_dimensions(network: Network) -> dict[str, int]:
    """Checks every node of a network whose components have been checked.

    Returns:
        The dimension of each node.

    Raises:
        Mismatch: a name that does not exist, dimensions that differ, or nodes that wait for one
            another at the same frame.
    """
    outputs = {name for name, node in network.nodes.items() if isinstance(node, OutputNode)}
    for node in network.nodes.values():
        _check_names(network, node, outputs)
    dims: dict[str, int] = {}
    for name, node in network.nodes.items():
        if isinstance(node, InputNode | DimRangeNode):
            dims[name] = node.dim
        elif isinstance(node, ComponentNode):
            dims[name] = output_dim(network.components[node.component])
    for name, node in network.nodes.items():
        if isinstance(node, ComponentNode | OutputNode):
            given = descriptor_dim(node.input, dims, name)
            if isinstance(node, OutputNode):
                dims[name] = given
                continue
            wanted = input_dim(network.components[node.component])
            if given != wanted:
                problem = f"its input has {given} columns, its component takes {wanted}."
                raise Mismatch(problem, node=name)
        elif isinstance(node, DimRangeNode) and node.offset + node.dim > dims[node.source]:
            problem = f"columns {node.offset} to {node.offset + node.dim} of {dims[node.source]}."
            raise Mismatch(problem, node=name)
    order(network)
    return dims


def descriptor_dim(descriptor: Descriptor, dims: dict[str, int], node: str = "") -> int:
    """Returns how many columns a descriptor has.

    Args:
        descriptor: what is read.
        dims: dimension of every node it may name.
        node: node it belongs to, for the message.

    Raises:
        Mismatch: parts of different dimensions where they must be equal.
    """
    if isinstance(descriptor, NodeRef):
        return dims[descriptor.name]
    if isinstance(descriptor, Const):
        return descriptor.dim
    found = [descriptor_dim(part, dims, node) for part in descriptor.children()]
    if isinstance(descriptor, Append):
        total = sum(found)
    else:
        total = found[0]
        if any(dim != total for dim in found):
            shown = ", ".join(map(str, found))
            raise Mismatch(f"parts of {shown} columns in {type(descriptor).__name__}.", node=node)
    if total > LARGEST_DIM:
        raise Mismatch(f"{total} columns; at most {LARGEST_DIM} are supported.", node=node)
    return total


def order(network: Network) -> list[str]:
    """Returns the names of the nodes so that each comes after what it needs at its own frame.

    Raises:
        Mismatch: nodes that wait for one another at the same frame.
    """
    needs = {name: sorted(_same_frame(network, name)) for name in network.nodes}
    done: dict[str, bool] = {}  # False while its needs are being looked at
    found: list[str] = []
    for root in network.nodes:
        if root in done:
            continue
        done[root] = False
        path = [(root, iter(needs[root]))]
        while path:
            name, rest = path[-1]
            following = next(rest, None)
            if following is None:
                path.pop()
                done[name] = True
                found.append(name)
            elif following not in done:
                done[following] = False
                path.append((following, iter(needs[following])))
            elif not done[following]:
                raise Mismatch("needs itself at the same frame.", node=following)
    return found


def _check_names(network: Network, node: Node, outputs: set[str]) -> None:
    if isinstance(node, ComponentNode) and node.component not in network.components:
        raise Mismatch(f'there is no component "{node.component}".', node=node.name)
    if isinstance(node, DimRangeNode):
        sources = [node.source]
    elif isinstance(node, ComponentNode | OutputNode):
        sources = list(node.input.nodes())
    else:
        return
    for source in sources:
        if source not in network.nodes:
            raise Mismatch(f'it reads "{source}", and there is no such node.', node=node.name)
        if source in outputs:
            raise Mismatch(f'it reads "{source}", which is an output.', node=node.name)


def _same_frame(network: Network, name: str) -> set[str]:
    """Nodes that a node may need at its own frame."""
    node = network.nodes[name]
    if isinstance(node, InputNode):
        return set()
    if isinstance(node, DimRangeNode):
        return {node.source}
    own = {0}
    if isinstance(node, ComponentNode):
        own = set(time_offsets(network.components[node.component]))
    return {source for source, t in reads(node.input, 0) if t is None or -t in own}


def reads(descriptor: Descriptor, t: int = 0) -> Iterator[tuple[str, int | None]]:
    """Yields each node that is read, with its time offset to `t`; None for a fixed time."""
    if isinstance(descriptor, NodeRef):
        yield descriptor.name, t
    elif isinstance(descriptor, Offset):
        yield from reads(descriptor.part, t + descriptor.t)
    elif isinstance(descriptor, ReplaceIndex) and descriptor.variable == "t":
        for source in descriptor.nodes():
            yield source, None
    else:
        for part in descriptor.children():
            yield from reads(part, t)


def time_offsets(component: Component) -> tuple[int, ...]:
    """Returns the frames, relative to its own, that a component must have."""
    if component.kind == "TdnnComponent":
        return tuple(map(int, component.integers("TimeOffsets")))
    if component.kind == "TimeHeightConvolutionComponent":
        return tuple(map(int, np.asarray(model_field(component, "RequiredTimeOffsets").value)))
    return (0,)


def _problems(component: Component) -> Iterator[str]:
    specs = FIELDS[component.kind]
    for spec in specs.values():
        if spec.required and not component.has(spec.token):
            yield f"<{spec.token}> is missing."
    for field in component.fields:
        if not specs[field.token].statistics:
            yield from _bad_numbers(field)
    yield from _bad_sizes(component)


def _bad_numbers(field: Field) -> Iterator[str]:
    value = field.value
    if field.kind == "int" and field.token.endswith(("Dim", "NumBlocks")):
        if not 0 < int(str(value)) <= LARGEST_DIM:
            yield f"<{field.token}> {value}; it must lie between 1 and {LARGEST_DIM}."
    elif isinstance(value, float | np.ndarray) and not np.isfinite(value).all():
        yield f"<{field.token}> holds a number that is not finite."


def _bad_sizes(component: Component) -> Iterator[str]:
    kind = component.kind
    if component.has("LinearParams") or kind == "LinearComponent":
        weights = component.array("Params" if kind == "LinearComponent" else "LinearParams")
        if not weights.size:
            yield "it has no weights."
        if max(weights.shape) > LARGEST_DIM:
            yield f"weights of size {weights.shape}; at most {LARGEST_DIM} rows or columns."
    if component.has("LinearParams"):
        rows, bias = weights.shape[0], component.array("BiasParams").shape[0]
        if bias != rows and not (kind == "TdnnComponent" and bias == 0):
            yield f"{bias} biases for {rows} rows of weights."
    if kind == "TdnnComponent":
        yield from _bad_offsets(component.integers("TimeOffsets"), "TimeOffsets")
        if weights.shape[1] % len(component.integers("TimeOffsets")):
            yield f"{weights.shape[1]} columns of weights do not divide by the time offsets."
    elif kind == "BlockAffineComponent" and rows % int(component.number("NumBlocks")):
        yield f"{rows} rows do not divide into {component.get('NumBlocks')} blocks."
    elif kind == "TimeHeightConvolutionComponent":
        yield from _bad_convolution(component)
    elif kind == "BatchNormComponent":
        yield from _bad_batchnorm(component)
    elif kind == "NormalizeComponent":
        yield from _bad_normalize(component)
    elif kind == "PermuteComponent":
        column_map = component.array("ColumnMap")
        if not np.array_equal(np.sort(column_map), np.arange(len(column_map))):
            yield "<ColumnMap> is not an order of its columns."
    elif kind == "ElementwiseProductComponent":
        if component.number("InputDim") % component.number("OutputDim"):
            yield "<InputDim> is not a multiple of <OutputDim>."
    elif kind in ("ScaleAndOffsetComponent", "PerElementOffsetComponent"):
        yield from _bad_blocks(component, "Offsets")
        if kind == "ScaleAndOffsetComponent" and len(component.array("Scales")) != len(
            component.array("Offsets")
        ):
            yield "<Scales> and <Offsets> differ in size."
    elif kind in FIELDS and not component.has("Dim") and not component.has("LinearParams"):
        yield from (
            f"<{token}> is empty."
            for token in ("Params", "Scales", "Bias")
            if component.has(token) and not component.array(token).size
        )
    has_blocks = component.has("BlockDim") and kind != "NormalizeComponent"
    if has_blocks and component.number("Dim") % component.number("BlockDim"):
        yield "<Dim> is not a multiple of <BlockDim>."
    if kind == "DropoutComponent" and not 0 <= component.number("DropoutProportion") <= 1:
        yield "<DropoutProportion> lies outside 0 to 1."


def _bad_offsets(offsets: np.ndarray, token: str) -> Iterator[str]:
    if not len(offsets):
        yield f"<{token}> is empty."
    elif len(np.unique(offsets)) != len(offsets):
        yield f"<{token}> has the same offset twice."
    elif np.abs(offsets.astype(np.int64)).max() > FARTHEST_FRAMES:
        yield f"<{token}> reaches further than {FARTHEST_FRAMES} frames."


def _bad_convolution(component: Component) -> Iterator[str]:
    for token in ("NumFiltersIn", "NumFiltersOut", "HeightIn", "HeightOut", "HeightSubsampleOut"):
        if not 0 < model_number(component, token) <= LARGEST_DIM:
            yield f"<{token}> {model_number(component, token)}; it must be positive and sensible."
    if max(input_dim(component), output_dim(component)) > LARGEST_DIM:
        yield f"more than {LARGEST_DIM} inputs or outputs."
    offsets = np.asarray(model_field(component, "Offsets").value)
    required = np.asarray(model_field(component, "RequiredTimeOffsets").value)
    if not len(offsets):
        yield "<Offsets> is empty."
    elif np.abs(offsets.astype(np.int64)).max() > FARTHEST_FRAMES:
        yield f"<Offsets> reaches further than {FARTHEST_FRAMES}."
    elif len(np.unique(offsets, axis=0)) != len(offsets):
        yield "<Offsets> has the same pair twice."
    yield from _bad_offsets(required, "RequiredTimeOffsets")
    if not np.isin(required, offsets[:, 0]).all():
        yield "<RequiredTimeOffsets> has one that <Offsets> lacks."
    filters = model_number(component, "NumFiltersOut")
    wanted = (filters, len(offsets) * model_number(component, "NumFiltersIn"))
    if component.array("LinearParams").shape != wanted:
        yield f"weights of size {component.array('LinearParams').shape}; its model says {wanted}."


def _bad_batchnorm(component: Component) -> Iterator[str]:
    block = int(component.number("BlockDim"))
    for token in ("StatsMean", "StatsVar"):
        size = component.array(token).shape[0]
        if size != block and (size or component.number("Count")):
            yield f"<{token}> has {size} numbers for a block of {block}."
    for token in ("Epsilon", "TargetRms"):
        if component.number(token) <= 0:
            yield f"<{token}> {component.get(token)}; it must be positive."


def _bad_normalize(component: Component) -> Iterator[str]:
    if component.has("InputDim") == component.has("Dim"):
        yield "it needs one of <InputDim> and <Dim>."
    if input_dim(component) % int(component.number("BlockDim", input_dim(component))):
        yield "<InputDim> is not a multiple of <BlockDim>."
    if component.number("TargetRms", 1.0) <= 0:
        yield f"<TargetRms> {component.get('TargetRms')}; it must be positive."


def _bad_blocks(component: Component, token: str) -> Iterator[str]:
    size = component.array(token).shape[0]
    if not size or component.number("Dim", size) % size:
        yield f"<Dim> is not a multiple of the size of <{token}>, {size}."
