"""Components of every supported type drawn at random, to fit an input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from network_draft import NetworkDraft

from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3.network import Component

LARGEST_DIM = 12
Made = tuple[Component, float]
"""A component, and about the root mean square of what it gives."""


def drawn(kind: str, draft: NetworkDraft, name: str, source: str, *, rare: bool) -> Made | None:
    """Returns a component of a type for the input `source`; None where none fits its columns.

    Args:
        kind: in `COMPONENTS`.
        draft: has the nodes of `source`, and what is random.
        name: of the component.
        source: descriptor.
        rare: whether a convolution may do without some of its times.
    """
    if kind == "TimeHeightConvolutionComponent":
        return _convolution(draft, name, source, rare)
    return COMPONENTS[kind](draft, name, source)


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _block(draft: NetworkDraft, source: str, least: int = 1) -> int:
    fitting = [block for block in _divisors(draft.dim(source)) if block >= least]
    return int(draft.random.choice(fitting))


def _dim(draft: NetworkDraft) -> int:
    return int(draft.random.integers(2, LARGEST_DIM + 1))


def _affine(draft: NetworkDraft, name: str, source: str) -> Made:
    dim = _dim(draft)
    weights = draft.weights(dim, draft.dim(source), source)
    return building.affine(name, weights, draft.bias(dim)), 1.0


def _plain_affine(draft: NetworkDraft, name: str, source: str) -> Made:
    dim = _dim(draft)
    weights = draft.weights(dim, draft.dim(source), source)
    return building.affine(name, weights, draft.bias(dim), natural_gradient=False), 1.0


def _fixed_affine(draft: NetworkDraft, name: str, source: str) -> Made:
    dim = _dim(draft)
    weights = draft.weights(dim, draft.dim(source), source)
    return building.fixed_affine(name, weights, draft.bias(dim)), 1.0


def _linear(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.linear(name, draft.weights(_dim(draft), draft.dim(source), source)), 1.0


def _tdnn(draft: NetworkDraft, name: str, source: str) -> Made:
    dim = _dim(draft)
    offsets = sorted(draft.random.choice(range(-3, 4), draft.random.integers(1, 4), replace=False))
    weights = draft.weights(dim, draft.dim(source) * len(offsets), source)
    bias = draft.bias(dim) if draft.random.random() < 0.5 else None
    return building.tdnn(name, weights, bias, offsets), 1.0


def _block_affine(draft: NetworkDraft, name: str, source: str) -> Made | None:
    blocks = draft.dim(source) // _block(draft, source)
    dim = blocks * int(draft.random.integers(1, 4))
    if dim > LARGEST_DIM:
        return None
    weights = draft.weights(dim, draft.dim(source) // blocks, source)
    return building.block_affine(name, weights, draft.bias(dim), blocks), 1.0


def _relu(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.relu(name, draft.dim(source)), 0.7 * draft.size(source)


def _sigmoid(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.sigmoid(name, draft.dim(source)), 0.5


def _tanh(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.tanh(name, draft.dim(source)), min(0.6, draft.size(source))


def _softmax(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.softmax(name, draft.dim(source)), 0.3


def _log_softmax(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.log_softmax(name, draft.dim(source)), 2.0 + draft.size(source)


def _batchnorm(draft: NetworkDraft, name: str, source: str) -> Made:
    block, size = _block(draft, source), draft.size(source)
    target = float(draft.random.choice([1.0, 0.5, 0.025, 2.0]))
    component = building.batchnorm(
        name,
        size * draft.random.uniform(-0.5, 0.9, block),
        size**2 * draft.random.uniform(0.3, 1.5, block),
        dim=draft.dim(source),
        epsilon=float(draft.random.choice([1e-3, 1e-2])),
        target_rms=target,
    )
    return component, target


def _normalize(draft: NetworkDraft, name: str, source: str) -> Made | None:
    """Blocks have six columns or more: fewer would often all be near zero behind a ReLU."""
    if draft.dim(source) < 6:
        return None
    target = float(draft.random.uniform(0.5, 1.5))
    component = building.normalize(
        name,
        draft.dim(source),
        target_rms=target,
        add_log_stddev=bool(draft.random.random() < 0.5),
        block_dim=_block(draft, source, 6),
    )
    return component, target


def _scale_and_offset(draft: NetworkDraft, name: str, source: str) -> Made:
    block = _block(draft, source)
    scales, offsets = draft.random.uniform(0.5, 1.5, block), draft.bias(block)
    return building.scale_and_offset(name, scales, offsets, dim=draft.dim(source)), draft.size(
        source
    )


def _natural_scale(draft: NetworkDraft, name: str, source: str) -> Made:
    scales = 1 + draft.bias(draft.dim(source))
    return building.per_element_scale(name, scales), draft.size(source)


def _scale(draft: NetworkDraft, name: str, source: str) -> Made:
    component, size = _natural_scale(draft, name, source)
    kept = [field for field in component.fields if field.token in ("LearningRate", "Params")]
    return replace(component, kind="PerElementScaleComponent", fields=tuple(kept)), size


def _offset(draft: NetworkDraft, name: str, source: str) -> Made:
    offsets = draft.bias(_block(draft, source))
    return building.per_element_offset(name, offsets, dim=draft.dim(source)), draft.size(source)


def _fixed_scale(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.fixed_scale(name, 1 + draft.bias(draft.dim(source))), draft.size(source)


def _fixed_bias(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.fixed_bias(name, draft.bias(draft.dim(source))), draft.size(source)


def _noop(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.noop(name, draft.dim(source)), draft.size(source)


def _general_dropout(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.general_dropout(name, draft.dim(source), proportion=0.3), draft.size(source)


def _time_mask(draft: NetworkDraft, name: str, source: str) -> Made:
    return building.spec_augment_time_mask(name, draft.dim(source)), draft.size(source)


def _dropout(draft: NetworkDraft, name: str, source: str) -> Made:
    proportion = float(draft.random.uniform(0, 0.5))
    component = building.dropout(name, draft.dim(source), proportion)
    return component, (1 - proportion) * draft.size(source)


def _permute(draft: NetworkDraft, name: str, source: str) -> Made:
    columns = draft.random.permutation(draft.dim(source))
    return building.permute(name, columns.tolist()), draft.size(source)


def _product(draft: NetworkDraft, name: str, source: str) -> Made | None:
    dim, size = draft.dim(source), draft.size(source)
    parts = [number for number in (2, 3) if dim % number == 0]
    if not parts or size > 2:
        return None
    number = int(draft.random.choice(parts))
    return building.elementwise_product(name, dim, dim // number), size**number


def _convolution(draft: NetworkDraft, name: str, source: str, rare: bool = False) -> Made | None:
    random = draft.random
    height = _block(draft, source)
    step = int(random.integers(1, 3))
    height_out = -(-height // step)
    filters = int(random.integers(1, 4))
    if filters * height_out > LARGEST_DIM:
        return None
    times = sorted(random.choice(range(-3, 4), random.integers(1, 4), replace=False).tolist())
    pairs = [(t, h) for t in times for h in (-1, 0, 1) if h == 0 or random.random() < 0.6]
    required = [t for t in times if random.random() < 0.5] if rare else times
    component = building.convolution(
        name,
        draft.weights(filters, len(pairs) * (draft.dim(source) // height), source),
        draft.bias(filters),
        offsets=pairs,
        height_in=height,
        height_out=height_out,
        height_subsample=step,
        required_time_offsets=required or times[:1],
    )
    return component, 1.0


COMPONENTS: dict[str, Callable[[NetworkDraft, str, str], Made | None]] = {
    "NaturalGradientAffineComponent": _affine,
    "AffineComponent": _plain_affine,
    "FixedAffineComponent": _fixed_affine,
    "LinearComponent": _linear,
    "TdnnComponent": _tdnn,
    "BlockAffineComponent": _block_affine,
    "RectifiedLinearComponent": _relu,
    "SigmoidComponent": _sigmoid,
    "TanhComponent": _tanh,
    "SoftmaxComponent": _softmax,
    "LogSoftmaxComponent": _log_softmax,
    "BatchNormComponent": _batchnorm,
    "NormalizeComponent": _normalize,
    "ScaleAndOffsetComponent": _scale_and_offset,
    "NaturalGradientPerElementScaleComponent": _natural_scale,
    "PerElementScaleComponent": _scale,
    "PerElementOffsetComponent": _offset,
    "FixedScaleComponent": _fixed_scale,
    "FixedBiasComponent": _fixed_bias,
    "NoOpComponent": _noop,
    "GeneralDropoutComponent": _general_dropout,
    "SpecAugmentTimeMaskComponent": _time_mask,
    "DropoutComponent": _dropout,
    "PermuteComponent": _permute,
    "ElementwiseProductComponent": _product,
    "TimeHeightConvolutionComponent": _convolution,
}
COMMON = (
    "TdnnComponent",
    "LinearComponent",
    "NaturalGradientAffineComponent",
    "BatchNormComponent",
)
"""Types that are drawn more often than others, as they make up a network."""


def choose(random: np.random.Generator, kinds: tuple[str, ...]) -> str:
    """Draws a type, the common ones a third of the time."""
    common = [kind for kind in COMMON if kind in kinds]
    return str(random.choice(common if common and random.random() < 0.33 else kinds))
