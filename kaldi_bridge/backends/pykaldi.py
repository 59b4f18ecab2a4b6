"""PyKaldi as a second backend: Kaldi's own code behind the interface of the native one.

PyKaldi is a wrapper around a Kaldi library; users have it from conda or have built it. The calls
made here, and the files of github.com/pykaldi/pykaldi that declare them:

| call | declared in |
|---|---|
| `util.io.xopen`, `Input.stream`, `.binary` | kaldi/util/io.py, kaldi/util/kaldi-io.clif |
| `hmm.TransitionModel().read`, `nnet3.AmNnetSimple().read`, `.get_nnet` | kaldi/asr.py (`NnetRecognizer.read_model`), kaldi/nnet3/am-nnet-simple.clif |
| `Nnet().read`, `.from_other`, `.read_config`, `.get_config_lines`, `.get_node_names`, `.is_*_node`, `.input_dim`, `.output_dim` | kaldi/nnet3/nnet-nnet.clif |
| `base.io.istringstream.from_str` | kaldi/base/sstream.clif, kaldi/base/io.py |
| `set_batchnorm_test_mode`, `set_dropout_test_mode`, `collapse_model`, `CollapseModelConfig` | kaldi/nnet3/nnet-utils.clif |
| `CachingOptimizingCompiler.new_with_optimize_opts` | kaldi/nnet3/nnet-optimize.clif, kaldi/asr.py |
| `NnetSimpleComputationOptions`, `DecodableNnetSimple` | kaldi/nnet3/nnet-am-decodable-simple.clif |
| `matrix.Matrix`, `Vector`, `.numpy` | kaldi/matrix/_matrix.py |

The order of steps is that of nnet3bin/nnet3-compute.cc. Without a call to select a device, a
PyKaldi that was built for CUDA computes on the CPU.
"""  # noqa: E501

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import KaldiError, KaldiFileError, MissingLibrary, ShapeError
from kaldi_bridge.opening import file_bytes

INSTALL = (
    "PyKaldi is not installed: run `conda install -c pykaldi pykaldi-cpu` or build it from "
    "https://github.com/pykaldi/pykaldi (the `pykaldi` on the Python package index is an empty "
    "placeholder)."
)
MODULES = ("base.io", "hmm", "matrix", "nnet3", "util.io", "util.options")
OUTPUT = "output"

_OUTPUT_LINE = re.compile(r"output-node\s+name=(\S+)\s+input=(.*?)(?:\s+(?:objective|dim)=\S+)*\s*")
_NO_PLAIN_FILE = re.compile(r"\||:\d+$|\[|\]|^\s|\s$")


def load(name: str) -> ModuleType:
    """Returns a module of PyKaldi, such as "nnet3".

    Raises:
        MissingLibrary: it is not installed, or is another package of the name `kaldi`.
    """
    try:
        return importlib.import_module(f"kaldi.{name}")
    except ImportError as problem:
        raise MissingLibrary(INSTALL) from problem


@contextmanager
def kaldi_errors(what: str) -> Iterator[None]:
    """Turns the exceptions that Kaldi's errors become into one of ours."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as problem:
        raise KaldiError(f"PyKaldi could not {what}: {problem}") from problem


def plain_name(path: Path) -> str:
    """Returns a path that Kaldi takes for a file.

    Raises:
        KaldiFileError: a name that Kaldi would read as a command, an offset or a range.
    """
    name = str(path.absolute())
    if _NO_PLAIN_FILE.search(name):
        problem = "Kaldi reads |, [ ], blanks at the end and :number in a name as more than a name."
        raise KaldiFileError(path, "its name", problem)
    return name


class PyKaldiBackend:
    """A network computed by Kaldi's own code.

    Attributes:
        path: the model file.
        nodes: names that `compute` takes: components, ranges and outputs, in the file's order.
        feature_dim: dimension of the features.
        ivector_dim: dimension of the i-vectors; 0 if the network takes none.
    """

    def __init__(self, model: Path | str) -> None:
        """Reads a model: .raw or .mdl, binary or text, also gzipped.

        Raises:
            MissingLibrary: PyKaldi is not there; the message says how to install it.
            MissingFile: no such file.
            KaldiError: Kaldi cannot read it.
        """
        self._nnet3, self._matrix = load("nnet3"), load("matrix")
        for name in MODULES:
            load(name)
        self.path = Path(model)
        with kaldi_errors(f"read {self.path}"):
            self._nnet = _read(self.path)
            self.nodes = self._node_names()
            self.feature_dim = int(self._nnet.input_dim("input"))
            self.ivector_dim = max(0, int(self._nnet.input_dim("ivector")))
            lines = [str(line) for line in self._nnet.get_config_lines(False)]
        matches = filter(None, map(_OUTPUT_LINE.fullmatch, lines))
        self._outputs = {match[1]: match[2] for match in matches}
        self._prepared: dict[str, tuple[Any, Any]] = {}

    @staticmethod
    def available() -> bool:
        """Whether PyKaldi is installed."""
        return PyKaldiBackend.why_not() == ""

    @staticmethod
    def why_not() -> str:
        """Returns what to install, or nothing if it is there."""
        try:
            for name in MODULES:
                load(name)
        except MissingLibrary as missing:
            return str(missing)
        return ""

    def node_dim(self, node: str) -> int:
        """Returns the dimension of a node.

        Raises:
            ShapeError: no such node.
        """
        nnet, _ = self._reading(node)
        return int(nnet.output_dim(OUTPUT))

    def compute(
        self,
        features: ArrayLike,
        ivectors: ArrayLike | None = None,
        *,
        node: str = OUTPUT,
        subsampling: int = 1,
        frames_per_chunk: int | None = 50,
        ivector_period: int = 10,
    ) -> NDArray[np.float32]:
        """Returns the activations of a node, as nnet3-compute does.

        Args:
            features: [T, F].
            ivectors: [K] for one i-vector, [R, K] for online ones; None if the node needs none.
            node: one of `nodes`.
            subsampling: input frames per output frame.
            frames_per_chunk: input frames that Kaldi computes at once, with one i-vector; None
                for all.
            ivector_period: frames between the rows of online i-vectors.

        Returns:
            [ceil(T / subsampling), D].

        Raises:
            ShapeError: arrays or options that do not fit the network; no such node.
            KaldiError: Kaldi refuses: i-vectors that the node needs are missing or end too early.
        """
        x = _rows(features, self.feature_dim, "features", "F")
        fixed, online = self._checked_ivectors(ivectors)
        for name, number in (
            ("subsampling", subsampling),
            ("frames_per_chunk", frames_per_chunk or 1),
            ("ivector_period", ivector_period),
        ):
            if number < 1:
                raise ShapeError(f"{name} is {number}; it must be one or more.")
        nnet, compiler = self._reading(node)
        if len(x) == 0:
            return np.zeros((0, int(nnet.output_dim(OUTPUT))), np.float32)
        options = self._nnet3.NnetSimpleComputationOptions()
        options.acoustic_scale = 1.0
        options.frame_subsampling_factor = subsampling
        options.frames_per_chunk = len(x) if frames_per_chunk is None else frames_per_chunk
        # Kaldi keeps references to these, so they have names until the last row is read
        frames, priors = self._matrix.Matrix(x), self._matrix.Vector()
        vector = None if fixed is None else self._matrix.Vector(fixed)
        matrix = None if online is None else self._matrix.Matrix(online)
        given = "without i-vectors" if ivectors is None else "with i-vectors"
        with kaldi_errors(f'compute node "{node}" of {self.path} {given}'):
            decodable = self._nnet3.DecodableNnetSimple(
                options, nnet, priors, frames, compiler, vector, matrix, ivector_period
            )
            result = self._matrix.Matrix(decodable.num_frames(), decodable.output_dim())
            for row in range(decodable.num_frames()):
                decodable.get_output_for_frame(row, result[row])
        return np.array(result.numpy(), np.float32)

    def _reading(self, node: str) -> tuple[Any, Any]:
        """Returns the network with `node` as its output, ready for test, and its compiler."""
        if node not in self._prepared:
            if node not in self.nodes:
                known = ", ".join(self.nodes)
                raise ShapeError(f'{self.path}: no node "{node}". Nodes: {known}.')
            nnet3 = self._nnet3
            with kaldi_errors(f'make node "{node}" of {self.path} an output'):
                nnet = nnet3.Nnet.from_other(self._nnet)
                if node != OUTPUT:
                    line = f"output-node name={OUTPUT} input={self._outputs.get(node, node)}\n"
                    nnet.read_config(load("base.io").istringstream.from_str(line))
                nnet3.set_batchnorm_test_mode(True, nnet)
                nnet3.set_dropout_test_mode(True, nnet)
                nnet3.collapse_model(nnet3.CollapseModelConfig(), nnet)
                optimize = nnet3.NnetSimpleComputationOptions().optimize_config
                compiler = nnet3.CachingOptimizingCompiler.new_with_optimize_opts(nnet, optimize)
            self._prepared[node] = nnet, compiler
        return self._prepared[node]

    def _node_names(self) -> tuple[str, ...]:
        nnet = self._nnet
        return tuple(
            str(name)
            for index, name in enumerate(nnet.get_node_names())
            if nnet.is_component_node(index)
            or nnet.is_dim_range_node(index)
            or nnet.is_output_node(index)
        )

    def _checked_ivectors(
        self, ivectors: ArrayLike | None
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Returns the one i-vector or the online ones."""
        if self.ivector_dim == 0:
            if ivectors is not None:
                raise ShapeError(f"{self.path}: the network takes no i-vectors.")
            return None, None
        if ivectors is None:
            return None, None
        values = np.ascontiguousarray(ivectors, np.float32)
        if values.shape == (self.ivector_dim,):
            return values, None
        return None, _rows(values, self.ivector_dim, "i-vectors", "K")


def _rows(values: ArrayLike, dim: int, what: str, letter: str) -> NDArray[np.float32]:
    """Contiguous float32, which PyKaldi takes over without asking NumPy for another copy."""
    rows = np.ascontiguousarray(values, np.float32)
    if rows.ndim != 2 or rows.shape[1] != dim:
        raise ShapeError(f"{what} of shape {list(rows.shape)}: expected [.., {letter} = {dim}].")
    return rows


def _read(path: Path) -> Any:
    """Reads the network of a .raw or .mdl file; Kaldi tells them apart by their first token too."""
    data = file_bytes(path)
    with_transitions = b"<TransitionModel>" in data[:32]
    if bytes(data[:2]) == path.open("rb").read(2):
        return _read_plain(plain_name(path), with_transitions)
    with tempfile.TemporaryDirectory(prefix="kaldi_bridge-") as folder:
        unpacked = Path(folder) / "model"
        unpacked.write_bytes(data)
        return _read_plain(plain_name(unpacked), with_transitions)


def _read_plain(name: str, with_transitions: bool) -> Any:
    nnet3 = load("nnet3")
    with load("util.io").xopen(name) as source:
        if not with_transitions:
            return nnet3.Nnet().read(source.stream(), source.binary)
        load("hmm").TransitionModel().read(source.stream(), source.binary)
        model = nnet3.AmNnetSimple().read(source.stream(), source.binary)
        return nnet3.Nnet.from_other(model.get_nnet())
