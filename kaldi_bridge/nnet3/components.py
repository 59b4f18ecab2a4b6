"""What each type of component holds: its fields, their kinds, its dimensions.

Source: the Read and Write methods of nnet3/nnet-*-component.cc of Kaldi 5.5, old files included.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kaldi_bridge.nnet3.network import Component, Field, FieldKind


@dataclass(frozen=True)
class FieldSpec:
    """A field that a type may or must have.

    Attributes:
        token: name without the angle brackets.
        kind: as it is stored; a real number may also come in the other size.
        required: whether it must be there.
        numbers: for kind "numbers", "i" or "f" per number behind the token.
        statistics: whether it is of no use at test time, so that it may hold anything.
    """

    token: str
    kind: FieldKind
    required: bool = True
    numbers: str = ""
    statistics: bool = False


def _need(token: str, kind: FieldKind) -> FieldSpec:
    return FieldSpec(token, kind)


def _may(token: str, kind: FieldKind) -> FieldSpec:
    return FieldSpec(token, kind, required=False)


def _training(token: str, kind: FieldKind, numbers: str = "") -> FieldSpec:
    return FieldSpec(token, kind, required=False, numbers=numbers, statistics=True)


_UPDATABLE = (
    _training("LearningRateFactor", "float"),
    _training("IsGradient", "bool"),
    _training("MaxChange", "float"),
    _training("L2Regularize", "float"),
    _training("LearningRate", "float"),
)
_STATISTICS = (
    _training("ValueAvg", "vector"),
    _training("DerivAvg", "vector"),
    _training("Count", "double"),
    _training("OderivRms", "vector"),
    _training("OderivCount", "double"),
    _training("NumDimsSelfRepaired", "double"),
    _training("NumDimsProcessed", "double"),
    _training("SelfRepairLowerThreshold", "float"),
    _training("SelfRepairUpperThreshold", "float"),
    _training("SelfRepairScale", "float"),
)
_NATURAL_GRADIENT = (
    _training("UseNaturalGradient", "bool"),
    _training("NumSamplesHistory", "float"),
    _training("AlphaInOut", "numbers", "ff"),
    _training("RankInOut", "numbers", "ii"),
)
_WEIGHTS = (_need("LinearParams", "matrix"), _need("BiasParams", "vector"))
_NONLINEARITY = (_need("Dim", "int"), _may("BlockDim", "int"), *_STATISTICS)

CONVOLUTION_MODEL = (
    _need("NumFiltersIn", "int"),
    _need("NumFiltersOut", "int"),
    _need("HeightIn", "int"),
    _need("HeightOut", "int"),
    _need("HeightSubsampleOut", "int"),
    _need("Offsets", "pairs"),
    _need("RequiredTimeOffsets", "ints"),
)

_TABLE: dict[str, tuple[FieldSpec, ...]] = {
    "AffineComponent": (*_UPDATABLE, *_WEIGHTS, _training("OrthonormalConstraint", "float")),
    "NaturalGradientAffineComponent": (
        *_UPDATABLE,
        *_WEIGHTS,
        _training("RankIn", "int"),
        _training("RankOut", "int"),
        _training("OrthonormalConstraint", "float"),
        _training("UpdatePeriod", "int"),
        _training("NumSamplesHistory", "float"),
        _training("Alpha", "float"),
        _training("MaxChangePerSample", "float"),
        _training("UpdateCount", "float"),
        _training("ActiveScalingCount", "float"),
        _training("MaxChangeScaleStats", "float"),
    ),
    "FixedAffineComponent": _WEIGHTS,
    "LinearComponent": (
        *_UPDATABLE,
        _need("Params", "matrix"),
        _training("OrthonormalConstraint", "float"),
        _training("UseNaturalGradient", "bool"),
        _training("RankInOut", "numbers", "ii"),
        _training("Alpha", "float"),
        _training("NumSamplesHistory", "float"),
        _training("UpdatePeriod", "int"),
    ),
    "TdnnComponent": (
        *_UPDATABLE,
        _need("TimeOffsets", "ints"),
        *_WEIGHTS,
        _training("OrthonormalConstraint", "float"),
        *_NATURAL_GRADIENT,
    ),
    "BlockAffineComponent": (*_UPDATABLE, _need("NumBlocks", "int"), *_WEIGHTS),
    "RectifiedLinearComponent": _NONLINEARITY,
    "SigmoidComponent": _NONLINEARITY,
    "TanhComponent": _NONLINEARITY,
    "SoftmaxComponent": _NONLINEARITY,
    "LogSoftmaxComponent": _NONLINEARITY,
    "BatchNormComponent": (
        _need("Dim", "int"),
        _need("BlockDim", "int"),
        _need("Epsilon", "float"),
        _need("TargetRms", "float"),
        _training("TestMode", "bool"),
        _need("Count", "double"),
        _need("StatsMean", "vector"),
        _need("StatsVar", "vector"),
    ),
    "NormalizeComponent": (
        _may("InputDim", "int"),
        _may("Dim", "int"),
        _may("BlockDim", "int"),
        _may("TargetRms", "float"),
        _may("AddLogStddev", "bool"),
        *_STATISTICS,
    ),
    "ScaleAndOffsetComponent": (
        *_UPDATABLE,
        _need("Dim", "int"),
        _need("Scales", "vector"),
        _need("Offsets", "vector"),
        _training("UseNaturalGradient", "bool"),
        _training("Rank", "int"),
    ),
    "PerElementScaleComponent": (*_UPDATABLE, _need("Params", "vector")),
    "NaturalGradientPerElementScaleComponent": (
        *_UPDATABLE,
        _need("Params", "vector"),
        _training("Rank", "int"),
        _training("UpdatePeriod", "int"),
        _training("NumSamplesHistory", "float"),
        _training("Alpha", "float"),
        _training("MaxChangePerMinibatch", "float"),
    ),
    "PerElementOffsetComponent": (
        *_UPDATABLE,
        _need("Offsets", "vector"),
        _may("Dim", "int"),
        _training("UseNaturalGradient", "bool"),
    ),
    "FixedScaleComponent": (_need("Scales", "vector"),),
    "FixedBiasComponent": (_need("Bias", "vector"),),
    "NoOpComponent": (
        _need("Dim", "int"),
        _may("BlockDim", "int"),
        *_STATISTICS,
        _training("BackpropScale", "float"),
    ),
    "GeneralDropoutComponent": (
        _need("Dim", "int"),
        _need("BlockDim", "int"),
        _training("TimePeriod", "int"),
        _training("DropoutProportion", "float"),
        _training("SpecAugmentMaxProportion", "float"),
        _training("SpecAugmentMaxRegions", "int"),
        _training("TestMode", "bare"),
        _training("Continuous", "bare"),
    ),
    "SpecAugmentTimeMaskComponent": (
        _need("Dim", "int"),
        _training("ZeroedProportion", "float"),
        _training("TimeMaskMaxFrames", "int"),
        _training("TestMode", "bare"),
    ),
    "DropoutComponent": (
        _need("Dim", "int"),
        _need("DropoutProportion", "float"),
        _training("DropoutPerFrame", "bool"),
        _training("TestMode", "bool"),
    ),
    "PermuteComponent": (_need("ColumnMap", "ints"),),
    "TimeHeightConvolutionComponent": (
        *_UPDATABLE,
        _need("Model", "model"),
        *_WEIGHTS,
        _training("MaxMemoryMb", "float"),
        _training("UseNaturalGradient", "bool"),
        _training("NumMinibatchesHistory", "float"),
        _training("AlphaInOut", "numbers", "ff"),
        _training("RankInOut", "numbers", "ii"),
    ),
    "ElementwiseProductComponent": (_need("InputDim", "int"), _need("OutputDim", "int")),
}

FIELDS = MappingProxyType(
    {kind: MappingProxyType({spec.token: spec for spec in specs}) for kind, specs in _TABLE.items()}
)
"""Per supported type, its fields by token, in the order of current files."""

SUPPORTED = tuple(sorted(FIELDS))


def model_field(component: Component, token: str) -> Field:
    """Returns a field of a convolution's model.

    Raises:
        KeyError: no such field.
    """
    model = component.get("Model")
    assert isinstance(model, tuple)
    for field in model:
        if isinstance(field, Field) and field.token == token:
            return field
    raise KeyError(token)


def model_number(component: Component, token: str) -> int:
    """Returns a scalar of a convolution's model, such as "HeightOut"."""
    value = model_field(component, token).value
    assert isinstance(value, int)
    return value


def input_dim(component: Component) -> int:
    """Returns the dimension that a component takes."""
    kind = component.kind
    if kind in ("AffineComponent", "NaturalGradientAffineComponent", "FixedAffineComponent"):
        return int(component.array("LinearParams").shape[1])
    if kind == "LinearComponent":
        return int(component.array("Params").shape[1])
    if kind == "TdnnComponent":
        columns = component.array("LinearParams").shape[1]
        return int(columns // len(component.integers("TimeOffsets")))
    if kind == "BlockAffineComponent":
        return int(component.array("LinearParams").shape[1] * component.number("NumBlocks"))
    if kind == "TimeHeightConvolutionComponent":
        return model_number(component, "NumFiltersIn") * model_number(component, "HeightIn")
    if kind == "NormalizeComponent":
        return int(component.number("InputDim" if component.has("InputDim") else "Dim"))
    if kind == "ElementwiseProductComponent":
        return int(component.number("InputDim"))
    return _same_dim(component)


def output_dim(component: Component) -> int:
    """Returns the dimension that a component gives."""
    kind = component.kind
    if component.has("LinearParams") and kind != "TimeHeightConvolutionComponent":
        return int(component.array("LinearParams").shape[0])
    if kind == "LinearComponent":
        return int(component.array("Params").shape[0])
    if kind == "TimeHeightConvolutionComponent":
        return model_number(component, "NumFiltersOut") * model_number(component, "HeightOut")
    if kind == "NormalizeComponent":
        dim = input_dim(component)
        if not component.number("AddLogStddev", 0):
            return dim
        return dim + dim // int(component.number("BlockDim", dim))
    if kind == "ElementwiseProductComponent":
        return int(component.number("OutputDim"))
    return _same_dim(component)


def _same_dim(component: Component) -> int:
    """The dimension of a component that keeps it."""
    for token in ("Dim", "InputDim"):
        if component.has(token):
            return int(component.number(token))
    for token in ("Params", "Offsets", "Scales", "Bias", "ColumnMap"):
        if component.has(token):
            return int(component.array(token).shape[0])
    raise KeyError(component.kind)


def parameters(component: Component) -> int:
    """Returns how many trainable numbers a component holds, counted as Kaldi does."""
    specs = FIELDS[component.kind]
    if "LearningRate" not in specs:
        return 0
    return sum(
        component.array(field.token).size
        for field in component.fields
        if field.kind in ("vector", "matrix") and not specs[field.token].statistics
    )
