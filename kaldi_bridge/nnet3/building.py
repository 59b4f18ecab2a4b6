"""Networks made in Python: components from arrays, in the field order that current Kaldi writes.

Each function takes the component's name first and returns a checked `Component`; arrays become
float32. `network` puts them together. With [rows, columns] = [outputs, inputs]:

    affine(name, weights [o, i], bias [o], *, natural_gradient=True, training=Training())
    linear(name, weights [o, i], *, training=...)
    tdnn(name, weights [o, len(time_offsets) * i], bias [o] | None, time_offsets, *, training=...)
    fixed_affine(name, weights [o, i], bias [o])
    block_affine(name, weights [o, i / blocks], bias [o], blocks, *, training=...)
    convolution(name, weights [f_out, len(offsets) * f_in], bias [f_out], *, offsets [(t, height)],
        height_in, height_out, height_subsample=1, required_time_offsets=None, training=...)
    relu | sigmoid | tanh | softmax | log_softmax(name, dim)
    batchnorm(name, mean [block], variance [block], *, dim=None, epsilon=1e-3, target_rms=1,
        count=1000)
    normalize(name, dim, *, target_rms=1, add_log_stddev=False, block_dim=None)
    scale_and_offset(name, scales [block], offsets [block], *, dim=None, training=...)
    per_element_scale(name, scales [n], *, training=...)
    per_element_offset(name, offsets [block], *, dim=None, training=...)
    fixed_scale(name, scales [n]); fixed_bias(name, bias [n]); permute(name, column_map [n])
    noop(name, dim); general_dropout(name, dim, *, proportion=0); dropout(name, dim, proportion)
    spec_augment_time_mask(name, dim); elementwise_product(name, input_dim, output_dim)
    network(config_text, components) -> Network

Raises `ShapeError` where sizes contradict one another, `ParsingError` for a bad config line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from kaldi_bridge.nnet3.checking import Mismatch, check_dimensions
from kaldi_bridge.nnet3.field_makers import (
    PLAIN,
    Training,
    as_array,
    boolean,
    component,
    integer,
    ints,
    matrix,
    ranks,
    real,
    updatable,
    weights_and_bias,
)
from kaldi_bridge.nnet3.network import Component, Field, Network, Node
from kaldi_bridge.nnet3.parsing import parse_node
from kaldi_bridge.nnet3.pointwise_layers import (
    batchnorm,
    dropout,
    elementwise_product,
    fixed_bias,
    fixed_scale,
    general_dropout,
    log_softmax,
    noop,
    normalize,
    per_element_offset,
    per_element_scale,
    permute,
    relu,
    scale_and_offset,
    sigmoid,
    softmax,
    spec_augment_time_mask,
    tanh,
)

__all__ = [
    "Training",
    "affine",
    "batchnorm",
    "block_affine",
    "convolution",
    "dropout",
    "elementwise_product",
    "fixed_affine",
    "fixed_bias",
    "fixed_scale",
    "general_dropout",
    "linear",
    "log_softmax",
    "network",
    "noop",
    "normalize",
    "per_element_offset",
    "per_element_scale",
    "permute",
    "relu",
    "scale_and_offset",
    "sigmoid",
    "softmax",
    "spec_augment_time_mask",
    "tanh",
    "tdnn",
]


def affine(
    name: str,
    weights: ArrayLike,
    bias: ArrayLike,
    *,
    natural_gradient: bool = True,
    training: Training = PLAIN,
) -> Component:
    """Gives y = weights x + bias."""
    fields = [*updatable(training), *weights_and_bias(weights, bias)]
    orthonormal = real("OrthonormalConstraint", training.orthonormal)
    rank_in, rank_out = ranks(weights)
    if not natural_gradient:
        more = [orthonormal] if training.orthonormal else []
        return component("AffineComponent", name, *fields, *more)
    return component(
        "NaturalGradientAffineComponent",
        name,
        *fields,
        integer("RankIn", rank_in),
        integer("RankOut", rank_out),
        *([orthonormal] if training.orthonormal else []),
        integer("UpdatePeriod", 4),
        real("NumSamplesHistory", 2000),
        real("Alpha", 4),
    )


def linear(name: str, weights: ArrayLike, *, training: Training = PLAIN) -> Component:
    """Gives y = weights x."""
    orthonormal = real("OrthonormalConstraint", training.orthonormal)
    return component(
        "LinearComponent",
        name,
        *updatable(training),
        matrix("Params", weights),
        *([orthonormal] if training.orthonormal else []),
        boolean("UseNaturalGradient", True),
        Field("RankInOut", "numbers", ranks(weights)),
        real("Alpha", 4),
        real("NumSamplesHistory", 2000),
        integer("UpdatePeriod", 4),
    )


def tdnn(
    name: str,
    weights: ArrayLike,
    bias: ArrayLike | None,
    time_offsets: Sequence[int],
    *,
    training: Training = PLAIN,
) -> Component:
    """y(t) = sum over k of weights[:, k-th block of columns] x(t + time_offsets[k]) + bias."""
    return component(
        "TdnnComponent",
        name,
        *updatable(training),
        ints("TimeOffsets", time_offsets),
        *weights_and_bias(weights, [] if bias is None else bias),
        real("OrthonormalConstraint", training.orthonormal),
        boolean("UseNaturalGradient", True),
        real("NumSamplesHistory", 2000),
        Field("AlphaInOut", "numbers", (4.0, 4.0)),
        Field("RankInOut", "numbers", ranks(weights)),
    )


def fixed_affine(name: str, weights: ArrayLike, bias: ArrayLike) -> Component:
    """Gives y = weights x + bias, never trained: LDA, inverse DCT."""
    return component("FixedAffineComponent", name, *weights_and_bias(weights, bias))


def block_affine(
    name: str, weights: ArrayLike, bias: ArrayLike, blocks: int, *, training: Training = PLAIN
) -> Component:
    """The input in equal blocks, each with its share of the rows."""
    fields = [*updatable(training), integer("NumBlocks", blocks), *weights_and_bias(weights, bias)]
    return component("BlockAffineComponent", name, *fields)


def convolution(
    name: str,
    weights: ArrayLike,
    bias: ArrayLike,
    *,
    offsets: Sequence[tuple[int, int]],
    height_in: int,
    height_out: int,
    height_subsample: int = 1,
    required_time_offsets: Sequence[int] | None = None,
    training: Training = PLAIN,
) -> Component:
    """A convolution over time and height; columns of the weights go by offset, then filter.

    Args:
        name: of the component.
        weights: [filters out, len(offsets) * filters in].
        bias: [filters out].
        offsets: (frames, height) of each input that an output reads, sorted.
        height_in: rows of the input.
        height_out: rows of the output.
        height_subsample: distance of the rows that are computed.
        required_time_offsets: frames that must be there; None for all.
        training: what Kaldi needs to go on training.
    """
    filters, columns = as_array(weights, 2).shape
    if required_time_offsets is None:
        required_time_offsets = sorted({t for t, _ in offsets})
    model = (
        integer("NumFiltersIn", columns // max(len(offsets), 1)),
        integer("NumFiltersOut", filters),
        integer("HeightIn", height_in),
        integer("HeightOut", height_out),
        integer("HeightSubsampleOut", height_subsample),
        Field("Offsets", "pairs", np.asarray(offsets, np.int32).reshape(-1, 2)),
        ints("RequiredTimeOffsets", required_time_offsets),
    )
    return component(
        "TimeHeightConvolutionComponent",
        name,
        *updatable(training),
        Field("Model", "model", model),
        *weights_and_bias(weights, bias),
        real("MaxMemoryMb", 200),
        boolean("UseNaturalGradient", True),
        real("NumMinibatchesHistory", 4),
        Field("AlphaInOut", "numbers", (4.0, 4.0)),
        Field("RankInOut", "numbers", ranks(weights)),
    )


def network(config_text: str, components: Iterable[Component]) -> Network:
    """Puts a network together and checks it.

    Args:
        config_text: one node per line, as in the head of an nnet3 file; blank lines and what
            follows a "#" are skipped.
        components: those that the nodes name.

    Raises:
        ParsingError: a line that is not a node.
        ShapeError: a name that is missing or there twice, or dimensions that do not fit.
    """
    nodes: dict[str, Node] = {}
    for line in config_text.splitlines():
        text = line.partition("#")[0].strip()
        if text:
            node = parse_node(text)
            if node.name in nodes:
                raise Mismatch("it is there twice.", node=node.name)
            nodes[node.name] = node
    by_name: dict[str, Component] = {}
    for made in components:
        if made.name in by_name:
            raise Mismatch("it is there twice.", component=made.name)
        by_name[made.name] = made
    found = Network(nodes, by_name)
    check_dimensions(found)
    return found
