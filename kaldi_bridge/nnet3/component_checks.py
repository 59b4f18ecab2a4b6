"""Whether one component has what its type needs, and whether its arrays agree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.nnet3.components import FIELDS, input_dim, model_field, model_number, output_dim
from kaldi_bridge.nnet3.network import Component, Field
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
    elif isinstance(value, float | np.ndarray):
        with np.errstate(over="ignore"):
            finite = np.isfinite(np.asarray(value, np.float32)).all()
        if not finite:
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
        sizes = {
            component.array(token).shape for token in ("Scales", "Offsets") if component.has(token)
        }
        if len(sizes) > 1:
            yield "<Scales> and <Offsets> differ in size."
    else:
        for token in ("Params", "Scales", "Bias"):
            if component.has(token) and not component.array(token).size:
                yield f"<{token}> is empty."
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
    last = (model_number(component, "HeightOut") - 1) * model_number(
        component, "HeightSubsampleOut"
    )
    rows = offsets[:, 1].astype(np.int64) + last
    if not ((rows >= 0) & (rows < model_number(component, "HeightIn"))).any():
        yield "<HeightOut> asks for rows that read nothing of the input."
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
