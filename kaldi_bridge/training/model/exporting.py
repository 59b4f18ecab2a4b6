"""Writes a trained network as Kaldi does: `final.mdl` and what belongs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kaldi_bridge.errors import KaldiFileError, ShapeError
from kaldi_bridge.features import FeatureOptions
from kaldi_bridge.nnet3 import building as make
from kaldi_bridge.nnet3.network import Component, Network
from kaldi_bridge.nnet3.reading import Model
from kaldi_bridge.nnet3.timing import context
from kaldi_bridge.nnet3.transitions import NO_PDF, State, Topology, TransitionModel
from kaldi_bridge.nnet3.writing import write_model
from kaldi_bridge.sink import opened_atomically
from kaldi_bridge.training.inventory import CLASSES
from kaldi_bridge.training.model.layers import BatchNorm, FactoredLayer, ReluLayer
from kaldi_bridge.training.model.network import SPLICE, SUBSAMPLING, Tdnnf

LIBRISPEECH_FEATURES = FeatureOptions(
    kind="mfcc", num_mel_bins=40, num_ceps=40, low_freq=20.0, high_freq=-400.0, use_energy=False
)
"""conf/mfcc_hires.conf of the LibriSpeech recipe."""
SELF_LOOP = 2 / 3
"""Probability of staying in a phone, which then lasts three rows of 30 ms on average."""
FACTOR = make.Training(orthonormal=-1.0)
"""Marks a factored layer as one that Kaldi would go on keeping semi-orthogonal."""


def to_nnet3(module: Tdnnf) -> Network:
    """Returns the network in the layout and names of LibriSpeech's run_tdnn_1d.

    Nodes, in order: with a mean window "mean1" …, "cmn"; "lda"; "tdnn1.affine", ".relu",
    ".batchnorm"; for each factored layer "tdnnf2.linear", ".affine", ".relu", ".batchnorm",
    ".noop"; "prefinal-l"; "prefinal-xent.affine", ".relu", ".batchnorm1", ".linear",
    ".batchnorm2"; "output.affine", "output.log-softmax", "output".

    Args:
        module: on any device, in any mode; its running statistics become those of the file.
    """
    return _Export(module).network()


def transitions(classes: Sequence[str], self_loop: float = SELF_LOOP) -> TransitionModel:
    """Returns a transition model: one state a phone, pdf k for the k-th class, phone k + 1.

    Args:
        classes: names of the phones.
        self_loop: probability of staying.

    Raises:
        ShapeError: no classes, or a probability that is not between 0 and 1.
    """
    if not classes or not 0 < self_loop < 1:
        raise ShapeError(
            f"{len(classes)} classes and a self-loop of {self_loop:g}: give one class or more and "
            "a probability between 0 and 1."
        )
    leave = 1 - self_loop
    states = (State(0, 0, ((0, self_loop), (1, leave))), State(NO_PDF, NO_PDF, ()))
    phones = tuple(range(1, len(classes) + 1))
    topology = Topology(phones, (-1, *(0 for _ in phones)), (states,), two_classes=False)
    tuples = np.array([[phone, 0, phone - 1, phone - 1] for phone in phones], np.int32)
    log_probs = np.log([1.0, *([self_loop, leave] * len(phones))]).astype(np.float32)
    return TransitionModel(topology, tuples, with_self_loop=False, log_probs=log_probs)


def write_model_folder(
    module: Tdnnf,
    folder: Path | str,
    *,
    priors: ArrayLike,
    card: str,
    feature_conf: FeatureOptions = LIBRISPEECH_FEATURES,
    classes: Sequence[str] = CLASSES,
) -> None:
    """Writes final.mdl, phones.txt, conf/mfcc_hires.conf, frame_subsampling_factor and README.md.

    Args:
        module: what was trained.
        folder: made if it is not there; files of the same names are replaced, each atomically.
        priors: share of each class in the training data [classes], summing to one.
        card: text of README.md.
        feature_conf: what the features were made with.
        classes: names of the outputs, in order.

    Raises:
        ShapeError: classes, priors or features that do not fit the network; nothing is written.
        KaldiFileError: the folder cannot be written to.
    """
    folder = Path(folder)
    shares = _checked(module, feature_conf, classes, priors)
    conf = feature_lines(feature_conf)
    network = to_nnet3(module)
    left, right = context(network, "output")
    model = Model(transitions(classes), network, shares, left, right)
    _make(folder / "conf")
    names = "".join(f"{name} {number}\n" for number, name in enumerate(["<eps>", *classes]))
    _write(folder / "phones.txt", names)
    _write(folder / "conf" / "mfcc_hires.conf", conf)
    _write(folder / "frame_subsampling_factor", f"{SUBSAMPLING}\n")
    _write(folder / "README.md", card)
    write_model(model, folder / "final.mdl")


def feature_lines(options: FeatureOptions) -> str:
    """Returns a conf file: what LibriSpeech's says, then whatever differs from Kaldi's defaults.

    Dither is left out, as there.

    Raises:
        ShapeError: not MFCCs.
    """
    if options.kind != "mfcc":
        raise ShapeError(f'features of kind "{options.kind}": the network is trained on "mfcc".')
    usual = ("use_energy", "num_mel_bins", "num_ceps", "low_freq", "high_freq")
    kaldi = FeatureOptions(kind="mfcc")
    names = [*usual, *(name for name in vars(options) if name not in (*usual, "kind", "dither"))]
    lines = []
    for name in names:
        value = getattr(options, name)
        if name in usual or value != getattr(kaldi, name):
            text = _as_written(value)
            lines.append(f"--{name.replace('_', '-')}={text}\n")
    return "".join(lines)


def _as_written(value: object) -> str:
    """Returns a value as a conf file has it, short where that says the same number."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


class _Export:
    """Nodes and components so far; each method returns the name of its last node."""

    def __init__(self, module: Tdnnf) -> None:
        self.module, self.config = module, module.config
        self.lines = [f"input-node name=input dim={module.config.features}"]
        self.components: list[Component] = []

    def network(self) -> Network:
        module = self.module
        last = self._add(
            make.fixed_affine("lda", numbers(module.lda_weights), numbers(module.lda_bias)),
            _spliced(self._centred("input"), SPLICE),
        )
        last = self._relu_layer("tdnn1", module.tdnn1, last)
        for number, layer in enumerate(module.tdnnf, start=2):
            assert isinstance(layer, FactoredLayer)
            last = self._factored_layer(f"tdnnf{number}", layer, last)
        last = self._linear("prefinal-l", module.prefinal_l, last)
        last = self._relu_layer("prefinal-xent", module.prefinal, last, batchnorm="batchnorm1")
        last = self._linear("prefinal-xent.linear", module.prefinal_linear, last)
        last = self._batchnorm("prefinal-xent.batchnorm2", module.prefinal_batchnorm2, last)
        weights, bias = numbers(module.output.weight), numbers(module.output.bias)
        last = self._add(make.affine("output.affine", weights, bias), last)
        last = self._add(make.log_softmax("output.log-softmax", self.config.classes), last)
        self.lines.append(f"output-node name=output input={last} objective=linear")
        return make.network("\n".join(self.lines), self.components)

    def _centred(self, source: str) -> str:
        """The features less their mean over the window, which is a mean of means of three."""
        mean = source
        for level, offset in enumerate(self.config.mean_offsets, start=1):
            third = [f"Scale({np.float32(1 / 3)}, {_at(mean, by)})" for by in (-offset, 0, offset)]
            total = f"Sum({third[0]}, Sum({third[1]}, {third[2]}))"
            mean = self._add(make.noop(f"mean{level}", self.config.features), total)
        if mean == source:
            return source
        return self._add(
            make.noop("cmn", self.config.features), f"Sum({source}, Scale(-1.0, {mean}))"
        )

    def _relu_layer(
        self, name: str, layer: ReluLayer, source: str, batchnorm: str = "batchnorm"
    ) -> str:
        weights, bias = numbers(layer.affine.weight), numbers(layer.affine.bias)
        last = self._add(make.affine(f"{name}.affine", weights, bias), source)
        return self._behind_affine(name, layer, last, batchnorm)

    def _factored_layer(self, name: str, layer: FactoredLayer, source: str) -> str:
        before, after = ([-layer.stride, 0], [0, layer.stride]) if layer.stride else ([0], [0])
        inner = make.tdnn(
            f"{name}.linear", numbers(layer.linear.weight), None, before, training=FACTOR
        )
        affine = layer.outer.affine
        outer = make.tdnn(f"{name}.affine", numbers(affine.weight), numbers(affine.bias), after)
        last = self._add(outer, self._add(inner, source))
        last = self._behind_affine(name, layer.outer, last, "batchnorm")
        if not layer.bypass:
            return last
        mixed = f"Sum(Scale({layer.bypass}, {source}), {last})"
        return self._add(make.noop(f"{name}.noop", self.config.dim), mixed)

    def _behind_affine(self, name: str, layer: ReluLayer, source: str, batchnorm: str) -> str:
        last = self._add(make.relu(f"{name}.relu", layer.affine.out_features), source)
        return self._batchnorm(f"{name}.{batchnorm}", layer.batchnorm, last)

    def _linear(self, name: str, layer: torch.nn.Linear, source: str) -> str:
        return self._add(make.linear(name, numbers(layer.weight), training=FACTOR), source)

    def _batchnorm(self, name: str, layer: BatchNorm, source: str) -> str:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        mean, variance = numbers(layer.running_mean), numbers(layer.running_var)
        return self._add(make.batchnorm(name, mean, variance, epsilon=layer.eps), source)

    def _add(self, component: Component, source: str) -> str:
        name = component.name
        self.components.append(component)
        self.lines.append(f"component-node name={name} component={name} input={source}")
        return name


def numbers(values: Tensor) -> NDArray[np.float32]:
    """Returns a tensor's numbers on the CPU."""
    return np.asarray(values.detach().to("cpu", torch.float32).numpy())


def _at(source: str, offset: int) -> str:
    return f"Offset({source}, {offset})" if offset else source


def _spliced(source: str, offsets: Sequence[int]) -> str:
    return f"Append({', '.join(_at(source, offset) for offset in offsets)})"


def _checked(
    module: Tdnnf, features: FeatureOptions, classes: Sequence[str], priors: ArrayLike
) -> NDArray[np.float32]:
    """Returns the priors as float32 after checking that everything fits."""
    shares = np.asarray(priors, np.float64)
    wanted = module.config.classes
    if len(classes) != wanted:
        raise ShapeError(f"{len(classes)} classes for a network with {wanted} outputs: give each.")
    for number, name in enumerate(classes):
        if not name or len(name.split()) != 1 or name in classes[:number]:
            raise ShapeError(f'class "{name}": give each a name of its own, without blanks.')
    if shares.shape != (wanted,) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-3:
        raise ShapeError(
            f"priors of shape {list(shares.shape)}: give [{wanted}] shares above 0 that sum to 1."
        )
    if features.feature_dim != module.config.features:
        raise ShapeError(
            f"the conf makes {features.feature_dim} values per frame, the network takes "
            f"{module.config.features}: give the conf that it was trained with."
        )
    return shares.astype(np.float32)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise KaldiFileError(folder, "byte 0", f"cannot be made: {problem.strerror}.") from None


def _write(path: Path, text: str) -> None:
    with opened_atomically(path) as file:
        file.write(text.encode("utf-8"))
