"""A small model with every type of component, and a transition model, made on the spot."""

from __future__ import annotations

import io

import numpy as np

from kaldi_bridge.nnet3 import building as make
from kaldi_bridge.nnet3.network import Component, Network
from kaldi_bridge.nnet3.reading import Model, model_from
from kaldi_bridge.nnet3.transitions import NO_PDF, State, Topology, TransitionModel
from kaldi_bridge.nnet3.writing import write_to
from kaldi_bridge.sink import Sink
from kaldi_bridge.source import Source

HEAD = """
input-node name=ivector dim=3
input-node name=input dim=4
component-node name=lda component=lda input=Append(Offset(input,-1),input,ReplaceIndex(ivector,t,0))
component-node name=affine component=affine input=lda
component-node name=relu component=relu input=affine
component-node name=batchnorm component=batchnorm input=relu
component-node name=dropout component=dropout input=batchnorm
component-node name=linear component=linear input=dropout
component-node name=noop component=noop input=Sum(Scale(0.66, relu), linear)
component-node name=factor component=factor input=noop
component-node name=normalize component=normalize input=factor
component-node name=scale component=scale input=Append(normalize, Const(0.5, 1))
dim-range-node name=part input-node=scale dim-offset=1 dim=6
component-node name=conv component=conv input=part
component-node name=blocks component=blocks input=Round(conv, 3)
component-node name=product component=product input=Append(blocks, Switch(part, Offset(part, 1)))
component-node name=order component=order input=product
component-node name=mask component=mask input=order
component-node name=scaled component=scaled input=mask
component-node name=moved component=moved input=scaled
component-node name=fixed-scale component=fixed-scale input=moved
component-node name=fixed.bias component=fixed.bias input=fixed-scale
component-node name=sigmoid component=sigmoid input=fixed.bias
component-node name=tanh component=tanh input=Sum(sigmoid, IfDefined(Offset(sigmoid, -2)))
component-node name=softmax component=softmax input=Failover(tanh, sigmoid)
component-node name=halved component=halved input=softmax
component-node name=plain component=plain input=halved
component-node name=log-softmax component=log-softmax input=plain
output-node name=output input=log-softmax objective=linear
output-node name=output-xent input=plain objective=quadratic
"""


def every_component(seed: int = 0) -> list[Component]:
    """Makes one component of each type that can be built, as HEAD names them."""
    draw = np.random.default_rng(seed).normal
    training = make.Training(0.002, max_change=0.75, l2_regularize=0.01, orthonormal=-1)
    return [
        make.fixed_affine("lda", draw(size=(11, 11)), draw(size=11)),
        make.affine("affine", draw(size=(6, 11)), draw(size=6), training=training),
        make.relu("relu", 6),
        make.batchnorm("batchnorm", draw(size=3), draw(size=3) ** 2, dim=6, target_rms=0.5),
        make.general_dropout("dropout", 6),
        make.linear("linear", draw(size=(6, 6)), training=training),
        make.noop("noop", 6),
        make.tdnn("factor", draw(size=(6, 12)), None, [-1, 2], training=training),
        make.normalize("normalize", 6, add_log_stddev=True, block_dim=3, target_rms=0.7),
        make.scale_and_offset("scale", draw(size=3), draw(size=3), dim=9),
        make.convolution(
            "conv",
            draw(size=(3, 12)),
            draw(size=3),
            offsets=[(-1, 0), (0, -1), (0, 0), (0, 1)],
            height_in=2,
            height_out=2,
            required_time_offsets=[0],
        ),
        make.block_affine("blocks", draw(size=(6, 3)), draw(size=6), 2),
        make.elementwise_product("product", 12, 6),
        make.permute("order", [5, 0, 1, 4, 2, 3]),
        make.spec_augment_time_mask("mask", 6),
        make.per_element_scale("scaled", draw(size=6)),
        make.per_element_offset("moved", draw(size=2), dim=6),
        make.fixed_scale("fixed-scale", draw(size=6)),
        make.fixed_bias("fixed.bias", draw(size=6)),
        make.sigmoid("sigmoid", 6),
        make.tanh("tanh", 6),
        make.softmax("softmax", 6),
        make.dropout("halved", 6, 0.5),
        make.affine("plain", draw(size=(4, 6)), draw(size=4), natural_gradient=False),
        make.log_softmax("log-softmax", 4),
    ]


def every_network(seed: int = 0) -> Network:
    """Makes a network in which each type of component and descriptor occurs."""
    return make.network(HEAD, every_component(seed))


def chain_transitions() -> TransitionModel:
    """Makes two phones with one emitting state and two pdfs each, as chain recipes have."""
    states = (State(0, 1, ((0, 0.5), (1, 0.5))), State(NO_PDF, NO_PDF, ()))
    log_probs = np.log(np.array([1, 0.5, 0.5, 0.5, 0.5], np.float32))
    tuples = np.array([[1, 0, 0, 1], [2, 0, 2, 3]], np.int32)
    return TransitionModel(Topology((1, 2), (-1, 0, 0), (states,), True), tuples, True, log_probs)


def every_model(seed: int = 0) -> Model:
    """Makes a model with a transition model and priors."""
    priors = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    return Model(chain_transitions(), every_network(seed), priors, 4, 6)


def as_bytes(model: Model | Network, binary: bool) -> bytes:
    """Returns the file that a model is written as."""
    file = io.BytesIO()
    write_to(Sink(file, binary), model)
    return file.getvalue()


def read_bytes(data: bytes) -> Model:
    """Reads a model from bytes that are called "made"."""
    return model_from(Source(data, "made"))


def assert_same(one: Model, other: Model, relative: float = 0.0) -> None:
    """Asserts that two models hold the same, numbers up to a relative difference."""
    assert list(one.network.nodes.items()) == list(other.network.nodes.items())
    assert list(one.network.components) == list(other.network.components)
    for name, component in one.network.components.items():
        second = other.network.components[name]
        assert component.kind == second.kind
        assert_same_fields(component.fields, second.fields, relative)
    assert np.allclose(one.priors, other.priors, rtol=relative, atol=0)


def assert_same_fields(one: tuple, other: tuple, relative: float) -> None:
    """Asserts that two lists of fields hold the same."""
    for field, second in zip(one, other, strict=True):
        assert (field.token, field.kind) == (second.token, second.kind)
        if field.kind == "model":
            assert_same_fields(field.value, second.value, relative)
        elif field.value is None or isinstance(field.value, bool):
            assert field.value is second.value
        elif isinstance(field.value, np.ndarray):
            assert field.value.dtype == second.value.dtype
            assert field.value.shape == second.value.shape
            assert np.allclose(field.value, second.value, rtol=relative, atol=0, equal_nan=True)
        else:
            assert np.allclose(field.value, second.value, rtol=relative, atol=0)
